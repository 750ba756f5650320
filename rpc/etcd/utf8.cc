#include "rpc/etcd/utf8.h"

#include <cstddef>
#include <cstdint>

namespace raftkv::etcd {
namespace {

/// What follows a first byte: how many bytes, and between which values the first of them lies.
struct Utf8Tail {
  std::size_t bytes;
  std::uint8_t lowest;
  std::uint8_t highest;
};

/// Table 3-7 of the Unicode standard. No bytes: no character begins so.
constexpr Utf8Tail TailOf(std::uint8_t first) {
  if (first >= 0xc2 && first <= 0xdf) return {1, 0x80, 0xbf};
  if (first == 0xe0) return {2, 0xa0, 0xbf};
  if (first == 0xed) return {2, 0x80, 0x9f};
  if (first >= 0xe1 && first <= 0xef) return {2, 0x80, 0xbf};
  if (first == 0xf0) return {3, 0x90, 0xbf};
  if (first >= 0xf1 && first <= 0xf3) return {3, 0x80, 0xbf};
  if (first == 0xf4) return {3, 0x80, 0x8f};
  return {.bytes = 0, .lowest = 0x80, .highest = 0xbf};
}

}  // namespace

bool IsUtf8(std::string_view text) {
  const auto byte = [text](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
  for (std::size_t i = 0; i < text.size();) {
    if (byte(i) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Tail tail = TailOf(byte(i));
    if (tail.bytes == 0 || tail.bytes >= text.size() - i) return false;
    if (byte(i + 1) < tail.lowest || byte(i + 1) > tail.highest) return false;
    for (std::size_t k = 2; k <= tail.bytes; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    i += tail.bytes + 1;
  }
  return true;
}

}  // namespace raftkv::etcd
