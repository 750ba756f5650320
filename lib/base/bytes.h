// How are bytes shared, and how are numbers encoded in them?
//
// A payload is created once and then shared by the log buffer, the disk write and the messages to
// peers: Bytes is an immutable, reference-counted string of bytes, aligned to 8.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace raftkv {

/// Immutable shared bytes; copies share. Safe to copy and read from any thread.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::string bytes)
      : bytes_(std::make_shared<const std::string>(std::move(bytes))) {}

  [[nodiscard]] std::string_view view() const {
    return bytes_ ? std::string_view(*bytes_) : std::string_view();
  }
  [[nodiscard]] std::size_t size() const { return bytes_ ? bytes_->size() : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view() == b.view(); }

 private:
  std::shared_ptr<const std::string> bytes_;
};

/// Big-endian, so that byte order is number order.
inline void AppendBigEndian64(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
inline void AppendBigEndian32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

/// Takes a number off the front of `in`; nothing, and `in` unchanged, if it is too short.
inline std::optional<std::uint64_t> TakeBigEndian64(std::string_view& in) {
  if (in.size() < 8) return std::nullopt;
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(8);
  return value;
}
inline std::optional<std::uint32_t> TakeBigEndian32(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(4);
  return value;
}

}  // namespace raftkv
