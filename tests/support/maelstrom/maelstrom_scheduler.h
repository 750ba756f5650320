// What is to happen next, and when?
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace raftkv::test::maelstrom {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

/// Real time: something may run later than it was meant to, but never earlier, and always in order.
class Scheduler {
 public:
  void At(Time time, std::function<void()> action) {
    queue_.emplace(std::pair(time, next_++), std::move(action));
  }
  void After(Clock::duration delay, std::function<void()> action) {
    At(Clock::now() + delay, std::move(action));
  }
  [[nodiscard]] std::optional<Time> NextTime() const {
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first.first;
  }
  /// What is due now; what this makes due comes in the next call.
  void RunDue() {
    const Time now = Clock::now();
    while (!queue_.empty() && queue_.begin()->first.first <= now) {
      const auto due = queue_.extract(queue_.begin());
      due.mapped()();
    }
  }

 private:
  std::map<std::pair<Time, std::uint64_t>, std::function<void()>> queue_;
  std::uint64_t next_ = 0;
};

}  // namespace raftkv::test::maelstrom
