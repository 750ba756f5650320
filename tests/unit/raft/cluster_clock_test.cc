// Does the cluster clock never run faster than time, whoever leads and whoever slept?
#include "lib/raft/cluster_clock.h"

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::ClusterClock;
using std::chrono::milliseconds;

MonoTime At(std::int64_t ms) { return MonoTime(milliseconds(ms)); }

TEST(ClusterClock, CountsWhatPassesAndOfAPauseOnlySoMuch) {
  ClusterClock clock(At(1'000));
  EXPECT_EQ(clock.ms(), 0U);
  clock.Count(At(1'030), milliseconds(200));
  EXPECT_EQ(clock.ms(), 30U);
  clock.Count(At(1'230), milliseconds(200));
  EXPECT_EQ(clock.ms(), 230U);
  clock.Count(At(9'000), milliseconds(200));
  EXPECT_EQ(clock.ms(), 430U);
  clock.Skip(At(20'000));
  EXPECT_EQ(clock.ms(), 430U);
  clock.Count(At(20'001), milliseconds(200));
  EXPECT_EQ(clock.ms(), 431U);
}

TEST(ClusterClock, SmallStepsAddUp) {
  ClusterClock clock(At(0));
  for (int i = 1; i <= 3'000; ++i) {
    clock.Count(MonoTime(std::chrono::microseconds(i * 333)), milliseconds(200));
  }
  EXPECT_EQ(clock.ms(), 999U);
}

TEST(ClusterClock, ANewTermMayLowerItAnOldOneDoesNot) {
  ClusterClock clock(At(0));
  clock.Hear(Term(2), 500);
  clock.Hear(Term(2), 400);
  EXPECT_EQ(clock.ms(), 500U) << "a heartbeat that is late";
  clock.Hear(Term(2), 600);
  EXPECT_EQ(clock.ms(), 600U);
  clock.Hear(Term(3), 450);
  EXPECT_EQ(clock.ms(), 450U) << "what the new leader did not know was not counted";
  clock.AtLeast(440);
  EXPECT_EQ(clock.ms(), 450U);
  clock.AtLeast(700);
  EXPECT_EQ(clock.ms(), 700U);
}

AppendEntries Heartbeat(std::uint64_t term, std::uint64_t prev_index, std::uint64_t prev_term,
                        std::uint64_t clock_ms) {
  AppendEntries append = Append(term, prev_index, prev_term, 1);
  append.clock_ms = clock_ms;
  return append;
}

TEST(RaftClock, AFollowerTakesItOverAndCountsNothingItself) {
  Solo me(3);
  me.Step(2, Heartbeat(2, 1, 1, 5'000));
  EXPECT_EQ(me.core().clock_ms(), 5'000U);
  me.Advance(milliseconds(100));
  EXPECT_EQ(me.core().clock_ms(), 5'000U);
  me.Step(2, Heartbeat(2, 1, 1, 5'100));
  EXPECT_EQ(me.core().clock_ms(), 5'100U);
  me.Step(3, Heartbeat(3, 1, 1, 5'050));
  EXPECT_EQ(me.core().clock_ms(), 5'050U);
  me.core().RaiseClock(6'000);
  EXPECT_EQ(me.core().clock_ms(), 6'000U);
}

TEST(RaftClock, AFollowerWithMoreInItsLogThanWasMatchedTakesNothingOver) {
  Solo me(3, {1, 1, 1});
  me.Step(2, Heartbeat(2, 1, 1, 5'000));
  EXPECT_EQ(me.core().clock_ms(), 0U) << "what follows may be of a clock that is behind";
  me.Step(2, Heartbeat(2, 3, 1, 5'000));
  EXPECT_EQ(me.core().clock_ms(), 5'000U);
}

/// A leader whose clock showed `clock_ms` when it was elected.
void Lead(Solo& me, std::uint64_t clock_ms) {
  me.core().RaiseClock(clock_ms);
  me.BecomeLeader();
  ASSERT_EQ(me.core().role(), raft::Role::kLeader);
  me.Step(2, Ack(me.core().term().value, me.core().log().last_index().value));
}

TEST(RaftClock, ALeaderCountsAndStampsItsEntriesAndHeartbeats) {
  Solo me(3);
  Lead(me, 1'000);
  const std::uint64_t before = me.core().clock_ms();
  EXPECT_GE(before, 1'000U);
  std::vector<raft::Message> sent;
  for (int i = 0; i < 10; ++i) {
    for (auto& message : me.Advance(milliseconds(20))) sent.push_back(std::move(message));
  }
  EXPECT_EQ(me.core().clock_ms(), before + 200);
  const auto heartbeats = All<AppendEntries>(sent);
  ASSERT_FALSE(heartbeats.empty());
  EXPECT_GT(heartbeats.back().clock_ms, before);
  ASSERT_TRUE(me.Propose("x").ok());
  const auto appends = All<AppendEntries>(me->Drain());
  ASSERT_FALSE(appends.empty());
  ASSERT_FALSE(appends.front().entries.empty());
  EXPECT_EQ(appends.front().entries.back().clock_ms, before + 200);
}

// Known bug 56.
TEST(RaftClock, ALeaderThatSleptCountsTwoHeartbeatsAndNoMoreUntilAQuorumAnswers) {
  Solo me(3);
  Lead(me, 0);
  const auto two = static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(2 * raft::Options().heartbeat_interval).count());
  const std::uint64_t before = me.core().clock_ms();
  me.Advance(std::chrono::seconds(30));
  EXPECT_LE(me.core().clock_ms(), before + two);
  if (me.core().role() != raft::Role::kLeader) return;
  const std::uint64_t slept = me.core().clock_ms();
  me.Advance(milliseconds(50));
  EXPECT_EQ(me.core().clock_ms(), slept) << "it may have been replaced";
}

}  // namespace
}  // namespace raftkv::test
