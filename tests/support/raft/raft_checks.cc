#include "tests/support/raft/raft_checks.h"

#include <algorithm>
#include <variant>

#include "lib/raft/configuration.h"
#include "tests/support/raft/raft_format.h"
#include "tests/support/raft/raft_quorum.h"

namespace raftkv::test {

using raft::AppendEntries;
using raft::AppendEntriesReply;
using raft::Entry;
using raft::Message;
using raft::Raft;
using raft::RequestVote;
using raft::RequestVoteReply;
using raft::Role;

void ClusterChecks::StartFrom(const SimDisk& disk) {
  for (Index i(1); i <= disk.durable.commit; ++i) {
    if (i.value > committed_.size()) committed_.push_back({disk.log[i.value - 1], Term()});
  }
  Term previous;
  for (const Entry& entry : disk.log) {
    NoteEntry(kNobody, previous, entry);
    previous = entry.term;
  }
}

void ClusterChecks::NoteEntry(NodeId id, Term previous, const Entry& entry) {
  const auto [at, is_new] =
      places_.emplace(std::pair(entry.index, entry.term), Place{previous, entry});
  if (!(at->second.entry == entry) || at->second.previous_term != previous) {
    report_("log matching: node " + Format(id) + " writes " + Format(entry) +
            " where another has " + Format(at->second.entry));
  }
  if (!is_new || entry.kind != raft::EntryKind::kConfiguration) return;
  configurations_[entry.index].emplace(entry.term,
                                       *raft::DecodeConfiguration(entry.payload.view()));
}

void ClusterChecks::AfterStep(NodeId id) {
  const SimNode& node = nodes_.at(id);
  const Raft& core = node.core();
  Seen& seen = seen_[id];
  if (core.term() < seen.term) report_("the term of node " + Format(id) + " went back");
  if (core.term() < node.disk().durable.term) report_("a term below the durable one");
  seen.term = core.term();
  CheckConfiguration(id, core);
  if (core.role() == Role::kLeader) CheckLeader(id, core);
  CheckCommit(id, core);
  CheckApplied(id, node);
}

void ClusterChecks::OnRestart(NodeId id) {
  const SimNode& node = nodes_.at(id);
  seen_[id] = Seen{node.core().term(), Index(), Index()};
  AfterStep(id);
}

// Election Safety and Leader Completeness.
void ClusterChecks::CheckLeader(NodeId id, const Raft& core) {
  const auto [at, is_new] = leaders_.emplace(core.term(), id);
  if (at->second != id) {
    report_("two leaders in term " + std::to_string(core.term().value) + ": " + Format(at->second) +
            " and " + Format(id));
  }
  if (!is_new) return;
  CheckElection(id, core);
  for (const Committed& committed : committed_) {
    if (committed.committed_in >= core.term()) continue;
    if (committed.entry.index < core.log().base().index) continue;
    if (core.log().TermAt(committed.entry.index) != committed.entry.term) {
      report_("leader " + Format(id) + " of term " + std::to_string(core.term().value) +
              " lacks the committed entry " + Format(committed.entry));
      return;
    }
  }
}

// A leader was elected by a quorum of the configuration in its log.
void ClusterChecks::CheckElection(NodeId id, const Raft& core) {
  const bool elected =
      MakesQuorum(core.configuration(), raft::Purpose::kElection, [&](NodeId voter) {
        const auto vote = votes_.find({voter, core.term()});
        if (vote != votes_.end()) return vote->second == id;
        const raft::HardState& own = nodes_.at(id).disk().durable;
        return voter == id && own.term == core.term() && own.vote == id;
      });
  if (!elected) report_("node " + Format(id) + " leads without an election quorum");
}

// §6: the latest configuration in the log is in force, committed or not; and no other.
void ClusterChecks::CheckConfiguration(NodeId id, const Raft& core) {
  const Index in_force = core.configuration_index();
  const auto broken = [&](Index index) {
    report_("node " + Format(id) + ": the configuration at " + std::to_string(index.value) +
            " should be in force, not that at " + std::to_string(in_force.value));
  };
  for (auto at = configurations_.upper_bound(in_force); at != configurations_.end(); ++at) {
    if (at->second.count(core.log().TermAt(at->first)) > 0) broken(at->first);
  }
  const auto at = configurations_.find(in_force);
  if (at == configurations_.end() || in_force < core.log().first_index()) return;
  const auto same = at->second.find(core.log().TermAt(in_force));
  // Not found: it was appended just now, and nobody has written it yet.
  if (same != at->second.end() && !(same->second == core.configuration())) broken(in_force);
}

bool ClusterChecks::IsDurableOnQuorum(const raft::Configuration& configuration,
                                      const Entry& entry) const {
  return MakesQuorum(configuration, raft::Purpose::kCommit, [&](NodeId id) {
    const auto node = nodes_.find(id);
    if (node == nodes_.end()) return false;
    const SimDisk& disk = node->second.disk();
    if (disk.TermAt(entry.index) == entry.term || entry.index < disk.base.index) return true;
    // It was durable there, and is missed: that store is suspect until it is back.
    return std::find(disk.lost.begin(), disk.lost.end(), entry) != disk.lost.end();
  });
}

// State Machine Safety, before anything is applied: what is committed is the same everywhere.
void ClusterChecks::CheckCommit(NodeId id, const Raft& core) {
  Seen& seen = seen_[id];
  if (core.commit_index() < seen.commit) report_("the commit index of a node went back");
  // What a snapshot replaced was committed before; the base itself is looked at.
  Index i = std::max(seen.commit.Next(), core.log().base().index);
  for (; i <= core.commit_index(); ++i) {
    if (i == Index()) continue;
    if (i.value > committed_.size() + 1) {
      report_("node " + Format(id) + " has a base that nobody has committed");
      return;
    }
    const Term term = core.log().TermAt(i);
    if (i.value <= committed_.size()) {
      if (committed_[i.value - 1].entry.term != term) {
        report_("node " + Format(id) + " commits another entry than " +
                Format(committed_[i.value - 1].entry));
      }
      continue;
    }
    const auto place = places_.find({i, term});
    if (place == places_.end()) {
      report_("node " + Format(id) + " commits an entry that nobody has written, index " +
              std::to_string(i.value));
      return;
    }
    if (!IsDurableOnQuorum(core.configuration(), place->second.entry)) {
      report_("committed but not durable on a quorum: " + Format(place->second.entry));
    }
    committed_.push_back({place->second.entry, core.term()});
  }
  seen.commit = core.commit_index();
}

void ClusterChecks::CheckApplied(NodeId id, const SimNode& node) {
  Seen& seen = seen_[id];
  if (node.core().applied_index() > node.core().commit_index()) report_("applied > commit");
  seen.applied = std::max(seen.applied, node.applied_from());
  for (; seen.applied < node.applied_from() + node.applied().size(); ++seen.applied) {
    const Entry& entry = node.applied()[seen.applied - node.applied_from()];
    if (entry.index.value > committed_.size() ||
        !(committed_[entry.index.value - 1].entry == entry)) {
      report_("node " + Format(id) + " applied what is not committed: " + Format(entry));
    }
  }
}

// Log Matching: an entry is told by its index and term, and so is all that stands before it.
void ClusterChecks::OnWrite(NodeId id) {
  const SimDisk& disk = nodes_.at(id).disk();
  if (disk.pending->snapshot) CheckSnapshot(id, disk);
  if (disk.pending->refilled) CheckRefilled(id, disk);
  const std::vector<Entry>& entries = disk.pending->entries;
  if (entries.empty()) return;
  Term previous = disk.TermAt(entries.front().index.Previous());
  for (const Entry& entry : entries) {
    NoteEntry(id, previous, entry);
    previous = entry.term;
    if (entry.index <= disk.durable.commit &&
        committed_[entry.index.value - 1].entry.term != entry.term) {
      report_("node " + Format(id) + " overwrites a committed entry by " + Format(entry));
    }
  }
}

// §7: a snapshot is of what is committed, with the configuration that was in force there.
void ClusterChecks::CheckSnapshot(NodeId id, const SimDisk& disk) {
  const raft::SnapshotMeta& snapshot = *disk.pending->snapshot;
  const Index last = snapshot.last.index;
  const std::string what =
      "node " + Format(id) + " installs a snapshot at " + std::to_string(last.value) + " ";
  if (last.value > committed_.size() ||
      committed_[last.value - 1].entry.term != snapshot.last.term) {
    return report_(what + "of what is not committed");
  }
  if (last <= disk.durable.commit) report_(what + "that is older than what it had committed");
  for (Index i = last; i > Index(); i = i.Previous()) {
    const Entry& entry = committed_[i.value - 1].entry;
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    if (snapshot.configuration_index != i ||
        !(*raft::DecodeConfiguration(entry.payload.view()) == snapshot.configuration)) {
      report_(what + "with another configuration than that at " + std::to_string(i.value));
    }
    return;
  }
}

// In the latest committed configuration a quorum of the others has it now.
bool ClusterChecks::IsSafeWithout(NodeId id, const Entry& entry) const {
  for (auto at = committed_.rbegin(); at != committed_.rend(); ++at) {
    if (at->entry.kind != raft::EntryKind::kConfiguration) continue;
    const auto configuration = raft::DecodeConfiguration(at->entry.payload.view());
    return MakesQuorum(*configuration, raft::Purpose::kCommit, [&](NodeId other) {
      const auto node = nodes_.find(other);
      if (node == nodes_.end() || other == id) return false;
      const SimDisk& disk = node->second.disk();
      return disk.TermAt(entry.index) == entry.term || entry.index < disk.base.index;
    });
  }
  return false;
}

// A store that is not suspect any more has back whatever was committed of what it lost, unless a
// quorum has that without it.
void ClusterChecks::CheckRefilled(NodeId id, const SimDisk& disk) {
  for (const Entry& entry : disk.lost) {
    const bool committed =
        entry.index.value <= committed_.size() && committed_[entry.index.value - 1].entry == entry;
    if (!committed || entry.index <= disk.base.index) continue;
    const std::vector<Entry>& now = disk.pending->entries;
    const bool back = disk.TermAt(entry.index) == entry.term ||
                      std::find(now.begin(), now.end(), entry) != now.end();
    if (!back && !IsSafeWithout(id, entry)) {
      report_("node " + Format(id) + " counts again without " + Format(entry));
    }
  }
}

void ClusterChecks::Vote(NodeId voter, Term term, NodeId candidate) {
  const auto [at, is_new] = votes_.emplace(std::pair(voter, term), candidate);
  if (at->second != candidate) {
    report_("node " + Format(voter) + " votes twice in term " + std::to_string(term.value) +
            ": for " + Format(at->second) + " and " + Format(candidate));
  }
}

void ClusterChecks::OnSend(const Message& message) {
  const SimNode& node = nodes_.at(message.from);
  if (message.from == message.to) report_("a message to itself: " + Format(message));
  CheckSendOf(node, message);
}

// Durable before promised: `node` sends this while its disk is as it is.
void ClusterChecks::CheckSendOf(const SimNode& node, const Message& message) {
  const SimDisk& disk = node.disk();
  const auto early = [&] { report_("sent before it is durable: " + Format(message)); };
  const auto voted = [&](Term term, NodeId candidate) {
    Vote(node.id(), term, candidate);
    return disk.durable.term > term ||
           (disk.durable.term == term && disk.durable.vote == candidate);
  };
  if (const auto* ask = std::get_if<RequestVote>(&message.body)) {
    if (!ask->pre_vote && !voted(ask->term, node.id())) early();
  } else if (const auto* reply = std::get_if<RequestVoteReply>(&message.body)) {
    if (reply->granted && !reply->pre_vote && !voted(reply->term, message.to)) early();
    if (disk.suspect) report_("a suspect store votes: " + Format(message));
  } else if (const auto* append = std::get_if<AppendEntries>(&message.body)) {
    if (!voted(append->term, node.id())) early();
    const auto leader = leaders_.find(append->term);
    if (leader == leaders_.end() || leader->second != node.id()) {
      report_("AppendEntries from who does not lead: " + Format(message));
    }
    for (std::size_t i = 0; i < append->entries.size(); ++i) {
      if (append->entries[i].index != append->prev_log_index + i + 1) {
        report_("entries are not contiguous: " + Format(message));
      }
      if (append->entries[i].term > append->term) report_("an entry of a later term");
    }
  } else if (const auto* acked = std::get_if<AppendEntriesReply>(&message.body)) {
    if (!acked->success) return;
    if (disk.durable.term < acked->term || disk.last_index() < acked->index) early();
    if (disk.suspect != (acked->suspect != 0)) {
      report_("a suspect store that does not say so, or the other way round: " + Format(message));
    }
    if (acked->index < disk.base.index) return;
    // And what is durable is what that leader has there.
    const auto leader = leaders_.find(acked->term);
    if (leader == leaders_.end() || !nodes_.at(leader->second).up()) return;
    const Raft& core = nodes_.at(leader->second).core();
    if (core.role() == Role::kLeader && core.term() == acked->term &&
        acked->index >= core.log().base().index &&
        core.log().TermAt(acked->index) != disk.TermAt(acked->index)) {
      report_("acknowledges what it does not have: " + Format(message));
    }
  }
}

void ClusterChecks::OnReadRequested(NodeId id, std::uint64_t context, Index committed) {
  reads_[{id, context}] = committed;
}

void ClusterChecks::OnReadState(NodeId id, const raft::ReadState& state) {
  const auto at = reads_.find({id, state.context});
  if (at == reads_.end()) {
    report_("a ReadState that nobody asked for: context " + std::to_string(state.context));
    return;
  }
  if (state.confirmed && state.read_index < at->second) {
    report_("stale read at node " + Format(id) + ": index " +
            std::to_string(state.read_index.value) + " though " + std::to_string(at->second.value) +
            " was committed when it began");
  }
  // It stays: a doubled message, or one from before a restart, may answer it again, and must not
  // answer it with less.
}

}  // namespace raftkv::test
