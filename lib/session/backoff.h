// How long does a failed attempt wait before the next one?
#pragma once

#include <algorithm>
#include <chrono>

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

}  // namespace raftkv::node
