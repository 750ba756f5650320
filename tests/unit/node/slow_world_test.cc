// What does a cluster do whose disks, network or processes are slow as an election timeout, and
// slower? On virtual time; the election timeout is 300 ms.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/request.h"
#include "lib/raft/raft.h"
#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

std::uint64_t session = 0;

/// A cluster of three with a leader.
class SlowWorld : public testing::Test {
 protected:
  void Form() {
    for (const auto& name : kThree) world_.Start(name, kThree);
    ASSERT_TRUE(world_.RunUntil([&] { return world_.Leader() != nullptr; }, 60s));
  }
  Term TermNow() { return world_.Leader()->member().core()->term(); }

  /// Writes of new sessions, one after another from whoever leads: how many ended ok in time.
  int Puts(int count, Duration timeout) {
    int ok = 0;
    for (int i = 0; i < count; ++i) {
      WorldMember* const at = world_.Leader() != nullptr ? world_.Leader() : world_.Find("n1");
      auto outcome = std::make_shared<std::optional<node::SubmitOutcome>>();
      const kv::RequestHeader header{++session, at->member().replicated_time_ms(), 1, 1};
      at->member().Submit(kv::EncodeRequest(header, {kv::PutOp{"k", std::to_string(i)}}),
                          world_.now() + timeout,
                          [outcome](node::SubmitOutcome o) { *outcome = std::move(o); });
      world_.RunUntil([&] { return outcome->has_value(); }, timeout);
      if (*outcome && (*outcome)->status.ok()) ++ok;
    }
    return ok;
  }

  /// How long each of `count` linearizable reads at `name` takes that come `every` so often; those
  /// that are not answered within five seconds are left out.
  std::vector<Duration> Reads(const std::string& name, int count, Duration every) {
    std::vector<Duration> took;
    for (int i = 0; i < count; ++i) {
      const MonoTime asked = world_.now();
      world_.Find(name)->member().Read(kv::EncodeReadRequest({kv::ReadOp{kv::Range::Single("k")}}),
                                       {}, asked + 5s,
                                       [&took, asked, this](const Result<Bytes>& answer) {
                                         if (answer.ok()) took.push_back(world_.now() - asked);
                                       });
      world_.RunFor(every);
    }
    world_.RunFor(6s);
    std::sort(took.begin(), took.end());
    return took;
  }

  NodeWorld world_;
};

class SlowDisks : public SlowWorld, public testing::WithParamInterface<int> {};

TEST_P(SlowDisks, AClusterWorksAtThePaceOfItsDisks) {
  world_.SetDiskDelay(std::chrono::milliseconds(GetParam()));
  Form();
  EXPECT_GE(Puts(20, 10s), 18);
  const auto term = TermNow();
  EXPECT_EQ(Puts(20, 10s), 20);
  EXPECT_EQ(TermNow(), term) << "a slow disk is no reason for an election";
}
INSTANTIATE_TEST_SUITE_P(Milliseconds, SlowDisks, testing::Values(200, 320, 600, 1000, 3000));

TEST_F(SlowWorld, DisksThatBecomeSlowCostNoLeader) {
  Form();
  EXPECT_EQ(Puts(5, 5s), 5);
  const auto term = TermNow();
  world_.SetDiskDelay(1s);
  EXPECT_EQ(Puts(10, 10s), 10);
  EXPECT_EQ(TermNow(), term);
  world_.SetDiskDelay(300us);
  EXPECT_EQ(Puts(10, 10s), 10);
  EXPECT_EQ(TermNow(), term);
}

// One of three is down, so that nobody can be elected without the leader's disk.
TEST_F(SlowWorld, ALeaderWithoutWhomNobodyIsElectedStaysWhileItsDiskHangs) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  const std::string leader = world_.Leader()->name();
  std::string down;
  for (const auto& name : kThree) {
    if (name != leader) down = name;
  }
  world_.Crash(down);
  world_.RunFor(2s);
  ASSERT_EQ(world_.Leader()->name(), leader);
  const auto term = TermNow();
  world_.Find(leader)->HangDisk(true);
  auto outcome = std::make_shared<std::optional<node::SubmitOutcome>>();
  const kv::RequestHeader header{++session, world_.Leader()->member().replicated_time_ms(), 1, 1};
  world_.Find(leader)->member().Submit(
      kv::EncodeRequest(header, {kv::PutOp{"k", "new"}}), world_.now() + 5s,
      [outcome](node::SubmitOutcome o) { *outcome = std::move(o); });
  world_.RunFor(2s);
  EXPECT_EQ(world_.Find(leader)->member().core()->role(), raft::Role::kLeader);
  EXPECT_TRUE(world_.Find(leader)->member().core()->disk_hangs());
  world_.Find(leader)->HangDisk(false);
  world_.RunFor(10ms);
  ASSERT_TRUE(outcome->has_value());
  EXPECT_TRUE((*outcome)->status.ok()) << (*outcome)->status.ToString();
  EXPECT_EQ(TermNow(), term);
}

class Distance : public SlowWorld, public testing::WithParamInterface<int> {};

TEST_P(Distance, ReadsAtFollowersAreAnswered) {
  world_.SetLinkDelay(std::chrono::milliseconds(GetParam()));
  Form();
  ASSERT_EQ(Puts(3, 10s), 3);
  for (const auto& name : kThree) {
    EXPECT_GE(Reads(name, 60, 37ms).size(), 57u) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(MillisecondsOneWay, Distance, testing::Values(60, 100, 130, 160, 400));

TEST_F(SlowWorld, AReadOverDistanceTakesARoundTripAtTheLeaderAndTwoElsewhere) {
  world_.SetLinkDelay(60ms);
  Form();
  ASSERT_EQ(Puts(3, 10s), 3);
  const std::string leader = world_.Leader()->name();
  for (const auto& name : kThree) {
    const auto took = Reads(name, 200, 7ms);
    ASSERT_EQ(took.size(), 200u);
    EXPECT_LE(took[100], name == leader ? 150ms : 280ms) << name;
    EXPECT_LE(took.back(), name == leader ? 200ms : 330ms) << name;
  }
}

TEST_F(SlowWorld, AnElectionThatOutlastsTheTimeoutIsSaid) {
  world_.SetLinkDelay(200ms);
  Form();
  EXPECT_TRUE(world_.Logged("an election timeout of 300 ms is too short"));
}

// The store of a member that has just been taken in has no time at all, one that was away an old
// one; a session that began then would be taken for one that was dropped.
TEST_F(SlowWorld, ASessionBeginsAtTheClustersTimeWhateverMemberIsAsked) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  const std::string leader = world_.Leader()->name();
  std::string behind;
  for (const auto& name : kThree) {
    if (name != leader) behind = name;
  }
  for (const auto& name : kThree) {
    if (name != behind) world_.Cut(behind, name);
  }
  world_.RunFor(1h);
  ASSERT_EQ(Puts(1, 5s), 1);
  const std::uint64_t then = world_.Leader()->member().replicated_time_ms();
  ASSERT_LT(world_.Find(behind)->member().replicated_time_ms() + 3'000'000, then);
  auto opened = std::make_shared<std::optional<Result<std::uint64_t>>>();
  world_.Find(behind)->member().OpenSession(
      world_.now() + 1s, [opened](Result<std::uint64_t> time) { *opened = std::move(time); });
  world_.RunFor(2s);
  ASSERT_TRUE(opened->has_value());
  EXPECT_EQ((*opened)->code(), Code::kUnavailable) << "cut off it cannot know";
  world_.Heal();
  opened->reset();
  world_.RunFor(3s);
  world_.Find(behind)->member().OpenSession(
      world_.now() + 5s, [opened](Result<std::uint64_t> time) { *opened = std::move(time); });
  ASSERT_TRUE(world_.RunUntil([&] { return opened->has_value(); }, 5s));
  ASSERT_TRUE((*opened)->ok()) << (*opened)->status().ToString();
  EXPECT_GE(***opened, then);
}

// --- Pauses.

TEST_F(SlowWorld, APauseOfTheWholeClusterCostsNoElection) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  const auto term = TermNow();
  for (int pause = 0; pause < 5; ++pause) {
    world_.StandStill(3s);
    EXPECT_EQ(Puts(5, 5s), 5);
    world_.RunFor(1s);
    EXPECT_EQ(TermNow(), term);
  }
}

TEST_F(SlowWorld, ALeaderThatIsCutOffStepsDownAfterOneElectionTimeout) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  world_.RunFor(1s);
  WorldMember& leader = *world_.Leader();
  for (const auto& name : kThree) {
    if (name != leader.name()) world_.Cut(leader.name(), name);
  }
  world_.RunFor(305ms);
  EXPECT_NE(leader.member().core()->role(), raft::Role::kLeader);
}

// --- Copies of a request.

TEST_F(SlowWorld, ARequestThatIsSentAgainWhileItWaitsIsEnteredOnce) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  world_.SetDiskDelay(200ms);
  WorldMember& leader = *world_.Leader();
  const auto before = leader.member().core()->log().last_index();
  const kv::RequestHeader header{++session, leader.member().replicated_time_ms(), 1, 1};
  const Bytes request = kv::EncodeRequest(header, {kv::IncrementOp{"n", 1}});
  int answers = 0;
  for (int copy = 0; copy < 20; ++copy) {
    leader.member().Submit(request, world_.now() + 5s, [&](const node::SubmitOutcome& outcome) {
      EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
      ++answers;
    });
    world_.RunFor(5ms);
  }
  EXPECT_EQ(leader.member().core()->log().last_index(), before.Next());
  world_.RunFor(2s);
  EXPECT_EQ(answers, 20);
}

// --- Two disks of one member.

TEST_F(SlowWorld, OfTwoDisksOfOneMemberNoneCountsOnceBothWereMet) {
  Form();
  ASSERT_EQ(Puts(1, 5s), 1);
  world_.RunFor(1s);
  world_.Crash("n3");
  const WorldDisk copy = world_.CopyDisk("n3");
  // n1 meets the one, n2 the other.
  world_.Cut("n1", "n2");
  world_.Cut("n2", "n3");
  world_.Start("n3", kThree);
  world_.RunFor(1s);
  world_.Crash("n3");
  const WorldDisk original = world_.CopyDisk("n3");
  world_.Disk("n3") = copy;
  world_.Heal();
  world_.Cut("n1", "n2");
  world_.Cut("n1", "n3");
  world_.Start("n3", kThree);
  world_.RunFor(1s);
  ASSERT_FALSE(world_.Logged("two data folders claim to be 'n3'"));
  world_.Heal();
  world_.Cut("n1", "n3");
  world_.RunFor(8s);
  EXPECT_TRUE(world_.Logged("two data folders claim to be 'n3'"));
  world_.Cut("n1", "n2");
  const std::string asked = "n2";
  auto outcome = std::make_shared<std::optional<node::SubmitOutcome>>();
  const kv::RequestHeader header{++session, world_.Find(asked)->member().replicated_time_ms(), 1,
                                 1};
  world_.Find(asked)->member().Submit(
      kv::EncodeRequest(header, {kv::PutOp{"k", "right"}}), world_.now() + 3s,
      [outcome](node::SubmitOutcome o) { *outcome = std::move(o); });
  world_.RunFor(5s);
  ASSERT_TRUE(outcome->has_value());
  EXPECT_FALSE((*outcome)->status.ok()) << "n2 and a disk that may lack what n1 knows of n3";
  // A restart of either is refused as well, also by members that were restarted.
  world_.Heal();
  world_.Crash("n3");
  world_.Crash("n1");
  world_.Disk("n3") = original;
  world_.Start("n1", kThree);
  world_.Start("n3", kThree);
  world_.RunFor(3s);
  ASSERT_TRUE(world_.RunUntil([&] { return world_.Leader() != nullptr; }, 10s));
  EXPECT_EQ(Puts(2, 5s), 2) << "n1 and n2 are a majority without it";
  EXPECT_EQ(world_.Find("n3")->member().core()->leader(), kNobody);
}

}  // namespace
}  // namespace raftkv::test
