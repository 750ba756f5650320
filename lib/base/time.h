// What time is it? Whatever the caller says: monotonic time is passed into the core from outside.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace raftkv {

/// A clock without now(): a point in time can only come from a Clock port (lib/node/ports.h).
struct MonotonicClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock, duration>;
  static constexpr bool is_steady = true;
};

using Duration = MonotonicClock::duration;
using MonoTime = MonotonicClock::time_point;

inline constexpr MonoTime kNever = MonoTime::max();

/// A timeout of the host, as something that can be added to any clock: a year for anything longer
/// ("forever"), zero for anything negative ("at once").
template <class Rep, class Period>
constexpr std::chrono::duration<Rep, Period> BoundedTimeout(
    std::chrono::duration<Rep, Period> timeout) {
  using Time = std::chrono::duration<Rep, Period>;
  return std::clamp(timeout, Time::zero(), Time(std::chrono::hours(24 * 365)));
}

}  // namespace raftkv
