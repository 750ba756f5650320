// Does a page of a watch come, whatever happens to the attempts at it?
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <raftkv/watch.h>

#include "lib/kv/watch.h"
#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::test {
namespace {

class WatchPollsTest : public SessionKvTest {
 protected:
  WatchPollsTest() { Open(); }

  void Ask(WatchPageOptions options = {.position = {.next = 3}}) {
    kv_->WatchPageAsync(KeyRange::Prefix("a"), options, pages_.Next());
    Run();
  }
  void Answer(std::size_t i, WatchPosition position) {
    channel_.watches.at(i).done(kv::EncodeWatchResponse({}, position, 9));
  }
  void Fail(std::size_t i, Code code) { channel_.watches.at(i).done(Status(code, "scripted")); }

  Outcomes<WatchPage> pages_;
};

TEST_F(WatchPollsTest, AnAttemptThatFailedIsMadeAgainAndIsTheSame) {
  Ask();
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(channel_.watches.size(), i + 1);
    Fail(i, i == 2 ? Code::kCorruption : Code::kUnavailable);
    AdvanceMs(250);
    EXPECT_EQ(channel_.watches.at(i).request, channel_.watches.back().request);
  }
  Answer(4, {.next = 5, .delivered = 0});
  ASSERT_EQ(pages_.code(0), Code::kOk);
  EXPECT_EQ((*pages_.all[0])->position.next, 5U);
}

TEST_F(WatchPollsTest, WhatNobodyCanMendEndsIt) {
  for (const Code code : {Code::kCompacted, Code::kInvalidArgument, Code::kVersionMismatch}) {
    Ask();
    Fail(channel_.watches.size() - 1, code);
    EXPECT_EQ(pages_.code(pages_.all.size() - 1), code);
  }
}

TEST_F(WatchPollsTest, AnAnswerWhosePositionGoesBackIsNotTaken) {
  Ask();
  Answer(0, {.next = 2, .delivered = 0});
  EXPECT_EQ(pages_.code(0), Code::kCorruption);
}

TEST_F(WatchPollsTest, WithoutAnAnswerTheTimeIsUp) {
  Ask({.position = {.next = 3}, .timeout = std::chrono::milliseconds(500)});
  Fail(0, Code::kUnavailable);
  while (pages_.ended() == 0 && channel_.watches.size() < 100) {
    AdvanceMs(250);
    if (pages_.ended() == 0) Fail(channel_.watches.size() - 1, Code::kUnavailable);
  }
  EXPECT_EQ(pages_.code(0), Code::kDeadlineExceeded);
  // Also where the channel keeps silent.
  Ask({.position = {.next = 3}, .timeout = std::chrono::milliseconds(500)});
  AdvanceMs(5000);
  EXPECT_EQ(pages_.code(1), Code::kDeadlineExceeded);
}

TEST_F(WatchPollsTest, AClosedKvEndsWhatIsOpen) {
  Ask();
  kv_.reset();
  EXPECT_EQ(pages_.code(0), Code::kCancelled);
  Answer(0, {.next = 5, .delivered = 0});
}

TEST_F(WatchPollsTest, AWatchOfNothingIsRefused) {
  Ask({.position = {.next = 3}, .puts = false, .deletes = false});
  EXPECT_EQ(pages_.code(0), Code::kInvalidArgument);
  EXPECT_TRUE(channel_.watches.empty());
}

}  // namespace
}  // namespace raftkv::test
