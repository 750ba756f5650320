// Does the past go by itself, on all members alike, and is a cluster left alone that has none?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

std::uint64_t CompactedOf(NodeWorld& world, const std::string& name) {
  return world.Find(name)->member().status().compacted_revision;
}

TEST(NodeHistory, TheLeaderLetsItGoOnceItIsOldEnough) {
  NodeWorld world;
  for (const std::string& name : kThree) world.Start(name, kThree);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(world.Put("n1", "key", std::to_string(i)));
  world.RunFor(minutes(9));
  for (const std::string& name : kThree) EXPECT_EQ(CompactedOf(world, name), 0U);
  ASSERT_TRUE(world.Put("n1", "key", "young"));
  const auto all_have = [&](std::uint64_t compacted) {
    return world.RunUntil(
        [&] {
          for (const std::string& name : kThree) {
            if (CompactedOf(world, name) != compacted) return false;
          }
          return true;
        },
        minutes(3));
  };
  EXPECT_TRUE(all_have(6)) << "what was there ten minutes ago can be read";
  world.RunFor(minutes(12));
  EXPECT_TRUE(all_have(7));
}

TEST(NodeHistory, AnIdleClusterWritesNothing) {
  NodeWorld world;
  world.Start("n1", {"n1"});
  ASSERT_TRUE(world.Put("n1", "key", "value"));
  world.RunFor(minutes(15));
  EXPECT_EQ(CompactedOf(world, "n1"), 2U);
  const std::size_t entries = world.Disk("n1").log.size();
  world.RunFor(minutes(30));
  EXPECT_EQ(world.Disk("n1").log.size(), entries);
}

// Otherwise it would be due all the time until then.
TEST(NodeHistory, ALeaderThatTakesNoProposalsIsNotWokenUpToMakeOne) {
  NodeWorld world;
  for (const std::string& name : kThree) world.Start(name, kThree);
  ASSERT_TRUE(world.Put("n1", "key", "value"));
  world.RunFor(seconds(5));
  WorldMember& leader = *world.Leader();
  for (const std::string& name : kThree) {
    if (name != leader.name()) world.Cut(leader.name(), name);
  }
  world.StandStill(seconds(3));
  leader.member().Pump();
  ASSERT_EQ(leader.member().core()->role(), raft::Role::kLeader);
  ASSERT_FALSE(leader.member().core()->TakesProposals()) << "it may have been replaced";
  EXPECT_GT(leader.member().NextDeadline(), world.now());
}

TEST(NodeHistory, ANewLeaderKnowsHowOldThePastIs) {
  NodeWorld world;
  for (const std::string& name : kThree) world.Start(name, kThree);
  ASSERT_TRUE(world.Put("n1", "key", "1"));
  ASSERT_TRUE(world.Put("n1", "key", "2"));
  world.RunFor(minutes(8));
  world.Crash(world.Leader()->name());
  ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }, seconds(30)));
  const std::string leader = world.Leader()->name();
  EXPECT_EQ(CompactedOf(world, leader), 0U);
  EXPECT_TRUE(world.RunUntil([&] { return CompactedOf(world, leader) == 3; }, minutes(4)));
}

TEST(NodeHistory, WhoHasComeToARevisionShowsItWithoutAQuorum) {
  NodeWorld world;
  for (const std::string& name : kThree) world.Start(name, kThree);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(world.Put("n1", "key", std::to_string(i)));
  world.RunFor(seconds(1));
  world.Cut("n1", "n2");
  world.Cut("n2", "n3");
  world.Cut("n1", "n3");
  for (const std::string& name : kThree) {
    for (const Consistency consistency : {Consistency::kLinearizable, Consistency::kLease,
                                          Consistency::kBounded, Consistency::kLocal}) {
      const auto found = world.GetAt(name, "key", 3, consistency);
      ASSERT_TRUE(found.ok()) << name << ": " << found.status().ToString();
      EXPECT_EQ(*found, "1");
    }
  }
}

// Nobody who is behind may call a revision that was acknowledged one of the future.
TEST(NodeHistory, WhoIsBehindWaitsForARevisionAndSaysOtherwiseThatItCannot) {
  NodeWorld world;
  for (const std::string& name : kThree) world.Start(name, kThree);
  ASSERT_TRUE(world.Put("n1", "key", "old"));
  world.RunFor(seconds(1));
  const std::string behind = world.Leader()->name() == "n3" ? "n2" : "n3";
  for (const std::string& name : kThree) {
    if (name != behind) world.Cut(name, behind);
  }
  ASSERT_TRUE(world.Put("n1", "key", "new"));
  for (const Consistency consistency : {Consistency::kLinearizable, Consistency::kLocal}) {
    const auto refused = world.GetAt(behind, "key", 3, consistency, seconds(2));
    EXPECT_TRUE(refused.code() == Code::kUnavailable || refused.code() == Code::kDeadlineExceeded)
        << refused.status().ToString();
  }
  const auto past = world.GetAt(behind, "key", 2, Consistency::kLocal);
  ASSERT_TRUE(past.ok()) << past.status().ToString();
  EXPECT_EQ(*past, "old");
  world.Heal();
  ASSERT_TRUE(world.RunUntil([&] {
    const auto found = world.GetAt(behind, "key", 3, Consistency::kLocal, seconds(2));
    EXPECT_NE(found.code(), Code::kInvalidArgument) << found.status().ToString();
    return found.ok() && *found == "new";
  }));
  for (const std::string& name : kThree) {
    const auto future = world.GetAt(name, "key", 4, Consistency::kLocal);
    EXPECT_EQ(future.code(), Code::kInvalidArgument) << name << future.status().ToString();
  }
}

}  // namespace
}  // namespace raftkv::test
