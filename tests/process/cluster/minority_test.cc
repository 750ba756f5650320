// What does one member of three do on its own? Refuse, in time, all but local reads.
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kSlack = 1500ms;

void ExpectAlone(ProcessCluster& cluster, std::size_t alone) {
  const RunResult put = cluster.Cli({"put", "key", "lost", "--timeout", "2s"});
  EXPECT_TRUE(put.exit_code == 2 || put.exit_code == 9) << put.exit_code << put.err;
  EXPECT_EQ(put.ErrorLines(), 1U) << put.err;
  EXPECT_EQ(put.out, "");
  EXPECT_LT(put.took, 2s + kSlack);

  const RunResult get = cluster.Cli({"get", "key", "--timeout", "2s"});
  EXPECT_EQ(get.exit_code, 2) << get.err;
  EXPECT_EQ(get.ErrorLines(), 1U) << get.err;
  EXPECT_EQ(get.out, "") << "a linearizable read was answered by a minority";
  EXPECT_LT(get.took, 2s + kSlack);

  const RunResult local = cluster.Cli({"get", "key", "--consistency", "local", "--print-value-only",
                                       "--endpoints", cluster.address(alone)});
  EXPECT_EQ(local.exit_code, 0) << local.err;
  EXPECT_EQ(local.out, "before\n");

  const RunResult health = cluster.Cli({"endpoint", "health", "--timeout", "1s"});
  EXPECT_EQ(health.exit_code, 5) << health.out << health.err;
  EXPECT_EQ(health.ErrorLines(), 1U) << health.err;
}

TEST(Minority, CannotCommitAndSaysSoInTime) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  for (const bool keep_leader : {true, false}) {
    SCOPED_TRACE(keep_leader ? "the leader alone" : "a follower alone");
    ASSERT_EQ(cluster.Cli({"put", "key", "before"}).exit_code, 0);
    ASSERT_EQ(cluster.WaitUntilEqual(10s).size(), 3U);
    const auto leader = cluster.WaitForLeader(10s);
    ASSERT_TRUE(leader.has_value());
    const std::size_t alone = keep_leader ? *leader : (*leader + 1) % 3;
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != alone) cluster.Kill(i);
    }
    ExpectAlone(cluster, alone);
    for (std::size_t i = 0; i < 3; ++i) {
      if (i == alone) continue;
      ASSERT_TRUE(cluster.Start(i));
    }
    const RunResult put = cluster.Cli({"put", "key", "after", "--timeout", "20s"});
    EXPECT_EQ(put.exit_code, 0) << put.err;
    EXPECT_EQ(cluster.Cli({"get", "key", "--print-value-only"}).out, "after\n");
    ASSERT_TRUE(cluster.WaitForLeader(20s).has_value());
    EXPECT_EQ(cluster.Cli({"endpoint", "health"}).exit_code, 0);
  }
}

}  // namespace
}  // namespace raftkv::test
