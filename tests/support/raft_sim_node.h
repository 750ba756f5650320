// How does one core live in a test: with a clock of its own, a disk that can stall and lose what
// was not synced, and a state machine that only keeps what it was given?
//
// A SimNode does what lib/node does for a real member, one step at a time and under the caller's
// control. It checks the core's invariants around every call into it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/raft/raft.h"

namespace raftkv::test {

/// What survives a crash, and the one write that may be under way.
struct SimDisk {
  struct Write {
    std::optional<raft::HardState> hard_state;
    std::vector<raft::Entry> entries;
    bool sync = false;
    std::vector<raft::Message> messages_after_persist;
  };

  raft::HardState durable;       ///< what a crash leaves
  raft::HardState written;       ///< with writes that were not synced: a crash may lose them
  std::vector<raft::Entry> log;  ///< log[i] has index i + 1; durable
  Index applied;                 ///< what the state machine has flushed
  std::optional<Write> pending;

  [[nodiscard]] Index last_index() const { return Index(log.size()); }
  /// 0 for what is not there.
  [[nodiscard]] Term TermAt(Index index) const;
  /// The log as it will be once `pending` is done.
  [[nodiscard]] std::vector<raft::TermRun> RunsWithPending() const;
  void Carry(const Write& write);
};

/// Members 1..count, all voters.
raft::Configuration MakeConfiguration(std::uint64_t count);
/// A disk after the formation of a cluster: term 1, the configuration as the only entry, committed.
SimDisk FormedDisk(const raft::Configuration& configuration);
/// A disk with entries of these terms; the first is the configuration, of term 1. Equal places have
/// equal payloads, whatever disk they are on.
SimDisk DiskWithLog(const raft::Configuration& configuration,
                    const std::vector<std::uint64_t>& terms, std::uint64_t current_term,
                    std::uint64_t commit = 1);

class SimNode {
 public:
  SimNode(raft::Options options, raft::Configuration configuration, SimDisk disk,
          std::uint64_t seed);

  [[nodiscard]] bool up() const { return core_ != nullptr; }
  [[nodiscard]] raft::Raft& core() { return *core_; }
  [[nodiscard]] const raft::Raft& core() const { return *core_; }
  [[nodiscard]] NodeId id() const { return options_.id; }
  SimDisk& disk() { return disk_; }
  [[nodiscard]] const SimDisk& disk() const { return disk_; }
  [[nodiscard]] MonoTime now() const { return now_; }

  /// Every broken invariant goes there; by default it fails the current test.
  void OnFailure(std::function<void(const std::string&)> report) { report_ = std::move(report); }

  /// Moves this node's clock; while it is down only the clock moves.
  void Advance(Duration by);
  /// Any input: ticks, calls, checks.
  void Input(const std::function<void(raft::Raft&)>& call);
  void Step(const raft::Message& message);

  /// The core's next Ready, if it has one. Its write becomes the disk's pending one, with what may
  /// be sent after it; without a write messages_after_persist are left for the caller to send.
  std::optional<raft::Ready> TakeReady();
  /// Makes the pending write durable (or written, if it is not to be synced); returns what may now
  /// be sent.
  std::vector<raft::Message> Persist();
  /// Everything at once until nothing is left to do: takes, persists, applies, provides; returns
  /// all that was sent, in order.
  std::vector<raft::Message> Drain();

  void Apply(const std::vector<raft::Entry>& entries);
  /// Reads from the disk what was asked for and hands it over.
  void Provide(const raft::WantedEntries& wanted);

  /// Stops the core. The pending write and what is not synced are lost, or, as it may happen, kept.
  void Crash(bool keep_pending = false, bool keep_unsynced = false);
  void Restart();

  /// Applied since the last restart, in order; applied()[i] has index applied_from() + 1 + i.
  [[nodiscard]] const std::vector<raft::Entry>& applied() const { return applied_; }
  [[nodiscard]] Index applied_from() const { return applied_from_; }
  /// ReadStates seen by Drain().
  std::vector<raft::ReadState>& read_states() { return read_states_; }

 private:
  void Fail(const std::string& what);
  void CheckReady(const raft::Ready& ready);

  // Constant after construction.
  raft::Options options_;
  raft::Configuration configuration_;
  std::uint64_t seed_;
  std::function<void(const std::string&)> report_;

  SimDisk disk_;
  MonoTime now_{};
  std::uint64_t incarnation_ = 0;
  std::unique_ptr<raft::Raft> core_;
  Index applied_from_;
  std::vector<raft::Entry> applied_;
  std::vector<raft::ReadState> read_states_;
};

}  // namespace raftkv::test
