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
#include <utility>
#include <vector>

#include "lib/raft/raft.h"

namespace raftkv::test {

/// What survives a crash, and the one write that may be under way.
struct SimDisk {
  struct Write {
    std::optional<raft::HardState> hard_state;
    std::vector<raft::Entry> entries;
    std::optional<raft::SnapshotMeta> snapshot;
    bool refilled = false;
    bool sync = false;
    std::vector<raft::Message> messages_after_persist;
  };

  raft::HardState durable;  ///< what a crash leaves
  raft::HardState written;  ///< with writes that were not synced: a crash may lose them
  /// What was cut off the log's front, and the configuration in force there.
  raft::LogBase base;
  raft::Configuration base_configuration;
  Index base_configuration_index;
  std::vector<raft::Entry> log;  ///< log[i] has index base.index + i + 1; durable
  Index applied;                 ///< what the state machine has flushed
  /// Something durable was lost; written down until the store is refilled.
  bool suspect = false;
  std::vector<raft::Entry> lost;  ///< for the checks: what that was
  std::optional<Write> pending;

  [[nodiscard]] Index last_index() const { return base.index + log.size(); }
  /// Null for what is not in the log.
  [[nodiscard]] const raft::Entry* Find(Index index) const;
  /// The base included; 0 for what is not there.
  [[nodiscard]] Term TermAt(Index index) const;
  /// Those in the log, and before them the one of the base.
  [[nodiscard]] std::vector<std::pair<Index, raft::Configuration>> Configurations() const;
  /// The entries up to `through` go.
  void Compact(Index through);
  /// The last entries vanish, `count` at most and none that the state machine has.
  void LoseTail(std::size_t count);
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

  /// A snapshot from `from` is here, whole. Answers whether it will be installed.
  bool Offer(NodeId from, Term term, const raft::SnapshotMeta& snapshot);
  /// Of the state machine as it is.
  [[nodiscard]] std::optional<raft::SnapshotMeta> Describe() const {
    return core_->DescribeSnapshot(core_->applied_index());
  }
  /// Cuts the log up to `through`, or as far as the state machine has it durably.
  void Compact(Index through);

  /// Stops the core. The pending write and what is not synced are lost, or, as it may happen, kept.
  void Crash(bool keep_pending = false, bool keep_unsynced = false);
  void Restart();

  /// Applied since the last restart, in order; applied()[i] has index applied_from() + 1 + i.
  [[nodiscard]] const std::vector<raft::Entry>& applied() const { return applied_; }
  [[nodiscard]] Index applied_from() const { return applied_from_; }
  /// Grows with each restart.
  [[nodiscard]] std::uint64_t boot() const { return incarnation_; }
  /// ReadStates seen by Drain().
  std::vector<raft::ReadState>& read_states() { return read_states_; }

 private:
  void Fail(const std::string& what);
  void CheckReady(const raft::Ready& ready);

  // Constant after construction.
  raft::Options options_;
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
