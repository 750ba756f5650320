// Which keys does a verb that takes KEY, END, --prefix and --from-key name?
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include <raftkv/kv.h>

#include "cmd/flags.h"

namespace raftkv::cmd {

/// Names that contradict each other, each with whether it was given.
using Given = std::initializer_list<std::pair<const char*, bool>>;
/// "either A or B, not both" for the first two that were given; nullopt: at most one was.
std::optional<std::string> Contradiction(Given given);

struct RangeFlags {
  std::string key;
  Positional end;
  bool prefix = false;
  bool from_key = false;

  /// `verb_name`: what the verb does with the keys, for --help. This object must stay where it is
  /// from here on.
  void AddTo(CLI::App& verb, const std::string& verb_name);
  /// What is wrong with the flags, as a line to be printed; nullopt: nothing.
  [[nodiscard]] std::optional<std::string> Wrong() const;
  /// Just KEY is named.
  [[nodiscard]] bool IsSingle() const { return !prefix && !from_key && !end.given(); }
  [[nodiscard]] KeyRange range() const;
};

}  // namespace raftkv::cmd
