// How long did most calls take, in a fixed amount of memory?
//
// As HdrHistogram: below 128 each value has a counter, above each power of two is divided into 128,
// so that any value is known to 0.8 %.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace raftkv::cmd {

/// Record is safe from any thread; what the others say is exact once no Record is under way.
class Histogram {
 public:
  void Record(std::uint64_t value) {
    counters_[Slot(value)].fetch_add(1, std::memory_order_relaxed);
    std::uint64_t max = max_.load(std::memory_order_relaxed);
    while (value > max && !max_.compare_exchange_weak(max, value, std::memory_order_relaxed)) {
    }
  }

  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t sum = 0;
    for (const auto& counter : counters_) sum += counter.load(std::memory_order_relaxed);
    return sum;
  }
  [[nodiscard]] std::uint64_t max() const { return max_.load(std::memory_order_relaxed); }

  /// The value that `fraction` of all values do not exceed; 0 where there are none.
  [[nodiscard]] std::uint64_t Quantile(double fraction) const {
    const auto wanted =
        static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count())));
    std::uint64_t seen = 0;
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      seen += counters_[slot].load(std::memory_order_relaxed);
      if (seen >= wanted && seen > 0) return std::min(UpperBound(slot), max());
    }
    return max();
  }

 private:
  static constexpr unsigned kBits = 7;  // of a value that are kept
  static constexpr std::size_t kSlots = (64 - kBits + 1) << kBits;

  // The highest kBits + 1 bits of the value, and by how much they are shifted, make its slot.
  static std::size_t Slot(std::uint64_t value) {
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kBits + 1 ? width - kBits - 1 : 0;
    return (static_cast<std::size_t>(shift) << kBits) + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t UpperBound(std::size_t slot) {
    const std::size_t shift = slot < (2U << kBits) ? 0 : (slot >> kBits) - 1;
    const std::uint64_t top = slot - (shift << kBits);
    return (top << shift) + ((std::uint64_t{1} << shift) - 1);
  }

  std::array<std::atomic<std::uint64_t>, kSlots> counters_{};
  std::atomic<std::uint64_t> max_{0};
};

}  // namespace raftkv::cmd
