// Where may the flags of `serve` come from, and which source wins?
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

// What `serve` says when it is ready; its error if it is not.
std::string Ready(const TempFolder& folder, std::vector<std::string> arguments,
                  const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), {RAFTKV_BINARY, "serve"});
  Process process({.command = std::move(arguments),
                   .environment = environment,
                   .stdin_content = {},
                   .stdout_path = folder.path() / "stdout",
                   .stderr_path = folder.path() / "stderr"});
  const auto ready = process.WaitForLine("ready ", 10s);
  if (ready) return *ready;
  return std::to_string(process.WaitForExit(5s).value_or(-1)) + " " + process.Stderr();
}

TEST(Config, AFileTheEnvironmentAndTheCommandLine) {
  const TempFolder folder;
  const std::string file = folder / "raftkv.toml";
  WriteFile(file, "# a member\nname = \"from-file\"\ndata-dir = \"" + (folder / "the data") +
                      "\"\nlisten = \"127.0.0.1:0\"\nelection-timeout = \"500ms\"\n");
  EXPECT_EQ(Ready(folder, {"--config", file}).find("ready name=from-file listen=127.0.0.1:"), 0U)
      << Ready(folder, {"--config", file});
  const std::string data = folder / "other";
  EXPECT_EQ(
      Ready(
          folder, {},
          {{"RAFTKV_CONFIG", file}, {"RAFTKV_NAME", "from-environment"}, {"RAFTKV_DATA_DIR", data}})
          .find("ready name=from-environment "),
      0U);
  EXPECT_EQ(Ready(folder, {"--config", file, "--name", "from-flag", "--data-dir", folder / "third"},
                  {{"RAFTKV_NAME", "from-environment"}})
                .find("ready name=from-flag "),
            0U);
}

TEST(Config, AllOfTomlIsUnderstood) {
  const TempFolder folder;
  const std::string file = folder / "raftkv.toml";
  WriteFile(file,
            "name = \"a # no comment \\u00e9\\\\\" # one\n"
            "data-dir = '" +
                (folder / "the # data") +
                "'\n"
                "listen = \"127.0.0.1:0\"\n"
                "cluster = [\n  \"a # no comment \\u00e9\\\\=127.0.0.1:4511\", # the first\n]\n"
                "advertise = \"\"\"127.0.0.1:4511\"\"\"\n"
                "log-keep-entries = 1_000\n\"log-keep-bytes\" = 0x10_0000\n"
                "disk-reserve = \"0\"\nlease-reads = false\n");
  EXPECT_EQ(Ready(folder, {"--config", file}).find("ready name=a # no comment \u00e9\\ listen="),
            0U)
      << Ready(folder, {"--config", file});
  // A pipe serves too.
  Process process(
      {.command = {"/bin/bash", "-c",
                   std::string("exec ") + RAFTKV_BINARY + " serve --config <(cat " + file + ")"},
       .environment = {},
       .stdin_content = {},
       .stdout_path = folder.path() / "stdout",
       .stderr_path = folder.path() / "stderr"});
  EXPECT_TRUE(process.WaitForLine("ready ", 20s)) << process.Stderr();
}

TEST(Config, WhatIsWrongIsNamedWithItsLine) {
  const TempFolder folder;
  const std::string file = folder / "raftkv.toml";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"no-such-flag = 1", "line 3: 'no-such-flag' is not a flag of raftkv serve"},
      {"config = \"x\"", "line 3: 'config' is not a flag"},
      {"zone = 1", "line 3: 'zone' takes a string in quotes"},
      {"zone = true", "line 3: 'zone' takes a string in quotes"},
      {"zone = 1979-05-27", "line 3: 'zone' takes a string in quotes"},
      {"zone = [\"a\", \"b\"]", "line 3: 'zone' takes one value"},
      {"zone = \"a\\u0000b\"", "line 3: 'zone' has a zero byte"},
      {"zone = unquoted", "line 3: "},
      {"zone = \"a", "line 3: "},
      {"zone = \"\\q\"", "line 3: "},
      {"zone = \"a\" x", "line 3: "},
      {"name = \"twice\"", "line 3: "},
      {"log-keep-entries = -1", "line 3: "},
      {"log-keep-entries = 1.5", "line 3: 'log-keep-entries' takes"},
      {"log-keep-entries = 0100", "line 3: "},
      {"log-keep-entries = 99999999999999999999", "line 3: "},
      {"election-timeout = 500", "line 3: "},
      {"election-timeout = 500ms", "line 3: "},
      {"join = \"maybe\"", "line 3: "},
      {"join = 1", "line 3: "},
      {"cluster = []", "line 3: 'cluster' has no value"},
      {"cluster = [\"a=h:1,b=h:2\"]", "line 3: each element of 'cluster'"},
      {"cluster = [1]", "line 3: each element of 'cluster'"},
      {"a.b = 1", "line 3: section [a]"},
      {"[serve]\nzone = \"x\"", "line 3: section [serve]"},
  };
  for (const auto& [line, words] : cases) {
    WriteFile(file, "name = \"a\"\n\n" + line + "\n");
    const RunResult run = RunRaftkv({"serve", "--data-dir", folder / "data", "--config", file},
                                    {.environment = {}, .stdin_content = {}, .timeout = 20s});
    EXPECT_EQ(run.exit_code, 128) << line << run.err;
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
    EXPECT_NE(run.err.find(file + ": " + words), std::string::npos) << line << "\n" << run.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

TEST(Config, LogLinesAsJson) {
  const TempFolder folder;
  Process process({.command = {RAFTKV_BINARY, "serve", "--data-dir", folder / "data", "--listen",
                               "127.0.0.1:0", "--log-format", "json"},
                   .environment = {},
                   .stdin_content = {},
                   .stdout_path = folder.path() / "stdout",
                   .stderr_path = folder.path() / "stderr"});
  // It says that it leads, at the latest.
  ASSERT_TRUE(process.WaitForStderr("}\n", 10s)) << process.Stderr();
  const std::string log = process.Stderr();
  const auto line = nlohmann::json::parse(log.substr(0, log.find('\n')), nullptr, false);
  EXPECT_EQ(line.value("level", ""), "info") << log;
  EXPECT_EQ(line.value("name", ""), "default") << log;
  EXPECT_EQ(line.value("time", "").size(), std::string("2026-01-01T00:00:00.000Z").size()) << log;
  EXPECT_NE(line.value("message", ""), "") << log;
}

TEST(Config, ABadFileIsOneLineAndExitCode128) {
  const TempFolder folder;
  const std::string file = folder / "raftkv.toml";
  for (const std::string& content :
       {std::string("no-such-flag = 1\n"), std::string("garbage\n"),
        std::string("[serve]\nname = \"x\"\n"), std::string("name = \"a\"\nname = \"b\"\n"),
        std::string("election-timeout = \"soon\"\n"), std::string("log-level = 'loud'\n"),
        std::string("name =\n"), std::string("\xff\xfe\0\x01 = 2\n", 9)}) {
    WriteFile(file, content);
    const RunResult result = RunRaftkv({"serve", "--data-dir", folder / "data", "--config", file},
                                       {.environment = {}, .stdin_content = {}, .timeout = 10s});
    EXPECT_EQ(result.exit_code, 128) << content << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
  }
  const RunResult missing = RunRaftkv({"serve", "--config", folder / "nothing.toml"});
  EXPECT_EQ(missing.exit_code, 128) << missing.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

}  // namespace
}  // namespace raftkv::test
