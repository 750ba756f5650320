// Which calls wait, in which order, and when does each open one end at the latest?
//
// One timer for all calls, set for the next one that ends. On the loop only.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "lib/base/check.h"
#include "lib/session/session_call.h"
#include "lib/session/session_kv.h"

namespace raftkv::node {

template <class CallT>
class CallQueue {
 public:
  using CallPtr = std::shared_ptr<CallT>;

  /// `expire` ends the call that it is given; it may destroy the queue.
  CallQueue(Loop& loop, std::function<void(CallT&)> expire)
      : loop_(loop), expire_(std::move(expire)) {}

  void Add(CallPtr call) {
    RAFTKV_CHECK(!call->ended);
    call->by_deadline = by_deadline_.emplace(call->deadline, call);
    Waits(*call);
    waiting_.push_back(std::move(call));
    SetTimer();
  }

  /// The first call that waits; null: none does.
  CallT* Front() {
    while (!waiting_.empty() && waiting_.front()->ended) waiting_.pop_front();
    return waiting_.empty() ? nullptr : waiting_.front().get();
  }
  /// Takes the first one that waits; it stays open, and is expired, until Forget.
  CallPtr Pop() {
    RAFTKV_CHECK(Front() != nullptr);
    CallPtr call = std::move(waiting_.front());
    waiting_.pop_front();
    WaitsNoMore(*call);
    call->lease.End();
    return call;
  }
  /// Back to the front: a part of a request that was not answered.
  void PutBack(CallPtr call) {
    Waits(*call);
    waiting_.push_front(std::move(call));
  }
  /// What the open calls that wait would add to requests.
  [[nodiscard]] std::size_t waiting_bytes() const { return waiting_bytes_; }

  /// Just before a call is ended.
  void Forget(CallT& call) {
    RAFTKV_CHECK(!call.ended);
    call.lease.End();
    by_deadline_.erase(call.by_deadline);
    // Those that ended while they waited give their memory back once they are the greater part.
    if (!call.waits) return;
    WaitsNoMore(call);
    if (++ended_waiting_ > kMinEnded + waiting_.size() / 2) Compact();
  }

  /// Any open call, whether it waits or not; null: there is none.
  CallPtr AnyOpen() { return by_deadline_.empty() ? nullptr : by_deadline_.begin()->second; }
  /// When the last of the open calls ends.
  [[nodiscard]] MonoTime LatestDeadline() const {
    return by_deadline_.empty() ? MonoTime::min() : by_deadline_.rbegin()->first;
  }

 private:
  static constexpr std::size_t kMinEnded = 64;

  void Waits(CallT& call) {
    RAFTKV_CHECK(!call.waits);
    call.waits = true;
    waiting_bytes_ += call.bytes;
  }
  void WaitsNoMore(CallT& call) {
    RAFTKV_CHECK(call.waits);
    RAFTKV_CHECK(waiting_bytes_ >= call.bytes);
    call.waits = false;
    waiting_bytes_ -= call.bytes;
  }

  void Compact() {
    std::erase_if(waiting_, [](const CallPtr& call) { return call->ended; });
    ended_waiting_ = 0;
  }

  void SetTimer() {
    if (by_deadline_.empty()) return;
    const MonoTime next = by_deadline_.begin()->first;
    if (next >= timer_at_) return;
    timer_at_ = next;
    loop_.At(next, [this, next, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) OnTimer(next);
    });
  }

  void OnTimer(MonoTime set_for) {
    // A timer that an earlier one took the place of.
    if (set_for != timer_at_) return;
    timer_at_ = kNever;
    const std::weak_ptr<char> alive = alive_;
    const MonoTime now = std::max(loop_.Now(), set_for);
    while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
      const CallPtr call = by_deadline_.begin()->second;
      expire_(*call);
      if (alive.expired()) return;
      RAFTKV_CHECK(call->ended);
    }
    SetTimer();
  }

  Loop& loop_;
  const std::function<void(CallT&)> expire_;
  /// Those that ended meanwhile are skipped.
  std::deque<CallPtr> waiting_;
  std::size_t ended_waiting_ = 0;  ///< not below the truth
  std::size_t waiting_bytes_ = 0;
  typename CallT::ByDeadline by_deadline_;
  MonoTime timer_at_ = kNever;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::node
