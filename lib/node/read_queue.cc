#include "lib/node/read_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace raftkv::node {

namespace {

constexpr Duration kPauseAfterRefusal = std::chrono::milliseconds(10);

void MoveAll(std::vector<PendingRead>& from, std::vector<PendingRead>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

Duration ReadQueue::Patience() const {
  return ask_again_.measured ? std::min(round_trip_.Timeout(repeats_), ask_again_.after)
                             : ask_again_.after;
}

MonoTime ReadQueue::AsksAgainAt() const {
  return asked_.empty() || !ask_again_.measured ? kNever : asked_at_ + Patience();
}

void ReadQueue::Ask(raft::Raft& core, MonoTime now) {
  if (!asked_.empty() && now - asked_at_ >= Patience()) {
    // The question or its answer was lost, or the leader is gone: these reads ask anew.
    MoveAll(asked_, gathered_);
    ++repeats_;
    round_trip_.SentAgain(repeats_);
  }
  if (gathered_.empty() || !asked_.empty() || now < not_before_) return;
  const std::uint64_t context = next_context_++;
  if (!core.RequestReadIndex(context, lease_).ok())
    return;  // no leader yet: the next Pump tries again
  asked_ = std::exchange(gathered_, {});
  asked_context_ = context;
  asked_at_ = now;
}

void ReadQueue::OnReadState(const raft::ReadState& state, MonoTime now) {
  if (asked_.empty() || state.context != asked_context_) return;
  if (!state.confirmed) {
    not_before_ = now + kPauseAfterRefusal;
    MoveAll(asked_, gathered_);
    return;
  }
  // The answer names its question, so that it is known which copy it belongs to.
  round_trip_.Measured(now - asked_at_);
  repeats_ = 0;
  last_confirmed_ = {asked_at_, state.read_index};
  for (PendingRead& read : std::exchange(asked_, {})) {
    confirmed_.emplace(state.read_index, std::move(read));
  }
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
  for (std::vector<PendingRead>* queue : {&gathered_, &asked_}) {
    std::erase_if(*queue, [&](PendingRead& read) {
      if (read.deadline > now) return false;
      expired.push_back(std::move(read));
      return true;
    });
  }
  // Not std::erase_if, which shows its items as const.
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
  MoveAll(asked_, all);
  MoveAll(gathered_, all);
  return all;
}

}  // namespace raftkv::node
