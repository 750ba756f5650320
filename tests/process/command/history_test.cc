// Does every member show the past that is kept, until it is compacted, also after a restart?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

class HistoryVerbs : public testing::Test {
 protected:
  HistoryVerbs() : cluster_({.members = 3, .flags = {}}) {}
  void SetUp() override { ASSERT_TRUE(cluster_.StartAll()); }

  void Expect(const std::vector<std::string>& arguments, const std::string& out,
              int exit_code = 0) {
    const RunResult result = cluster_.Cli(arguments);
    EXPECT_EQ(result.out, out) << testing::PrintToString(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
  }
  void ExpectError(const std::vector<std::string>& arguments, int exit_code,
                   const std::string& text) {
    const RunResult result = cluster_.Cli(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
  std::uint64_t Put(const std::string& key, const std::string& value) {
    const RunResult result = cluster_.Cli({"put", key, value, "-w", "json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const Json json = Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    return json.is_discarded() ? 0 : json["header"]["revision"].get<std::uint64_t>();
  }

  ProcessCluster cluster_;
};

TEST_F(HistoryVerbs, EveryMemberShowsThePast) {
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t second = Put("key", "two");
  Expect({"del", "key"}, "1\n");
  for (std::size_t member = 0; member < 3; ++member) {
    const std::string endpoint = cluster_.address(member);
    const auto get = [&](std::uint64_t revision) {
      return std::vector<std::string>{"get",         "key",   "--rev", std::to_string(revision),
                                      "--endpoints", endpoint};
    };
    Expect(get(first), "key\none\n");
    Expect(get(second), "key\ntwo\n");
    Expect(get(second + 1), "");
    Expect(get(first - 1), "");
    ExpectError(get(second + 2), 3, "future revision");
  }
}

TEST_F(HistoryVerbs, CompactedIsRefusedAlsoAfterARestart) {
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t second = Put("key", "two");
  Put("key", "three");
  Expect({"compact", std::to_string(second)},
         "compacted revision " + std::to_string(second) + "\n");
  ExpectError({"compact", std::to_string(second)}, 4, "compacted already");
  ExpectError({"compact", "1000000"}, 3, "future revision");
  ExpectError({"compact", "soon"}, 3, "is not a revision");
  for (int round = 0; round < 2; ++round) {
    ExpectError({"get", "key", "--rev", std::to_string(first)}, 4,
                "the lowest one that can be read is " + std::to_string(second));
    Expect({"get", "key", "--rev", std::to_string(second)}, "key\ntwo\n");
    Expect({"get", "key"}, "key\nthree\n");
    if (round > 0) break;
    for (std::size_t member = 0; member < 3; ++member) cluster_.Kill(member);
    ASSERT_TRUE(cluster_.StartAll());
  }
}

TEST_F(HistoryVerbs, SettingsAreThoseOfTheCluster) {
  Expect({"settings", "get"}, "event-bytes=32MiB\nhistory=10m\nhistory-bytes=256MiB\n");
  Expect({"settings", "set", "history=90s"}, "OK\n");
  for (std::size_t member = 0; member < 3; ++member) {
    Expect({"settings", "get", "history", "--endpoints", cluster_.address(member)},
           "history=90s\n");
  }
  ExpectError({"settings", "set", "histroy=1h"}, 3, "event-bytes, history, history-bytes");
  ExpectError({"settings", "set", "history=soon"}, 3, "10m or 2h");
  ExpectError({"settings", "set", "history"}, 3, "NAME=VALUE");
  ExpectError({"settings", "get", "histroy"}, 3, "there is no setting");
  const RunResult json = cluster_.Cli({"settings", "get", "history", "-w", "json"});
  EXPECT_NE(json.out.find(R"("settings":{"history":"90s"})"), std::string::npos) << json.out;
}

}  // namespace
}  // namespace raftkv::test
