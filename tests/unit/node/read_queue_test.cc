// When is a question for a read index asked, and whom does its answer serve? On virtual time.
#include "lib/node/read_queue.h"

#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kFirstContext = 100;
constexpr Duration kAskAgain = milliseconds(300);

class ReadQueueTest : public testing::Test {
 protected:
  ReadQueueTest() { solo_.BecomeLeader(); }

  void AddRead() {
    queue_.Add({0, now_, now_ + std::chrono::seconds(5), [](const Status&) {}});
  }
  void Ask() { queue_.Ask(solo_.core(), now_); }
  void Refuse(std::uint64_t context) { queue_.OnReadState({context, false, {}}, now_); }
  void Confirm(std::uint64_t context, std::uint64_t index) {
    queue_.OnReadState({context, true, Index(index)}, now_);
  }

  Solo solo_{3};
  node::ReadQueue queue_{kFirstContext, false, {.after = kAskAgain}};
  MonoTime now_{std::chrono::hours(1)};
};

TEST_F(ReadQueueTest, ReadsThatComeTogetherShareAQuestion) {
  AddRead();
  AddRead();
  Ask();
  EXPECT_FALSE(queue_.WantsToAsk());
  AddRead();
  Ask();
  EXPECT_TRUE(queue_.WantsToAsk()) << "it may share one with those that come in the same moment";
  Confirm(kFirstContext, 7);
  EXPECT_TRUE(queue_.TakeServable(Index(6)).empty());
  EXPECT_EQ(queue_.TakeServable(Index(7)).size(), 2U);
  Ask();
  EXPECT_FALSE(queue_.WantsToAsk());
}

TEST_F(ReadQueueTest, ARefusedQuestionIsAskedAgainOnlyAfterAPause) {
  AddRead();
  Ask();
  Refuse(kFirstContext);
  EXPECT_TRUE(queue_.WantsToAsk()) << "the read is not lost";
  for (int ms = 0; ms < 10; ++ms) {
    Ask();
    ASSERT_TRUE(queue_.WantsToAsk()) << "asked again " << ms << " ms after the refusal";
    now_ += milliseconds(1);
  }
  Ask();
  EXPECT_FALSE(queue_.WantsToAsk());
  Confirm(kFirstContext, 7);
  EXPECT_TRUE(queue_.TakeServable(Index(7)).empty()) << "the answer to the refused question";
  Confirm(kFirstContext + 1, 7);
  EXPECT_EQ(queue_.TakeServable(Index(7)).size(), 1U);
}

TEST_F(ReadQueueTest, AReadThatComesLaterDoesNotWaitForTheAnswerToAnEarlierQuestion) {
  AddRead();
  Ask();
  now_ += kAskAgain / 8;
  AddRead();
  Ask();
  EXPECT_FALSE(queue_.WantsToAsk()) << "two questions are under way";
  Confirm(kFirstContext, 7);
  EXPECT_EQ(queue_.TakeServable(Index(7)).size(), 1U) << "the later one is not covered by it";
  Confirm(kFirstContext + 1, 8);
  EXPECT_EQ(queue_.TakeServable(Index(8)).size(), 1U);
}

TEST_F(ReadQueueTest, TheAnswerToALaterQuestionServesTheEarlierOnes) {
  AddRead();
  Ask();
  now_ += kAskAgain / 8;
  AddRead();
  Ask();
  Confirm(kFirstContext + 1, 8);
  EXPECT_EQ(queue_.TakeServable(Index(8)).size(), 2U);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(ReadQueueTest, QuestionsThatAreUnderWayAreBounded) {
  for (int i = 0; i < 100; ++i) {
    AddRead();
    Ask();
    now_ += kAskAgain / 8;
  }
  EXPECT_TRUE(queue_.WantsToAsk());
  Confirm(kFirstContext + 15, 9);
  EXPECT_EQ(queue_.TakeServable(Index(9)).size(), 16U);
}

TEST_F(ReadQueueTest, AnAnswerThatComesAfterItsQuestionWasAskedAgainIsTaken) {
  AddRead();
  const MonoTime asked = now_;
  Ask();
  now_ += kAskAgain;
  AddRead();
  Ask();
  now_ += kAskAgain - milliseconds(1);
  Confirm(kFirstContext, 7);
  EXPECT_EQ(queue_.TakeServable(Index(7)).size(), 1U) << "the read that came with the question";
  // What it says is as old as the question, not as its last copy.
  EXPECT_TRUE(queue_.IsFresh(now_, now_ - asked, Index(7)));
  EXPECT_FALSE(queue_.IsFresh(now_, now_ - asked - milliseconds(1), Index(7)));
}

TEST_F(ReadQueueTest, ALateRefusalOfOneCopyStopsNothing) {
  AddRead();
  Ask();
  now_ += kAskAgain;
  Ask();
  Refuse(kFirstContext);
  EXPECT_FALSE(queue_.WantsToAsk()) << "another copy is under way";
  Confirm(kFirstContext, 7);
  EXPECT_EQ(queue_.TakeServable(Index(7)).size(), 1U);
}

}  // namespace
}  // namespace raftkv::test
