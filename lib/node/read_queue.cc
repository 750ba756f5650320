#include "lib/node/read_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/mutants.h"

namespace raftkv::node {

namespace {

constexpr Duration kPauseAfterRefusal = std::chrono::milliseconds(10);

/// Questions in flight at a time. Between two of them: part of a round trip, with a minimum that
/// keeps them few on a fast network.
constexpr std::size_t kMaxQuestions = 16;
constexpr int kQuestionsInATrip = 8;
constexpr Duration kLeastGap = std::chrono::milliseconds(1);

void MoveAll(std::vector<PendingRead>& from, std::vector<PendingRead>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

Duration ReadQueue::Patience(const Question& question) const {
  if (ask_again_.measured) return round_trip_.Timeout(question.repeats);
  return std::max(ask_again_.after, 2 * round_trip_.smoothed());
}

Duration ReadQueue::Gap() const {
  // Nothing measured: assume that a round trip is as long as it may be.
  const Duration trip = round_trip_.smoothed();
  const Duration expected = trip == Duration::zero() ? ask_again_.after : trip;
  return std::max(kLeastGap, expected / kQuestionsInATrip);
}

bool ReadQueue::MayAskAnother(MonoTime now) const {
  if (now < not_before_ || questions_.size() >= kMaxQuestions) return false;
  return questions_.empty() || now >= questions_.back().asked_at + Gap();
}

MonoTime ReadQueue::NextAsk() const {
  MonoTime next = kNever;
  if (!gathered_.empty() && !questions_.empty() && questions_.size() < kMaxQuestions) {
    next = std::max(questions_.back().asked_at + Gap(), not_before_);
  }
  for (const Question& question : questions_) {
    if (ask_again_.measured) next = std::min(next, question.sent_at + Patience(question));
  }
  // It is tried whenever this member is pumped; without a leader there is no point in doing so
  // often.
  return next == kNever ? kNever : std::max(next, no_leader_until_);
}

void ReadQueue::Ask(raft::Raft& core, MonoTime now) {
  for (Question& question : questions_) {
    if (now - question.sent_at < Patience(question)) continue;
    // The question or its answer was lost, or is still in transit, or the leader has changed.
    if (RAFTKV_MUTANT(kReadAskedAnew)) question.context = next_context_++;
    if (!core.RequestReadIndex(question.context, lease_).ok()) {
      no_leader_until_ = now + kPauseAfterRefusal;
      return;
    }
    question.sent_at = now;
    ++question.unanswered;
    round_trip_.SentAgain(++question.repeats);
  }
  if (gathered_.empty() || !MayAskAnother(now)) return;
  const std::uint64_t context = next_context_++;
  if (!core.RequestReadIndex(context, lease_).ok()) {
    no_leader_until_ = now + kPauseAfterRefusal;
    return;
  }
  questions_.push_back(
      {.context = context, .asked_at = now, .sent_at = now, .reads = std::exchange(gathered_, {})});
}

void ReadQueue::OnReadState(const raft::ReadState& state, MonoTime now) {
  const auto answered =
      std::find_if(questions_.begin(), questions_.end(),
                   [&](const Question& question) { return question.context == state.context; });
  if (answered == questions_.end()) return;
  if (!state.confirmed) {
    // By a member that no longer leads; another copy may have gone to its successor.
    if (--answered->unanswered > 0) return;
    not_before_ = now + kPauseAfterRefusal;
    MoveAll(answered->reads, gathered_);
    questions_.erase(answered);
    return;
  }
  // Karn's rule: only for a question that was asked once.
  if (answered->repeats == 0) round_trip_.Measured(now - answered->asked_at);
  if (!last_confirmed_ || answered->asked_at > last_confirmed_->first) {
    last_confirmed_ = {answered->asked_at, state.read_index};
  }
  // The answer also holds for earlier questions, whose answers may be lost.
  const auto end = std::next(answered);
  for (auto question = questions_.begin(); question != end; ++question) {
    for (PendingRead& read : question->reads) confirmed_.emplace(state.read_index, std::move(read));
  }
  questions_.erase(questions_.begin(), end);
}

bool ReadQueue::IsFresh(MonoTime now, Duration max_staleness, Index applied) const {
  return last_confirmed_ && now - last_confirmed_->first <= max_staleness &&
         applied >= last_confirmed_->second;
}

std::vector<PendingRead> ReadQueue::TakeServable(Index applied) {
  std::vector<PendingRead> reads;
  const auto end = confirmed_.upper_bound(applied);
  for (auto it = confirmed_.begin(); it != end; ++it) reads.push_back(std::move(it->second));
  confirmed_.erase(confirmed_.begin(), end);
  return reads;
}

std::vector<PendingRead> ReadQueue::TakeExpired(MonoTime now) {
  std::vector<PendingRead> expired;
  const auto take = [&](std::vector<PendingRead>& reads) {
    std::erase_if(reads, [&](PendingRead& read) {
      if (read.deadline > now) return false;
      expired.push_back(std::move(read));
      return true;
    });
  };
  take(gathered_);
  for (Question& question : questions_) take(question.reads);
  std::erase_if(questions_, [](const Question& question) { return question.reads.empty(); });
  // Not std::erase_if, which passes its items as const.
  for (auto item = confirmed_.begin(); item != confirmed_.end();) {
    if (item->second.deadline > now) {
      ++item;
    } else {
      expired.push_back(std::move(item->second));
      item = confirmed_.erase(item);
    }
  }
  return expired;
}

std::vector<PendingRead> ReadQueue::TakeAll() {
  std::vector<PendingRead> all = TakeServable(Index(UINT64_MAX));
  for (Question& question : questions_) MoveAll(question.reads, all);
  questions_.clear();
  MoveAll(gathered_, all);
  return all;
}

}  // namespace raftkv::node
