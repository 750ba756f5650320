// How does a cluster find a leader? (§5.2, §5.4.1; pre-vote and leader stickiness: thesis §9.6,
// §4.2.3)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

void Raft::ResetElectionTimer() {
  if (!CanCampaign()) {
    election_deadline_ = kNever;
    return;
  }
  const auto timeout = options_.election_timeout;
  election_deadline_ = now_ + timeout + Duration(random_.Below(timeout.count()));
}

bool Raft::CanCampaign() const { return configuration().IsVoter(options_.id); }

bool Raft::HeardLeaderRecently() const {
  if (role_ == Role::kLeader) return true;  // check-quorum ends that when it is no longer so
  return leader_ != kNobody && leader_heard_ && now_ - *leader_heard_ < options_.election_timeout;
}

void Raft::Campaign() {
  if (role_ == Role::kLeader || !CanCampaign()) return;
  StartPreVote();
}

void Raft::PeerDisconnected(NodeId peer) {
  if (role_ != Role::kFollower || peer != leader_ || !CanCampaign()) return;
  // The leader's process is gone, or the link to it. Ask the others soon, but at different times: a
  // pre-vote does no harm if they still hear the leader.
  leader_heard_.reset();
  const auto spread = options_.election_timeout / 3;
  const MonoTime early = now_ + Duration(random_.Below(spread.count()));
  election_deadline_ = std::min(election_deadline_, early);
}

void Raft::StartPreVote() {
  role_ = Role::kPreCandidate;
  leader_ = kNobody;
  leader_heard_.reset();
  votes_.clear();
  votes_[options_.id] = true;  // promises nothing, so it need not be durable
  ResetElectionTimer();
  AskForVotes(term_.Next(), true);
  CountElection();
}

void Raft::StartElection() {
  ++term_;
  vote_ = options_.id;
  role_ = Role::kCandidate;
  leader_ = kNobody;
  votes_.clear();  // our own is counted once it is durable: Persisted()
  ResetElectionTimer();
  AskForVotes(term_, false);
}

void Raft::AskForVotes(Term term, bool pre_vote) {
  for (const Member& member : configuration().members) {
    if (member.learner || member.id == options_.id) continue;
    SendAfterPersist(member.id, RequestVote{term, log_.last_index(), log_.last_term(), pre_vote});
  }
}

void Raft::CountElection() {
  const VoteResult result = CountVotes(configuration(), [this](NodeId id) {
    const auto it = votes_.find(id);
    return it == votes_.end() ? 0 : it->second ? 1 : -1;
  });
  if (result == VoteResult::kLost) {
    // Wait out the timeout as a follower without a leader; no term was lost by a pre-vote.
    role_ = Role::kFollower;
    votes_.clear();
  } else if (result == VoteResult::kWon) {
    if (role_ == Role::kPreCandidate) {
      StartElection();
    } else {
      RAFTKV_CHECK(role_ == Role::kCandidate);
      BecomeLeader();
    }
  }
}

void Raft::HandleRequestVote(NodeId from, const RequestVote& request) {
  // Thesis §4.2.3: who hears a leader lets nobody disturb it. No answer: it could only raise terms.
  if (request.term > term_ && HeardLeaderRecently()) return;
  if (request.pre_vote) {
    const bool granted =
        request.term > term_ && log_.IsUpToDate(request.last_log_index, request.last_log_term);
    SendAfterPersist(from, RequestVoteReply{granted ? request.term : term_, granted, true});
    return;
  }
  if (request.term > term_) BecomeFollower(request.term, kNobody);
  // §5.2: at most one vote a term, first come first served; §5.4.1: only to a log not behind ours.
  const bool granted = request.term == term_ && (vote_ == kNobody || vote_ == from) &&
                       log_.IsUpToDate(request.last_log_index, request.last_log_term);
  if (granted) {
    RAFTKV_CHECK(role_ == Role::kFollower || role_ == Role::kPreCandidate);
    role_ = Role::kFollower;
    votes_.clear();
    vote_ = from;
    ResetElectionTimer();
  }
  SendAfterPersist(from, RequestVoteReply{term_, granted, false});
}

void Raft::HandleRequestVoteReply(NodeId from, const RequestVoteReply& reply) {
  const Role asked_as = reply.pre_vote ? Role::kPreCandidate : Role::kCandidate;
  if (role_ != asked_as || !configuration().IsVoter(from) || from == options_.id) return;
  if (reply.granted && reply.term != (reply.pre_vote ? term_.Next() : term_))
    return;                             // of another round
  votes_.emplace(from, reply.granted);  // the first answer counts: a doubled one changes nothing
  CountElection();
}

}  // namespace raftkv::raft
