// Was this number seen before? For frames that may be duplicated and reordered.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

namespace raftkv::rpc {

class SequenceWindow {
 public:
  /// A number this far below the highest is treated as a copy: at worst it is lost.
  static constexpr std::uint64_t kSize = 4096;

  /// True the first time that it is called for `number`, which is at least 1.
  bool TakeFirst(std::uint64_t number) {
    if (number > highest_) {
      const std::uint64_t shift = number - highest_;
      if (shift >= kSize) {
        had_.reset();
      } else {
        had_ <<= shift;
      }
      highest_ = number;
      had_.set(0);
      return true;
    }
    const std::uint64_t below = highest_ - number;
    if (number == 0 || below >= kSize || had_.test(below)) return false;
    had_.set(below);
    return true;
  }

 private:
  std::uint64_t highest_ = 0;
  /// Bit i: highest_ - i was seen.
  std::bitset<kSize> had_;
};

}  // namespace raftkv::rpc
