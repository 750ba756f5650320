// When do the databases flush what they hold in memory only to free that memory?
#pragma once

#include <cstdint>

namespace raftkv::storage {

class IdleFlush {
 public:
  /// Asked five times a second with how much is in memory. True: flush now.
  bool Look(std::uint64_t bytes) {
    const bool quiet = bytes >= last_bytes_ && bytes - last_bytes_ < kQuietBytes;
    last_bytes_ = bytes;
    quiet_looks_ = quiet ? quiet_looks_ + 1 : 0;
    if (quiet_looks_ < kQuietLooks || bytes < kWorthwhileBytes) return false;
    quiet_looks_ = 0;
    return true;
  }

 private:
  /// From one check to the next: a trickle of writes counts as idle, and flushes once in a few
  /// minutes.
  static constexpr std::uint64_t kQuietBytes = 16 << 10;
  static constexpr int kQuietLooks = 25;
  static constexpr std::uint64_t kWorthwhileBytes = 16 << 20;

  std::uint64_t last_bytes_ = 0;
  int quiet_looks_ = 0;
};

}  // namespace raftkv::storage
