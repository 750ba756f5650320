// What happens when the log does not reach back far enough? (§7)
//
// The core knows only what a snapshot replaces. The leader asks for one to be sent
// (Ready::wanted_snapshots); the receiver's node collects it, offers it here, and is told by a
// Ready to install it: the new state machine, the log reset and the hard state in one atomic write.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

// --- The sender.

void Raft::WantSnapshot(NodeId to, Progress& progress) {
  // Sending to an absent member would only waste resources.
  RAFTKV_CHECK(role_ == Role::kLeader);
  RAFTKV_CHECK(progress.next < log_.first_index(), progress.next.value);
  if (now_ - progress.last_heard > options_.election_timeout) return;
  progress.BecomeSnapshot();
  wanted_snapshots_.push_back(to);
}

void Raft::SnapshotSent(NodeId peer, Index index, bool installed) {
  Progress* const progress = FindProgress(peer);
  if (progress == nullptr || progress->state != ProgressState::kSnapshot) return;
  // Its own acknowledgement shows what it has; until then, and after a failure, a probe finds out.
  const bool reaches = installed && index <= log_.last_index();
  progress->BecomeProbe(reaches ? std::max(progress->next, index.Next()) : progress->next);
  progress->probe_sent = !installed;  // a failed one is retried with the next heartbeat
  leadership().replicate_pending = true;
}

std::optional<SnapshotMeta> Raft::DescribeSnapshot(Index index) const {
  RAFTKV_CHECK(index <= applied_index_, index.value, applied_index_.value);
  // The configurations before the applied one are forgotten.
  const auto& [configured_at, configuration] = configurations_.front();
  if (index < log_.base().index || index < configured_at) return std::nullopt;
  return SnapshotMeta{.last = {.index = index, .term = log_.TermAt(index)},
                      .configuration = configuration,
                      .configuration_index = configured_at};
}

void Raft::Compact(Index through) {
  if (!RAFTKV_MUTANT(kCompactBeyondApplied)) {
    RAFTKV_CHECK(through <= applied_index_, through.value, applied_index_.value);
  }
  RAFTKV_CHECK(through <= durable_index_, through.value, durable_index_.value);
  log_.Compact(through);
  RAFTKV_CHECK(log_.base().index >= through, log_.base().index.value, through.value);
}

// --- The receiver.

namespace {

/// Whether a leader of `term` can have committed the state of this snapshot.
bool MakesSense(const SnapshotMeta& snapshot, Term term) {
  return snapshot.last.index > Index{} && snapshot.last.term > Term{} &&
         snapshot.last.term <= term && snapshot.configuration_index <= snapshot.last.index &&
         !snapshot.configuration.members.empty();
}

}  // namespace

bool Raft::OfferSnapshot(NodeId from, Term term, SnapshotMeta snapshot) {
  if (term < term_ || from == options_.id || from == kNobody) return false;
  if (!MakesSense(snapshot, term)) return false;
  if (term == term_ && (role_ == Role::kLeader || (leader_ != kNobody && leader_ != from))) {
    return false;
  }
  // Only AppendEntries shows who leads: a part of a snapshot may have been in transit for long.
  if (term > term_ || role_ != Role::kFollower) {
    BecomeFollower(term, term == term_ ? leader_ : kNobody);
  }
  if (leader_ == from) HearLeader();
  if (installing_) return false;
  const LogBase last = snapshot.last;
  const bool has_it = last.index <= commit_index_ ||
                      (last.index <= log_.last_index() && log_.TermAt(last.index) == last.term);
  if (has_it) {
    AdvanceCommit(std::max(commit_index_, last.index));  // §7, step 6: what follows is kept
    SendAfterPersist(from, Answer(true, last.index));
    return false;
  }
  RAFTKV_CHECK(role_ == Role::kFollower);
  RAFTKV_CHECK(last.index > commit_index_, last.index.value, commit_index_.value);
  installing_ = Install{.from = from, .term = term, .snapshot = std::move(snapshot)};
  // They are about a log that is about to be replaced.
  std::erase_if(messages_after_persist_, [](const Message& message) {
    return std::holds_alternative<AppendEntriesReply>(message.body);
  });
  ResetElectionTimer();
  return true;
}

bool Raft::MayInstall() const {
  // What is being applied to the old state machine finishes first.
  return installing_ && handed_to_apply_ == applied_index_;
}

/// The write that replaced everything is durable.
void Raft::FinishInstall() {
  RAFTKV_CHECK(installing_.has_value());
  RAFTKV_CHECK(handed_to_apply_ == applied_index_, handed_to_apply_.value, applied_index_.value);
  RAFTKV_CHECK(role_ == Role::kFollower);
  const Install install = *std::exchange(installing_, std::nullopt);
  const LogBase last = install.snapshot.last;
  RAFTKV_CHECK(last.index > commit_index_, last.index.value, commit_index_.value);
  if (RAFTKV_MUTANT(kInstallKeepsTail) && last.index < log_.last_index()) {
    log_.Compact(last.index);
  } else {
    log_.Reset(last);
  }
  commit_index_ = applied_index_ = handed_to_apply_ = last.index;
  durable_index_ = handed_to_disk_ = log_.last_index();
  RAFTKV_CHECK(log_.base().index == last.index, log_.base().index.value, last.index.value);
  RAFTKV_CHECK(log_.last_index() >= last.index);
  fetched_to_apply_.clear();
  apply_wants_entries_ = false;
  if (!RAFTKV_MUTANT(kSnapshotWithoutConfiguration)) {
    if (!RAFTKV_MUTANT(kInstallKeepsConfiguration)) configurations_.clear();
    configurations_.insert(configurations_.begin(),
                           {install.snapshot.configuration_index, install.snapshot.configuration});
    OnOtherConfiguration();
  }
  ResetElectionTimer();
  if (term_ == install.term && (leader_ == kNobody || leader_ == install.from)) {
    Send(install.from, Answer(true, last.index));
  }
}

}  // namespace raftkv::raft
