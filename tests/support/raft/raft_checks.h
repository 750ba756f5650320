// What must be true over all members at every instant? (Raft paper, Figure 3; besides, nothing is
// promised before it is durable, and reads are never stale)
//
// The checker works out quorums, log matching and completeness by itself, from what the members
// wrote, sent and applied; it shares no code with the core.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/raft/raft_sim_node.h"

namespace raftkv::test {

class ClusterChecks {
 public:
  using Nodes = std::map<NodeId, SimNode>;

  ClusterChecks(const Nodes& nodes, std::function<void(const std::string&)> report)
      : nodes_(nodes), report_(std::move(report)) {}

  /// Entries that are taken as committed from the start (a fabricated or formed log).
  void StartFrom(const SimDisk& disk);

  /// After every call into `id`'s core.
  void AfterStep(NodeId id);
  /// When a write was handed out (it may become durable from now on).
  void OnWrite(NodeId id);
  /// When a message leaves a node.
  void OnSend(const raft::Message& message);
  /// Right after a node came back.
  void OnRestart(NodeId id);

  /// `committed`: what was committed anywhere when the read began; the answer must not be older.
  void OnReadRequested(NodeId id, std::uint64_t context, Index committed);
  void OnReadState(NodeId id, const raft::ReadState& state);

  struct Committed {
    raft::Entry entry;
    Term committed_in;  ///< the term of the member that was first to commit it
  };
  /// committed()[i] has index i + 1.
  [[nodiscard]] const std::vector<Committed>& committed() const { return committed_; }

 private:
  struct Seen {
    Term term;
    Index commit;
    Index applied;
  };
  struct Place {
    Term previous_term;
    raft::Entry entry;
  };
  void CheckLeader(NodeId id, const raft::Raft& core);
  void CheckCommit(NodeId id, const raft::Raft& core);
  void CheckApplied(NodeId id, const SimNode& node);
  void CheckElection(NodeId id, const raft::Raft& core);
  void CheckConfiguration(NodeId id, const raft::Raft& core);
  void CheckSnapshot(NodeId id, const SimDisk& disk);
  void CheckRefilled(NodeId id, const SimDisk& disk);
  [[nodiscard]] bool IsSafeWithout(NodeId id, const raft::Entry& entry) const;
  void NoteEntry(NodeId id, Term previous, const raft::Entry& entry);
  void CheckSendOf(const SimNode& node, const raft::Message& message);
  void Vote(NodeId voter, Term term, NodeId candidate);
  [[nodiscard]] bool IsDurableOnQuorum(const raft::Configuration& configuration,
                                       const raft::Entry& entry) const;

  const Nodes& nodes_;
  std::function<void(const std::string&)> report_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;
  /// Every entry ever written, by index and term.
  std::map<std::pair<Index, Term>, Place> places_;
  std::vector<Committed> committed_;
  /// The configurations among them.
  std::map<Index, std::map<Term, raft::Configuration>> configurations_;
  std::map<NodeId, Seen> seen_;
  /// (member, context) -> what was committed when the read was asked for.
  std::map<std::pair<NodeId, std::uint64_t>, Index> reads_;
};

}  // namespace raftkv::test
