// How is a message written in protobuf's wire format?
//
// In two passes: the first adds up sizes, so that the bytes are allocated once and the length of a
// nested message is known when it begins. A message's size is counted again at each level above it;
// what is large (key-value pairs) is at the second.
#include <cstdint>
#include <string>

#include <protozero/varint.hpp>

#include "lib/base/check.h"
#include "rpc/etcd/descriptor_messages.h"
#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/message_list.h"
#include "rpc/etcd/proto.h"
#include "rpc/etcd/proto_cursor.h"

namespace raftkv::etcd {
namespace {

std::size_t SizeOfVarint(std::uint64_t value) {
  return static_cast<std::size_t>(protozero::length_of_varint(value));
}

/// Negative numbers have all 64 bits, whatever their type.
template <class T>
std::uint64_t VarintOf(const T& value) {
  if constexpr (kIsEnum<T>) {
    return VarintOf(value.value);
  } else {
    return static_cast<std::uint64_t>(value);
  }
}

/// Scalars are packed where they repeat.
template <class T>
constexpr WireType WireTypeOf() {
  return kIsScalar<T> ? WireType::kVarint : WireType::kBytes;
}

constexpr std::uint64_t ProtoTagOf(std::uint32_t number, WireType type) {
  return std::uint64_t{number} << 3 | static_cast<std::uint64_t>(type);
}

std::size_t SizeOfTag(std::uint32_t number) {
  return SizeOfVarint(ProtoTagOf(number, WireType::kBytes));
}

// --- The first pass.

std::size_t SizeOfDelimited(std::size_t content) { return SizeOfVarint(content) + content; }

template <class Message>
std::size_t SizeOfMessage(const Message& message);

/// Without its tag.
template <class T>
std::size_t SizeOfValue(const T& value) {
  if constexpr (kIsScalar<T>) {
    return SizeOfVarint(VarintOf(value));
  } else if constexpr (kIsText<T>) {
    return SizeOfDelimited(value.size());
  } else {
    return SizeOfDelimited(SizeOfMessage(value));
  }
}

template <class Element>
std::size_t SizeOfAll(const std::vector<Element>& elements) {
  std::size_t size = 0;
  for (const Element& element : elements) size += SizeOfValue(element);
  return size;
}

template <class T>
bool IsProtoDefault(const T& value) {
  if constexpr (kIsScalar<T>) {
    return value == T{};
  } else {
    return value.empty();
  }
}

template <class T>
std::size_t SizeOfField(std::uint32_t number, const T& value) {
  if constexpr (kIsOptional<T>) {
    return value.has_value() ? SizeOfTag(number) + SizeOfValue(*value) : 0;
  } else if constexpr (kIsVector<T>) {
    if (value.empty()) return 0;
    if constexpr (kIsScalar<typename T::value_type>) {
      return SizeOfTag(number) + SizeOfDelimited(SizeOfAll(value));
    } else {
      return value.size() * SizeOfTag(number) + SizeOfAll(value);
    }
  } else {
    return IsProtoDefault(value) ? 0 : SizeOfTag(number) + SizeOfValue(value);
  }
}

template <class Message>
std::size_t SizeOfMessage(const Message& message) {
  std::size_t size = 0;
  ForEachField<Message>(
      [&](const auto& field) { size += SizeOfField(field.number, message.*field.member); });
  return size;
}

// --- The second.

void PutVarint(std::uint64_t value, std::string& out) {
  char bytes[protozero::max_varint_length];
  out.append(bytes, static_cast<std::size_t>(protozero::add_varint_to_buffer(bytes, value)));
}

template <class Message>
void PutMessage(const Message& message, std::string& out);

template <class T>
void PutValue(const T& value, std::string& out) {
  if constexpr (kIsScalar<T>) {
    PutVarint(VarintOf(value), out);
  } else if constexpr (kIsText<T>) {
    PutVarint(value.size(), out);
    out.append(value);
  } else {
    PutVarint(SizeOfMessage(value), out);
    PutMessage(value, out);
  }
}

template <class T>
void PutTagged(std::uint32_t number, const T& value, std::string& out) {
  PutVarint(ProtoTagOf(number, WireTypeOf<T>()), out);
  PutValue(value, out);
}

template <class T>
void PutField(std::uint32_t number, const T& value, std::string& out) {
  if constexpr (kIsOptional<T>) {
    if (value.has_value()) PutTagged(number, *value, out);
  } else if constexpr (!kIsVector<T>) {
    if (!IsProtoDefault(value)) PutTagged(number, value, out);
  } else if constexpr (kIsScalar<typename T::value_type>) {
    if (value.empty()) return;
    PutVarint(ProtoTagOf(number, WireType::kBytes), out);
    PutVarint(SizeOfAll(value), out);
    for (const auto& element : value) PutValue(element, out);
  } else {
    for (const auto& element : value) PutTagged(number, element, out);
  }
}

template <class Message>
void PutMessage(const Message& message, std::string& out) {
  ForEachField<Message>(
      [&](const auto& field) { PutField(field.number, message.*field.member, out); });
}

}  // namespace

template <class Message>
std::string EncodeProto(const Message& message) {
  const std::size_t size = SizeOfMessage(message);
  std::string out;
  out.reserve(size);
  PutMessage(message, out);
  RAFTKV_CHECK(out.size() == size, Message::kType, out.size(), size);
  return out;
}

#define RAFTKV_ENCODE_PROTO(Message) template std::string EncodeProto<Message>(const Message&);
RAFTKV_ETCD_MESSAGES(RAFTKV_ENCODE_PROTO)
RAFTKV_ENCODE_PROTO(FileDescriptorProto)
#undef RAFTKV_ENCODE_PROTO

}  // namespace raftkv::etcd
