// Has each write of a cluster of real processes a revision of its own, also where many share a
// request, and over changes of the leader?
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kCalls = 64;

/// Puts kCalls keys at once; the revisions that the calls were told.
std::vector<std::uint64_t> PutAtOnce(KV& kv, const std::string& prefix) {
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t open = kCalls;
  std::vector<std::uint64_t> revisions(kCalls);
  for (std::size_t i = 0; i < kCalls; ++i) {
    kv.PutAsync(prefix + std::to_string(100 + i), "v", {60s}, [&, i](const Result<WriteResult>& r) {
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(r.ok()) << r.status().ToString();
      if (r.ok()) revisions[i] = r->revision;
      if (--open == 0) ended.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(ended.wait_for(lock, 90s, [&] { return open == 0; }));
  return revisions;
}

// Known bug 49: two writes share a revision.
TEST(Revision, PutsThatAreGatheredHaveOneEachAlsoOverChangesOfTheLeader) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  KV& kv = client->kv();
  std::set<std::uint64_t> all;
  std::uint64_t last = 0;
  for (int round = 0; round < 3; ++round) {
    const std::string prefix = "round" + std::to_string(round) + "/";
    const std::vector<std::uint64_t> told = PutAtOnce(kv, prefix);
    EXPECT_GT(*std::min_element(told.begin(), told.end()), last) << "of calls that began later";
    last = *std::max_element(told.begin(), told.end());
    all.insert(told.begin(), told.end());
    const auto found = kv.ScanAll(KeyRange::Prefix(prefix), {});
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    ASSERT_EQ(found->kvs.size(), kCalls);
    EXPECT_EQ(found->revision, last);
    for (std::size_t i = 0; i < kCalls; ++i) {
      EXPECT_EQ(found->kvs[i].mod_revision, told[i]);
      EXPECT_EQ(found->kvs[i].create_revision, told[i]);
      EXPECT_EQ(found->kvs[i].version, 1U);
    }
    const auto leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    cluster.Kill(*leader);
    ASSERT_TRUE(cluster.Start(*leader));
    ASSERT_TRUE(cluster.WaitForLeader(60s).has_value());
  }
  EXPECT_EQ(all.size(), 3 * kCalls);
  EXPECT_EQ(last, 1 + 3 * kCalls) << "nothing else has taken one";
  const auto equal = cluster.WaitUntilEqual(60s);
  ASSERT_EQ(equal.size(), 3U);
  for (const EndpointStatus& member : equal) {
    EXPECT_EQ(member.node.revision, last);
    EXPECT_EQ(member.node.compacted_revision, 0U);
    EXPECT_LT(member.node.applied_index, last) << "many calls shared an entry";
  }
}

TEST(Revision, ACallThatChangesNothingIsToldWhatItSaw) {
  ProcessCluster cluster({.members = 1});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  KV& kv = client->kv();
  EXPECT_EQ(kv.Delete("none")->revision, 1U);
  EXPECT_EQ(kv.Put("a", "1")->revision, 2U);
  EXPECT_EQ(kv.Increment("n", 5)->revision, 3U);
  EXPECT_EQ(kv.Delete("none")->revision, 3U);
  EXPECT_EQ(kv.DeleteRange({"x", "z"})->revision, 3U);
  EXPECT_EQ(kv.CompareAndSwap("a", "no", "2").code(), Code::kCompareFailed);
  EXPECT_EQ(kv.CompareAndSwap("a", "1", "2")->revision, 4U);
  EXPECT_EQ(kv.Write(Batch().Put("b", "1").Put("c", "1").Delete("a"))->revision, 5U);
  EXPECT_EQ(kv.Write(Batch().Delete("a").Delete("none"))->revision, 5U);
  EXPECT_EQ(kv.DeleteRange({"", ""})->revision, 6U);
  EXPECT_EQ(kv.Scan({"", ""})->revision, 6U);
  EXPECT_EQ(kv.Put("a", "3")->revision, 7U);
  const auto again = kv.Get("a");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->create_revision, 7U);
  EXPECT_EQ(again->version, 1U);
}

}  // namespace
}  // namespace raftkv::test
