// How does a follower copy the leader's log? (Figure 2, AppendEntries receiver; §5.3)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/configuration.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

bool Raft::IsWellFormed(const AppendEntries& request) const {
  Index index = request.prev_log_index;
  Term term = request.prev_log_term;
  if ((index == Index{}) != (term == Term{})) return false;
  for (const Entry& entry : request.entries) {
    ++index;
    if (entry.index != index || entry.term < term || entry.term == Term{}) return false;
    term = entry.term;
    if (entry.kind == EntryKind::kConfiguration &&
        !DecodeConfiguration(entry.payload.view()).ok()) {
      return false;
    }
  }
  return term <= request.term;
}

void Raft::HandleAppendEntries(NodeId from, const AppendEntries& request) {
  RAFTKV_CHECK(request.term == term_);
  if (role_ == Role::kLeader) return;  // only a forged message can claim a second leader of a term
  if (leader_ != kNobody && leader_ != from) return;
  if (role_ != Role::kFollower || leader_ != from) BecomeFollower(term_, from);
  RAFTKV_CHECK(role_ == Role::kFollower);
  RAFTKV_CHECK(leader_ == from, leader_.value, from.value);
  HearLeader();
  if (installing_) {
    // Its log is about to be replaced: the answer only says that this member is alive.
    Refuse(from, request);
    return;
  }

  // Figure 2, receiver 2. What is committed is in every leader's log (§5.4): if it is no longer in
  // our log it certainly matches, and if it is, a message that contradicts it is not from a leader.
  const Index prev = request.prev_log_index;
  bool matches = prev <= log_.last_index() && log_.TermAt(prev) == request.prev_log_term;
  if (!matches && prev <= commit_index_) {
    if (prev >= log_.first_index()) return;
    if (RAFTKV_MUTANT(kCompactedIsConflict)) TruncateFrom(log_.first_index());
    matches = true;
  }
  if (!matches) {
    Refuse(from, request);
    return;
  }
  if (!AppendFromLeader(request)) return;
  // Receiver 5: not beyond the last entry that is known to be the leader's.
  const Index last_new = prev + request.entries.size();
  RAFTKV_CHECK(last_new <= log_.last_index(), last_new.value, log_.last_index().value);
  const Index known = std::min(request.leader_commit, last_new);
  const Index told = RAFTKV_MUTANT(kCommitBeyondMatch)
                         ? std::min(request.leader_commit, log_.last_index())
                         : known;
  AdvanceCommit(std::max(commit_index_, told));
  if (last_new == log_.last_index()) clock_.Hear(term_, request.clock_ms);
  if (suspect_ != 0 && request.refilled == suspect_) {
    suspect_ = 0;
    refilled_ = true;  // counts, and votes, once that is durable
    ResetElectionTimer();
  }

  AppendEntriesReply ack = Answer(true, last_new);
  ack.read_round = request.read_round;
  ack.promise = Promise();
  if (RAFTKV_MUTANT(kAckBeforePersist)) {
    Send(from, ack);
    return;
  }
  if (request.entries.empty() && durable_term_ == term_ && write_ && !refilled_) {
    // A heartbeat is answered at once, from what is durable already, so that a slow disk neither
    // delays reads nor makes the leader doubt this member.
    ack.index = std::min(ack.index, durable_index_);
    Send(from, ack);
    return;
  }
  SendAfterPersist(from, ack);
}

void Raft::HearLeader() {
  RAFTKV_CHECK(role_ == Role::kFollower);
  RAFTKV_CHECK(leader_ != kNobody);
  leader_heard_ = now_;
  resumed_ = false;
  if (options_.lease_reads) no_votes_before_ = now_ + options_.election_timeout;
  ResetElectionTimer();
}

/// Receiver 3 and 4. False: the message contradicts what is committed, which no leader can send.
bool Raft::AppendFromLeader(const AppendEntries& request) {
  if (RAFTKV_MUTANT(kShortAppendTruncates)) {
    const Index end = request.prev_log_index + request.entries.size() + 1;
    if (end > commit_index_ && end <= log_.last_index()) TruncateFrom(end);
  }
  for (const Entry& entry : request.entries) {
    if (entry.index <= log_.last_index()) {
      if (log_.TermAt(entry.index) == entry.term) continue;
      // Before the first entry that is still in the log everything is committed and equal.
      if (entry.index < log_.first_index()) continue;
      if (entry.index <= commit_index_) return false;
      TruncateFrom(entry.index);
    }
    Append(entry);
  }
  return true;
}

void Raft::Refuse(NodeId from, const AppendEntries& request) {
  AppendEntriesReply reply = Answer(false, request.prev_log_index);
  if (request.term == term_) {
    reply.hint_index = log_.LastIndexWithTermAtMost(
        std::min(request.prev_log_index, log_.last_index()), request.prev_log_term);
    reply.hint_term = log_.TermAt(reply.hint_index);
    RAFTKV_CHECK(reply.hint_index <= log_.last_index(), reply.hint_index.value);
    RAFTKV_CHECK(reply.hint_term <= term_, reply.hint_term.value, term_.value);
    reply.read_round = request.read_round;  // it leads; only the logs do not match yet
    reply.promise = Promise();
  }
  // Like a heartbeat it is answered at once: of what is on disk it says only the term.
  if (request.term == term_ && durable_term_ == term_ && !refilled_) {
    Send(from, reply);
  } else {
    SendAfterPersist(from, reply);
  }
}

}  // namespace raftkv::raft
