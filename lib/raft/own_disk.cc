// What does a member do whose own disk is full, or does not answer?
//
// Full: it goes on, but whoever has space is the better leader. So a leader hands over to such a
// member, if there is one, and who is full waits longer before it stands for election; where
// nobody else can lead it leads. Hanging: nothing that it appends becomes durable, and nobody can
// say when. It steps down at once, with its lease, and does not stand until the disk answers.
#include <algorithm>

#include "lib/base/mutants.h"
#include "lib/raft/quorum.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// Between two tries to hand over, in election timeouts: one such try holds writes up for one.
constexpr int kTimeoutsBetweenTries = 3;

}  // namespace

void Raft::SetDisk(Space space, bool hangs) {
  if (space != space_) {
    space_ = space;
    if (role_ == Role::kLeader) {
      leadership().hand_over_at = space_ == Space::kEnough ? kNever : now_;
      MaybeHandOverForSpace();
    }
  }
  if (hangs == disk_hangs_) return;
  disk_hangs_ = hangs;
  if (role_ != Role::kLeader) {
    ResetElectionTimer();
  } else if (hangs && !leadership().progress.empty() && !RAFTKV_MUTANT(kHungDiskLeads)) {
    HandOverAndStepDown();
  }
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
