// Is a cluster of one, the embedded default, quick to serve, and safe from SIGKILL at any moment?
#include <algorithm>
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

TEST(SingleNode, SigkillBetweenAnyTwoWritesLosesNothing) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  constexpr int kRounds = 30;
  constexpr int kWritesARound = 5;
  std::chrono::milliseconds fastest = 1h;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const auto start = steady_clock::now();
    ASSERT_TRUE(cluster.Start(0));
    const auto client = cluster.Connect();
    // The first answer: everything before is there.
    const auto counter = client->kv().Get("counter");
    fastest = std::min(fastest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                    steady_clock::now() - start));
    if (round == 0) {
      EXPECT_EQ(counter.code(), Code::kNotFound) << counter.status().ToString();
    } else {
      ASSERT_TRUE(counter.ok()) << counter.status().ToString();
      EXPECT_EQ(counter->value, std::to_string(round * kWritesARound));
      const auto last = client->kv().Get("key" + std::to_string(round - 1));
      ASSERT_TRUE(last.ok()) << last.status().ToString();
      EXPECT_EQ(last->value, std::string(1000, 'x'));
    }
    const auto put = client->kv().Put("key" + std::to_string(round), std::string(1000, 'x'));
    ASSERT_TRUE(put.ok()) << put.status().ToString();
    for (int i = 0; i < kWritesARound; ++i) {
      const auto incremented = client->kv().Increment("counter", 1);
      ASSERT_TRUE(incremented.ok()) << incremented.status().ToString();
    }
    cluster.Kill(0);
  }
  // From the start of the process to the first linearizable answer. The fastest, since the machine
  // may have been busy otherwise.
  EXPECT_LT(fastest, 1s);
}

TEST(SingleNode, ListensWhereToldAndSaysWhere) {
  ProcessCluster cluster({.members = 1, .flags = {"--http", "127.0.0.1:0"}});
  ASSERT_TRUE(cluster.StartAll());
  const auto ready = cluster.process(0).WaitForLine("ready ", 1s);
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->find("ready name=n1 listen=" + cluster.address(0) + " http=127.0.0.1:"), 0U)
      << *ready;
  EXPECT_EQ(ready->find("http=127.0.0.1:0"), std::string::npos) << *ready;
}

}  // namespace
}  // namespace raftkv::test
