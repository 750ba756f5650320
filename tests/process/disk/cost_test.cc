// What does a write cost? One sync of the log on the leader, one on each follower, shared by what
// is concurrent; and one encoding, by the client.
#include <atomic>

#include <gtest/gtest.h>

#include "tests/process/cluster/embedded_cluster.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

class Cost : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.OpenAll().ok());
    ASSERT_TRUE(cluster_.node(0).kv().Put("first", "opens the session").ok());
    Settle();
  }

  /// Until all members have applied the same.
  void Settle() {
    ASSERT_TRUE(WaitFor(std::chrono::seconds(20), [&] {
      const std::uint64_t applied = cluster_.node(0).status().applied_index;
      return cluster_.node(0).status().log_last_index == applied &&
             cluster_.node(1).status().applied_index == applied &&
             cluster_.node(2).status().applied_index == applied;
    }));
  }

  std::vector<std::uint64_t> Syncs() {
    return {cluster_.SyncCount(0), cluster_.SyncCount(1), cluster_.SyncCount(2)};
  }

  EmbeddedCluster cluster_{3, 7, true};
};

TEST_F(Cost, AWriteCostsOneSyncOnEachMemberAndNotMore) {
  constexpr std::uint64_t kWrites = 50;
  const auto before = Syncs();
  for (std::uint64_t i = 0; i < kWrites; ++i) {
    ASSERT_TRUE(cluster_.node(0).kv().Put("k", std::to_string(i)).ok());
  }
  Settle();
  const auto after = Syncs();
  std::uint64_t sum = 0;
  for (std::size_t member = 0; member < 3; ++member) {
    EXPECT_LE(after[member] - before[member], kWrites) << "member " << member + 1;
    sum += after[member] - before[member];
  }
  // Each write was acknowledged before the next began, so two members had synced it by then; the
  // third may have been late and taken two writes with one sync.
  EXPECT_GE(sum, 2 * kWrites);
}

TEST_F(Cost, ConcurrentWritesShareSyncs) {
  constexpr std::uint64_t kWrites = 1000;
  const auto before = Syncs();
  std::atomic<std::uint64_t> done{0};
  for (std::uint64_t i = 0; i < kWrites; ++i) {
    cluster_.node(0).kv().PutAsync("k" + std::to_string(i), "v", {},
                                   [&](const Result<WriteResult>& put) { done += put.ok(); });
  }
  ASSERT_TRUE(WaitFor(std::chrono::seconds(20), [&] { return done == kWrites; }));
  Settle();
  const auto after = Syncs();
  for (std::size_t member = 0; member < 3; ++member) {
    EXPECT_LE(after[member] - before[member], kWrites / 10) << "member " << member + 1;
  }
}

TEST_F(Cost, ReadsCostNoSync) {
  const auto before = Syncs();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(cluster_.node(i % 3).kv().Get("first").ok());
  }
  EXPECT_EQ(Syncs(), before);
}

}  // namespace
}  // namespace raftkv::test
