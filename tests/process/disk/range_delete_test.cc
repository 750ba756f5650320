// Is a range of many keys deleted alike by all members, also by one that is killed meanwhile, and
// does it stay deleted?
#include <chrono>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 120s;
constexpr int kKeys = 30'000;

WriteOptions Patient() {
  WriteOptions options;
  options.timeout = kPatience;
  return options;
}

void Fill(KV& kv, const std::string& prefix) {
  for (int i = 0; i < kKeys;) {
    Batch batch;
    for (int n = 0; n < 1000; ++n, ++i) batch.Put(prefix + std::to_string(100'000 + i), "value");
    const auto written = kv.Write(std::move(batch), Patient());
    ASSERT_TRUE(written.ok()) << written.status().ToString();
  }
}

TEST(RangeDelete, AllMembersAgreeAlsoOneThatWasKilledMeanwhile) {
  ProcessCluster cluster({.members = 3, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const auto leader = cluster.WaitForLeader(kPatience);
  ASSERT_TRUE(leader.has_value());
  const std::size_t follower = (*leader + 1) % 3;
  const auto client = cluster.Connect();
  Fill(client->kv(), "kept/");
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Fill(client->kv(), "range/");
    auto deletion = std::async(std::launch::async, [&] {
      return client->kv().DeleteRange(KeyRange::Prefix("range/"), Patient());
    });
    cluster.Kill(follower);
    const auto deleted = deletion.get();
    ASSERT_TRUE(deleted.ok()) << deleted.status().ToString();
    EXPECT_EQ(deleted->deleted, static_cast<std::uint64_t>(kKeys));
    ASSERT_TRUE(client->kv().Put("range/again", std::to_string(round), Patient()).ok());
    ASSERT_TRUE(cluster.Start(follower));
    EXPECT_EQ(cluster.WaitUntilEqual(kPatience).size(), 3U) << "the hashes differ";
    const RunResult count = cluster.Cli({"get", "range/", "--prefix", "--count-only"});
    EXPECT_EQ(count.out, "1\n") << count.err;
    const RunResult again = cluster.Cli({"del", "range/", "--prefix"});
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.out, "1\n");
  }
  const RunResult kept = cluster.Cli({"get", "kept/", "--prefix", "--count-only"});
  EXPECT_EQ(kept.out, std::to_string(kKeys) + "\n") << kept.err;
}

}  // namespace
}  // namespace raftkv::test
