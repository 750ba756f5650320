// How does a test own time and the loop? Nothing runs until it says so.
#pragma once

#include <deque>
#include <map>
#include <utility>

#include "lib/session/session_kv.h"

namespace raftkv::test {

class FakeLoop : public node::Loop {
 public:
  void Post(OnceFunction<void()> work) override { posted_.push_back(std::move(work)); }
  void At(MonoTime when, OnceFunction<void()> work) override {
    timers_.emplace(when, std::move(work));
  }
  MonoTime Now() override { return now_; }

  /// What is posted, and what that posts.
  void RunPosted() {
    while (!posted_.empty()) {
      OnceFunction<void()> work = std::move(posted_.front());
      posted_.pop_front();
      work();
    }
  }

  /// Everything that is due within `duration`, at its time.
  void Advance(Duration duration) {
    const MonoTime end = now_ + duration;
    RunPosted();
    while (!timers_.empty() && timers_.begin()->first <= end) {
      now_ = std::max(now_, timers_.begin()->first);
      OnceFunction<void()> work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
      RunPosted();
    }
    now_ = end;
  }

  /// The loop ends: what was posted is dropped.
  void Drop() {
    posted_.clear();
    timers_.clear();
  }

  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  std::deque<OnceFunction<void()>> posted_;
  std::multimap<MonoTime, OnceFunction<void()>> timers_;
  MonoTime now_ = MonoTime(std::chrono::hours(1));
};

}  // namespace raftkv::test
