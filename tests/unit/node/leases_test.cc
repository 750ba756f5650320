// Do leases end by themselves, in time and never early, whatever becomes of the leader?
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

class NodeLeases : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& names) {
    for (const std::string& name : names) world_.Start(name, names);
    ASSERT_TRUE(world_.Put("n1", "free", "v"));
  }
  /// In one request at the leader, of a session of its own; what each was answered.
  std::vector<kv::OperationResult> Do(const std::vector<kv::Operation>& operations) {
    WorldMember* const leader = world_.Leader();
    if (leader == nullptr) return {};
    // Far from those of NodeWorld::Put.
    const kv::RequestHeader header{1'000'000 + ++sessions_, leader->member().replicated_time_ms(),
                                   1, 1};
    auto outcome = std::make_shared<std::optional<node::SubmitOutcome>>();
    leader->member().Submit(kv::EncodeRequest(header, operations), world_.now() + seconds(5),
                            [outcome](node::SubmitOutcome o) { *outcome = std::move(o); });
    EXPECT_TRUE(world_.RunUntil([&] { return outcome->has_value(); }, seconds(6)));
    if (!outcome->has_value() || !(*outcome)->status.ok()) return {};
    const auto response = kv::DecodeResponse((*outcome)->response.view(), operations.size());
    return response.ok() ? response->results : std::vector<kv::OperationResult>();
  }
  void GrantWithKey(std::uint64_t ttl_ms) {
    const auto results = Do({kv::GrantLeaseOp{1, ttl_ms}, kv::PutOp{"leased", "v", false, 1}});
    ASSERT_EQ(results.size(), 2U);
    ASSERT_EQ(results[0].code, Code::kOk) << results[0].message;
    ASSERT_EQ(results[1].code, Code::kOk) << results[1].message;
  }
  std::size_t LeasesAt(const std::string& name) { return world_.Find(name)->leases().count; }
  bool RunUntilNone(const std::string& name, Duration limit) {
    return world_.RunUntil([&] { return LeasesAt(name) == 0; }, limit);
  }

  NodeWorld world_;
  std::uint64_t sessions_ = 0;
};

TEST_F(NodeLeases, EndByThemselvesWhenTheirTimeIsOverAndNotBefore) {
  Start(kThree);
  GrantWithKey(2'000);
  world_.RunFor(milliseconds(1'900));
  EXPECT_EQ(LeasesAt(world_.Leader()->name()), 1U);
  EXPECT_EQ(world_.Get("n1", "leased"), "v");
  EXPECT_TRUE(RunUntilNone("n1", milliseconds(600)));
  EXPECT_EQ(world_.Get("n1", "leased"), "");
  EXPECT_EQ(world_.Get("n1", "free"), "v");
}

TEST_F(NodeLeases, WhatIsKeptAliveStays) {
  Start(kThree);
  GrantWithKey(1'000);
  for (int i = 0; i < 20; ++i) {
    world_.RunFor(milliseconds(700));
    const auto renewed = Do({kv::RenewLeasesOp{{1}}});
    ASSERT_EQ(renewed.size(), 1U);
    ASSERT_EQ(renewed[0].leases.at(0).ttl.count(), 1'000) << "round " << i;
  }
  EXPECT_EQ(world_.Get("n1", "leased"), "v");
  EXPECT_TRUE(RunUntilNone("n1", milliseconds(1'600)));
}

TEST_F(NodeLeases, EndInTimeAfterTheirLeaderHasCrashed) {
  Start(kThree);
  GrantWithKey(3'000);
  const MonoTime granted = world_.now();
  world_.RunFor(milliseconds(1'000));
  const std::string crashed = world_.Leader()->name();
  world_.Crash(crashed);
  const std::string left = crashed == "n1" ? "n2" : "n1";
  EXPECT_TRUE(RunUntilNone(left, seconds(10)));
  const Duration took = world_.now() - granted;
  EXPECT_GE(took, milliseconds(2'900)) << "too early";
  EXPECT_LE(took, milliseconds(3'000) + 2 * raft::Options().election_timeout + milliseconds(600));
}

// While nobody leads, and while all are stopped, no time passes for leases.
TEST_F(NodeLeases, DoNotEndBecauseEverybodyStoodStill) {
  Start(kThree);
  GrantWithKey(3'000);
  world_.StandStill(seconds(60));
  const auto renewed = [&] {
    const auto results = Do({kv::RenewLeasesOp{{1}}});
    return results.size() == 1 && results[0].leases.at(0).ttl.count() == 3'000;
  };
  ASSERT_TRUE(world_.RunUntil([&] { return world_.Leader() != nullptr; }));
  EXPECT_TRUE(world_.RunUntil(renewed, seconds(10))) << "who was stopped as well comes too late";
  EXPECT_TRUE(RunUntilNone("n1", seconds(5)));
}

TEST_F(NodeLeases, ThousandsThatEndTogetherLetOthersIn) {
  constexpr std::uint64_t kLeases = 10'000;
  Start({"n1"});
  for (std::uint64_t first = 1; first <= kLeases; first += 1'000) {
    std::vector<kv::Operation> grants;
    for (std::uint64_t id = first; id < first + 1'000; ++id) {
      grants.emplace_back(kv::GrantLeaseOp{id, 5'000});
    }
    ASSERT_EQ(Do(grants).size(), 1'000U);
  }
  std::size_t between = 0;
  const auto step = [&] {
    const std::size_t left = LeasesAt("n1");
    if (left > 0 && left < kLeases && world_.Put("n1", "free", "again")) ++between;
    return left == 0;
  };
  EXPECT_TRUE(world_.RunUntil(step, seconds(20)));
  EXPECT_GE(between, 3U) << "no write came in between";
}

TEST_F(NodeLeases, AnIdleClusterWritesAnEntryInTenSecondsWhileThereAreSome) {
  Start({"n1"});
  std::size_t entries = world_.Disk("n1").log.size();
  world_.RunFor(seconds(300));
  EXPECT_EQ(world_.Disk("n1").log.size(), entries) << "there is no lease";
  GrantWithKey(3'600'000);
  entries = world_.Disk("n1").log.size();
  world_.RunFor(seconds(300));
  EXPECT_GE(world_.Disk("n1").log.size(), entries + 28);
  EXPECT_LE(world_.Disk("n1").log.size(), entries + 31);
}

TEST_F(NodeLeases, ARestartLosesNoMoreThanTenSecondsOfThem) {
  Start({"n1"});
  GrantWithKey(60'000);
  world_.RunFor(seconds(45));
  world_.Crash("n1");
  world_.Start("n1", {"n1"});
  ASSERT_TRUE(world_.RunUntil([&] { return world_.Leader() != nullptr; }));
  world_.RunFor(seconds(14));
  EXPECT_EQ(LeasesAt("n1"), 1U) << "what nobody counted did not pass";
  EXPECT_TRUE(RunUntilNone("n1", seconds(14)));
}

}  // namespace
}  // namespace raftkv::test
