// How do the log lines of `raftkv serve` look on stderr?
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <raftkv/node.h>

namespace raftkv::cmd {

/// trace, debug, info, warn, error or off.
std::optional<LogLevel> LogLevelOf(std::string_view name);

/// A sink for NodeOptions::log_sink: each line with its time and level, as text or as one JSON
/// object a line. Safe from any thread.
std::function<void(LogLevel, std::string_view)> NewLogSink(bool json, const std::string& name);

}  // namespace raftkv::cmd
