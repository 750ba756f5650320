// JSON from Maelstrom: what is taken is written as a text that is taken as the same, and is no
// deeper than was asked for.
#include "cmd/maelstrom/json.h"
#include "tests/fuzz/fuzz.h"

RAFTKV_FUZZ_TARGET(json) {
  const Result<cmd::maelstrom::Value> value = cmd::maelstrom::ParseJson(input);
  if (!value.ok()) return CheckRefusal(value.status(), {Code::kInvalidArgument});
  const std::string text = cmd::maelstrom::ToText(*value);
  RAFTKV_CHECK(text.find('\n') == std::string::npos);
  const Result<cmd::maelstrom::Value> again = cmd::maelstrom::ParseJson(text);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(cmd::maelstrom::ToText(*again) == text);
}
