// Where does randomness come from? From a seed that the caller passes: the same seed, the same
// draws.
#pragma once

#include <cstdint>

#include "lib/base/check.h"

namespace raftkv {

/// SplitMix64: small, fast, full period, good enough for timeouts and tests; not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, bound); the bias of the modulo is below 2^-32 for the bounds in use.
  std::uint64_t Below(std::uint64_t bound) {
    RAFTKV_CHECK(bound > 0);
    return Next() % bound;
  }

 private:
  std::uint64_t state_;
};

}  // namespace raftkv
