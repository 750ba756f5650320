// What does a member do whose own disk is full, or does not answer?
//
// Full: it goes on, but whoever has space is the better leader. So a leader hands over to such a
// member, if there is one, and who is full waits longer before it stands for election; where
// nobody else can lead it leads. Hanging: a write makes no progress for much longer than writes
// take here. Nothing that it appends becomes durable, and nobody can say when. A leader steps down
// then, with its lease, if that is certain to be better: if others that have already written what
// hangs here can elect one of themselves without this vote. Otherwise it leads at the pace of its
// disk, for a slow leader is better than none. Who does not lead does not stand until the disk
// answers. The same holds for a batch that the state machine does not come to an end with.
#include <algorithm>

#include "lib/base/mutants.h"
#include "lib/raft/quorum.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// Between two tries to hand over, in election timeouts: one such try holds writes up for one.
constexpr int kTimeoutsBetweenTries = 3;

}  // namespace

void Raft::SetSpace(Space space) {
  if (space == space_) return;
  space_ = space;
  WatchOwnWork();
  if (role_ != Role::kLeader) return;
  leadership().hand_over_at = space_ == Space::kEnough ? kNever : now_;
  MaybeHandOverForSpace();
}

/// When Tick() has to look at what is under way here. A write that waits for space does not hang.
MonoTime Raft::OwnWorkHangsAt() const {
  const bool watched = !disk_hangs_ && space_ != Space::kNone;
  const MonoTime write = watched ? writes_.HangsAt(options_.hang_timeout) : kNever;
  return std::min(write, apply_stalls_ ? kNever : applies_.HangsAt(options_.hang_timeout));
}

void Raft::WatchOwnWork() {
  const bool hung = disk_hangs_;
  disk_hangs_ = space_ != Space::kNone && now_ >= writes_.HangsAt(options_.hang_timeout);
  if (disk_hangs_ != hung && role_ != Role::kLeader) ResetElectionTimer();
  apply_stalls_ = now_ >= applies_.HangsAt(options_.hang_timeout);
  RAFTKV_CHECK(OwnWorkHangsAt() > now_);
  if (!leading_) return;
  if (disk_hangs_ || apply_stalls_) {
    MaybeLeaveToTheFaster();
  } else {
    leading_->outrun_since.reset();
  }
}

/// Has written, or applied, what does not get done here.
bool Raft::IsFaster(NodeId id) const {
  const Progress* const progress = FindProgress(id);
  if (progress == nullptr || !progress->heard || !IsLive(id)) return false;
  if (disk_hangs_ && progress->match < write_->last) return false;
  return !apply_stalls_ || progress->applied >= handed_to_apply_;
}

void Raft::MaybeLeaveToTheFaster() {
  RAFTKV_CHECK(role_ == Role::kLeader);
  RAFTKV_CHECK(!disk_hangs_ || write_.has_value());
  if (RAFTKV_MUTANT(kHungDiskLeads)) return;
  const VoteResult without_this =
      CountVotes(configuration(), Purpose::kElection,
                 [this](NodeId id) { return id != options_.id && IsFaster(id) ? 1 : -1; });
  std::optional<MonoTime>& since = leadership().outrun_since;
  if (without_this != VoteResult::kWon) {
    since.reset();
    return;
  }
  if (!since) since = now_;
  // All apply the same: one that needs a little longer for a large batch is about to be done.
  if (disk_hangs_ || now_ - *since >= options_.hang_timeout) HandOverAndStepDown();
}

Space Raft::SpaceOf(NodeId id) const {
  if (id == options_.id) return space_;
  const Progress* const progress = FindProgress(id);
  return progress == nullptr || !IsLive(id) ? Space::kEnough : progress->space;
}

Space Raft::SpaceForWrites() const {
  const auto lacks = [this](NodeId id, Space wanted) { return SpaceOf(id) > wanted; };
  for (const Space wanted : {Space::kEnough, Space::kDeletes}) {
    if (lacks(options_.id, wanted)) continue;
    const auto& members = configuration().members;
    if (std::none_of(members.begin(), members.end(),
                     [&](const Member& member) { return lacks(member.id, wanted); })) {
      return wanted;
    }
    // Once somebody lacks it, who does not answer cannot be counted on.
    const VoteResult have = CountVotes(configuration(), Purpose::kCommit, [&](NodeId id) {
      return IsLive(id) && !lacks(id, wanted) ? 1 : -1;
    });
    if (have == VoteResult::kWon) return wanted;
  }
  return Space::kNone;
}

void Raft::MaybeHandOverForSpace() {
  if (now_ < leadership().hand_over_at) return;
  leadership().hand_over_at = now_ + kTimeoutsBetweenTries * options_.election_timeout;
  if (transferring()) return;
  const NodeId successor = BestSuccessor();
  if (successor == kNobody || SpaceOf(successor) != Space::kEnough) return;
  // It may be too far behind: then it is tried again.
  static_cast<void>(TransferLeadership(successor));
}

}  // namespace raftkv::raft
