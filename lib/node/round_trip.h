// How long to wait for an answer before the question is sent again? (RFC 6298)
//
// For questions that the network may lose silently. Owned by one thread.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/base/time.h"

namespace raftkv::node {

class RoundTrip {
 public:
  /// `first`: the timeout before anything was measured.
  explicit RoundTrip(Duration first) : first_(first) {}

  /// An answer took this long. Not for a question that was sent again: it is unknown which copy was
  /// answered (Karn's rule).
  void Measured(Duration took) {
    backoff_ = 0;
    if (!smoothed_) {
      smoothed_ = took;
      variation_ = took / 2;
      return;
    }
    const Duration off = took > *smoothed_ ? took - *smoothed_ : *smoothed_ - took;
    variation_ += (off - variation_) / 4;
    *smoothed_ += (took - *smoothed_) / 8;
  }
  /// A question was sent again, for the `resends`-th time: until there is a new measurement others
  /// wait as long, since the network may have become slower.
  void SentAgain(unsigned resends) {
    backoff_ = std::max(backoff_, std::min(resends, kMaxBackoff));
  }

  /// What was measured recently; zero: nothing yet.
  [[nodiscard]] Duration smoothed() const { return smoothed_.value_or(Duration::zero()); }

  /// How long to wait for the answer to a question that was sent again `resends` times.
  [[nodiscard]] Duration Timeout(unsigned resends) const {
    const Duration once = smoothed_ ? *smoothed_ + 4 * variation_ : first_;
    const unsigned doublings = std::max(backoff_, std::min(resends, kMaxBackoff));
    return std::min(std::max(once, kShortest) * (1u << doublings), kLongest);
  }

  static constexpr Duration kShortest = std::chrono::milliseconds(10);
  static constexpr Duration kLongest = std::chrono::seconds(1);

 private:
  static constexpr unsigned kMaxBackoff = 7;  // from the shortest to the longest

  Duration first_;
  std::optional<Duration> smoothed_;
  Duration variation_{};
  unsigned backoff_ = 0;
};

}  // namespace raftkv::node
