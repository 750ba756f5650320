#include "cmd/range_flags.h"

namespace raftkv::cmd {

std::optional<std::string> Contradiction(Given given) {
  const char* first = nullptr;
  for (const auto& [name, is_given] : given) {
    if (!is_given) continue;
    if (first != nullptr) return std::string("either ") + first + " or " + name + ", not both";
    first = name;
  }
  return std::nullopt;
}

void RangeFlags::AddTo(CLI::App& verb, const std::string& verb_name) {
  verb.add_option("KEY", key)->required();
  end.AddTo(verb, "END", "end of the range, exclusive");
  verb.add_flag("--prefix", prefix, verb_name + " all keys with the prefix KEY");
  verb.add_flag("--from-key", from_key, verb_name + " KEY and all keys after it");
}

std::optional<std::string> RangeFlags::Wrong() const {
  const auto contradiction =
      Contradiction({{"END", end.given()}, {"--prefix", prefix}, {"--from-key", from_key}});
  if (contradiction.has_value()) return contradiction;
  if (end.given() && end.text.empty()) return "END is empty; all keys from KEY on: --from-key";
  if (key.empty() && IsSingle()) return "KEY is empty; every key: \"\" --prefix";
  return std::nullopt;
}

KeyRange RangeFlags::range() const {
  if (prefix) return KeyRange::Prefix(key);
  if (from_key) return KeyRange::FromKey(key);
  return end.given() ? KeyRange{key, end.text} : KeyRange::Single(key);
}

}  // namespace raftkv::cmd
