// How does a Cap'n Proto message become Bytes without a copy?
//
// It is built in place, in a string that is as long as the message will be at most.
#pragma once

#include <string>
#include <utility>

#include <capnp/message.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"

namespace raftkv::kv {

inline constexpr std::size_t kWordBytes = sizeof(capnp::word);
/// Segment table and root pointer of a message of one segment.
inline constexpr std::size_t kMessageOverheadWords = 2;

inline constexpr std::size_t DataWords(std::size_t bytes) {
  return (bytes + kWordBytes - 1) / kWordBytes;
}
/// The tag of a list of structs; an empty list is left out.
inline constexpr std::size_t ListWords(std::size_t size) { return size == 0 ? 0 : 1; }
inline constexpr std::size_t TextWords(std::size_t bytes) { return DataWords(bytes + 1); }

inline capnp::Data::Reader ToData(std::string_view bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
inline capnp::Text::Reader ToText(const std::string& text) { return {text.c_str(), text.size()}; }
inline std::string_view FromData(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

/// `fill(capnp::MessageBuilder&)` builds the root. `words`: not below what it needs, without
/// kMessageOverheadWords.
template <class Fill>
Bytes BuildMessage(std::size_t words, const Fill& fill) {
  std::string bytes((words + kMessageOverheadWords) * kWordBytes, '\0');
  std::size_t used_words = 0;
  {
    // The root pointer's word belongs to the segment, the table's does not.
    capnp::FlatMessageBuilder builder(
        kj::arrayPtr(reinterpret_cast<capnp::word*>(bytes.data() + kWordBytes), words + 1));
    fill(builder);
    const auto segments = builder.getSegmentsForOutput();
    RAFTKV_CHECK(segments.size() == 1, segments.size());
    used_words = segments[0].size();
  }
  RAFTKV_CHECK(used_words <= words + 1, used_words, words);
  // The segment table, little-endian: number of segments less one, and the words of the segment.
  for (int i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(used_words >> (8 * i));
  bytes.resize((used_words + 1) * kWordBytes);
  return Bytes(std::move(bytes));
}

}  // namespace raftkv::kv
