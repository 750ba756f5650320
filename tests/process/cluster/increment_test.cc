// Is each increment carried out once, although leaders are killed all the time?
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr int kClients = 8;

/// Each of them adds 1 again and again, one call at a time.
class Adders {
 public:
  Adders(ProcessCluster& cluster, int each) : cluster_(cluster), each_(each) {
    for (int client = 0; client < kClients; ++client) {
      threads_.emplace_back([this, client] { Add(client); });
    }
  }
  ~Adders() {
    stopped_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  [[nodiscard]] int added() const { return added_; }
  /// Calls that were not answered within their minute.
  [[nodiscard]] int failed() const { return failed_; }
  [[nodiscard]] bool done() const { return failed_ > 0 || added_ == kClients * each_; }

 private:
  void Add(int number) {
    const auto client = cluster_.Connect(static_cast<std::size_t>(number) % cluster_.size());
    for (int i = 0; i < each_ && !stopped_ && failed_ == 0; ++i) {
      ++(client->kv().Increment("counter", 1, {60s}).ok() ? added_ : failed_);
    }
  }

  ProcessCluster& cluster_;
  const int each_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> added_{0};
  std::atomic<int> failed_{0};
  std::vector<std::thread> threads_;
};

// The acceptance check in small: RAFTKV_INCREMENTS (of each client) makes it longer.
TEST(Increment, EachIsCarriedOutOnceWhileLeadersAreKilled) {
  const int each = NumberFromEnvironment("RAFTKV_INCREMENTS", 150);
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_TRUE(cluster.Connect()->kv().Put("counter", "0", {60s}).ok());
  Adders adders(cluster, each);
  int kills = 0;
  while (!adders.done()) {
    // The next one once this many more were added: at least six kills, however fast it goes.
    const int next = adders.added() + kClients * each / 6;
    WaitFor(1s, [&] { return adders.done() || adders.added() >= next; });
    if (adders.done()) break;
    const auto leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    cluster.Kill(*leader);
    ++kills;
    ASSERT_TRUE(cluster.Start(*leader));
  }
  EXPECT_EQ(adders.failed(), 0);
  EXPECT_GE(kills, 3);
  const auto counter = cluster.Connect()->kv().Get("counter", {60s});
  ASSERT_TRUE(counter.ok()) << counter.status().ToString();
  EXPECT_EQ(counter->value, std::to_string(kClients * each)) << kills << " kills";
  ASSERT_EQ(cluster.WaitUntilEqual(60s).size(), 3U);
  RecordProperty("kills", kills);
}

}  // namespace
}  // namespace raftkv::test
