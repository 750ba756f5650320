// Does a cluster answer what etcd's clients ask as etcd itself does?
//
// RAFTKV_ETCD_SEEDS and RAFTKV_ETCD_CALLS set how many random scripts are compared, and how long
// each is; RAFTKV_ETCD_FIRST_SEED the first of them.
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/process/etcd/client_scripts.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

// One random script against a new cluster and a new etcd.
void Compare(const std::string& script, std::uint64_t seed, std::uint64_t calls) {
  EtcdCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ClientScript comparison(script,
                          {"--endpoints", cluster.endpoints(), "--seed", std::to_string(seed),
                           "--calls", std::to_string(calls)},
                          cluster.members().folder() / "comparison");
  ASSERT_EQ(comparison.Wait(120s + calls * 100ms), 0) << "seed " << seed << comparison.Output();
  EXPECT_NE(comparison.Output().find("\nequal: "), std::string::npos) << comparison.Output();
  const auto statuses = cluster.members().WaitUntilEqual(60s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses[0].content_hash);
  }
}

void CompareAll(const std::string& script, std::uint64_t calls) {
  const std::uint64_t first = NumberFromEnvironment("RAFTKV_ETCD_FIRST_SEED", 1);
  const std::uint64_t seeds = NumberFromEnvironment("RAFTKV_ETCD_SEEDS", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Compare(script, seed, NumberFromEnvironment("RAFTKV_ETCD_CALLS", calls));
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(EtcdDifferential, ARandomScriptOverGrpcIsAnsweredAsByEtcd) {
  CompareAll("differential.py", 1000);
}

TEST(EtcdDifferential, TheJsonGatewayAnswersAsThatOfEtcdAndServesEtcd3gw) {
  CompareAll("gateway_differential.py", 300);
}

TEST(EtcdDifferential, TheReadyLineNamesTheAddressForEtcdClients) {
  EtcdCluster cluster(1);
  ASSERT_TRUE(cluster.StartAll());
  const auto ready = cluster.members().process(0).WaitForLine("ready ", 10s);
  ASSERT_TRUE(ready.has_value());
  EXPECT_NE(ready->find(" etcd=" + cluster.address(0)), std::string::npos) << *ready;
}

}  // namespace
}  // namespace raftkv::test
