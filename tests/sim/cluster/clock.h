// What time does one host think it is? Its clocks run at their own rate, and its wall clock jumps.
#pragma once

#include <cstdint>

#include "lib/base/time.h"
#include "tests/sim/cluster/scheduler.h"

namespace raftkv::sim {

class HostClock {
 public:
  [[nodiscard]] MonoTime Now(Nanos true_time) const {
    return MonoTime(Duration(local_ + (true_time - since_) / kMillion * rate_ +
                             (true_time - since_) % kMillion * rate_ / kMillion));
  }
  /// The first true time at which Now() is `when` or later.
  [[nodiscard]] Nanos TrueTimeOf(MonoTime when) const {
    const Nanos left = when.time_since_epoch().count() - local_;
    if (left <= 0) return since_;
    return since_ + left / rate_ * kMillion + (left % rate_ * kMillion + rate_ - 1) / rate_ + 1;
  }
  /// From `true_time` on this clock makes `parts` millionths of a true second a second.
  void SetRate(Nanos true_time, Nanos parts_per_million) {
    local_ = Now(true_time).time_since_epoch().count();
    since_ = true_time;
    rate_ = parts_per_million;
  }
  [[nodiscard]] std::uint64_t WallTimeMs(Nanos true_time) const {
    constexpr std::int64_t kStartMs = 1'700'000'000'000;
    return static_cast<std::uint64_t>(kStartMs + true_time / kMillisecond + wall_offset_ms_);
  }
  void JumpWall(std::int64_t ms) { wall_offset_ms_ += ms; }
  [[nodiscard]] std::int64_t wall_offset_ms() const { return wall_offset_ms_; }

  static constexpr Nanos kMillion = 1'000'000;

 private:
  Nanos since_ = 0;
  Nanos local_ = kSecond;
  Nanos rate_ = kMillion;
  std::int64_t wall_offset_ms_ = 0;
};

}  // namespace raftkv::sim
