// Does a member that is asked to stop do so quickly, with exit code 0, and come back whole?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(Sigterm, StopsOneMemberUnderLoadWithoutAFailedWrite) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    ASSERT_TRUE(workload.WaitForProgress(10, 20s));
    const auto leader = cluster.WaitForLeader(20s);
    ASSERT_TRUE(leader.has_value());
    EXPECT_EQ(cluster.Terminate(*leader, 5s), 0);
    ASSERT_TRUE(workload.WaitForProgress(5, 20s));
    ASSERT_TRUE(cluster.Start(*leader));
  }
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
}

TEST(Sigterm, OfAllAndARestartKeepsEverything) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  for (int i = 0; i < 20; ++i) {
    const RunResult put = cluster.Cli({"put", "key" + std::to_string(i), "value"});
    ASSERT_EQ(put.exit_code, 0) << put.err;
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(cluster.Terminate(i, 5s), 0) << i;
  ASSERT_TRUE(cluster.StartAll());
  EXPECT_EQ(cluster.Cli({"get", "key", "--prefix", "--count-only"}).out, "20\n");
  EXPECT_EQ(cluster.Cli({"get", "key7", "--print-value-only"}).out, "value\n");
}

TEST(Sigterm, SigintStopsAMemberThatStillWaitsForTheOthers) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.Start(0));
  cluster.process(0).Signal(SIGINT);
  EXPECT_EQ(cluster.process(0).WaitForExit(5s), 0);
}

}  // namespace
}  // namespace raftkv::test
