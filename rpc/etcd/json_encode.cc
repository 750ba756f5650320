// How is a message written as JSON?
//
// As etcd's gateway does: the field names of the .proto files, numbers of 64 bits and bytes as
// strings, enums by name, and nothing where a field has its default value.
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "rpc/etcd/base64.h"
#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/json.h"
#include "rpc/etcd/json_text.h"
#include "rpc/etcd/message_list.h"

namespace raftkv::etcd {
namespace {

template <class Integer>
void AppendJsonNumber(Integer number, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  out.append(digits, end);
}

/// What is not UTF-8 in it is replaced.
void AppendJsonText(const std::string& text, std::string& out) {
  out += JsonValue(text).dump(-1, ' ', false, JsonValue::error_handler_t::replace);
}

template <class Names>
void AppendJsonEnum(Enum<Names> value, std::string& out) {
  if (value.value < 0 || value.value >= std::ssize(Names::kNames)) {
    return AppendJsonNumber(value.value, out);
  }
  out.append("\"").append(Names::kNames[value.value]).append("\"");
}

template <class Message>
void AppendJsonObject(const Message& message, std::string& out);

template <class T>
void AppendJson(const T& value, bool is_bytes, std::string& out) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (kIsEnum<T>) {
    AppendJsonEnum(value, out);
  } else if constexpr (kIsScalar<T>) {
    const std::string_view quote = sizeof(T) == 8 ? "\"" : "";
    out += quote;
    AppendJsonNumber(value, out);
    out += quote;
  } else if constexpr (kIsText<T>) {
    if (!is_bytes) return AppendJsonText(value, out);
    out += '"';
    AppendBase64(value, out);
    out += '"';
  } else if constexpr (kIsVector<T>) {
    const std::size_t begin = out.size();
    for (const auto& element : value) {
      out += out.size() == begin ? '[' : ',';
      AppendJson(element, is_bytes, out);
    }
    out += ']';
  } else {
    AppendJsonObject(value, out);
  }
}

template <class T>
bool LeftOutOfJson(const T& value) {
  if constexpr (kIsOptional<T>) {
    return !value.has_value();
  } else if constexpr (kIsScalar<T>) {
    return value == T{};
  } else {
    return value.empty();
  }
}

template <class Message>
void AppendJsonObject(const Message& message, std::string& out) {
  out += '{';
  const std::size_t begin = out.size();
  ForEachField<Message>([&](const auto& field) {
    const auto& value = message.*field.member;
    if (LeftOutOfJson(value)) return;
    if (out.size() != begin) out += ',';
    out.append("\"").append(field.name).append("\":");
    if constexpr (kIsOptional<std::decay_t<decltype(value)>>) {
      AppendJson(*value, field.is_bytes, out);
    } else {
      AppendJson(value, field.is_bytes, out);
    }
  });
  out += '}';
}

}  // namespace

template <class Message>
std::string EncodeJson(const Message& message) {
  std::string out;
  AppendJsonObject(message, out);
  return out;
}

#define RAFTKV_ENCODE_JSON(Message) template std::string EncodeJson<Message>(const Message&);
RAFTKV_ETCD_MESSAGES(RAFTKV_ENCODE_JSON)
#undef RAFTKV_ENCODE_JSON

}  // namespace raftkv::etcd
