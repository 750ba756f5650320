#include "rpc/etcd/proto_cursor.h"

#include <vector>

#include <protozero/exception.hpp>
#include <protozero/varint.hpp>

#include "rpc/etcd/field_traits.h"

namespace raftkv::etcd {
namespace {

constexpr std::uint64_t kMaxFieldNumber = (1 << 29) - 1;
constexpr unsigned kWireTypeBits = 3;

}  // namespace

void ProtoCursor::Fail(std::string_view why) {
  at_ = end_;
  if (failure_.empty()) failure_ = why;
}

std::uint64_t ProtoCursor::Varint() {
  try {
    return protozero::decode_varint(&at_, end_);
  } catch (const protozero::varint_too_long_exception&) {
    Fail("a number of more than 64 bits");
  } catch (const protozero::exception&) {
    Fail("the bytes end within a number");
  }
  return 0;
}

ProtoTag ProtoCursor::Tag() {
  const std::uint64_t tag = Varint();
  const std::uint64_t number = tag >> kWireTypeBits;
  const auto type = static_cast<WireType>(tag & ((1U << kWireTypeBits) - 1));
  if (number == 0 || number > kMaxFieldNumber || type > WireType::kFixed32) {
    Fail("an illegal tag");
    return {};
  }
  return {.number = static_cast<std::uint32_t>(number), .type = type};
}

std::string_view ProtoCursor::Bytes() {
  const std::uint64_t size = Varint();
  const auto left = static_cast<std::size_t>(end_ - at_);
  if (size > left) {
    Fail("longer than the bytes that are there");
    return {};
  }
  const std::string_view bytes(at_, size);
  at_ += size;
  return bytes;
}

void ProtoCursor::Skip(ProtoTag tag) {
  if (tag.type == WireType::kGroupBegin) return SkipGroup(tag.number);
  SkipValue(tag.type);
}

void ProtoCursor::SkipValue(WireType type) {
  if (type == WireType::kVarint) {
    Varint();
  } else if (type == WireType::kBytes) {
    Bytes();
  } else if (type == WireType::kFixed32 || type == WireType::kFixed64) {
    const std::ptrdiff_t size = type == WireType::kFixed32 ? 4 : 8;
    if (end_ - at_ < size) return Fail("the bytes end within a number");
    at_ += size;
  } else {
    Fail("the end of a group that was not begun");
  }
}

/// proto3 has no groups, but an unknown field of proto2 may be one.
void ProtoCursor::SkipGroup(std::uint32_t number) {
  std::vector<std::uint32_t> open = {number};
  while (!open.empty()) {
    if (at_end()) return Fail("a group without its end");
    const ProtoTag tag = Tag();
    if (tag.type == WireType::kGroupBegin) {
      if (open.size() >= kMaxMessageDepth) return Fail("groups nested too deep");
      open.push_back(tag.number);
    } else if (tag.type == WireType::kGroupEnd) {
      if (tag.number != open.back()) return Fail("a group with the end of another");
      open.pop_back();
    } else {
      SkipValue(tag.type);
    }
  }
}

}  // namespace raftkv::etcd
