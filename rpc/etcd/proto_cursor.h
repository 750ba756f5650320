// How are the fields of an encoded protobuf message read, one after the other?
//
// With protozero's varints. Its reader is not used: that one cuts lengths and tags of more than 32
// bits short, and looks at the first byte of a bool that may not be there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace raftkv::etcd {

/// As on the wire.
enum class WireType : std::uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroupBegin = 3,
  kGroupEnd = 4,
  kFixed32 = 5,
};

struct ProtoTag {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
};

/// Reads from bytes that belong to the caller. After a failure it is at its end, and everything
/// that it returns is zero or empty.
class ProtoCursor {
 public:
  explicit ProtoCursor(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  [[nodiscard]] bool at_end() const { return at_ == end_; }
  /// What was wrong with the bytes; empty: nothing so far.
  [[nodiscard]] std::string_view failure() const { return failure_; }

  ProtoTag Tag();
  std::uint64_t Varint();
  /// Length-delimited: bytes, text or a message.
  std::string_view Bytes();
  /// The value behind `tag`, whatever it is.
  void Skip(ProtoTag tag);

 private:
  void SkipValue(WireType type);
  void SkipGroup(std::uint32_t number);
  void Fail(std::string_view why);

  const char* at_;
  const char* end_;
  std::string_view failure_;
};

}  // namespace raftkv::etcd
