// Does the cluster go on without the leader that was killed?
#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(Failover, AWriteThroughTheSurvivorsSucceeds) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "before", "1"}).exit_code, 0);
  const auto old_leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(old_leader.has_value());
  const auto old_status = cluster.Status(*old_leader);
  ASSERT_TRUE(old_status.ok()) << old_status.status().ToString();

  cluster.Kill(*old_leader);
  const RunResult put = cluster.Cli({"put", "after", "2"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(cluster.Cli({"get", "before", "--print-value-only"}).out, "1\n");
  EXPECT_EQ(cluster.Cli({"get", "after", "--print-value-only"}).out, "2\n");

  const auto new_leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(new_leader.has_value());
  EXPECT_NE(*new_leader, *old_leader);
  const auto new_status = cluster.Status(*new_leader);
  ASSERT_TRUE(new_status.ok()) << new_status.status().ToString();
  EXPECT_GT(new_status->node.term, old_status->node.term);
}

TEST(Failover, AKilledFollowerIsNotMissedAndCatchesUp) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t follower = (*leader + 1) % 3;
  cluster.Kill(follower);
  const auto client = cluster.Connect(*leader);
  for (int i = 0; i < 200; ++i) {
    const auto put = client->kv().Put("key" + std::to_string(i), "value");
    ASSERT_TRUE(put.ok()) << put.status().ToString();
  }
  const auto deleted = client->kv().Delete("key0");
  ASSERT_TRUE(deleted.ok()) << deleted.status().ToString();
  ASSERT_TRUE(cluster.Start(follower));
  const auto statuses = cluster.WaitUntilEqual(20s);
  ASSERT_EQ(statuses.size(), 3U);
  EXPECT_EQ(statuses[0].content_hash, statuses[1].content_hash);
  EXPECT_EQ(statuses[0].content_hash, statuses[2].content_hash);
  ReadOptions local;
  local.consistency = Consistency::kLocal;
  EXPECT_EQ(cluster.ConnectOnlyTo(follower)->kv().Get("key0", local).code(), Code::kNotFound);
  EXPECT_TRUE(cluster.ConnectOnlyTo(follower)->kv().Get("key199", local).ok());
}

}  // namespace
}  // namespace raftkv::test
