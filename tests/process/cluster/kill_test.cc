// Is anything acknowledged lost when leader and followers are killed again and again?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr int kKills = 20;

void ExpectEverythingOn(ProcessCluster& cluster, std::size_t member, Workload& workload) {
  const auto client = cluster.ConnectOnlyTo(member);
  ReadOptions local;
  local.consistency = Consistency::kLocal;
  for (const auto& key : workload.keys()) {
    const auto found = client->kv().Get(key->key, local);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(found->value, std::to_string(key->acknowledged)) << key->key << " on " << member;
  }
  const auto counter = client->kv().Get("counter", local);
  ASSERT_TRUE(counter.ok()) << counter.status().ToString();
  EXPECT_EQ(counter->value, std::to_string(workload.increments())) << "on " << member;
}

TEST(Kill, TwentyTimesLosesNothingThatWasAcknowledged) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  ASSERT_TRUE(workload.WaitForProgress(10, 10s));
  for (int kill = 0; kill < kKills; ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    const auto leader = cluster.WaitForLeader(20s);
    ASSERT_TRUE(leader.has_value());
    // The leader, a follower, the leader, the other follower, ...
    const std::size_t victim = kill % 2 == 0 ? *leader : (*leader + 1 + kill / 2 % 2) % 3;
    cluster.Kill(victim);
    ASSERT_TRUE(workload.WaitForProgress(5, 20s)) << "no writes after the kill";
    ASSERT_TRUE(cluster.Start(victim));
    ASSERT_TRUE(workload.WaitForProgress(5, 20s)) << "no writes after the restart";
    ASSERT_EQ(workload.Problems(), std::vector<std::string>());
  }
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  EXPECT_GT(workload.reads(), 100U);

  const auto statuses = cluster.WaitUntilEqual(30s);
  ASSERT_EQ(statuses.size(), 3U) << "the members do not reach an equal index";
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    EXPECT_EQ(statuses[i].content_hash, statuses[0].content_hash) << cluster.name(i);
    EXPECT_FALSE(statuses[i].node.suspect) << cluster.name(i);
    ExpectEverythingOn(cluster, i, workload);
  }
}

TEST(Kill, AllAtOnceLosesNothingThatWasAcknowledged) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    ASSERT_TRUE(workload.WaitForProgress(20, 20s));
    for (std::size_t i = 0; i < cluster.size(); ++i) cluster.Kill(i);
    for (std::size_t i = 0; i < cluster.size(); ++i) ASSERT_TRUE(cluster.Start(i));
  }
  ASSERT_TRUE(workload.WaitForProgress(20, 20s));
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  ASSERT_EQ(cluster.WaitUntilEqual(30s).size(), 3U);
  for (std::size_t i = 0; i < cluster.size(); ++i) ExpectEverythingOn(cluster, i, workload);
}

}  // namespace
}  // namespace raftkv::test
