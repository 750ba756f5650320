// How long does an attempt have, and how long does a failed one wait before the next?
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "lib/base/random.h"
#include "lib/base/time.h"

namespace raftkv::node {

/// Doubles up to a bound; half of each wait is drawn, so that clients do not come back all at once.
class Backoff {
 public:
  Duration Next(Random& random) {
    const Duration wait = next_;
    next_ = std::min(2 * next_, kMax);
    const auto half = static_cast<std::uint64_t>((wait / 2).count());
    return wait / 2 + Duration(random.Below(half + 1));
  }

  static constexpr Duration kFirst = std::chrono::milliseconds(5);
  static constexpr Duration kMax = std::chrono::milliseconds(200);

 private:
  Duration next_ = kFirst;
};

/// An attempt is given up after this long, and made again, if its calls have more time.
inline constexpr Duration kAttemptTimeout = std::chrono::seconds(2);
/// And what its bytes may take on their way: to send them again while the first copy is still in
/// the buffers would make a slow network, or a busy cluster, slower.
inline constexpr std::size_t kSlowestBytesPerSecond = 512 << 10;

inline Duration AttemptTimeout(std::size_t bytes) {
  return kAttemptTimeout + std::chrono::milliseconds(bytes * 1000 / kSlowestBytesPerSecond);
}

/// The time of the attempts at one request. One that was given up may only have had too little (a
/// member far away, a busy cluster), and every other one of the same length would end like it: so
/// the next has twice as much, up to kMostDoublings times.
class AttemptTime {
 public:
  /// An attempt begins; returns when it is given up.
  MonoTime Begin(MonoTime now, std::size_t bytes) {
    begun_ = now;
    given_ = AttemptTimeout(bytes) * (1 << doublings_);
    return now + given_;
  }
  /// It failed. Its time counts as used up where little of it was left: the other side gives up by
  /// a clock of its own.
  void Failed(MonoTime now) {
    if (now - begun_ >= given_ - given_ / 8) doublings_ = std::min(doublings_ + 1, kMostDoublings);
  }

  static constexpr int kMostDoublings = 3;

 private:
  MonoTime begun_{};
  Duration given_{};
  int doublings_ = 0;
};

}  // namespace raftkv::node
