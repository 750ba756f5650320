// What kind of thing is a field of a message? (for what is generated from Fields())
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

/// How deep messages may be nested in one another when they are decoded, the outermost included.
/// protobuf's own default.
inline constexpr int kMaxMessageDepth = 100;

template <class T>
inline constexpr bool kIsEnum = false;
template <class Names>
inline constexpr bool kIsEnum<Enum<Names>> = true;

/// Repeated.
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

/// Absent or present, with has_value(), emplace() and *.
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsOptional<Nested<T>> = true;

template <class T>
inline constexpr bool kIsText = std::is_same_v<T, std::string>;
/// A number, a bool or an enum.
template <class T>
inline constexpr bool kIsScalar = std::is_arithmetic_v<T> || kIsEnum<T>;
template <class T>
inline constexpr bool kIsMessage = !kIsScalar<T> && !kIsText<T> && !kIsVector<T> && !kIsOptional<T>;

/// The fields of `Message`, known to the compiler.
template <class Message>
inline constexpr auto kFieldsOf = Message::Fields();

/// `visit(field)` for each field of `Message`, in order.
template <class Message, class Visit>
void ForEachField(const Visit& visit) {
  std::apply([&visit](const auto&... field) { (visit(field), ...); }, kFieldsOf<Message>);
}

/// True once `visit(field)` is for one of the fields of `Message`, which are asked in order.
template <class Message, class Visit>
bool AnyField(const Visit& visit) {
  return std::apply([&visit](const auto&... field) { return (visit(field) || ...); },
                    kFieldsOf<Message>);
}

/// Whether two fields are members of one oneof.
template <class FieldA, class FieldB>
constexpr bool ShareOneof(const FieldA& a, const FieldB& b) {
  return a.oneof != nullptr && b.oneof != nullptr && a.number != b.number &&
         std::string_view(a.oneof) == b.oneof;
}

/// What a decoder may spend on elements of repeated fields: some encodings of an element are far
/// smaller than the element itself ("{}" is a request with nothing in it), and what a client makes
/// us allocate is bounded by what it sends.
class DecodeBudget {
 public:
  explicit DecodeBudget(std::size_t encoded_bytes)
      : left_(kBaseBytes + kBytesPerEncodedByte * encoded_bytes) {}
  /// False: nothing was taken.
  [[nodiscard]] bool Take(std::size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

 private:
  static constexpr std::size_t kBaseBytes = 8 << 20;
  static constexpr std::size_t kBytesPerEncodedByte = 8;
  std::size_t left_;
};

}  // namespace raftkv::etcd
