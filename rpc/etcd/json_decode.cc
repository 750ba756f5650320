// How is a message read from JSON?
//
// As etcd's gateway does: a field by its name in the .proto file or in lowerCamelCase (which counts
// where both are there), numbers as such or as strings, bytes in base64, enums by name or number;
// null is the default value, unknown fields are ignored. Two members of one oneof are refused.
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rpc/etcd/base64.h"
#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/json.h"
#include "rpc/etcd/json_text.h"
#include "rpc/etcd/message_list.h"

namespace raftkv::etcd {
namespace {

/// "create_revision" -> "createRevision".
std::string JsonCamelCase(std::string_view name) {
  std::string out;
  bool upper = false;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return out;
}

/// Null: it is not there, or null itself.
const JsonValue* FindJsonMember(const JsonValue& object, const char* name) {
  auto found = object.find(JsonCamelCase(name));
  if (found == object.end()) found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

template <class Integer>
bool ParseJsonInteger(const std::string& text, Integer& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, value);
  return failed == std::errc() && stop == end;
}

/// Within the range of its type, and written without a fraction or exponent.
template <class Integer>
bool TakeJsonInteger(const JsonValue& from, Integer& value) {
  if (from.is_number_unsigned()) {
    const auto number = from.get<std::uint64_t>();
    value = static_cast<Integer>(number);
    return std::in_range<Integer>(number);
  }
  if (!from.is_number_integer()) return false;
  const auto number = from.get<std::int64_t>();
  value = static_cast<Integer>(number);
  return std::in_range<Integer>(number);
}

/// One text being decoded. The path to what was wrong is put together on the way back.
class JsonReading {
 public:
  explicit JsonReading(std::size_t encoded_bytes) : budget_(encoded_bytes) {}

  /// "success[0].request_put.key: ...".
  [[nodiscard]] std::string error() const { return path_.empty() ? why_ : path_ + ": " + why_; }

  template <class Message>
  bool ReadObject(const JsonValue& from, int depth, Message& message) {
    if (!from.is_object()) return Fail("an object is needed", from);
    bool good = true;
    const char* set = nullptr;  // of the oneof; no message here has two
    ForEachField<Message>([&](const auto& field) {
      const JsonValue* const value = good ? FindJsonMember(from, field.name) : nullptr;
      if (value == nullptr) return;
      if (field.oneof != nullptr && std::exchange(set, field.name) != nullptr) {
        why_ = "another member of the oneof " + std::string(field.oneof) + " is set too; set one";
        good = false;
      } else {
        good = ReadField(*value, depth, field, message);
      }
      if (!good) AddToPath(field.name);
    });
    return good;
  }

 private:
  bool Fail(std::string_view needed, const JsonValue& from) {
    why_ = std::string(needed) + ", not " +
           (from.is_string()                        ? QuoteText(from.get_ref<const std::string&>())
            : from.is_number() || from.is_boolean() ? from.dump()
                                                    : from.type_name());
    return false;
  }

  void AddToPath(std::string_view name) {
    const bool separate = !path_.empty() && path_.front() != '[';
    path_ = std::string(name) + (separate ? "." : "") + path_;
  }

  template <class Message, class Type>
  bool ReadField(const JsonValue& from, int depth, const Field<Message, Type>& field,
                 Message& message) {
    Type& value = message.*field.member;
    if constexpr (kIsOptional<Type>) {
      return ReadValue(from, depth, field.is_bytes, value.emplace());
    } else if constexpr (kIsVector<Type>) {
      return ReadArray(from, depth, field.is_bytes, value);
    } else {
      return ReadValue(from, depth, field.is_bytes, value);
    }
  }

  template <class Element>
  bool ReadArray(const JsonValue& from, int depth, bool is_bytes, std::vector<Element>& elements) {
    if (!from.is_array()) return Fail("an array is needed", from);
    for (const JsonValue& element : from) {
      if (!budget_.Take(sizeof(Element))) {
        why_ = "too many elements for the size of the request; send several";
        return false;
      }
      if (!ReadValue(element, depth, is_bytes, elements.emplace_back())) {
        AddToPath("[" + std::to_string(elements.size() - 1) + "]");
        return false;
      }
    }
    return true;
  }

  template <class T>
  bool ReadValue(const JsonValue& from, int depth, bool is_bytes, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = from.is_boolean() && from.get<bool>();
      return from.is_boolean() || Fail("true or false is needed", from);
    } else if constexpr (kIsEnum<T>) {
      return ReadEnum(from, value);
    } else if constexpr (kIsScalar<T>) {
      const bool good = from.is_string()
                            ? ParseJsonInteger(from.get_ref<const std::string&>(), value)
                            : TakeJsonInteger(from, value);
      return good || Fail(IntegerName<T>(), from);
    } else if constexpr (kIsText<T>) {
      return is_bytes ? ReadBytes(from, value) : ReadText(from, value);
    } else {
      if (depth < kMaxMessageDepth) return ReadObject(from, depth + 1, value);
      why_ = "nested deeper than " + std::to_string(kMaxMessageDepth) + " messages";
      return false;
    }
  }

  template <class Names>
  bool ReadEnum(const JsonValue& from, Enum<Names>& value) {
    if (!from.is_string()) {
      return TakeJsonInteger(from, value.value) ||
             Fail("a name or a 32-bit integer is needed", from);
    }
    const auto& name = from.get_ref<const std::string&>();
    for (std::int32_t i = 0; i < std::ssize(Names::kNames); ++i) {
      if (name != Names::kNames[i]) continue;
      value.value = i;
      return true;
    }
    why_ = "unknown value " + QuoteText(name) + " for enum " + Names::kType;
    return false;
  }

  bool ReadText(const JsonValue& from, std::string& value) {
    if (!from.is_string()) return Fail("a string is needed", from);
    value = from.get_ref<const std::string&>();
    return true;
  }

  bool ReadBytes(const JsonValue& from, std::string& value) {
    if (!from.is_string()) return Fail("a string of base64 is needed", from);
    std::optional<std::string> bytes = DecodeBase64(from.get_ref<const std::string&>());
    if (!bytes.has_value()) return Fail("base64 with its padding is needed", from);
    value = *std::move(bytes);
    return true;
  }

  template <class Integer>
  static constexpr std::string_view IntegerName() {
    if constexpr (std::is_signed_v<Integer>) {
      return sizeof(Integer) == 8 ? "a 64-bit integer is needed" : "a 32-bit integer is needed";
    } else {
      return sizeof(Integer) == 8 ? "a 64-bit integer without sign is needed"
                                  : "a 32-bit integer without sign is needed";
    }
  }

  DecodeBudget budget_;
  std::string path_;
  std::string why_;
};

}  // namespace

template <class Message>
Result<Message> DecodeJson(std::string_view encoded) {
  const Result<JsonValue> parsed = ParseJsonText(encoded);
  if (!parsed.ok()) return parsed.status();
  Message message;
  if (parsed->is_null()) return message;
  JsonReading reading(encoded.size());
  if (!reading.ReadObject(*parsed, 1, message)) {
    return Status(Code::kInvalidArgument, reading.error());
  }
  return message;
}

#define RAFTKV_DECODE_JSON(Message) template Result<Message> DecodeJson<Message>(std::string_view);
RAFTKV_ETCD_MESSAGES(RAFTKV_DECODE_JSON)
#undef RAFTKV_DECODE_JSON

}  // namespace raftkv::etcd
