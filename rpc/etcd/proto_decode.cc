// How is a message read from protobuf's wire format?
//
// As protobuf reads it: unknown fields are skipped, of a field that comes twice the last one counts
// (messages are merged, elements added), repeated scalars are taken packed or not. A known field of
// another wire type is an error, as it is for etcd.
#include <cstdint>
#include <string>

#include "rpc/etcd/descriptor_messages.h"
#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/message_list.h"
#include "rpc/etcd/proto.h"
#include "rpc/etcd/proto_cursor.h"
#include "rpc/etcd/utf8.h"

namespace raftkv::etcd {
namespace {

/// One message being decoded, with all that is nested in it.
class ProtoReading {
 public:
  explicit ProtoReading(std::size_t encoded_bytes) : budget_(encoded_bytes) {}

  [[nodiscard]] const std::string& error() const { return error_; }

  template <class Message>
  bool Read(std::string_view bytes, int depth, Message& message) {
    ProtoCursor in(bytes);
    while (!in.at_end()) {
      const ProtoTag tag = in.Tag();
      if (!in.failure().empty()) return Fail(Message::kType, in.failure());
      bool good = true;
      const bool known = AnyField<Message>([&](const auto& field) {
        if (field.number != tag.number) return false;
        good = ReadField(in, tag.type, depth, field, message);
        return true;
      });
      if (!good) return false;
      if (!known) in.Skip(tag);
      if (!in.failure().empty()) {
        return Fail(Message::kType,
                    "field " + std::to_string(tag.number) + ": " + std::string(in.failure()));
      }
    }
    return true;
  }

 private:
  bool Fail(std::string_view where, std::string_view why) {
    error_ = std::string(where) + ": " + std::string(why);
    return false;
  }
  template <class Message, class Type>
  bool Fail(const Field<Message, Type>& field, std::string_view why) {
    return Fail(std::string(Message::kType) + "." + field.name, why);
  }

  template <class Message, class Type>
  bool ReadField(ProtoCursor& in, WireType type, int depth, const Field<Message, Type>& field,
                 Message& message) {
    Type& value = message.*field.member;
    if constexpr (kIsOptional<Type>) {
      ClearOthers(field, message);
      if (!value.has_value()) value.emplace();
      return ReadValue(in, type, depth, field, *value);
    } else if constexpr (!kIsVector<Type>) {
      return ReadValue(in, type, depth, field, value);
    } else if constexpr (kIsScalar<typename Type::value_type>) {
      return ReadScalars(in, type, field, value);
    } else {
      if (!TakeElement<typename Type::value_type>()) return Fail(field, kTooMany);
      return ReadValue(in, type, depth, field, value.emplace_back());
    }
  }

  template <class Message, class Type>
  void ClearOthers(const Field<Message, Type>& field, Message& message) {
    if (field.oneof == nullptr) return;
    ForEachField<Message>([&](const auto& other) {
      if (ShareOneof(field, other)) message.*other.member = {};
    });
  }

  template <class Message, class Type, class T>
  bool ReadValue(ProtoCursor& in, WireType type, int depth, const Field<Message, Type>& field,
                 T& value) {
    constexpr WireType kExpected = kIsScalar<T> ? WireType::kVarint : WireType::kBytes;
    if (type != kExpected) return Fail(field, WrongType(type, kExpected));
    if constexpr (kIsScalar<T>) {
      value = ScalarOf<T>(in.Varint());
    } else if constexpr (kIsText<T>) {
      value = in.Bytes();
      if (!field.is_bytes && !IsUtf8(value)) return Fail(field, "text that is not UTF-8");
    } else {
      if (depth >= kMaxMessageDepth) {
        return Fail(field, "nested deeper than " + std::to_string(kMaxMessageDepth) + " messages");
      }
      return Read(in.Bytes(), depth + 1, value);
    }
    return true;
  }

  template <class Message, class Type>
  bool ReadScalars(ProtoCursor& in, WireType type, const Field<Message, Type>& field,
                   Type& values) {
    using Element = typename Type::value_type;
    if (type == WireType::kVarint) {
      if (!TakeElement<Element>()) return Fail(field, kTooMany);
      values.push_back(ScalarOf<Element>(in.Varint()));
      return true;
    }
    if (type != WireType::kBytes) return Fail(field, WrongType(type, WireType::kVarint));
    ProtoCursor packed(in.Bytes());
    while (!packed.at_end()) {
      if (!TakeElement<Element>()) return Fail(field, kTooMany);
      values.push_back(ScalarOf<Element>(packed.Varint()));
    }
    return packed.failure().empty() || Fail(field, packed.failure());
  }

  /// Cut to the size of the type, as protobuf does it.
  template <class T>
  static T ScalarOf(std::uint64_t varint) {
    if constexpr (kIsEnum<T>) {
      T value;
      value.value = static_cast<std::int32_t>(varint);
      return value;
    } else if constexpr (std::is_same_v<T, bool>) {
      return varint != 0;
    } else {
      return static_cast<T>(varint);
    }
  }

  static std::string WrongType(WireType type, WireType expected) {
    return "wire type " + std::to_string(static_cast<int>(type)) + " instead of " +
           std::to_string(static_cast<int>(expected));
  }

  template <class Element>
  [[nodiscard]] bool TakeElement() {
    return budget_.Take(sizeof(Element));
  }

  static constexpr std::string_view kTooMany =
      "too many elements for the size of the request; send several";

  DecodeBudget budget_;
  std::string error_;
};

}  // namespace

template <class Message>
Result<Message> DecodeProto(std::string_view encoded) {
  ProtoReading reading(encoded.size());
  Message message;
  if (!reading.Read(encoded, 1, message)) return Status(Code::kInvalidArgument, reading.error());
  return message;
}

#define RAFTKV_DECODE_PROTO(Message) \
  template Result<Message> DecodeProto<Message>(std::string_view);
RAFTKV_ETCD_MESSAGES(RAFTKV_DECODE_PROTO)
RAFTKV_DECODE_PROTO(FileDescriptorProto)
#undef RAFTKV_DECODE_PROTO

}  // namespace raftkv::etcd
