// What time is it? Whatever the caller says: monotonic time comes into the core from outside.
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

/// What a host asked for, as something that can be added to any clock: a year stands for all that
/// is longer ("for ever"), nothing for what is below zero ("at once").
constexpr std::chrono::milliseconds BoundedTimeout(std::chrono::milliseconds timeout) {
  using std::chrono::milliseconds;
  return std::clamp(timeout, milliseconds(0), milliseconds(std::chrono::hours(24 * 365)));
}

}  // namespace raftkv
