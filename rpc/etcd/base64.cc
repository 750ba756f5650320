#include "rpc/etcd/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace raftkv::etcd {
namespace {

constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoBase64Digit = 64;

constexpr std::array<std::uint8_t, 256> Base64Digits() {
  std::array<std::uint8_t, 256> digits{};
  for (auto& digit : digits) digit = kNoBase64Digit;
  for (std::uint8_t i = 0; i < 64; ++i) digits[static_cast<unsigned char>(kBase64Alphabet[i])] = i;
  return digits;
}

}  // namespace

void AppendBase64(std::string_view bytes, std::string& out) {
  const auto byte = [bytes](std::size_t at) -> std::uint32_t {
    return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0;
  };
  std::size_t to = out.size();
  out.resize(to + (bytes.size() + 2) / 3 * 4, '=');
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (std::size_t k = 0; k < 4 && i + k <= bytes.size(); ++k) {
      out[to + k] = kBase64Alphabet[group >> (18 - 6 * k) & 63];
    }
    to += 4;
  }
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  static constexpr std::array<std::uint8_t, 256> kDigits = Base64Digits();
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  std::size_t digits = 0;   // of the group
  std::size_t padding = 0;  // seen
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    if (c == '=') {
      // Only at the third and fourth place of the last group.
      if (digits + padding < 2 || digits + padding >= 4) return std::nullopt;
      ++padding;
      continue;
    }
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == kNoBase64Digit || padding > 0) return std::nullopt;
    group = group << 6 | digit;
    if (++digits < 4) continue;
    for (const int shift : {16, 8, 0}) out.push_back(static_cast<char>(group >> shift));
    group = 0;
    digits = 0;
  }
  if (digits == 0 && padding == 0) return out;
  if (digits + padding != 4) return std::nullopt;
  group <<= 6 * padding;
  out.push_back(static_cast<char>(group >> 16));
  if (digits == 3) out.push_back(static_cast<char>(group >> 8));
  return out;
}

}  // namespace raftkv::etcd
