// How is JSON read that may be anything, and written so that equal values are equal texts?
//
// Numbers stay what they are: 1 and 1.0 are two values, and an integer of any length keeps all of
// its digits. Strings must be Unicode, as JSON has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <raftkv/status.h>

namespace raftkv::cmd::maelstrom {

/// An integer beyond 64 bits is a binary value that holds its digits.
using Value = nlohmann::json;

/// Deeper values are refused: who writes them goes as deep into the stack.
inline constexpr std::size_t kMaxDepth = 512;

/// InvalidArgument says in a line what is wrong.
Result<Value> ParseJson(std::string_view text);
/// On one line, the keys of objects in order.
std::string ToText(const Value& value);

/// The field of an object; null: there is none.
const Value* Find(const Value& object, const char* field);
/// Nothing: it is absent, or no such value.
std::optional<std::string> FindString(const Value& object, const char* field);
std::optional<std::int64_t> FindInteger(const Value& object, const char* field);

}  // namespace raftkv::cmd::maelstrom
