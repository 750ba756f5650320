#include "cmd/log.h"

#include <array>
#include <memory>
#include <utility>

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

constexpr std::array<std::pair<std::string_view, LogLevel>, 6> kLevels = {
    {{"trace", LogLevel::kTrace},
     {"debug", LogLevel::kDebug},
     {"info", LogLevel::kInfo},
     {"warn", LogLevel::kWarn},
     {"error", LogLevel::kError},
     {"off", LogLevel::kOff}}};

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return spdlog::level::trace;
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kOff: return spdlog::level::off;
  }
  return spdlog::level::err;
}

}  // namespace

std::optional<LogLevel> LogLevelOf(std::string_view name) {
  for (const auto& [known, level] : kLevels) {
    if (known == name) return level;
  }
  return std::nullopt;
}

std::function<void(LogLevel, std::string_view)> NewLogSink(bool json, const std::string& name) {
  auto logger =
      std::make_shared<spdlog::logger>(name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::trace);  // the node leaves out what is below --log-level
  logger->flush_on(spdlog::level::trace);
  // UTC, so that lines of members in several places can be put side by side.
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
           : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
      spdlog::pattern_time_type::utc));
  return [logger, json, name](LogLevel level, std::string_view line) {
    if (!json) return logger->log(SpdlogLevel(level), "{}", line);
    const std::string object = Dump({{"name", name}, {"message", line}});
    // Without its braces: the formatter puts time and level into the same object.
    logger->log(SpdlogLevel(level), "{}", std::string_view(object).substr(1, object.size() - 2));
  };
}

}  // namespace raftkv::cmd
