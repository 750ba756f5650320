// How is a JSON text from outside parsed with bounds?
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <raftkv/status.h>

namespace raftkv::etcd {

using JsonValue = nlohmann::json;

/// Arrays and objects in one another. A message takes at most two of them (it may be the element of
/// an array), so there is room for the deepest message and for unknown fields in it.
inline constexpr std::size_t kMaxJsonNesting = 256;

/// Null if there is nothing but space. InvalidArgument: it is no JSON, nested deeper than
/// kMaxJsonNesting, or has too many values for its size. The error is one short line.
Result<JsonValue> ParseJsonText(std::string_view text);

/// `text` as it can be quoted in an error: printable, and cut where it is long.
std::string QuoteText(std::string_view text);

}  // namespace raftkv::etcd
