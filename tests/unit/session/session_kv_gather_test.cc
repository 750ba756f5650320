// Which calls of a KV go in one request, and which wait?
#include <string>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace raftkv::node
