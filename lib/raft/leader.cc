// How does a leader replicate and commit? (§5.3, §5.4.2; check-quorum: thesis §6.2)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// One that the follower is writing, and one that waits there for its turn.
constexpr std::size_t kMessagesBeforeGathering = 2;

/// How long a new leader waits at most for the first answer.
constexpr Duration kMostPatience = std::chrono::seconds(3);

}  // namespace

void Raft::BecomeLeader() {
  RAFTKV_CHECK(role_ == Role::kCandidate);
  RAFTKV_CHECK(durable_term_ == term_, durable_term_.value, term_.value);
  RAFTKV_CHECK(durable_vote_ == options_.id, durable_vote_.value);
  RAFTKV_CHECK(!leading_.has_value());
  role_ = Role::kLeader;
  leader_ = options_.id;
  leader_heard_.reset();
  election_deadline_ = kNever;
  election_took_ = now_ - *std::exchange(stood_at_, std::nullopt);
  leading_ = Leadership{.heartbeat_deadline = now_ + options_.heartbeat_interval,
                        .check_quorum_deadline = now_ + options_.election_timeout};
  // Not at once: which members have space is known once they have answered.
  if (space_ != Space::kEnough) leading_->hand_over_at = now_ + options_.election_timeout;
  TrackMembers();
  // §8: a no-op at the start of the term finds out what is committed.
  Entry noop{.index = log_.last_index().Next(),
             .term = term_,
             .kind = EntryKind::kNoop,
             .time_ms = wall_time_ms_,
             .clock_ms = clock_.ms()};
  leading_->uncommitted_bytes = noop.Footprint();
  Append(std::move(noop));
}

/// What only a leader has ends with the leadership.
void Raft::StopLeading() {
  RAFTKV_CHECK(role_ != Role::kLeader);
  const Leadership ended = std::move(leadership());
  leading_.reset();
  wanted_entries_.clear();
  wanted_snapshots_.clear();
  apply_wants_entries_ = false;
  FailReads(ended);
}

Raft::Leadership& Raft::leadership() {
  RAFTKV_CHECK(leading_.has_value());
  return *leading_;
}

const Raft::Leadership& Raft::leadership() const {
  RAFTKV_CHECK(leading_.has_value());
  return *leading_;
}

const std::map<NodeId, Progress>& Raft::progress() const {
  static const std::map<NodeId, Progress> kNone;
  return leading_ ? leading_->progress : kNone;
}

const Progress* Raft::FindProgress(NodeId id) const {
  if (!leading_) return nullptr;
  const auto it = leading_->progress.find(id);
  return it == leading_->progress.end() ? nullptr : &it->second;
}

Progress* Raft::FindProgress(NodeId id) {
  return const_cast<Progress*>(std::as_const(*this).FindProgress(id));
}

void Raft::TrackMembers() {
  std::erase_if(leadership().progress,
                [this](const auto& item) { return configuration().Find(item.first) == nullptr; });
  for (const Member& member : configuration().members) {
    if (member.id == options_.id) continue;
    auto [it, added] = leadership().progress.try_emplace(member.id);
    if (!added && it->second.incarnation == member.incarnation) continue;
    it->second = Progress();
    it->second.incarnation = member.incarnation;
    it->second.next = log_.last_index().Next();
    // The benefit of the doubt: no member can answer sooner than a round trip, and the votes show
    // how long one may take.
    const Duration patience =
        std::max(std::min(2 * election_took_, kMostPatience), options_.election_timeout);
    it->second.last_heard = now_ + (patience - options_.election_timeout);
  }
  RAFTKV_CHECK(FindProgress(options_.id) == nullptr);
  RAFTKV_CHECK(leadership().progress.size() <= configuration().members.size());
}

// --- Sending.

/// Sends what each follower lacks, as far as its window allows. Called once for everything that was
/// proposed since the last Ready, so that it is sent together.
void Raft::Replicate() {
  if (!leadership().replicate_pending) return;
  leadership().replicate_pending = false;
  for (auto& [id, progress] : leadership().progress) SendEntries(id, progress);
}

void Raft::SendEntries(NodeId to, Progress& progress) {
  RAFTKV_CHECK(progress.match < progress.next, progress.match.value, progress.next.value);
  while (progress.next <= log_.last_index() && !progress.waits_for_entries) {
    if (progress.state == ProgressState::kSnapshot) return;
    if (progress.state == ProgressState::kProbe && progress.probe_sent) return;
    if (progress.next < log_.first_index()) {
      WantSnapshot(to, progress);
      return;
    }
    if (progress.inflights.messages() >= options_.max_inflight_messages ||
        progress.inflights.bytes() >= options_.max_inflight_bytes) {
      return;
    }
    if (Gathers(progress)) {
      leadership().gather_deadline =
          std::min(leadership().gather_deadline, progress.last_sent + options_.gather_delay);
      return;
    }
    if (!log_.InBuffer(progress.next)) {
      progress.waits_for_entries = true;
      const Index end = log_.buffer_first().Previous();
      wanted_entries_.push_back({.peer = to,
                                 .first = progress.next,
                                 .last = end,
                                 .max_bytes = options_.max_append_bytes});
      return;
    }
    SendAppend(to, progress,
               log_.Slice(progress.next, log_.last_index(), options_.max_append_bytes));
  }
}

bool Raft::Gathers(const Progress& progress) const {
  return progress.state == ProgressState::kReplicate &&
         progress.inflights.messages() >= kMessagesBeforeGathering &&
         now_ < progress.last_sent + options_.gather_delay;
}

void Raft::SendAppend(NodeId to, Progress& progress, std::vector<Entry> entries) {
  RAFTKV_CHECK(role_ == Role::kLeader);
  RAFTKV_CHECK(progress.next > Index{});
  AppendEntries append;
  append.term = term_;
  // A follower that needs compacted entries is probed at the base: heartbeats continue.
  append.prev_log_index = std::max(progress.next.Previous(), log_.base().index);
  append.prev_log_term = log_.TermAt(append.prev_log_index);
  append.leader_commit = commit_index_;
  RAFTKV_CHECK(append.prev_log_index <= log_.last_index(), append.prev_log_index.value);
  RAFTKV_CHECK(append.prev_log_term <= term_, append.prev_log_term.value, term_.value);
  append.read_round = read_round_;
  append.clock_ms = clock_.ms();
  if (progress.refill_at != Index{} && progress.match >= progress.refill_at) {
    append.refilled = progress.suspect;
  }
  progress.sent_commit = commit_index_;
  if (RAFTKV_MUTANT(kGapInMessage) && entries.size() > 2) entries.erase(entries.begin() + 1);
  if (!entries.empty()) {
    RAFTKV_CHECK(entries.front().index == progress.next);
    RAFTKV_CHECK(progress.state != ProgressState::kSnapshot);
    std::size_t bytes = 0;
    for (const Entry& entry : entries) bytes += entry.Footprint();
    const Index last = entries.back().index;
    progress.last_sent = now_;
    if (progress.state == ProgressState::kReplicate) {
      progress.next = last.Next();
      progress.inflights.Add(last, bytes);
    } else {
      progress.probe_sent = true;
    }
  }
  RAFTKV_CHECK(progress.next <= log_.last_index().Next(), progress.next.value);
  append.entries = std::move(entries);
  Send(to, std::move(append));
}

void Raft::BroadcastHeartbeat() {
  leadership().heartbeat_deadline = now_ + options_.heartbeat_interval;
  StartLeaseRound();
  PromoteWhoCaughtUp();
  for (auto& [id, progress] : leadership().progress) {
    progress.probe_sent = false;  // an unanswered probe was lost: try again
    SendHeartbeat(id, progress);
  }
  leadership().replicate_pending = true;
}

void Raft::SendCommitNotices() {
  leadership().commit_notice_deadline = kNever;
  for (auto& [id, progress] : leadership().progress) {
    const bool idle = progress.next > log_.last_index();
    if (idle && progress.sent_commit < commit_index_) SendHeartbeat(id, progress);
  }
}

// --- Answers.

void Raft::HandleAppendEntriesReply(NodeId from, const AppendEntriesReply& reply) {
  Progress* const found = FindProgress(from);
  if (found == nullptr) return;
  if (reply.index > log_.last_index() || reply.read_round > read_round_) return;  // forged
  Progress& progress = *found;
  progress.last_heard = now_;
  progress.heard = true;
  progress.acked_round = std::max(progress.acked_round, reply.read_round);
  if (reply.promise >= options_.election_timeout || RAFTKV_MUTANT(kLeaseWithoutPromise)) {
    progress.promised_round = std::max(progress.promised_round, reply.read_round);
  }
  progress.space = reply.space;
  progress.applied = std::max(progress.applied, reply.applied);
  NoteAnswerAfterPause();
  NoteSuspicion(progress, reply.suspect);
  if (!reply.success) {
    HandleRefusal(progress, reply);
    MaybeCommit();  // it may no longer be suspect, and count with what it acknowledged before
  } else {
    if (reply.index > progress.match) {
      progress.match = reply.index;
      progress.next = std::max(progress.next, progress.match.Next());
      progress.inflights.FreeThrough(progress.match);
    }
    // Even what this member already had may be committed only now: it may have been suspect.
    MaybeCommit();
    CheckRefill(progress);
    if (progress.state == ProgressState::kSnapshot && progress.match >= log_.base().index) {
      progress.BecomeProbe(progress.match.Next());  // it has it, no matter how
    }
    if (progress.state == ProgressState::kProbe && reply.index.Next() >= progress.next) {
      progress.BecomeReplicate();  // the logs match
    }
  }
  RAFTKV_CHECK(progress.match <= log_.last_index(), progress.match.value);
  RAFTKV_CHECK(progress.match < progress.next, progress.match.value, progress.next.value);
  leadership().replicate_pending = true;
  FinishReadRounds();
  if (from == leadership().transfer_target) MaybeSendTimeoutNow();  // again: it may have been lost
  ContinueChange();
}

/// §5.3: nextIndex backs up by whole terms, with the follower's hint and our own log.
void Raft::HandleRefusal(Progress& progress, const AppendEntriesReply& reply) {
  if (reply.index <= progress.match) return;  // late: overtaken by an acknowledgement
  if (progress.state == ProgressState::kSnapshot) return;
  if (progress.state == ProgressState::kProbe && reply.index != progress.next.Previous()) {
    return;  // the answer to an older probe
  }
  const Index hint = std::min(reply.hint_index, log_.last_index());
  // Nothing is known before the base, and nothing can be sent: the follower needs a snapshot.
  const Index meets =
      hint < log_.base().index ? hint : log_.LastIndexWithTermAtMost(hint, reply.hint_term);
  progress.BecomeProbe(std::max(std::min(meets, reply.index.Previous()), progress.match).Next());
}

void Raft::PeerUnreachable(NodeId peer) {
  Progress* const progress = FindProgress(peer);
  if (progress == nullptr) return;
  progress->heard = false;
  if (progress->state != ProgressState::kReplicate) return;
  progress->BecomeProbe(progress->match.Next());
  progress->probe_sent = true;  // until the next heartbeat: do not flood a broken connection
}

/// What is durable on a commit quorum. The leader counts with what is on its own disk, and only if
/// it has a vote; a suspect member does not count.
Index Raft::QuorumMatch() const {
  return QuorumIndex(configuration(), [this](NodeId id) {
    if (id == options_.id)
      return RAFTKV_MUTANT(kLeaderCountsUnsynced) ? log_.last_index() : durable_index_;
    if (RAFTKV_MUTANT(kRemovedLeaderCounts) && !configuration().IsVoter(options_.id)) {
      return durable_index_;
    }
    const Progress* const progress = FindProgress(id);
    return progress == nullptr || progress->suspect != 0 ? Index{} : progress->match;
  });
}

/// §5.3 and §5.4.2: a quorum has it, and it is of the current term.
void Raft::MaybeCommit() {
  RAFTKV_CHECK(role_ == Role::kLeader);
  const Index index = RAFTKV_MUTANT(kCommitWithoutMajority) ? durable_index_ : QuorumMatch();
  RAFTKV_CHECK(index <= log_.last_index(), index.value, log_.last_index().value);
  const bool own_term = log_.TermAt(index) == term_ || RAFTKV_MUTANT(kCommitOfEarlierTerm);
  if (index > commit_index_ && own_term) {
    AdvanceCommit(index);
    FinishReadRounds();
  }
}

/// A member announces, with the nonce of this open, that its disk has lost something, or that it is
/// refilled (docs/raft-notes.md, suspect stores).
void Raft::NoteSuspicion(Progress& progress, std::uint64_t suspect) {
  if (suspect == progress.suspect || RAFTKV_MUTANT(kSuspectCounts)) return;
  RAFTKV_CHECK(role_ == Role::kLeader);
  progress.suspect = suspect;
  progress.refill_at = Index{};
  if (suspect == 0) return;
  // It may have lost what it acknowledged before.
  progress.match = Index{};
  progress.BecomeProbe(progress.next);
}

/// A suspect member is refilled once it has everything that this leader has committed, up to an
/// index that was reached in this term and without it: nothing committed earlier is beyond that.
void Raft::CheckRefill(Progress& progress) {
  if (progress.suspect == 0 || progress.refill_at != Index{}) return;
  if (committed_in_term() && QuorumMatch() >= commit_index_) progress.refill_at = commit_index_;
}

/// Whether it was heard within an election timeout, and counts.
bool Raft::IsLive(NodeId id) const {
  return id == options_.id || Judge(TraitsOf(id), Duty::kCount) == Verdict::kYes;
}

/// When a commit quorum was last heard; now, if this leader is one by itself.
MonoTime Raft::QuorumHeard() const {
  const auto since = [](MonoTime time) {
    return static_cast<std::uint64_t>(std::max(time.time_since_epoch(), Duration::zero()).count());
  };
  return MonoTime(Duration(QuorumValue(configuration(), [&](NodeId id) {
    if (id == options_.id) return since(now_);
    const Progress* const progress = FindProgress(id);
    return progress == nullptr || progress->suspect != 0 ? 0 : since(progress->last_heard);
  })));
}

/// Thesis §6.2, exactly an election timeout after a quorum was last heard.
void Raft::CheckQuorum() {
  RAFTKV_CHECK(role_ == Role::kLeader);
  NoteAnswerAfterPause();  // it may have become a quorum by itself
  const MonoTime last = std::max(QuorumHeard(), leadership().paused_until.value_or(MonoTime{}));
  leadership().check_quorum_deadline = last + options_.election_timeout + Duration(1);
  if (leadership().check_quorum_deadline <= now_) BecomeFollower(term_, kNobody);
}

/// It may have been replaced while it was paused: it accepts proposals again once a quorum answers.
void Raft::NoteAnswerAfterPause() {
  std::optional<MonoTime>& until = leadership().paused_until;
  if (until && QuorumHeard() >= *until) until.reset();
}

}  // namespace raftkv::raft
