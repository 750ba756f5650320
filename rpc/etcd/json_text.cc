#include "rpc/etcd/json_text.h"

#include <algorithm>
#include <utility>

namespace raftkv::etcd {
namespace {

/// A parsed value takes up to a hundred bytes, its text maybe two: text like that is refused before
/// it is parsed. A member of an object is at least five bytes (`"":1,`), and of a request that is
/// meant a dozen.
constexpr std::size_t kMaxJsonValues = 100'000;
constexpr std::size_t kBytesPerJsonValue = 8;

Status CheckJsonBounds(std::string_view text) {
  std::size_t nesting = 0;
  std::size_t values = 1;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
      continue;
    }
    if (c == '{' || c == '[') {
      ++values;
      if (++nesting > kMaxJsonNesting) {
        return Status(Code::kInvalidArgument, "nested deeper than " +
                                                  std::to_string(kMaxJsonNesting) + ", at byte " +
                                                  std::to_string(i));
      }
    } else if (c == '}' || c == ']') {
      if (nesting > 0) --nesting;
    } else if (c == ',') {
      ++values;
    }
  }
  if (values <= kMaxJsonValues + text.size() / kBytesPerJsonValue) return Status::Ok();
  return Status(Code::kInvalidArgument,
                "too many values (" + std::to_string(values) + ") for its size; send several");
}

std::string PrintableText(std::string_view text, std::size_t max_bytes) {
  std::string out(text.substr(0, max_bytes));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  if (text.size() > max_bytes) out += "...";
  return out;
}

}  // namespace

std::string QuoteText(std::string_view text) {
  constexpr std::size_t kMaxQuotedBytes = 40;
  return '"' + PrintableText(text, kMaxQuotedBytes) + '"';
}

Result<JsonValue> ParseJsonText(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return JsonValue();
  if (Status bounded = CheckJsonBounds(text); !bounded.ok()) return bounded;
  try {
    return JsonValue::parse(text.begin(), text.end());
  } catch (const JsonValue::exception& error) {
    constexpr std::size_t kMaxWhyBytes = 200;
    std::string_view why = error.what();
    // Without its own name for the kind of error: "[json.exception.parse_error.101] ".
    if (const std::size_t end = why.find("] "); end != std::string_view::npos) {
      why.remove_prefix(end + 2);
    }
    return Status(Code::kInvalidArgument, "invalid JSON: " + PrintableText(why, kMaxWhyBytes));
  }
}

}  // namespace raftkv::etcd
