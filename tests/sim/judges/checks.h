// What must be true over all members after every step?
//
// The checks work from what the members wrote, sent, applied and have on their disks. Quorums are
// computed here, from the configuration entries in the logs; nothing is shared with
// lib/raft/quorum.cc. Everything is incremental: only what changed is looked at.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/raft/raft_invariants.h"
#include "tests/sim/cluster/host.h"
#include "tests/sim/cluster/network.h"

namespace raftkv::sim {

class Checks {
 public:
  explicit Checks(World& world) : world_(world) {}

  // --- Before it happens.
  void OnWrite(const Host& host, const node::LogWrite& write);
  void OnSend(const Host& host, const raft::Message& message);
  void OnApply(const Host& host, const std::vector<raft::Entry>& entries);
  void OnCompact(const Host& host, Index through);
  // --- After it happened.
  /// What `boot` of `peer` says counts at `host`.
  void OnHeard(const Host& host, NodeId peer, const node::Boot& boot);
  void OnDeliver(const Host& host, const raft::Message& message);
  void OnStart(const Host& host);
  void OnFormed(const Host& host);
  void OnDurable(const Host& host);
  void OnInstalled(const Host& host, const raft::SnapshotMeta& snapshot);
  /// `state`: the hash of the state machine after the last of `entries`.
  /// After each apply: members at an equal index agree on them.
  void OnRevisions(const Host& host, Index index, const kv::Revisions& revisions);
  /// The highest bound below which some member ever refused to read.
  [[nodiscard]] std::uint64_t compacted() const { return compacted_; }
  /// The highest one that some member ever came to.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  void OnApplied(const Host& host, const std::vector<raft::Entry>& entries, std::uint64_t state,
                 bool data_changed);
  /// The first answer to the entry at `index` is kept.
  void OnResponse(Index index, const Bytes& response);
  void AfterStep(const Host& host);
  /// The host's disk is another one than before.
  void OnDiskReplaced(const Host& host) { seen_[host.index] = Seen(); }

  [[nodiscard]] Index committed() const { return Index(committed_.size()); }
  /// The last one that was committed; null: none.
  [[nodiscard]] const raft::Configuration* configuration() const {
    return committed_configurations_.empty() ? nullptr : &committed_configurations_.back().second;
  }
  [[nodiscard]] Index configuration_index() const {
    return committed_configurations_.empty() ? Index{} : committed_configurations_.back().first;
  }
  /// (index, configuration) of all that were committed, in order.
  [[nodiscard]] const std::vector<std::pair<Index, raft::Configuration>>& configurations() const {
    return committed_configurations_;
  }
  /// The largest time stamp of the entries up to `index`, which is committed.
  [[nodiscard]] std::uint64_t TimeAt(Index index) const {
    return index == Index{} ? 0 : times_ms_.at(index.value - 1);
  }
  /// Every entry that was committed, in order.
  struct Result {
    Bytes response;
    std::uint64_t applied_ms = 0;  ///< first anywhere; 0: nowhere
  };
  void VisitCommitted(const std::function<void(const raft::Entry&, const Result&)>& visit) const;

 private:
  /// An entry is told by its index and term, and so is all that stands before it (§5.3).
  struct Place {
    Term term;
    Term previous_term;
    raft::Entry entry;
  };
  struct Committed {
    Term term;
    Term committed_in;  ///< the term of the first member that committed it
  };
  struct Seen {
    bool fresh = true;  ///< nothing was seen of this process's core yet
    raft::StateBefore before;
    raft::Space space = raft::Space::kEnough;
    Term last_term;
    Term durable_term;
    /// (index, configuration) of the configuration entries in the core's log.
    std::vector<std::pair<Index, raft::Configuration>> configurations;
  };

  void Fail(const char* checker, std::string message);
  void AddPlace(const Host& host, const raft::Entry& entry, Term previous_term);
  void CheckState(const Host& host, Index index, std::uint64_t state);
  void AddVote(NodeId voter, Term term, NodeId candidate);
  void AddLeader(NodeId id, Term term);
  void CheckElected(const Host& host, const raft::Raft& core);
  void CheckLeaderComplete(const Host& host, const raft::Raft& core);
  void CheckDisk(const Host& host, const raft::Raft& core);
  void FollowConfigurations(const Host& host, const raft::Raft& core);
  void CheckChange(const Host& host, const raft::Raft& core,
                   const std::pair<Index, raft::Configuration>& before,
                   const raft::Configuration& after);
  void NoteCommitted(Index index, Term term);
  void CheckRemoved(const raft::Configuration& before, const raft::Configuration& after);
  void CheckCommit(const Host& host, const raft::Raft& core);
  void CheckSpace(const Host& host, const raft::Raft& core);
  void CheckFollowed(const Host& host, const raft::Raft& core);
  void CheckInvariants(const Host& host, const raft::Raft& core);
  void Remember(const Host& host, const raft::Raft& core);
  void CheckVoteSent(const Host& host, Term term, NodeId candidate, const raft::Message& message);
  void CheckAcknowledgement(const Host& host, const raft::Message& message,
                            const raft::AppendEntriesReply& reply);
  [[nodiscard]] Term PreviousTerm(const raft::Entry& entry) const;
  [[nodiscard]] bool IsDurable(const Host& host, const raft::Configuration& configuration,
                               Index index, Term term) const;

  World& world_;
  std::map<Term, NodeId> leaders_;
  /// (host, member): so many disks were lost when it was told last that the member is suspect.
  std::map<std::pair<std::uint16_t, NodeId>, std::size_t> told_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;
  using Places = std::vector<Place>;
  std::vector<Places> places_;           ///< by index
  std::vector<Committed> committed_;     ///< by index - 1
  std::vector<std::uint64_t> times_ms_;  ///< replicated time at each of them
  std::vector<raft::TermRun> committed_runs_;
  std::vector<std::pair<Index, raft::Configuration>> committed_configurations_;
  std::vector<Result> results_;  ///< by index
  std::array<Seen, kMaxHosts> seen_;
  /// By index: 0 where nobody has stopped there yet.
  std::vector<std::uint64_t> states_;
  std::vector<kv::Revisions> revisions_;
  std::uint64_t compacted_ = 0;
  std::uint64_t revision_ = kv::kFirstRevision;
  /// (session, sequence) -> the entry that carried it out; only looked up, never walked through.
  std::unordered_map<std::uint64_t, Index> carried_out_;
};

}  // namespace raftkv::sim
