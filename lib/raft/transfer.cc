// How does a leader transfer its leadership? (thesis §3.10)
//
// It accepts no more proposals, waits until the successor has its whole log, and tells it to
// campaign at once. If that fails within an election timeout, it continues to lead.
#include <algorithm>
#include <string>

#include "lib/base/check.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

Status Raft::TransferLeadership(NodeId to) {
  if (role_ != Role::kLeader) return {Code::kNotLeader, "this member is not the leader"};
  if (to == options_.id) return {Code::kInvalidArgument, "this member is the leader already"};
  if (to != kNobody && !configuration().IsVoter(to)) {
    return {Code::kInvalidArgument, "only a voter can lead; promote the member first"};
  }
  const NodeId successor = to != kNobody ? to : BestSuccessor();
  if (successor == kNobody) {
    return {Code::kUnavailable, "no other voter is connected that could lead"};
  }
  if (Judge(TraitsOf(successor), Duty::kTakeOver) == Verdict::kNo) {
    return {Code::kUnavailable, std::string("the member cannot take over now: ") +
                                    WhyNot(TraitsOf(successor), Duty::kTakeOver)};
  }
  RAFTKV_CHECK(successor != options_.id, successor.value);
  Leadership& leading = leadership();
  leading.transfer_target = successor;
  leading.transfer_deadline = now_ + options_.election_timeout;
  leading.replicate_pending = true;
  MaybeSendTimeoutNow();
  return Status::Ok();
}

NodeId Raft::BestSuccessor() const {
  NodeId best;
  Index match;
  for (const auto& [id, progress] : leadership().progress) {
    if (Judge(TraitsOf(id), Duty::kTakeOver) == Verdict::kNo) continue;
    if ((disk_hangs_ || apply_stalls_) && !IsFaster(id)) continue;
    const bool better = best == kNobody || progress.space < SpaceOf(best) ||
                        (progress.space == SpaceOf(best) && progress.match > match);
    if (better) {
      best = id;
      match = progress.match;
    }
  }
  RAFTKV_CHECK(best != options_.id, best.value);
  return best;
}

void Raft::MaybeSendTimeoutNow() {
  if (!transferring()) return;
  const Progress* const progress = FindProgress(leadership().transfer_target);
  if (progress == nullptr || progress->match != log_.last_index()) return;
  leadership().timeout_now_sent = true;
  Send(leadership().transfer_target, TimeoutNow{.term = term_});
}

/// A leader that no longer has a vote (§6): the best candidate may take over at once.
void Raft::HandOverAndStepDown() {
  RAFTKV_CHECK(role_ == Role::kLeader);
  if (const NodeId successor = BestSuccessor(); successor != kNobody) {
    Send(successor, TimeoutNow{.term = term_});
  }
  BecomeFollower(term_, kNobody);
}

void Raft::HandleTimeoutNow(NodeId from) {
  // Only from the leader that this member follows: a late or forged one has no effect.
  if (role_ != Role::kFollower || from != leader_ || !CanCampaign()) return;
  StartElection(true);
}

}  // namespace raftkv::raft
