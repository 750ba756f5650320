// How is a 64-bit id shown, and written in a key?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/ids.h"

namespace raftkv {

/// 16 hexadecimal digits, in lower case, as etcdctl has them for leases.
inline std::string Hex(std::uint64_t id) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits.push_back(kDigits[id >> shift & 0xf]);
  return digits;
}

template <class Tag>
std::string Hex(StrongId<Tag> id) {
  return Hex(id.value);
}

}  // namespace raftkv
