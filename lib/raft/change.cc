// How does the leader change the membership? (§6; thesis §4)
//
// One change at a time: it appends a configuration, joint if votes change; once that is committed
// it appends the one that ends the joint phase by itself; once *that* is committed, a leader
// without a vote hands over. A new leader continues from what it finds in the log.
#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/configuration.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

Result<LogPosition> Raft::ChangeMembership(const MembershipChange& change, std::uint64_t time_ms) {
  if (role_ != Role::kLeader) return Status(Code::kNotLeader, "this member is not the leader");
  if (transferring()) {
    return Status(Code::kUnavailable, "a leadership transfer is in progress; try again");
  }
  // Not before the own no-op is committed: an earlier leader's change may still be in some log
  // (the bug in the first version of single-server changes, 2015).
  const bool settled =
      committed_in_term() && configuration_index() <= commit_index_ && !configuration().joint;
  if (!settled && !(RAFTKV_MUTANT(kTwoChangesInFlight) && !configuration().joint)) {
    return Status(Code::kUnavailable, "another membership change is in progress; try again");
  }
  for (const NodeId id : change.promote) {
    if (const Status behind = IsCaughtUp(id); !behind.ok()) return behind;
  }
  Result<Configuration> next = PlanChange(configuration(), change);
  if (!next.ok()) return next.status();
  if (const Status refused = MayChange(*next); !refused.ok()) return refused;
  AppendConfiguration(*next, time_ms);
  return LogPosition{.index = log_.last_index(), .term = term_};
}

Status Raft::IsCaughtUp(NodeId id) const {
  const Progress* const progress = FindProgress(id);
  if (progress == nullptr) return Status::Ok();  // PlanChange says what is wrong with it
  const std::uint64_t behind = log_.last_index() - progress->match;
  if (!IsLive(id) || progress->state != ProgressState::kReplicate) {
    return {Code::kUnavailable, "the member is not connected, or not caught up; try again later"};
  }
  if (behind > options_.caught_up_entries) {
    return {Code::kUnavailable,
            "the member is still " + std::to_string(behind) + " entries behind; try again later"};
  }
  return Status::Ok();
}

/// The live members must be able to continue, in both phases.
Status Raft::MayChange(const Configuration& next) const {
  if (!next.joint) return Status::Ok();
  const auto is_there = [this](NodeId id) {
    const Progress* const progress = FindProgress(id);
    return IsLive(id) && (progress == nullptr || progress->heard);
  };
  const auto live = [&](NodeId id) { return is_there(id) ? 1 : -1; };
  if (CountVotes(next, Purpose::kCommit, live) == VoteResult::kWon &&
      CountVotes(next, Purpose::kElection, live) == VoteResult::kWon) {
    return Status::Ok();
  }
  std::string missing;
  for (const Member& member : next.members) {
    if (next.IsVoter(member.id) && !is_there(member.id)) {
      missing += (missing.empty() ? "" : ", ") + member.name;
    }
  }
  return {Code::kUnavailable,
          "the change would leave the live members without a quorum (not heard from: " + missing +
              "): bring those back, or remove one of them first"};
}

void Raft::AppendConfiguration(const Configuration& next, std::uint64_t time_ms) {
  RAFTKV_CHECK(role_ == Role::kLeader);
  RAFTKV_CHECK(next.cluster == configuration().cluster);
  Entry entry{.index = log_.last_index().Next(),
              .term = term_,
              .kind = EntryKind::kConfiguration,
              .time_ms = time_ms,
              .payload = EncodeConfiguration(next),
              .clock_ms = clock_.ms()};
  leadership().uncommitted_bytes += entry.Footprint();
  Append(std::move(entry));
  leadership().replicate_pending = true;
  // A smaller quorum may have all of it already.
  MaybeCommit();
}

/// Called when the commit index may have moved: advances the change in progress by one step.
void Raft::ContinueChange() {
  if (role_ != Role::kLeader) return;
  if (!leadership().change_under_way || configuration_index() > commit_index_) return;
  // Of an earlier term: certain to be committed only with an entry of the current term (§5.4.2).
  if (!committed_in_term()) return;
  if (configuration().joint) {
    AppendConfiguration(LeaveJoint(configuration()), wall_time_ms_);
    return;
  }
  RAFTKV_CHECK(configuration_index() <= commit_index_);
  leadership().change_under_way = false;
  if (!configuration().IsVoter(options_.id)) HandOverAndStepDown();
}

/// Members that were added as voters begin as learners.
void Raft::PromoteWhoCaughtUp() {
  if (leadership().change_under_way) return;
  MembershipChange change;
  for (const Member& member : configuration().members) {
    if (member.learner && member.promote && IsCaughtUp(member.id).ok()) {
      change.promote.push_back(member.id);
    }
  }
  // Refused for now; it is retried with the next heartbeat.
  if (!change.Empty()) (void)ChangeMembership(change, wall_time_ms_);
}

}  // namespace raftkv::raft
