// How is a number kept in few bytes where most are small?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace raftkv::kv {

inline constexpr std::size_t kMaxVarintBytes = 10;

/// Seven bits a byte, the lowest first. Returns where it ends.
inline char* WriteVarint(char* to, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) *to++ = static_cast<char>(number | 0x80);
  *to++ = static_cast<char>(number);
  return to;
}

inline void AppendVarint(std::string& out, std::uint64_t number) {
  char bytes[kMaxVarintBytes];
  out.append(bytes, static_cast<std::size_t>(WriteVarint(bytes, number) - bytes));
}

/// Takes a number off the front of `in`; false where there is none.
inline bool TakeVarint(std::string_view& in, std::uint64_t& number) {
  number = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    const std::uint64_t bits = byte & 0x7f;
    if (bits << shift >> shift != bits) return false;
    number |= bits << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace raftkv::kv
