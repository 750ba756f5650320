#include "tests/sim/judges/checks.h"

#include <algorithm>
#include <variant>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/raft/configuration.h"
#include "tests/sim/judges/quorum.h"
#include "tests/sim/program/trace.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

using raft::Entry;
using raft::Raft;

namespace {

std::string At(Index index, Term term) {
  return std::to_string(term.value) + "/" + std::to_string(index.value);
}

bool Same(const Entry& a, const Entry& b) {
  if (a.kind != b.kind || a.time_ms != b.time_ms || a.clock_ms != b.clock_ms) return false;
  // Shared bytes need not be compared.
  return a.payload.view().data() == b.payload.view().data() || a.payload == b.payload;
}

}  // namespace

void Checks::Fail(const char* checker, std::string message) {
  world_.Fail(checker, std::move(message));
}

// --- Votes and leaders.

void Checks::AddVote(NodeId voter, Term term, NodeId candidate) {
  const auto [at, is_new] = votes_.emplace(std::pair(voter, term), candidate);
  if (at->second == candidate) return;
  Fail("one vote a term", world_.NameOf(voter) + " votes twice in term " +
                              std::to_string(term.value) + ": for " + world_.NameOf(at->second) +
                              " and " + world_.NameOf(candidate));
}

void Checks::AddLeader(NodeId id, Term term) {
  const auto [at, is_new] = leaders_.emplace(term, id);
  if (at->second == id) return;
  Fail("one leader a term", "two leaders in term " + std::to_string(term.value) + ": " +
                                world_.NameOf(at->second) + " and " + world_.NameOf(id));
}

/// §5.2: those who voted for it in this very term, by what they sent and wrote, can elect.
void Checks::CheckElected(const Host& host, const Raft& core) {
  if (host.gone || seen_[host.index].configurations.empty()) return;
  const auto voted = [&](NodeId id) {
    const auto vote = votes_.find({id, core.term()});
    return vote != votes_.end() && vote->second == core.id();
  };
  if (Elects(seen_[host.index].configurations.back().second, voted)) return;
  Fail("elected by a quorum",
       host.name + " leads in term " + std::to_string(core.term().value) + " with too few votes");
}

/// §5.4: a new leader has every entry that was committed in an earlier term.
void Checks::CheckLeaderComplete(const Host& host, const Raft& core) {
  for (std::size_t i = 0; i < committed_runs_.size(); ++i) {
    const Index first = committed_runs_[i].first;
    const Index last = i + 1 < committed_runs_.size() ? committed_runs_[i + 1].first.Previous()
                                                      : Index(committed_.size());
    for (const Index index : {first, last}) {
      if (index < core.log().base().index) continue;
      const Committed& committed = committed_[index.value - 1];
      if (committed.committed_in >= core.term()) continue;
      if (core.log().TermAt(index) == committed.term) continue;
      Fail("leader completeness", host.name + " leads in term " +
                                      std::to_string(core.term().value) +
                                      " without the committed entry " + At(index, committed.term));
    }
  }
}

/// Whom a member takes for the leader of its term was elected in it, and no former leader speaks in
/// the name of its successor.
void Checks::CheckFollowed(const Host& host, const Raft& core) {
  if (core.leader() == kNobody) return;
  const auto leader = leaders_.find(core.term());
  if (leader != leaders_.end() && leader->second == core.leader()) return;
  Fail("whom it follows",
       host.name + " takes " + world_.NameOf(core.leader()) + " for the leader of term " +
           std::to_string(core.term().value) +
           (leader == leaders_.end() ? ", which has none" : ", which is another one's"));
}

// --- What is written.

void Checks::AddPlace(const Host& host, const Entry& entry, Term previous_term) {
  if (places_.size() <= entry.index.value) places_.resize(entry.index.value + 1);
  for (Place& place : places_[entry.index.value]) {
    if (place.term != entry.term) continue;
    if (place.previous_term == previous_term && Same(place.entry, entry)) return;
    Fail("log matching",
         host.name + " writes another entry at " + At(entry.index, entry.term) + " than others");
    return;
  }
  places_[entry.index.value].push_back({entry.term, previous_term, entry});
}

void Checks::OnWrite(const Host& host, const node::LogWrite& write) {
  if (write.entries.empty()) return;
  const SimDisk& disk = host.disk;
  const Index before = write.entries.front().index.Previous();
  if (before > disk.last_index()) {
    Fail("log without a gap",
         host.name + " leaves a gap after " + std::to_string(disk.last_index().value));
    return;
  }
  Term previous = disk.TermAt(before);
  for (const Entry& entry : write.entries) {
    AddPlace(host, entry, previous);
    previous = entry.term;
    if (entry.index > disk.hard_state().commit || entry.index > committed()) continue;
    if (committed_[entry.index.value - 1].term != entry.term) {
      Fail("committed entries stay",
           host.name + " overwrites " + At(entry.index, committed_[entry.index.value - 1].term));
    }
  }
}

void Checks::OnFormed(const Host& host) {
  AddPlace(host, host.disk.At(Index{1}), Term{});
  if (!committed_.empty()) return;
  // The founder decides alone.
  committed_.push_back({Term{1}, Term{}});
  NoteCommitted(Index{1}, Term{1});
  committed_runs_.push_back({Term{1}, Index{1}});
}

void Checks::OnDurable(const Host& host) {
  if (host.gone) return;
  const raft::HardState& state = host.disk.durable_hard_state();
  if (state.vote != kNobody) AddVote(host.disk.member, state.term, state.vote);
}

// --- What is sent: nothing is promised before it is durable.

void Checks::CheckVoteSent(const Host& host, Term term, NodeId candidate,
                           const raft::Message& message) {
  // Who was replaced or rolled back may say what it likes, as long as nobody listens.
  if (host.gone) return;
  AddVote(host.disk.member, term, candidate);
  const raft::HardState& durable = host.disk.durable_hard_state();
  if (durable.term > term || (durable.term == term && durable.vote == candidate)) return;
  Fail("durable before promised", "a vote leaves before it is durable: " + Describe(message));
}

void Checks::CheckAcknowledgement(const Host& host, const raft::Message& message,
                                  const raft::AppendEntriesReply& reply) {
  const SimDisk& disk = host.disk;
  if (disk.durable_hard_state().term < reply.term || disk.durable_last() < reply.index) {
    Fail("durable before promised",
         "an acknowledgement leaves before it is durable: " + Describe(message));
    return;
  }
  const Host* const leader = world_.FindHost(message.to);
  if (leader == nullptr || !leader->running()) return;
  const Raft* const core = leader->process->member().core();
  if (core == nullptr || core->role() != raft::Role::kLeader || core->term() != reply.term) return;
  if (reply.index < core->log().base().index || reply.index < disk.base().index) return;
  if (core->log().TermAt(reply.index) == disk.DurableTermAt(reply.index)) return;
  Fail("acknowledged is equal",
       "what is acknowledged is not what the leader has: " + Describe(message));
}

void Checks::OnSend(const Host& host, const raft::Message& message) {
  if (message.from == message.to) Fail("messages", "to itself: " + Describe(message));
  if (const auto* ask = std::get_if<raft::RequestVote>(&message.body)) {
    if (!ask->pre_vote) CheckVoteSent(host, ask->term, host.disk.member, message);
  } else if (const auto* vote = std::get_if<raft::RequestVoteReply>(&message.body)) {
    if (vote->granted && !vote->pre_vote) CheckVoteSent(host, vote->term, message.to, message);
  } else if (const auto* append = std::get_if<raft::AppendEntries>(&message.body)) {
    AddLeader(host.disk.member, append->term);
    Index expected = append->prev_log_index;
    for (const Entry& entry : append->entries) {
      if (entry.index != ++expected) Fail("messages", "a gap: " + Describe(message));
    }
  } else if (const auto* reply = std::get_if<raft::AppendEntriesReply>(&message.body)) {
    if (reply->success) CheckAcknowledgement(host, message, *reply);
  }
}

// --- What is committed.

/// Of members only the boot that is written down: another start of this host must know it again.
void Checks::OnHeard(const Host& host, NodeId peer, const node::Boot& boot) {
  const Raft* const core = host.process->member().core();
  if (core == nullptr || core->applied_configuration().Find(peer) == nullptr) return;
  const auto known = host.disk.peer_boots.find(peer);
  if (known != host.disk.peer_boots.end() && known->second.boot == boot) return;
  Fail("durable before counted",
       host.name + " hears a boot of " + world_.NameOf(peer) + " that it has not written down");
}

void Checks::OnDeliver(const Host& host, const raft::Message& message) {
  const auto* const reply = std::get_if<raft::AppendEntriesReply>(&message.body);
  const Host* const sender = world_.FindHost(message.from);
  // What an earlier boot of it said is about an earlier loss.
  if (reply != nullptr && sender != nullptr && reply->suspect == sender->disk.boot.nonce) {
    told_[{host.index, message.from}] = world_.lost_disks().size();
  }
  const auto* const vote = std::get_if<raft::RequestVoteReply>(&message.body);
  if (vote != nullptr && vote->granted && !vote->pre_vote) {
    AddVote(message.from, vote->term, message.to);
  }
  const auto* const ask = std::get_if<raft::RequestVote>(&message.body);
  if (ask != nullptr && !ask->pre_vote) AddVote(message.from, ask->term, message.from);
}

/// What was acknowledged and then lost with a disk counts as there: its member does not vote any
/// more, at least until it is refilled. Of a suspect one only as long as `host` has not been told.
bool Checks::IsDurable(const Host& host, const raft::Configuration& configuration, Index index,
                       Term term) const {
  return Commits(configuration, [&](NodeId id) {
    const Host* const holder = world_.FindHost(id);
    if (holder != nullptr && holder->disk.HasDurably(index, term)) return true;
    const auto told = told_.find({host.index, id});
    const auto& lost = world_.lost_disks();
    for (std::size_t i = 0; i < lost.size(); ++i) {
      if (lost[i].disk.member != id || !lost[i].disk.HasDurably(index, term)) continue;
      if (!lost[i].suspect || told == told_.end() || told->second <= i) return true;
    }
    return false;
  });
}

/// The configurations that stand in the core's log, found without asking it for its own view.
void Checks::FollowConfigurations(const Host& host, const Raft& core) {
  Seen& seen = seen_[host.index];
  const raft::RaftLog& log = core.log();
  if (seen.fresh || log.base().index > seen.before.last) {
    // Just begun, or begun anew after a snapshot.
    seen.configurations = host.disk.Configurations();
    return;
  }
  if (seen.before.last == log.last_index() && seen.last_term == log.last_term()) return;
  // What is new begins behind the last entry that is as it was: of the same index and term.
  Index same = std::min(seen.before.last, log.last_index());
  auto run = seen.before.runs.rbegin();
  while (same > log.base().index) {
    while (run != seen.before.runs.rend() && run->first > same) ++run;
    if (run == seen.before.runs.rend() || log.TermAt(same) == run->term) break;
    same = same.Previous();
  }
  while (run != seen.before.runs.rend() && run->first > same) ++run;
  if (same == log.base().index && run != seen.before.runs.rend() && run->term != log.base().term) {
    // A snapshot took the place of entries of another term.
    seen.configurations = host.disk.Configurations();
    return;
  }
  const Index first = same.Next();
  auto& known = seen.configurations;
  while (!known.empty() && known.back().first >= first) known.pop_back();
  for (Index index = std::max(first, log.buffer_first()); index <= log.last_index(); ++index) {
    const Entry& entry = log.At(index);
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    auto decoded = raft::DecodeConfiguration(entry.payload.view());
    if (!decoded.ok()) continue;
    if (!known.empty()) CheckChange(host, core, known.back(), *decoded);
    known.emplace_back(index, *std::move(decoded));
  }
}

/// Voters and the rule change only by way of a joint configuration (§6), and one change is
/// committed before the next begins.
void Checks::CheckChange(const Host& host, const Raft& core,
                         const std::pair<Index, raft::Configuration>& before,
                         const raft::Configuration& after) {
  const auto voters = [](const raft::Configuration& configuration) {
    std::vector<NodeId> ids;
    for (const raft::Member& member : configuration.members) {
      if (!member.learner) ids.push_back(member.id);
    }
    return ids;
  };
  const bool same = voters(before.second) == voters(after) && before.second.quorum == after.quorum;
  if (!same && !after.joint) {
    Fail("joint consensus", host.name + " changes voters without a joint configuration");
  }
  if (core.role() == raft::Role::kLeader && before.first > core.commit_index()) {
    Fail("one change at a time", host.name + " begins a change before the last one is committed");
  }
}

/// Who is no member any more is dead for ever.
void Checks::CheckRemoved(const raft::Configuration& before, const raft::Configuration& after) {
  const auto is_removed = [&](NodeId id) {
    return std::find(after.removed.begin(), after.removed.end(), id) != after.removed.end();
  };
  for (const raft::Member& member : before.members) {
    if (after.Find(member.id) != nullptr || is_removed(member.id)) continue;
    Fail("removed for ever", member.name + " goes, and its id is not remembered");
  }
  for (const NodeId id : before.removed) {
    if (!is_removed(id)) Fail("removed for ever", "the id of a removed member is forgotten");
  }
}

void Checks::NoteCommitted(Index index, Term term) {
  std::uint64_t time_ms = times_ms_.empty() ? 0 : times_ms_.back();
  for (const Place& place : index.value < places_.size() ? places_[index.value] : Places()) {
    if (place.term != term) continue;
    time_ms = std::max(time_ms, place.entry.time_ms);
    if (place.entry.kind != raft::EntryKind::kConfiguration) continue;
    auto decoded = raft::DecodeConfiguration(place.entry.payload.view());
    if (!decoded.ok()) continue;
    if (!committed_configurations_.empty()) {
      CheckRemoved(committed_configurations_.back().second, *decoded);
    }
    committed_configurations_.emplace_back(index, *std::move(decoded));
  }
  times_ms_.push_back(time_ms);
}

void Checks::CheckCommit(const Host& host, const Raft& core) {
  const Seen& seen = seen_[host.index];
  Index from = seen.fresh ? Index{} : seen.before.commit;
  from = std::max(from, core.log().first_index().Previous());
  for (Index index = from.Next(); index <= core.commit_index(); ++index) {
    const Term term = core.log().TermAt(index);
    if (index <= committed()) {
      if (committed_[index.value - 1].term == term) continue;
      Fail("one committed entry a place", host.name + " commits " + At(index, term) +
                                              ", others have committed " +
                                              At(index, committed_[index.value - 1].term));
      return;
    }
    if (index != committed().Next()) {
      Fail("one committed entry a place", host.name + " commits beyond what anybody did");
      return;
    }
    if (seen.configurations.empty() ||
        !IsDurable(host, seen.configurations.back().second, index, term)) {
      Fail("durable on a quorum",
           host.name + " commits " + At(index, term) + ", which is not durable on a quorum");
      return;
    }
    // §5.4.2: a leader counts only for entries of its own term; earlier ones go with them.
    const bool leads = !seen.fresh && seen.before.role == raft::Role::kLeader &&
                       core.role() == raft::Role::kLeader && seen.before.term == core.term();
    if (leads && index == core.commit_index() && term != core.term()) {
      Fail("commit in its own term", host.name + " commits " + At(index, term) +
                                         ", which is of an earlier term, by counting");
      return;
    }
    committed_.push_back({term, core.term()});
    world_.reads().OnCommitted(index);
    NoteCommitted(index, term);
    ++world_.stats().entries;
    if (committed_runs_.empty() || committed_runs_.back().term != term) {
      committed_runs_.push_back({term, index});
    }
  }
}

// --- What is applied.

void Checks::OnApply(const Host& host, const std::vector<Entry>& entries) {
  // Within one step an entry may be committed and handed out.
  if (const Raft* const core = host.process->member().core()) {
    FollowConfigurations(host, *core);
    CheckCommit(host, *core);
  }
  for (const Entry& entry : entries) {
    if (entry.index > committed() || committed_[entry.index.value - 1].term != entry.term) {
      Fail("applied is committed",
           host.name + " applies " + At(entry.index, entry.term) + ", which is not committed");
      return;
    }
    if (!host.disk.HasDurably(entry.index, entry.term)) {
      Fail("applied is durable here",
           host.name + " applies " + At(entry.index, entry.term) + " before it is durable there");
      return;
    }
    AddPlace(host, entry, PreviousTerm(entry));
  }
}

void Checks::CheckState(const Host& host, Index index, std::uint64_t state) {
  if (states_.size() <= index.value) states_.resize(index.value + 1);
  std::uint64_t& known = states_[index.value];
  if (known == 0) known = state;
  if (known == state) return;
  Fail("equal state", host.name + " has another state than others after applying index " +
                          std::to_string(index.value));
}

void Checks::OnCompact(const Host& host, Index through) {
  if (through > host.disk.flushed) {
    Fail("compaction", host.name + " cuts its log up to " + std::to_string(through.value) +
                           ", but its state machine has only " +
                           std::to_string(host.disk.flushed.value) + " durably");
  }
}

void Checks::OnInstalled(const Host& host, const raft::SnapshotMeta& snapshot) {
  const Index index = snapshot.last.index;
  if (index > committed() || committed_[index.value - 1].term != snapshot.last.term) {
    Fail("snapshots", host.name + " installs a snapshot of what is not committed");
    return;
  }
  CheckState(host, index, host.disk.engine.hash());
  const std::pair<Index, raft::Configuration>* in_force = nullptr;
  for (const auto& committed : committed_configurations_) {
    if (committed.first <= index) in_force = &committed;
  }
  if (in_force == nullptr || in_force->first != snapshot.configuration_index ||
      !(in_force->second == snapshot.configuration)) {
    Fail("snapshots", host.name + " installs a snapshot with another configuration");
  }
}

void Checks::OnResponse(Index index, const Bytes& response) {
  if (results_.size() <= index.value) results_.resize(index.value + 1);
  Result& result = results_[index.value];
  if (result.applied_ms != 0) return;
  result = {response, static_cast<std::uint64_t>(world_.now() / kMillisecond) + 1};
}

void Checks::VisitCommitted(const std::function<void(const Entry&, const Result&)>& visit) const {
  for (std::size_t i = 1; i <= committed_.size() && i < places_.size(); ++i) {
    for (const Place& place : places_[i]) {
      if (place.term != committed_[i - 1].term) continue;
      visit(place.entry, i < results_.size() ? results_[i] : Result());
    }
  }
}

void Checks::OnRevisions(const Host& host, Index index, const kv::Revisions& revisions) {
  if (revisions_.size() <= index.value) revisions_.resize(index.value + 1, {0, 0});
  kv::Revisions& known = revisions_[index.value];
  if (known.revision == 0) known = revisions;
  compacted_ = std::max(compacted_, revisions.compacted);
  revision_ = std::max(revision_, revisions.revision);
  if (known.revision == revisions.revision && known.compacted == revisions.compacted) return;
  Fail("equal revisions", host.name + " is at revision " + std::to_string(revisions.revision) +
                              ", compacted to " + std::to_string(revisions.compacted) +
                              ", at entry " + std::to_string(index.value) + "; others at " +
                              std::to_string(known.revision) + " and " +
                              std::to_string(known.compacted));
}

void Checks::OnApplied(const Host& host, const std::vector<Entry>& entries, std::uint64_t state,
                       bool data_changed) {
  const Entry& last = entries.back();
  if (states_.size() <= last.index.value) states_.resize(last.index.value + 1);
  std::uint64_t& known = states_[last.index.value];
  if (known == 0) {
    known = state;
  } else if (known != state) {
    Fail("equal state",
         host.name + " has another state than others after applying " + At(last.index, last.term));
  }
  if (!data_changed || entries.size() != 1 || last.kind != raft::EntryKind::kCommand) return;
  const auto header = kv::ValidateRequest(last.payload.view(), Limits());
  if (!header.ok()) return;
  // Sessions have random ids: two that meet here by chance are not to be expected.
  const std::uint64_t request = header->session * 0x9e3779b97f4a7c15 + header->sequence;
  const auto [at, is_new] = carried_out_.emplace(request, last.index);
  if (is_new || at->second == last.index) return;
  Fail("exactly once", "request " + std::to_string(header->sequence) +
                           " of a session changes the " + "data at index " +
                           std::to_string(last.index.value) + " and again; " + "first at " +
                           std::to_string(at->second.value));
}

/// What a core counts as durable is what a crash would leave it.
void Checks::CheckDisk(const Host& host, const Raft& core) {
  if (core.installing()) return;  // the disk may have the snapshot already
  const Index last = core.durable_index();
  const Term term = core.log().TermAt(last);
  if (host.disk.HasDurably(last, term)) return;
  Fail("durable is on the disk",
       host.name + " counts on " + At(last, term) + ", which its disk does not have durably");
}

Term Checks::PreviousTerm(const Entry& entry) const {
  const Index before = entry.index.Previous();
  return before == Index{} ? Term{} : committed_[before.value - 1].term;
}

/// A leader that knows that its disk is full takes nothing that needs room there.
void Checks::CheckSpace(const Host& host, const Raft& core) {
  const raft::Space space = std::min(seen_[host.index].space, core.space());
  if (space == raft::Space::kEnough) return;
  const Index from = std::max(seen_[host.index].before.last.Next(), core.log().buffer_first());
  for (Index index = from; index <= core.log().last_index(); ++index) {
    const Entry& entry = core.log().At(index);
    if (entry.kind != raft::EntryKind::kCommand) continue;
    if (space == raft::Space::kDeletes && kv::OnlyDeletes(entry.payload.view())) continue;
    Fail("no space, no writes", host.name + " takes a write that its disk has no room for");
  }
}

// --- The core as a whole.

void Checks::OnStart(const Host& host) {
  Seen& seen = seen_[host.index];
  const Term term = host.disk.hard_state().term;
  if (term < seen.before.term && !seen.fresh) {
    // A vote or acknowledgement of that term may have been given; it must not be forgotten.
    if (seen.durable_term > term) Fail("terms never go back", host.name + " lost a durable term");
  }
  seen.fresh = true;
}

void Checks::CheckInvariants(const Host& host, const Raft& core) {
  const std::string broken = raft::CheckInvariants(core);
  if (!broken.empty()) Fail("invariant", host.name + ": " + broken);
  const Seen& seen = seen_[host.index];
  if (seen.fresh) return;
  const std::string moved = raft::CheckTransition(seen.before, core);
  if (!moved.empty()) Fail("invariant", host.name + ": " + moved);
}

void Checks::Remember(const Host& host, const Raft& core) {
  Seen& seen = seen_[host.index];
  seen.fresh = false;
  seen.durable_term = host.disk.durable_hard_state().term;
  raft::StateBefore& before = seen.before;
  before.term = core.term();
  before.vote = core.vote();
  before.role = core.role();
  before.commit = core.commit_index();
  before.applied = core.applied_index();
  before.last = core.log().last_index();
  before.runs = core.log().runs();
  seen.last_term = core.log().last_term();
  seen.space = core.space();
}

void Checks::AfterStep(const Host& host) {
  const Raft* const core = host.process->member().core();
  if (core == nullptr) return;
  const Seen& seen = seen_[host.index];
  FollowConfigurations(host, *core);
  CheckCommit(host, *core);
  // What a dying process has in memory was never carried out as a whole.
  if (host.process->dead()) return;
  if (!host.needs_pump && host.process->disk_failed() && host.process->member().failure().ok()) {
    Fail("disk errors stop a member", host.name + " goes on after its disk failed");
  }
  const bool was_leader =
      !seen.fresh && seen.before.role == raft::Role::kLeader && seen.before.term == core->term();
  if (core->role() == raft::Role::kLeader && !was_leader) {
    AddLeader(core->id(), core->term());
    CheckElected(host, *core);
    CheckLeaderComplete(host, *core);
  }
  if (was_leader && core->role() == raft::Role::kLeader) CheckSpace(host, *core);
  CheckFollowed(host, *core);
  CheckDisk(host, *core);
  CheckInvariants(host, *core);
  Remember(host, *core);
}

}  // namespace raftkv::sim
