// Are the messages under way to a follower counted right, and bounded?
#include "lib/raft/progress.h"

#include <deque>
#include <utility>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::Inflights;
using raft::ProgressState;

TEST(Inflights, CountMessagesAndBytes) {
  Inflights inflights;
  inflights.Add(Index(3), 100);
  inflights.Add(Index(5), 50);
  EXPECT_EQ(inflights.messages(), 2u);
  EXPECT_EQ(inflights.bytes(), 150u);
  inflights.FreeThrough(Index(4));
  EXPECT_EQ(inflights.messages(), 1u);
  EXPECT_EQ(inflights.bytes(), 50u);
  inflights.Clear();
  EXPECT_EQ(inflights.messages(), 0u);
  EXPECT_EQ(inflights.bytes(), 0u);
}

TEST(Inflights, AnOldAcknowledgementFreesNothing) {
  Inflights inflights;
  inflights.Add(Index(3), 100);
  inflights.FreeThrough(Index(2));
  inflights.FreeThrough(Index(0));
  EXPECT_EQ(inflights.messages(), 1u);
}

TEST(Inflights, AgreeWithAModel) {
  Random chance(7);
  Inflights inflights;
  std::deque<std::pair<Index, std::size_t>> model;
  Index last;
  Index match;
  for (int step = 0; step < 5000; ++step) {
    if (chance.Below(2) == 0) {
      last = last + 1 + chance.Below(5);
      const std::size_t bytes = chance.Below(1000);
      inflights.Add(last, bytes);
      model.emplace_back(last, bytes);
    } else {
      match = std::min(last, match + chance.Below(12));
      inflights.FreeThrough(match);
      while (!model.empty() && model.front().first <= match) model.pop_front();
    }
    std::size_t bytes = 0;
    for (const auto& sent : model) bytes += sent.second;
    ASSERT_EQ(inflights.messages(), model.size());
    ASSERT_EQ(inflights.bytes(), bytes);
  }
}

// The bounds hold at the leader: in messages, and in bytes up to one message more.
TEST(Progress, TheWindowIsBoundedInMessagesAndBytes) {
  for (const bool by_bytes : {false, true}) {
    raft::Options options;
    options.max_append_bytes = 200;
    options.max_inflight_messages = by_bytes ? 1000 : 4;
    options.max_inflight_bytes = by_bytes ? 1000 : 1 << 20;
    Solo me(3, {1}, 1, 1, options);
    me.BecomeLeader();
    me.Step(2, Ack(2, 2));
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(me.Propose(std::string(100, 'x')).ok());
    me->Drain();
    const auto& progress = me.core().progress().at(NodeId(2));
    EXPECT_EQ(progress.state, ProgressState::kReplicate);
    if (by_bytes) {
      EXPECT_GE(progress.inflights.bytes(), 1000u) << "the window is used";
      EXPECT_LT(progress.inflights.bytes(), 1000u + 200u);
    } else {
      EXPECT_EQ(progress.inflights.messages(), 4u);
    }
    // One that does not answer holds up nobody else.
    EXPECT_EQ(me.core().progress().at(NodeId(3)).state, ProgressState::kProbe);
  }
}

// A probe is one message at a time, until it is answered or the next heartbeat.
TEST(Progress, AProbeSendsOneMessageAtATime) {
  Solo me(3);
  const auto first = AllTo<AppendEntries>(2, me.BecomeLeader());
  EXPECT_EQ(first.size(), 1u);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(me.Propose("x").ok());
    EXPECT_TRUE(AllTo<AppendEntries>(2, me->Drain()).empty());
  }
  const auto sent = AllTo<AppendEntries>(2, me.Step(2, Ack(2, 2)));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].entries.size(), 5u);
}

// Messages were lost: what was sent optimistically is sent again from what was acknowledged.
TEST(Progress, AnUnreachablePeerIsProbedAgain) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.Propose("x").ok());
  me->Drain();
  me->Input([](raft::Raft& core) { core.PeerUnreachable(NodeId(2)); });
  EXPECT_EQ(me.core().progress().at(NodeId(2)).state, ProgressState::kProbe);
  EXPECT_EQ(me.core().progress().at(NodeId(2)).next, Index(3));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).inflights.messages(), 0u);
  me->Drain();
  const auto sent = AllTo<AppendEntries>(2, me.Advance(std::chrono::milliseconds(100)));
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().prev_log_index, Index(2));
  EXPECT_EQ(sent.back().entries.size(), 1u);
}

// Without such a report a heartbeat finds out: it shows the follower what it should have.
TEST(Progress, ALostMessageIsFoundByTheNextHeartbeat) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.Propose("x").ok());
  me->Drain();
  const auto beat = AllTo<AppendEntries>(2, me.Advance(std::chrono::milliseconds(100)));
  ASSERT_FALSE(beat.empty());
  EXPECT_EQ(beat[0].prev_log_index, Index(3));
  const auto again = AllTo<AppendEntries>(2, me.Step(2, Refusal(2, 3, 2, 2)));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].prev_log_index, Index(2));
  EXPECT_EQ(again[0].entries.size(), 1u);
}

}  // namespace
}  // namespace raftkv::test
