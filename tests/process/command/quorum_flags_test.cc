// Which quorum rules and leases does `serve` take, are they in force, and which does it refuse?
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(QuorumFlags, UnsafeOnesAreRefused) {
  const TempFolder folder;
  const std::string three = "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3";
  const auto expect_refused = [&](std::vector<std::string> flags, const std::string& words) {
    flags.insert(flags.begin(), {"serve", "--name", "n1", "--data-dir", folder / "data"});
    const RunResult result = RunRaftkv(flags);
    EXPECT_EQ(result.exit_code, 128) << flags.back() << ": " << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
  };
  expect_refused({"--cluster", three, "--quorum", "flexible:1,2"}, "quorum");
  expect_refused({"--cluster", three, "--quorum", "flexible:3,1"}, "quorum");
  expect_refused({"--cluster", three, "--quorum", "flexible:4,3"}, "quorum");
  expect_refused({"--cluster", three, "--quorum", "flexible:2"}, "flexible:COMMIT,ELECTION");
  expect_refused({"--cluster", three, "--quorum", "most"}, "most");
  expect_refused({"--cluster", three, "--quorum", "zones"}, "zone");
  expect_refused({"--clock-error", "60%"}, "60%");
  expect_refused({"--clock-error", "10"}, "10%");
  expect_refused({"--lease-reads", "--election-timeout", "200ms", "--clock-error", "40%"}, "lease");
  expect_refused({"--join"}, "cluster list");
  expect_refused({"--join", "--cluster", "n1=127.0.0.1:1"}, "one of its members");
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

TEST(QuorumFlags, TwoOfFiveCommitWhereFourElect) {
  // Any two commit, so three of five may be gone; four elect.
  ProcessCluster cluster({.members = 5, .flags = {"--quorum", "flexible:2,4"}});
  ASSERT_TRUE(cluster.StartAll());
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  for (std::size_t i = 1; i <= 3; ++i) cluster.Kill((*leader + i) % 5);
  const RunResult put = cluster.Cli({"put", "key", "value"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
  cluster.Kill((*leader + 4) % 5);
  EXPECT_NE(cluster.Cli({"put", "key", "2", "--timeout", "2s"}).exit_code, 0);
}

TEST(QuorumFlags, EveryZoneMustAgree) {
  ProcessCluster cluster({.flags = {"--quorum", "zones"},
                          .member_flags = {{"--zone", "a"}, {"--zone", "b"}, {"--zone", "b"}}});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "1"}).exit_code, 0);
  EXPECT_NE(cluster.Cli({"member", "list", "-w", "json"}).out.find(R"("zone":"b")"),
            std::string::npos);
  // A majority is left, but not of zone b.
  cluster.Kill(2);
  EXPECT_NE(cluster.Cli({"put", "key", "2", "--timeout", "2s"}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(2));
  const RunResult put = cluster.Cli({"put", "key", "3", "--timeout", "20s"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
}

TEST(ReadFlags, LeasesFollowTheLeader) {
  ProcessCluster cluster({.flags = {"--lease-reads", "--clock-error", "10%"}});
  ASSERT_TRUE(cluster.StartAll());
  const std::vector<std::string> get = {
      "get", "key", "--print-value-only", "--consistency", "lease", "--timeout", "20s"};
  ASSERT_EQ(cluster.Cli({"put", "key", "1"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli(get).out, "1\n");
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  cluster.Kill(*leader);
  ASSERT_EQ(cluster.Cli({"put", "key", "2", "--timeout", "20s"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli(get).out, "2\n");
}

TEST(ReadFlags, ABoundedReadIsAnsweredWithoutTheOthersWhileItIsFreshEnough) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "1"}).exit_code, 0);
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t asked = (*leader + 1) % 3;
  const auto get = [&](const std::string& staleness, const std::string& timeout) {
    return cluster.Cli({"get", "key", "--print-value-only", "--consistency", "bounded",
                        "--max-staleness", staleness, "--timeout", timeout, "--endpoints",
                        cluster.address(asked)});
  };
  EXPECT_EQ(get("1ms", "20s").out, "1\n");
  cluster.Pause(*leader);
  cluster.Pause((*leader + 2) % 3);
  EXPECT_EQ(get("1h", "5s").out, "1\n");
  EXPECT_EQ(get("1ms", "1s").exit_code, 2) << "nobody can tell how fresh it is";
  cluster.Continue(*leader);
  cluster.Continue((*leader + 2) % 3);
}

}  // namespace
}  // namespace raftkv::test
