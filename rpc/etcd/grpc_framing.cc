#include "rpc/etcd/grpc_framing.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "lib/base/check.h"

namespace raftkv::etcd {
namespace {

/// Of a message, without its prefix.
std::size_t LengthIn(std::string_view prefix) {
  std::size_t length = 0;
  for (std::size_t i = 1; i < kMessagePrefixBytes; ++i) {
    length = length << 8 | static_cast<unsigned char>(prefix[i]);
  }
  return length;
}

}  // namespace

std::optional<Duration> ParseGrpcTimeout(std::string_view text) {
  constexpr std::size_t kMaxDigits = 8;
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const auto count = static_cast<std::int64_t>(number);
  // 99,999,999 hours do not fit a Duration.
  constexpr std::int64_t kHoursInYear = 24 * 365;
  switch (text.back()) {
    case 'H': return BoundedTimeout(Duration(std::chrono::hours(std::min(count, kHoursInYear))));
    case 'M': return BoundedTimeout(Duration(std::chrono::minutes(count)));
    case 'S': return BoundedTimeout(Duration(std::chrono::seconds(count)));
    case 'm': return BoundedTimeout(Duration(std::chrono::milliseconds(count)));
    case 'u': return BoundedTimeout(Duration(std::chrono::microseconds(count)));
    case 'n': return BoundedTimeout(Duration(std::chrono::nanoseconds(count)));
    default: return std::nullopt;
  }
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte <= '~' && c != '%') {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 0xf];
    }
  }
  return encoded;
}

std::string FrameMessage(std::string_view message) {
  RAFTKV_CHECK(message.size() <= std::numeric_limits<std::uint32_t>::max(), message.size());
  std::string framed;
  framed.reserve(kMessagePrefixBytes + message.size());
  framed += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed += static_cast<char>(message.size() >> shift & 0xff);
  }
  framed += message;
  return framed;
}

Outcome MessageReader::CheckPrefix(std::string_view prefix) const {
  if (prefix[0] == 1) {
    return {GrpcCode::kUnimplemented,
            "grpc: the message is compressed, which is not supported: send it without compression"};
  }
  if (prefix[0] != 0) {
    return {GrpcCode::kInternal, "grpc: a message has an unknown flag"};
  }
  const std::size_t length = LengthIn(prefix);
  if (length <= max_message_bytes_) return {};
  return {GrpcCode::kResourceExhausted, "grpc: received message larger than max (" +
                                            std::to_string(length) + " vs. " +
                                            std::to_string(max_message_bytes_) + ")"};
}

Outcome MessageReader::Read(std::string_view bytes,
                            const std::function<bool(std::string_view)>& on_message) {
  while (!bytes.empty()) {
    // Whole messages are handed on from where they are.
    const bool whole_prefix = partial_.empty() && bytes.size() >= kMessagePrefixBytes;
    if (!whole_prefix && partial_.size() < kMessagePrefixBytes) {
      const std::size_t missing = std::min(kMessagePrefixBytes - partial_.size(), bytes.size());
      partial_ += bytes.substr(0, missing);
      bytes.remove_prefix(missing);
      if (partial_.size() < kMessagePrefixBytes) return {};
    }
    const std::string_view prefix = whole_prefix ? bytes : std::string_view(partial_);
    if (Outcome refused = CheckPrefix(prefix); !refused.ok()) return refused;
    const std::size_t size = kMessagePrefixBytes + LengthIn(prefix);
    if (whole_prefix && bytes.size() >= size) {
      const std::string_view message =
          bytes.substr(kMessagePrefixBytes, size - kMessagePrefixBytes);
      bytes.remove_prefix(size);
      if (!on_message(message)) return {};
      continue;
    }
    const std::size_t added = std::min(size - partial_.size(), bytes.size());
    partial_ += bytes.substr(0, added);
    bytes.remove_prefix(added);
    if (partial_.size() < size) return {};
    const std::string complete = std::move(partial_);
    partial_.clear();
    if (!on_message(std::string_view(complete).substr(kMessagePrefixBytes))) return {};
  }
  return {};
}

void MessageReader::Drop() { std::string().swap(partial_); }

}  // namespace raftkv::etcd
