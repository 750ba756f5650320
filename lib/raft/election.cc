// How does a cluster find a leader? (§5.2, §5.4.1; pre-vote and leader stickiness: thesis §9.6,
// §4.2.3)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// The writes of the candidate and the voter, and one already in progress when they begin.
constexpr int kWritesOfAnElection = 3;
/// However slow the disks are.
constexpr Duration kLongestOfDisks = std::chrono::seconds(10);

}  // namespace

void Raft::ResetElectionTimer() {
  RAFTKV_CHECK(role_ != Role::kLeader);
  if (!CanCampaign()) {
    election_deadline_ = kNever;
    return;
  }
  const auto timeout = ElectionTimeout();
  RAFTKV_CHECK(timeout >= options_.election_timeout);
  election_deadline_ = now_ + timeout + Duration(random_.Below(timeout.count()));
  if (space_ != Space::kEnough) election_deadline_ += timeout;
  RAFTKV_CHECK(election_deadline_ >= now_ + timeout);
}

/// An election takes a write of the candidate and then one of each voter. With a shorter timeout
/// all would campaign before one can win, again and again.
Duration Raft::ElectionTimeout() const {
  const Duration disks = std::min(kWritesOfAnElection * writes_.usual(), kLongestOfDisks);
  return std::max(options_.election_timeout, disks);
}

bool Raft::CanCampaign() const {
  return Judge(TraitsOf(options_.id), Duty::kStand) != Verdict::kNo;
}

bool Raft::HeardLeaderRecently() const {
  if (RAFTKV_MUTANT(kNoPreVote)) return false;
  if (role_ == Role::kLeader) return true;  // check-quorum ends that when it is no longer so
  return leader_ != kNobody && leader_heard_ && now_ - *leader_heard_ < options_.election_timeout;
}

void Raft::Campaign() {
  if (role_ == Role::kLeader || !CanCampaign()) return;
  if (PromisedNotToVote()) {
    election_deadline_ = std::max(election_deadline_, no_votes_before_);
    return;
  }
  if (RAFTKV_MUTANT(kNoPreVote)) {
    StartElection(false);
  } else {
    StartPreVote();
  }
}

void Raft::PeerDisconnected(NodeId peer) {
  if (Progress* const progress = FindProgress(peer)) progress->heard = false;
  if (role_ != Role::kFollower || peer != leader_ || !CanCampaign()) return;
  // The leader's process is gone, or the link to it. Ask the others soon, but at different times: a
  // pre-vote does no harm if they still hear the leader.
  leader_heard_.reset();
  const auto spread = options_.election_timeout / 3;
  const auto after = space_ == Space::kEnough ? Duration::zero() : Duration(spread);
  const MonoTime early = now_ + after + Duration(random_.Below(spread.count()));
  election_deadline_ = std::max(std::min(election_deadline_, early), no_votes_before_);
}

void Raft::StartPreVote() {
  RAFTKV_CHECK(role_ != Role::kLeader);
  RAFTKV_CHECK(suspect_ == 0, suspect_);
  RAFTKV_CHECK(!installing_.has_value());
  role_ = Role::kPreCandidate;
  leader_ = kNobody;
  leader_heard_.reset();
  pre_votes_.clear();
  pre_votes_[options_.id] = true;  // promises nothing, so it need not be durable
  ResetElectionTimer();
  AskForVotes({.term = term_.Next(),
               .last_log_index = log_.last_index(),
               .last_log_term = log_.last_term(),
               .pre_vote = true});
  CountPreVotes();
}

void Raft::StartElection(bool transfer) {
  RAFTKV_CHECK(role_ != Role::kLeader);
  RAFTKV_CHECK(suspect_ == 0, suspect_);
  RAFTKV_CHECK(!installing_.has_value());
  EnterTerm(term_.Next());
  vote_ = options_.id;
  role_ = Role::kCandidate;
  leader_ = kNobody;
  votes_.clear();  // our own is counted once it is durable: Persisted()
  stood_at_ = now_;
  ResetElectionTimer();
  AskForVotes({.term = term_,
               .last_log_index = log_.last_index(),
               .last_log_term = log_.last_term(),
               .transfer = transfer});
}

void Raft::AskForVotes(RequestVote request) {
  // An election is for the current term, a pre-vote for the next one.
  RAFTKV_CHECK(request.term == (request.pre_vote ? term_.Next() : term_), request.term.value);
  for (const Member& member : configuration().members) {
    if (member.id == options_.id || !configuration().IsVoter(member.id)) continue;
    if (RAFTKV_MUTANT(kVoteBeforePersist)) {
      Send(member.id, request);
    } else {
      SendAfterPersist(member.id, request);
    }
  }
}

/// The state of `votes`, of an election or a pre-vote.
VoteResult Raft::Count(const std::map<NodeId, bool>& votes) const {
  return CountVotes(configuration(), Purpose::kElection, [&votes](NodeId id) {
    const auto it = votes.find(id);
    return it == votes.end() ? 0 : it->second ? 1 : -1;
  });
}

void Raft::CountPreVotes() {
  RAFTKV_CHECK(role_ == Role::kPreCandidate);
  const VoteResult result = Count(pre_votes_);
  if (result == VoteResult::kLost) role_ = Role::kFollower;  // no term was lost
  if (result == VoteResult::kWon) StartElection(false);
}

/// This member has campaigned in its term, and no leader is known in it. Its votes count for as
/// long as that is so: a vote is given for the term, not for some time.
bool Raft::StandsInTerm() const { return stood_at_ && leader_ == kNobody && CanCampaign(); }

void Raft::CountElection() {
  RAFTKV_CHECK(StandsInTerm());
  RAFTKV_CHECK(vote_ == options_.id, vote_.value);
  const VoteResult result = Count(votes_);
  if (result == VoteResult::kWon) {
    role_ = Role::kCandidate;
    BecomeLeader();
  } else if (result == VoteResult::kLost && role_ == Role::kCandidate) {
    role_ = Role::kFollower;  // waits out its timeout
  }
}

/// Two members that ask at once would split the votes of the next term, and cost everyone another
/// timeout. A pre-vote has promised nothing yet, so the one with the smaller id waits for the
/// other.
void Raft::StandBack() {
  RAFTKV_CHECK(role_ == Role::kPreCandidate);
  role_ = Role::kFollower;
  ResetElectionTimer();
}

void Raft::HandleRequestVote(NodeId from, const RequestVote& request) {
  // A leader that transfers its leadership permits this election, promise or not.
  Traits own = TraitsOf(options_.id);
  if (request.transfer) own.Remove(Trait::kPromised);
  if (Judge(own, Duty::kVote) != Verdict::kYes) return;
  // Thesis §4.2.3: a member that hears a leader lets no one disrupt it. No answer: it could only
  // raise terms.
  if (!request.transfer && request.term > term_ && HeardLeaderRecently()) return;
  if (request.pre_vote) {
    const bool granted =
        request.term > term_ && log_.IsUpToDate(request.last_log_index, request.last_log_term);
    SendAfterPersist(
        from, RequestVoteReply{
                  .term = granted ? request.term : term_, .granted = granted, .pre_vote = true});
    if (granted && role_ == Role::kPreCandidate && from > options_.id) StandBack();
    return;
  }
  if (request.term > term_) BecomeFollower(request.term, kNobody);
  // §5.2: at most one vote per term, first come, first served; §5.4.1: only to a log not behind
  // ours.
  const bool up_to_date = RAFTKV_MUTANT(kLongerLogWins)
                              ? request.last_log_index >= log_.last_index()
                              : log_.IsUpToDate(request.last_log_index, request.last_log_term);
  const bool granted = request.term == term_ && (vote_ == kNobody || vote_ == from) && up_to_date;
  if (granted) {
    RAFTKV_CHECK(role_ == Role::kFollower || role_ == Role::kPreCandidate);
    role_ = Role::kFollower;
    RAFTKV_CHECK(vote_ == kNobody || vote_ == from, vote_.value, from.value);
    vote_ = from;
    ResetElectionTimer();
  }
  if (RAFTKV_MUTANT(kVoteBeforePersist)) {
    Send(from, RequestVoteReply{.term = term_, .granted = granted});
    return;
  }
  SendAfterPersist(from, RequestVoteReply{.term = term_, .granted = granted});
}

void Raft::HandleRequestVoteReply(NodeId from, const RequestVoteReply& reply) {
  if (!configuration().IsVoter(from) || from == options_.id) return;
  if (reply.pre_vote ? role_ != Role::kPreCandidate : !StandsInTerm()) return;
  if (reply.granted && reply.term != (reply.pre_vote ? term_.Next() : term_) &&
      !RAFTKV_MUTANT(kVotesOfOldTerms)) {
    return;  // of another round
  }
  std::map<NodeId, bool>& votes = reply.pre_vote ? pre_votes_ : votes_;
  if (RAFTKV_MUTANT(kDoubledVotes) && reply.granted && votes.count(from) != 0) {
    for (const Member& member : configuration().members) {
      if (votes.emplace(member.id, true).second) break;
    }
  }
  votes.emplace(from, reply.granted);  // the first answer counts: a duplicate changes nothing
  reply.pre_vote ? CountPreVotes() : CountElection();
}

}  // namespace raftkv::raft
