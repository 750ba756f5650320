// What must the caller do now? (the order and its reasons: ready.h)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

Index Raft::ApplicableIndex() const {
  if (RAFTKV_MUTANT(kApplyBeforeDurable)) return commit_index_;
  return std::min(commit_index_, durable_index_);
}

bool Raft::HasCommittedToApply() const {
  // One batch at a time: what is returned must be applied before the next.
  return handed_to_apply_ == applied_index_ && ApplicableIndex() > handed_to_apply_ &&
         !apply_wants_entries_ && !installing_;
}

bool Raft::NeedsWrite() const {
  // A commit index alone is not worth a sync: it rides with the next batch.
  return handed_to_disk_ < log_.last_index() || hard_state_on_disk_.term != term_ ||
         hard_state_on_disk_.vote != vote_ || refilled_ || MayInstall();
}

bool Raft::HasReady(Disk disk) const {
  if (soft_state_taken_ != SoftState{.role = role_, .leader = leader_}) return true;
  if (!messages_.empty() || !read_states_.empty() || !wanted_entries_.empty() ||
      !wanted_snapshots_.empty()) {
    return true;
  }
  if ((leading_ && leading_->replicate_pending) || HasCommittedToApply()) return true;
  return disk == Disk::kIdle && (NeedsWrite() || !messages_after_persist_.empty());
}

Ready Raft::TakeReady(Disk disk) {
  RAFTKV_CHECK((disk == Disk::kBusy) == write_.has_value());
  if (role_ == Role::kLeader) {
    StartReadRound();
    Replicate();
  }
  Ready ready;
  if (const SoftState now{.role = role_, .leader = leader_}; now != soft_state_taken_) {
    ready.soft_state = soft_state_taken_ = now;
  }
  if (disk == Disk::kIdle) {
    TakeWrite(ready);
    ready.messages_after_persist = TakeMessagesAfterPersist();
  }
  RAFTKV_CHECK(!ready.snapshot || ready.entries.empty());
  RAFTKV_CHECK(ready.HasWrite() == ready.must_sync);
  TakeCommitted(ready);
  ready.messages = std::exchange(messages_, {});
  ready.read_states = std::exchange(read_states_, {});
  ready.wanted_entries = std::exchange(wanted_entries_, {});
  ready.wanted_snapshots = std::exchange(wanted_snapshots_, {});
  return ready;
}

void Raft::TakeWrite(Ready& ready) {
  RAFTKV_CHECK(!write_.has_value());
  if (!NeedsWrite()) return;
  const bool install = MayInstall();
  if (install) {
    ready.snapshot = installing_->snapshot;
  } else if (handed_to_disk_ < log_.last_index()) {
    // Not all at once: each write that ends shows that the disk makes progress.
    ready.entries = log_.Slice(handed_to_disk_.Next(), log_.last_index(), options_.max_write_bytes);
    RAFTKV_CHECK(ready.entries.front().index == handed_to_disk_.Next());
    RAFTKV_CHECK(ready.entries.back().index <= log_.last_index());
    handed_to_disk_ = ready.entries.back().index;
  }
  // The commit index may be beyond what is written by now.
  const HardState hard_state{
      .term = term_,
      .vote = vote_,
      .commit = install ? commit_index_ : std::min(commit_index_, handed_to_disk_)};
  if (hard_state != hard_state_on_disk_) ready.hard_state = hard_state;
  hard_state_on_disk_ = hard_state;
  ready.refilled = refilled_;
  ready.must_sync = true;
  write_ = Write{.hard_state = hard_state,
                 .last = handed_to_disk_,
                 .snapshot = install,
                 .refilled = refilled_};
  writes_.Begin(now_);
}

/// What may be sent once the write that is returned now, or one before, is durable. Of an
/// acknowledgement that goes further, the part that will be true then; the rest waits.
std::vector<Message> Raft::TakeMessagesAfterPersist() {
  std::vector<Message> ready = std::exchange(messages_after_persist_, {});
  std::erase_if(ready, [this](const Message& message) {
    // For entries truncated since, which no leader of the same term can cause.
    const auto* const ack = std::get_if<AppendEntriesReply>(&message.body);
    return ack != nullptr && ack->success && ack->index > log_.last_index();
  });
  for (Message& message : ready) {
    auto* const ack = std::get_if<AppendEntriesReply>(&message.body);
    if (ack == nullptr || !ack->success || ack->index <= handed_to_disk_) continue;
    if (RAFTKV_MUTANT(kAckBeyondPiece)) continue;
    messages_after_persist_.push_back(message);
    ack->index = handed_to_disk_;
  }
  RAFTKV_CHECK(messages_after_persist_.empty() || handed_to_disk_ < log_.last_index());
  return ready;
}

void Raft::Persisted() {
  RAFTKV_CHECK(write_.has_value());
  durable_term_ = write_->hard_state.term;
  durable_vote_ = write_->hard_state.vote;
  durable_index_ = std::max(durable_index_, write_->last);
  if (write_->refilled) refilled_ = false;
  const bool installed = write_->snapshot;
  write_.reset();
  writes_.End(now_);
  if (installed) FinishInstall();
  RAFTKV_CHECK(durable_index_ <= handed_to_disk_, durable_index_.value, handed_to_disk_.value);
  RAFTKV_CHECK(durable_index_ <= log_.last_index());
  RAFTKV_CHECK(durable_term_ <= term_, durable_term_.value, term_.value);
  if (std::exchange(disk_hangs_, false) && role_ != Role::kLeader) ResetElectionTimer();
  if (StandsInTerm() && durable_term_ == term_ && durable_vote_ == options_.id) {
    votes_[options_.id] = true;  // only now: an own vote that a crash could undo does not count
    CountElection();
  }
  if (role_ == Role::kLeader) {
    MaybeCommit();
    ContinueChange();
  }
  EvictFromBuffer();
}

/// Committed and durable entries can be read back, even to be applied: a slow state machine does
/// not hold entries in memory.
void Raft::EvictFromBuffer() {
  log_.Evict(std::min(commit_index_, durable_index_), options_.max_buffer_bytes);
}

void Raft::TakeCommitted(Ready& ready) {
  if (!HasCommittedToApply()) return;
  const Index first = handed_to_apply_.Next();
  const Index last = ApplicableIndex();
  if (!fetched_to_apply_.empty()) {
    ready.committed_entries = std::exchange(fetched_to_apply_, {});
  } else if (log_.InBuffer(first)) {
    ready.committed_entries = log_.Slice(first, last, options_.max_apply_bytes);
  } else {
    apply_wants_entries_ = true;
    const Index end = std::min(last, log_.buffer_first().Previous());
    wanted_entries_.push_back(
        {.peer = kNobody, .first = first, .last = end, .max_bytes = options_.max_apply_bytes});
    return;
  }
  RAFTKV_CHECK(ready.committed_entries.front().index == first);
  RAFTKV_CHECK(ready.committed_entries.back().index <= last);
  handed_to_apply_ = ready.committed_entries.back().index;
  applies_.Begin(now_);
}

void Raft::Applied(Index index) {
  RAFTKV_CHECK(index >= applied_index_, index.value, applied_index_.value);
  RAFTKV_CHECK(index <= handed_to_apply_, index.value, handed_to_apply_.value);
  applied_index_ = index;
  if (applied_index_ == handed_to_apply_ && applies_.under_way()) {
    applies_.End(now_);
    apply_stalls_ = false;
  }
  ForgetConfigurationsBefore(applied_index_);
  EvictFromBuffer();
}

void Raft::ProvideEntries(const WantedEntries& wanted, std::vector<Entry> entries) {
  // The log may have changed between request and answer: take only what is still in it.
  Index expected = wanted.first;
  for (const Entry& entry : entries) {
    if (entry.index != expected || log_.TermAt(entry.index) != entry.term) break;
    ++expected;
  }
  RAFTKV_CHECK(expected - wanted.first <= entries.size());
  entries.resize(expected - wanted.first);
  if (wanted.peer == kNobody) {
    if (!apply_wants_entries_) return;
    apply_wants_entries_ = false;
    if (!entries.empty() && wanted.first == handed_to_apply_.Next()) {
      fetched_to_apply_ = std::move(entries);
    }
    return;
  }
  Progress* const found = FindProgress(wanted.peer);
  if (found == nullptr || !found->waits_for_entries) return;
  Progress& progress = *found;
  progress.waits_for_entries = false;
  leadership().replicate_pending = true;
  if (entries.empty() || progress.next != wanted.first) return;
  if (progress.state == ProgressState::kProbe && progress.probe_sent) return;
  SendAppend(wanted.peer, progress, std::move(entries));
}

}  // namespace raftkv::raft
