// Does a leader let proposals gather while a follower is busy, and never for longer than it may?
#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

raft::Options Gathering() {
  raft::Options options;
  options.gather_delay = std::chrono::milliseconds(1);
  return options;
}

class Gather : public ::testing::Test {
 protected:
  void SetUp() override {
    solo_.BecomeLeader();
    solo_.Step(2, Ack(solo_.core().term().value, 2));  // the no-op: 2 is in Replicate from here on
  }
  std::size_t SentTo2(const std::vector<raft::Message>& messages) {
    std::size_t entries = 0;
    for (const auto& append : AllTo<raft::AppendEntries>(2, messages)) {
      entries += append.entries.size();
    }
    return entries;
  }
  std::vector<raft::Message> ProposeOne() {
    EXPECT_TRUE(solo_.Propose("x").ok());
    return solo_->Drain();
  }

  Solo solo_{3, {1}, 1, 1, Gathering()};
};

TEST_F(Gather, TwoMessagesLeaveAtOnceAndTheThirdWaitsForAnAnswer) {
  EXPECT_EQ(SentTo2(ProposeOne()), 1u);
  EXPECT_EQ(SentTo2(ProposeOne()), 1u);
  EXPECT_EQ(SentTo2(ProposeOne()), 0u);
  EXPECT_EQ(SentTo2(ProposeOne()), 0u);
  // One answer lets everything that gathered go, in one message.
  const auto sent = solo_.Step(2, Ack(solo_.core().term().value, 3));
  EXPECT_EQ(SentTo2(sent), 2u);
}

TEST_F(Gather, NobodyWaitsLongerThanTheDelay) {
  for (int i = 0; i < 3; ++i) ProposeOne();
  const MonoTime deadline = solo_.core().NextDeadline();
  EXPECT_EQ(SentTo2(solo_.Advance(std::chrono::milliseconds(1))), 1u);
  EXPECT_GT(solo_.core().NextDeadline(), deadline);
}

}  // namespace
}  // namespace raftkv::test
