// Does the leadership move without a write that is lost, doubled or late?
#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

TEST(Transfer, MovesUnderWritesAndLosesAndDoublesNone) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  ASSERT_TRUE(workload.WaitForProgress(10, 20s));
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const auto leader = cluster.WaitForLeader(20s);
    ASSERT_TRUE(leader.has_value());
    const std::size_t target = (*leader + 1) % 3;
    const RunResult move = cluster.Cli({"move-leader", cluster.name(target)});
    ASSERT_EQ(move.exit_code, 0) << move.err;
    EXPECT_EQ(move.out, "OK\n");
    EXPECT_EQ(cluster.WaitForLeader(20s), target);
    ASSERT_TRUE(workload.WaitForProgress(10, 20s));
  }
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  EXPECT_EQ(cluster.Cli({"get", "counter", "--print-value-only"}).out,
            std::to_string(workload.increments()) + "\n");
}

TEST(Transfer, OnlyToAVoter) {
  ProcessCluster cluster({.members = 2, .founders = 1, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  const RunResult move = cluster.Cli({"move-leader", "n2"});
  EXPECT_EQ(move.exit_code, 3) << move.err;
  EXPECT_NE(move.err.find("only a voter can lead"), std::string::npos) << move.err;
}

TEST(Transfer, SigtermHandsOverAndWritesHardlyWait) {
  // Without a hand-over the others would wait for an election timeout: 4 s at least.
  ProcessCluster cluster({.flags = {"--election-timeout", "4s", "--heartbeat", "200ms"}});
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(cluster.Start(i));
  const auto leader = cluster.WaitForLeader(60s);
  ASSERT_TRUE(leader.has_value());
  const auto client = cluster.Connect();
  std::atomic<bool> stop{false};
  std::atomic<int> acknowledged{0};
  steady_clock::duration longest{};
  std::string problem;
  std::thread writer([&] {
    while (!stop && problem.empty()) {
      const auto begun = steady_clock::now();
      const auto result = client->kv().Increment("counter", 1, {.timeout = 30s});
      longest = std::max(longest, steady_clock::now() - begun);
      if (!result.ok()) {
        problem = result.status().ToString();
      } else if (result->value != ++acknowledged) {
        problem = "incremented to " + std::to_string(result->value);
      }
    }
  });
  EXPECT_TRUE(WaitFor(20s, [&] { return acknowledged > 20; }));
  EXPECT_EQ(cluster.Terminate(*leader, 20s), 0);
  // It has followed another one before it went.
  const std::string log = cluster.process(*leader).Stderr();
  const auto led = log.rfind("role leader");
  EXPECT_TRUE(led != std::string::npos && log.find("role follower", led) != std::string::npos);
  const int before = acknowledged;
  EXPECT_TRUE(WaitFor(20s, [&] { return acknowledged > before + 20; }));
  stop = true;
  writer.join();
  EXPECT_EQ(problem, "");
  EXPECT_LT(longest, 2500ms);
  RecordProperty("longest_ms", static_cast<int>(longest / 1ms));
}

}  // namespace
}  // namespace raftkv::test
