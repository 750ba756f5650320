// Was this number had before? For frames that may be doubled and may overtake each other.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

namespace raftkv::rpc {

class SequenceWindow {
 public:
  /// What is so far below the highest number is taken for a copy: lost at worst.
  static constexpr std::uint64_t kSize = 4096;

  /// True the first time that it is asked for `number`, which is from 1.
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
  /// Bit i: highest_ - i was had.
  std::bitset<kSize> had_;
};

}  // namespace raftkv::rpc
