// Which calls of a KV go in one request, and which wait?
#include <string>

#include <gtest/gtest.h>

#include "lib/session/backoff.h"
#include "lib/session/call_stream.h"
#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::node {
namespace {

using test::FakeChannel;

class SessionKvGatherTest : public test::SessionKvTest {};

TEST_F(SessionKvGatherTest, CallsThatComeTogetherGoTogether) {
  Open();
  for (int i = 0; i < 64; ++i) Put("k" + std::to_string(i));
  Run();
  ASSERT_EQ(channel_.submits.size(), 1U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[0].request), 64U);
  EXPECT_EQ(channel_.sessions_opened, 1);
}

TEST_F(SessionKvGatherTest, CallsGatherWhileARequestIsUnderWay) {
  Open();
  Put("first");
  Run();
  for (int i = 0; i < 10; ++i) Put("k" + std::to_string(i));
  Run();
  ASSERT_EQ(channel_.submits.size(), 1U);
  channel_.ApplyAndAnswer(0);
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[1].request), 10U);
  channel_.ApplyAndAnswer(1);
  Run();
  EXPECT_EQ(puts_.ended(), 11U);
  EXPECT_EQ(puts_.code(10), Code::kOk);
  for (std::uint64_t i = 0; i < 11; ++i) {
    EXPECT_EQ((*puts_.all[i])->revision, i + 2) << "a call has a revision of its own";
  }
  EXPECT_EQ(Stored("k9"), "value of k9");
}

TEST_F(SessionKvGatherTest, CallsDoNotWaitBehindARequestThatIsSlow) {
  SessionKvOptions options;
  options.max_outstanding = 3;
  Open(options);
  Put("lost");
  Run();
  for (int i = 0; i < 10; ++i) Put("k" + std::to_string(i));
  AdvanceMs(19);
  ASSERT_EQ(channel_.submits.size(), 1U);
  AdvanceMs(1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[1].request), 10U);
  Put("later");
  AdvanceMs(19);
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U) << "gathers behind each";
  AdvanceMs(1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U);
  Put("last");
  AdvanceMs(1000);
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U) << "no more than may be";
  channel_.ApplyAndAnswer(1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 4U);
  channel_.ApplyAndAnswer(2);
  channel_.ApplyAndAnswer(3);
  EXPECT_EQ(puts_.ended(), 12U);
  EXPECT_FALSE(puts_.all[0].has_value());
  channel_.ApplyAndAnswer(0);
  EXPECT_EQ(puts_.code(0), Code::kOk);
}

// Where nobody leads each request would be tried again and again.
TEST_F(SessionKvGatherTest, CallsGatherBehindARequestThatFailedUntilItIsAnswered) {
  Open();
  Put("first");
  Run();
  for (int i = 0; i < 20; ++i) {
    Put("k" + std::to_string(i));
    channel_.Answer(channel_.submits.size() - 1, Code::kUnavailable);
    const std::size_t before = channel_.submits.size();
    for (int ms = 0; ms < 400 && channel_.submits.size() == before; ++ms) AdvanceMs(1);
    ASSERT_EQ(channel_.submits.size(), before + 1);
    EXPECT_EQ(FakeChannel::Operations(channel_.submits.back().request), 1U);
  }
  channel_.ApplyAndAnswer(channel_.submits.size() - 1);
  Run();
  EXPECT_EQ(FakeChannel::Operations(channel_.submits.back().request), 20U);
}

TEST_F(SessionKvGatherTest, CallsMadeInCallbacksGoTogetherToo) {
  Open();
  int again = 0;
  for (int i = 0; i < 16; ++i) {
    kv_->PutAsync("k" + std::to_string(i), "1", {}, [this, &again, i](Result<WriteResult> result) {
      EXPECT_TRUE(result.ok());
      kv_->PutAsync("k" + std::to_string(i), "2", {}, [&](auto) { ++again; });
    });
  }
  Run();
  channel_.ApplyAndAnswer(0);
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[1].request), 16U);
  channel_.ApplyAndAnswer(1);
  EXPECT_EQ(again, 16);
}

TEST_F(SessionKvGatherTest, WithoutGatheringEachCallIsARequest) {
  SessionKvOptions options;
  options.coalesce = false;
  options.max_outstanding = 3;
  Open(options);
  for (int i = 0; i < 5; ++i) Put("k" + std::to_string(i));
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U) << "as many as may be under way";
  channel_.ApplyAndAnswer(1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 4U);
  const auto header = FakeChannel::Header(channel_.submits[3].request);
  EXPECT_EQ(header.sequence, 4U);
  EXPECT_EQ(header.acknowledged_below, 1U) << "the first one waits for its answer";
  channel_.ApplyAndAnswer(0);
  Run();
  EXPECT_EQ(FakeChannel::Header(channel_.submits[4].request).acknowledged_below, 3U);
  for (const std::size_t i : {2, 3, 4}) channel_.ApplyAndAnswer(i);
  EXPECT_EQ(puts_.ended(), 5U);
}

TEST_F(SessionKvGatherTest, ARequestKeepsToTheLimitsAndABatchIsNeverSplit) {
  SessionKvOptions options;
  options.limits.max_operations = 5;
  Open(options);
  for (int i = 0; i < 3; ++i) Put("k" + std::to_string(i));
  Batch batch;
  batch.Put("b1", "").Put("b2", "").Delete("k0");
  test::Outcomes<WriteResult> batches;
  kv_->WriteAsync(batch, {}, batches.Next());
  Put("k3");
  Run();
  ASSERT_EQ(channel_.submits.size(), 1U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[0].request), 3U);
  channel_.ApplyAndAnswer(0);
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U);
  EXPECT_EQ(FakeChannel::Operations(channel_.submits[1].request), 4U);
  channel_.ApplyAndAnswer(1);
  EXPECT_EQ(batches.code(0), Code::kOk);
  EXPECT_EQ(Stored("k0"), "(none)");
  EXPECT_EQ(Stored("b2"), "");
}

TEST_F(SessionKvGatherTest, ARequestDeletesNoMoreRangesThanItMay) {
  Open();
  test::Outcomes<DeleteResult> deletes;
  for (int i = 0; i < 40; ++i) {
    Put("k" + std::to_string(i));
    kv_->DeleteRangeAsync(KeyRange::Prefix("k" + std::to_string(i)), {}, deletes.Next());
  }
  Run();
  for (std::size_t i = 0; i < channel_.submits.size(); ++i) {
    EXPECT_TRUE(kv::ValidateRequest(channel_.submits[i].request.view(), Limits()).ok()) << i;
    channel_.ApplyAndAnswer(i);
    Run();
  }
  EXPECT_EQ(channel_.submits.size(), 3U);
  ASSERT_EQ(deletes.ended(), 40U);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ((*deletes.all[i])->deleted, 1U) << i;
}

TEST_F(SessionKvGatherTest, ARequestKeepsToItsSize) {
  SessionKvOptions options;
  options.limits.max_request_bytes = 4096;
  Open(options);
  for (int i = 0; i < 8; ++i) kv_->PutAsync("k", std::string(1000, 'v'), {}, puts_.Next());
  Run();
  for (std::size_t i = 0; i < channel_.submits.size(); ++i) {
    EXPECT_LE(channel_.submits[i].request.size(), 4096U);
    channel_.ApplyAndAnswer(i);
    Run();
  }
  EXPECT_EQ(channel_.submits.size(), 3U);
  EXPECT_EQ(puts_.ended(), 8U);
}

class SessionKvWindowTest : public SessionKvGatherTest {
 protected:
  void PutLarge(const std::string& key, std::size_t bytes) {
    kv_->PutAsync(key, std::string(bytes, 'v'), {}, puts_.Next());
  }
};

// What is larger would go through the disks and the network of the cluster as one piece.
TEST_F(SessionKvWindowTest, CallsShareARequestUpToOneMebibyte) {
  Open();
  for (int i = 0; i < 10; ++i) PutLarge("k" + std::to_string(i), 300 << 10);
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U) << "each full one, and not the rest, which may grow";
  for (const auto& submit : channel_.submits) {
    EXPECT_EQ(FakeChannel::Operations(submit.request), 3U);
    EXPECT_LE(submit.request.size(), kGatherBytes + 1024);
  }
  AdvanceMs(20);
  Run();
  ASSERT_EQ(channel_.submits.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) channel_.ApplyAndAnswer(i);
  EXPECT_EQ(puts_.ended(), 10U);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(puts_.code(i), Code::kOk) << i;
}

TEST_F(SessionKvWindowTest, ACallThatIsLargerThanWhatGathersGoesAlone) {
  Open({.limits = {.max_value_bytes = 4 << 20}});
  PutLarge("large", 3 << 20);
  Put("small");
  PutLarge("large2", (1 << 20) + 1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U) << "in their order";
  for (const auto& submit : channel_.submits) {
    EXPECT_EQ(FakeChannel::Operations(submit.request), 1U);
  }
  for (std::size_t i = 0; i < 3; ++i) channel_.ApplyAndAnswer(i);
  EXPECT_EQ(puts_.ended(), 3U);
}

TEST_F(SessionKvWindowTest, RequestsUnderWayTogetherFillTheWindowAndNoMore) {
  Open();
  for (int i = 0; i < 40; ++i) PutLarge("k" + std::to_string(i), 900 << 10);
  Run();
  const std::size_t window = channel_.submits.size();
  EXPECT_GE(window * (900 << 10), kWindowBytes) << "as much as may be";
  EXPECT_LT((window - 1) * (900 << 10), kWindowBytes);
  AdvanceMs(100);
  Run();
  EXPECT_EQ(channel_.submits.size(), window) << "nor behind slow ones";
  for (std::size_t i = 0; i < channel_.submits.size(); ++i) {
    channel_.ApplyAndAnswer(i);
    Run();
    EXPECT_LE(channel_.submits.size(), i + 1 + window);
  }
  EXPECT_EQ(puts_.ended(), 40U);
  EXPECT_EQ(channel_.submits.size(), 40U);
}

TEST_F(SessionKvWindowTest, CallsThatEndedWhileTheyWaitedFillNoRequest) {
  Open();
  Put("first");
  Run();
  kv_->PutAsync("late", std::string(900 << 10, 'v'), {.timeout = std::chrono::milliseconds(5)},
                puts_.Next());
  AdvanceMs(6);
  ASSERT_EQ(puts_.code(1), Code::kDeadlineExceeded);
  PutLarge("other", 300 << 10);
  Run();
  EXPECT_EQ(channel_.submits.size(), 1U) << "1,200 KiB came, but 300 are left";
  channel_.ApplyAndAnswer(0);
  Run();
  channel_.ApplyAndAnswer(1);
  EXPECT_EQ(puts_.code(2), Code::kOk);
}

TEST_F(SessionKvWindowTest, AnAttemptHasTheTimeThatItsBytesMayTake) {
  EXPECT_EQ(AttemptTimeout(0), kAttemptTimeout);
  EXPECT_EQ(AttemptTimeout(512 << 10), kAttemptTimeout + std::chrono::seconds(1));
  EXPECT_EQ(AttemptTimeout(16 << 20), kAttemptTimeout + std::chrono::seconds(32));
  Open();
  const MonoTime now = loop_.Now();
  PutLarge("large", 1 << 20);
  Run();
  ASSERT_EQ(channel_.submits.size(), 1U);
  EXPECT_GE(channel_.submits[0].deadline, now + std::chrono::seconds(4));
  EXPECT_LE(channel_.submits[0].deadline, now + std::chrono::seconds(5)) << "the call's own";
}

TEST_F(SessionKvWindowTest, AnAttemptAfterOneThatGotNoAnswerInItsTimeHasTwiceAsMuch) {
  Open();
  kv_->PutAsync("far", "away", {.timeout = std::chrono::seconds(60)}, puts_.Next());
  Run();
  for (std::size_t i = 0; i < 3; ++i) {
    for (int ms = 0; channel_.submits.size() == i && ms < 1000; ++ms) {
      AdvanceMs(1);
      Run();
    }
    ASSERT_EQ(channel_.submits.size(), i + 1);
    const auto given =
        std::chrono::ceil<std::chrono::milliseconds>(channel_.submits[i].deadline - loop_.Now());
    EXPECT_EQ(given / kAttemptTimeout, 1 << i);
    AdvanceMs(static_cast<int>(given.count()));
    channel_.submits[i].done({{Code::kDeadlineExceeded, "no answer"}, {}});
  }
}

class AttemptTimeTest : public testing::Test {
 protected:
  /// How long an attempt has that begins now, and fails after `took`.
  Duration Attempt(Duration took) {
    const Duration given = time_.Begin(now_, 0) - now_;
    now_ += took;
    time_.Failed(now_);
    return given;
  }

  MonoTime now_ = MonoTime(std::chrono::hours(1));
  AttemptTime time_;
};

TEST_F(AttemptTimeTest, DoublesAfterEachAttemptThatUsedUpItsOwn) {
  for (const int expected : {2, 4, 8, 16, 16, 16}) {
    EXPECT_EQ(Attempt(std::chrono::seconds(expected)), std::chrono::seconds(expected));
  }
}

TEST_F(AttemptTimeTest, CountsAsUsedUpWhereTheOtherSideGaveUpALittleEarlier) {
  EXPECT_EQ(Attempt(std::chrono::milliseconds(1749)), std::chrono::seconds(2));
  EXPECT_EQ(Attempt(std::chrono::milliseconds(1750)), std::chrono::seconds(2));
  EXPECT_EQ(Attempt(std::chrono::milliseconds(3499)), std::chrono::seconds(4));
  EXPECT_EQ(Attempt(std::chrono::milliseconds(3500)), std::chrono::seconds(4));
  EXPECT_EQ(Attempt({}), std::chrono::seconds(8));
}

TEST_F(AttemptTimeTest, StaysWhereAttemptsWereRefusedAtOnce) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Attempt({}), kAttemptTimeout);
}

}  // namespace
}  // namespace raftkv::node
