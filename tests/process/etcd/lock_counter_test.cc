// Do etcd's locks and elections keep mutual exclusion while leaders are killed?
//
// RAFTKV_ETCD_SECONDS sets for how long.
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/process/etcd/client_scripts.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(EtcdLocks, CountersGuardedByThemEndRightUnderLeaderKills) {
  EtcdCluster cluster(3, /*steady=*/false);
  ASSERT_TRUE(cluster.StartAll());
  const std::uint64_t seconds = NumberFromEnvironment("RAFTKV_ETCD_SECONDS", 20);
  ClientScript counters("lock_counter.py",
                        {"--endpoints", cluster.endpoints(), "--seconds", std::to_string(seconds)},
                        cluster.members().folder() / "counters");
  const auto begin = std::chrono::steady_clock::now();
  int kills = 0;
  while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(seconds)) {
    // Some calls between two kills; the script may have ended since something is wrong.
    if (WaitFor(1500ms, [&] { return !counters.Running(); })) break;
    const auto leader = cluster.members().WaitForLeader(30s);
    ASSERT_TRUE(leader.has_value()) << counters.Output();
    cluster.members().Kill(*leader);
    ++kills;
    ASSERT_TRUE(WaitFor(30s, [&] { return cluster.members().WaitForLeader(100ms).has_value(); }))
        << counters.Output();
    ASSERT_TRUE(cluster.members().Start(*leader));
  }
  EXPECT_EQ(counters.Wait(300s), 0) << counters.Output();
  EXPECT_NE(counters.Output().find("\"problems\": []"), std::string::npos) << counters.Output();
  EXPECT_GE(kills, 3);
}

}  // namespace
}  // namespace raftkv::test
