// How does a whole cluster of cores run inside a test, deterministically?
//
// Members 1..N, each a SimNode with its own clock and disk, joined by a SimNetwork. Nothing happens
// by itself: the test moves clocks, takes Readys, makes writes durable, delivers messages. After
// every step the invariants of the member and of the whole cluster are checked.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/raft_checks.h"
#include "tests/support/raft_network.h"
#include "tests/support/raft_sim_node.h"

namespace raftkv::test {

struct ClusterOptions {
  std::uint64_t nodes = 3;
  std::uint64_t seed = 1;
  /// For every member; `id` is filled in.
  raft::Options raft;
  /// Applies and provides at once in ProcessReady(); otherwise the test calls ApplyNext() and
  /// ProvideNext().
  bool automatic = true;
};

class RaftCluster {
 public:
  explicit RaftCluster(const ClusterOptions& options);
  RaftCluster(const RaftCluster&) = delete;
  RaftCluster& operator=(const RaftCluster&) = delete;

  /// Called with one line for everything that happens.
  void OnEvent(std::function<void(const std::string&)> sink) { sink_ = std::move(sink); }
  /// The first broken invariant stays here (and fails the test); empty: all is well.
  [[nodiscard]] const std::string& failure() const { return failure_; }

  [[nodiscard]] std::vector<NodeId> ids() const;
  SimNode& node(std::uint64_t id) { return nodes_.at(NodeId(id)); }
  SimNode& node(NodeId id) { return nodes_.at(id); }
  raft::Raft& core(std::uint64_t id) { return node(id).core(); }
  SimNetwork& network() { return network_; }
  [[nodiscard]] const ClusterChecks& checks() const { return checks_; }
  [[nodiscard]] const raft::Configuration& configuration() const { return configuration_; }

  /// Gives `id` a fabricated log; only before anything else happened to it.
  void SetDisk(NodeId id, SimDisk disk);

  // --- Inputs. Those for a node that is down do nothing.
  void Tick(NodeId id, Duration by);
  void TickAll(Duration by);
  void Campaign(NodeId id);
  Result<raft::LogPosition> Propose(NodeId id, std::string_view payload);
  Status Read(NodeId id, std::uint64_t context);
  void PeerDisconnected(NodeId id, NodeId peer);
  void PeerUnreachable(NodeId id, NodeId peer);

  // --- Outputs. False: there was nothing to do.
  bool ProcessReady(NodeId id);
  bool Persist(NodeId id);
  bool ApplyNext(NodeId id);
  bool ProvideNext(NodeId id);

  // --- Network.
  /// Hands a message to its receiver; lost if that is down.
  void Deliver(const raft::Message& message);
  bool DeliverNext();
  /// Nobody of one group reaches another group.
  void Partition(const std::vector<std::vector<NodeId>>& groups);
  void Heal() { network_.MendAll(); }

  void StallDisk(NodeId id, bool stalled);
  void Crash(NodeId id, bool keep_pending = false, bool keep_unsynced = false);
  void Restart(NodeId id);
  /// What is applied now is what a restart will find applied.
  void FlushApplied(NodeId id);

  /// Everything that can happen without time: Readys, writes (but of stalled disks), messages.
  void Stabilize();
  /// Ends all faults and lets time pass until all have the same log, committed and applied, with
  /// one leader that can commit. False: it did not come to that in `bound`.
  bool Converge(Duration bound);
  /// The member that leads in the highest term; nobody if none does.
  [[nodiscard]] NodeId Leader() const;

 private:
  void Emit(const std::string& line) const {
    if (sink_) sink_(line);
  }
  [[nodiscard]] bool tracing() const { return static_cast<bool>(sink_); }
  void Fail(const std::string& what);
  void Send(const std::vector<raft::Message>& messages, const char* note);
  void ServeReads(NodeId id);
  [[nodiscard]] bool Converged() const;

  struct Queues {
    std::deque<std::vector<raft::Entry>> to_apply;
    std::deque<raft::WantedEntries> wanted;
    std::vector<raft::ReadState> reads;
    bool disk_stalled = false;
  };

  raft::Configuration configuration_;
  ClusterOptions options_;
  std::map<NodeId, SimNode> nodes_;
  std::map<NodeId, Queues> queues_;
  SimNetwork network_;
  ClusterChecks checks_;
  std::function<void(const std::string&)> sink_;
  std::string failure_;
};

}  // namespace raftkv::test
