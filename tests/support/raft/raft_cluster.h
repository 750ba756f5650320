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
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/raft/raft_checks.h"
#include "tests/support/raft/raft_network.h"
#include "tests/support/raft/raft_sim_node.h"

namespace raftkv::test {

struct ClusterOptions {
  std::uint64_t nodes = 3;
  std::uint64_t seed = 1;
  /// For every member; `id` is filled in.
  raft::Options raft;
  /// Members whose leases are off, whatever `raft` says; and those with half the election timeout.
  std::set<NodeId> without_lease;
  std::set<NodeId> hasty;
  /// Applies and provides at once in ProcessReady(); otherwise the test calls ApplyNext() and
  /// ProvideNext().
  bool automatic = true;
  /// Rule and zones of the first configuration.
  raft::QuorumRule quorum;
  std::vector<std::string> zones;
};

/// A snapshot that is on its way.
struct SnapshotOffer {
  NodeId from;
  NodeId to;
  Term term;
  raft::SnapshotMeta snapshot;
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
  [[nodiscard]] const ClusterOptions& options() const { return options_; }

  /// Gives `id` a fabricated log; only before anything else happened to it.
  void SetDisk(NodeId id, SimDisk disk);
  /// One that starts with an empty disk and is no member yet.
  void AddNode(NodeId id);

  // --- Inputs. Those for a node that is down do nothing.
  void Tick(NodeId id, Duration by);
  void TickAll(Duration by);
  void Campaign(NodeId id);
  Result<raft::LogPosition> Propose(NodeId id, std::string_view payload);
  Status Read(NodeId id, std::uint64_t context, bool lease = false);
  Status Change(NodeId id, const raft::MembershipChange& change);
  Status Transfer(NodeId id, NodeId to);
  void Compact(NodeId id, Index through);
  void PeerDisconnected(NodeId id, NodeId peer);
  void PeerUnreachable(NodeId id, NodeId peer);

  // --- Outputs. False: there was nothing to do.
  bool ProcessReady(NodeId id);
  bool Persist(NodeId id);
  bool ApplyNext(NodeId id);
  bool ProvideNext(NodeId id);

  // --- Snapshots. `from` takes one for the first who needs it; false: nobody does.
  bool SendSnapshot(NodeId from);
  /// The `position`-th that is under way (modulo their number) arrives; with `again` it may arrive
  /// once more.
  bool DeliverSnapshot(std::size_t position, bool again = false);
  [[nodiscard]] const std::deque<SnapshotOffer>& offers() const { return offers_; }
  /// Stabilize() lets snapshots wait.
  void HoldSnapshots(bool hold) { hold_snapshots_ = hold; }

  // --- Network.
  /// Hands a message to its receiver; lost if that is down.
  void Deliver(const Packet& packet);
  bool DeliverNext();
  /// Nobody of one group reaches another group.
  void Partition(const std::vector<std::vector<NodeId>>& groups);
  void Heal() { network_.MendAll(); }

  void StallDisk(NodeId id, bool stalled);
  void Crash(NodeId id, bool keep_pending = false, bool keep_unsynced = false);
  void Restart(NodeId id);
  /// While `id` is down its disk loses the last `count` entries, and knows that it did.
  void LoseTail(NodeId id, std::size_t count);
  /// What is applied now is what a restart will find applied.
  void FlushApplied(NodeId id);

  /// Everything that can happen without time: Readys, writes (but of stalled disks), messages.
  void Stabilize();
  /// Ends all faults and lets time pass until all members have the same log, committed and applied,
  /// with one leader that can commit. False: it did not come to that in `bound`.
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
  void ReportInstalled(NodeId id, bool installed);
  void EmitWrite(NodeId id, const raft::Ready& ready) const;
  [[nodiscard]] bool Converged() const;
  [[nodiscard]] bool SameLog(NodeId a, NodeId b) const;

  struct Queues {
    std::deque<std::vector<raft::Entry>> to_apply;
    std::deque<raft::WantedEntries> wanted;
    std::deque<NodeId> wanted_snapshots;
    NodeId installs_from;
    std::vector<raft::ReadState> reads;
    bool disk_stalled = false;
  };

  raft::Configuration configuration_;
  ClusterOptions options_;
  std::map<NodeId, SimNode> nodes_;
  std::map<NodeId, Queues> queues_;
  SimNetwork network_;
  std::deque<SnapshotOffer> offers_;
  bool hold_snapshots_ = false;
  /// (receiver, suspect sender) -> since which start of that: what is older must not count, and the
  /// node that owns a core lets nothing of it through.
  std::map<std::pair<NodeId, NodeId>, std::uint64_t> suspect_since_;
  ClusterChecks checks_;
  std::function<void(const std::string&)> sink_;
  std::string failure_;
};

}  // namespace raftkv::test
