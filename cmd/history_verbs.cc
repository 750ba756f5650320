// The verbs for how much of the past is kept: compact, settings.
#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

Exit RunCompact(const ClientFlags& flags, const std::string& text) {
  std::uint64_t revision = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, revision);
  if (error != std::errc() || rest != end) {
    return Fail(Exit::kBadInput, fmt::format("REV: '{}' is not a revision", text));
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto result = (*client)->kv().Compact(revision, {flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"RESULT", fmt::format("compacted revision {}", revision), {{"compacted", revision}}},
              (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

Exit RunSettingsSet(const ClientFlags& flags, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    return Fail(Exit::kBadInput,
                fmt::format("'{}' is not NAME=VALUE, such as history=10m", assignment));
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto result = (*client)->kv().ChangeSetting(
      assignment.substr(0, equals), assignment.substr(equals + 1), {flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"RESULT", "OK"}, (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

Exit RunSettingsGet(const ClientFlags& flags, const std::string& name) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  ReadOptions options;
  options.timeout = flags.timeout.value;
  const auto settings = (*client)->kv().GetSettings(options);
  if (!settings.ok()) return Fail(settings.status());
  std::vector<std::vector<std::string>> rows;
  Json shown = Json::object();
  for (const auto& [key, value] : settings->values) {
    if (!name.empty() && key != name) continue;
    rows.push_back({key, value});
    shown[key] = value;
  }
  if (rows.empty()) return Fail(Exit::kBadInput, fmt::format("there is no setting '{}'", name));
  switch (flags.format()) {
    case Format::kSimple:
      for (const auto& row : rows) PrintLine(row[0] + "=" + row[1]);
      break;
    case Format::kJson:
      PrintLine(Dump({{"header", HeaderJson((*client)->LastHeader(), settings->revision)},
                      {"settings", std::move(shown)}}));
      break;
    case Format::kTable: PrintTable({"SETTING", "VALUE"}, rows); break;
  }
  return FinishOutput();
}

}  // namespace

void AddHistoryVerbs(Program& program) {
  const ClientFlags& client = program.client;

  auto revision = std::make_shared<std::string>();
  CLI::App* verb = program.AddClientVerb(
      program.app, "compact", "let the past below a revision go; it remains readable itself");
  verb->add_option("REV", *revision)->required();
  verb->callback([&program, &client, revision] {
    program.run = [&client, revision] { return RunCompact(client, *revision); };
  });

  CLI::App* settings = program.AddClientVerb(
      program.app, "settings", "settings of the cluster: history, history-bytes, event-bytes");
  settings->require_subcommand(1);

  auto name = std::make_shared<std::string>();
  verb = program.AddClientVerb(*settings, "get", "print one setting, or all");
  verb->add_option("NAME", *name);
  verb->callback([&program, &client, name] {
    program.run = [&client, name] { return RunSettingsGet(client, *name); };
  });

  auto assignment = std::make_shared<std::string>();
  verb = program.AddClientVerb(*settings, "set", "change a setting");
  verb->add_option("NAME=VALUE", *assignment)->required();
  verb->callback([&program, &client, assignment] {
    program.run = [&client, assignment] { return RunSettingsSet(client, *assignment); };
  });
}

}  // namespace raftkv::cmd
