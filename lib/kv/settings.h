// What can be set for a whole cluster, and what is it set to? (docs/data-model.md)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/engine.h"

namespace raftkv::kv {

struct Settings {
  /// For how long the past can be read.
  std::uint64_t history_ms = 10 * 60 * 1000;
  /// How much of it is kept at most, on the disk.
  std::uint64_t history_bytes = 256 << 20;
  /// How much memory a member uses for the newest events.
  std::uint64_t event_bytes = 32 << 20;
};

/// Sets the one that is called `name`, and returns its value as it is shown. InvalidArgument: there
/// is no such setting, or it cannot have that value; with what there is.
Result<std::string> ChangeSetting(std::string_view name, std::string_view value,
                                  Settings& settings);
/// All of them by name, as they are shown.
std::vector<std::pair<std::string, std::string>> ShowSettings(const Settings& settings);

/// The row of the engine that keeps a setting which was changed.
std::string SettingKey(std::string_view name);
/// What `view` has. Corruption, IOError, Unavailable.
Result<Settings> LoadSettings(View& view);

}  // namespace raftkv::kv
