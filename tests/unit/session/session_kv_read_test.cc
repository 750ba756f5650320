// Reads of a KV: gathering, retries, answers that were full.
#include <string>

#include <gtest/gtest.h>

#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::node {
namespace {

using std::chrono::milliseconds;

class SessionKvReadTest : public test::SessionKvTest {
 protected:
  SessionKvReadTest() {
    channel_.log.Apply({kv::PutOp{"a", "1"}, kv::PutOp{"b", "2"}, kv::PutOp{"c", "3"}});
  }
};

TEST_F(SessionKvReadTest, BoundedReadsThatGatherShareTheSmallestStaleness) {
  Open();
  for (const int staleness_ms : {700, 300, 500}) {
    kv_->GetAsync("a", {std::chrono::seconds(5), Consistency::kBounded, milliseconds(staleness_ms)},
                  gets_.Next());
  }
  Get("a", Consistency::kLease);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  const auto bounded = channel_.reads[0].policy.consistency == Consistency::kBounded ? 0U : 1U;
  EXPECT_EQ(channel_.reads[bounded].policy.consistency, Consistency::kBounded);
  EXPECT_EQ(channel_.reads[bounded].policy.max_staleness, milliseconds(300));
  EXPECT_EQ(channel_.reads[1 - bounded].policy.consistency, Consistency::kLease);
  kv_->GetAsync("a", {std::chrono::seconds(5), Consistency::kBounded, milliseconds(-1)},
                gets_.Next());
  EXPECT_EQ(gets_.all.back()->code(), Code::kInvalidArgument);
}

TEST_F(SessionKvReadTest, ReadsGatherApartFromWritesAndByConsistency) {
  Open();
  Get("a");
  Get("none");
  Get("b", Consistency::kLocal);
  Put("d");
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  EXPECT_EQ(channel_.submits.size(), 1U);
  EXPECT_EQ(channel_.reads[0].policy.consistency, Consistency::kLinearizable);
  EXPECT_EQ(channel_.reads[1].policy.consistency, Consistency::kLocal);
  Get("c");
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U) << "gathers while a request is under way";
  channel_.AnswerRead(0);
  channel_.AnswerRead(1);
  Run();
  ASSERT_EQ(channel_.reads.size(), 3U);
  channel_.AnswerRead(2);
  EXPECT_EQ((*gets_.all[0])->value, "1");
  EXPECT_EQ((*gets_.all[0])->mod_revision, 2U);
  EXPECT_EQ(gets_.code(1), Code::kNotFound);
  EXPECT_EQ((*gets_.all[2])->value, "2");
  EXPECT_EQ((*gets_.all[3])->value, "3");
}

TEST_F(SessionKvReadTest, ReadsDoNotWaitBehindARequestThatIsSlow) {
  Open();
  Get("a");
  Run();
  Get("b");
  AdvanceMs(20);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(1);
  EXPECT_EQ((*gets_.all[1])->value, "2");
  EXPECT_FALSE(gets_.all[0].has_value());
}

TEST_F(SessionKvReadTest, WithoutGatheringEachReadIsARequest) {
  SessionKvOptions options;
  options.coalesce = false;
  options.max_outstanding = 2;
  Open(options);
  for (const char* key : {"a", "b", "c"}) Get(key);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(0);
  Run();
  ASSERT_EQ(channel_.reads.size(), 3U);
  channel_.AnswerRead(1);
  channel_.AnswerRead(2);
  EXPECT_EQ(gets_.ended(), 3U);
}

TEST_F(SessionKvReadTest, ReadsThatAFullAnswerLeftOutAreAskedAgainInOrder) {
  Open();
  for (const char* key : {"a", "b", "none", "c"}) Get(key);
  Run();
  for (std::size_t i = 0; i < channel_.reads.size(); ++i) {
    channel_.AnswerRead(i, /*max_bytes=*/1);
    Run();
  }
  EXPECT_EQ(channel_.reads.size(), 3U) << "each answer has room for one value";
  EXPECT_EQ((*gets_.all[0])->value, "1");
  EXPECT_EQ((*gets_.all[1])->value, "2");
  EXPECT_EQ(gets_.code(2), Code::kNotFound);
  EXPECT_EQ((*gets_.all[3])->value, "3");
}

TEST_F(SessionKvReadTest, CountsThatWereTooMuchForOneRequestAreAskedAgain) {
  Open();
  test::Outcomes<ScanResult> counts;
  ScanOptions count_only;
  count_only.count_only = true;
  for (const char* begin : {"a", "b", "x", "c"})
    kv_->ScanAsync({begin, ""}, count_only, counts.Next());
  Run();
  for (std::size_t i = 0; i < channel_.reads.size(); ++i) {
    channel_.AnswerRead(i, 1 << 20, /*max_visited_bytes=*/1);
    Run();
  }
  EXPECT_EQ(channel_.reads.size(), 4U) << "each has work for one count";
  ASSERT_EQ(counts.ended(), 4U);
  EXPECT_EQ((*counts.all[0])->count, 3U);
  EXPECT_EQ((*counts.all[1])->count, 2U);
  EXPECT_EQ((*counts.all[2])->count, 0U);
  EXPECT_EQ((*counts.all[3])->count, 1U);
}

TEST_F(SessionKvReadTest, ScansSayWhatTheySaw) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions limited;
  limited.limit = 2;
  ScanOptions counted;
  counted.count_only = true;
  kv_->ScanAsync(KeyRange::Prefix(""), limited, scans.Next());
  kv_->ScanAsync({"b", ""}, counted, scans.Next());
  Run();
  channel_.AnswerRead(0);
  EXPECT_EQ((*scans.all[0])->kvs.size(), 2U);
  EXPECT_TRUE((*scans.all[0])->more);
  EXPECT_EQ((*scans.all[0])->revision, 4U);
  EXPECT_EQ((*scans.all[1])->count, 2U);
}

TEST_F(SessionKvReadTest, TheNextPageOfAScanIsOfTheSameStateAndSharesItsRequestWithNoOther) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions options;
  kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
  Run();
  channel_.AnswerRead(0, /*max_bytes=*/1);
  ASSERT_EQ((*scans.all[0])->kvs.size(), 1U);
  channel_.log.Apply({kv::PutOp{"b", "new"}, kv::PutOp{"c", "new"}});
  options.continuation = (*scans.all[0])->continuation;
  Get("a");
  kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
  Get("b");
  Run();
  AdvanceMs(20);
  Run();
  AdvanceMs(20);
  Run();
  ASSERT_EQ(channel_.reads.size(), 4U);
  for (std::size_t i = 1; i < 4; ++i) channel_.AnswerRead(i);
  ASSERT_TRUE((*scans.all[1]).ok());
  EXPECT_EQ((*scans.all[1])->kvs[0].value, "2");
  EXPECT_EQ((*scans.all[1])->kvs[1].value, "3");
  EXPECT_EQ((*scans.all[1])->revision, (*scans.all[0])->revision);
  EXPECT_EQ((*gets_.all[1])->value, "new");
}

TEST_F(SessionKvReadTest, AScanWhoseRevisionIsGoneEndsAtOnce) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions options;
  options.limit = 1;
  kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
  Run();
  channel_.AnswerRead(0);
  channel_.log.Apply({kv::PutOp{"c", "new"}});
  channel_.log.Apply({kv::CompactOp{5}});
  options.continuation = (*scans.all[0])->continuation;
  kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
  kv_->ScanAsync({"b", ""}, options, scans.Next());
  EXPECT_EQ(scans.code(2), Code::kInvalidArgument) << "a continuation of another range";
  options.revision = 2;
  kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
  EXPECT_EQ(scans.code(3), Code::kInvalidArgument) << "and of another revision";
  Run();
  channel_.AnswerRead(1);
  EXPECT_EQ(scans.code(1), Code::kCompacted);
}

TEST_F(SessionKvReadTest, APageThatAnotherOneFollowsSaysWhere) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions limited;
  limited.limit = 1;
  kv_->ScanAsync(KeyRange::Prefix(""), limited, scans.Next());
  kv_->ScanAsync({"c", ""}, limited, scans.Next());
  limited.count_only = true;
  kv_->ScanAsync(KeyRange::Prefix(""), limited, scans.Next());
  Run();
  channel_.AnswerRead(0);
  EXPECT_TRUE((*scans.all[0])->more);
  EXPECT_NE((*scans.all[0])->continuation, "");
  EXPECT_EQ((*scans.all[1])->continuation, "") << "nothing follows";
  EXPECT_EQ((*scans.all[2])->continuation, "");
}

TEST_F(SessionKvReadTest, AReadOfThePastIsToldItsRevisionAndSharesItsRequestWithNoOther) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions past;
  past.revision = 2;
  past.limit = 1;
  Get("a");
  kv_->ScanAsync(KeyRange::Prefix(""), past, scans.Next());
  Run();
  AdvanceMs(20);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(1);
  EXPECT_EQ((*scans.all[0])->revision, 2U);
  EXPECT_EQ((*scans.all[0])->count, 1U);
  EXPECT_FALSE((*scans.all[0])->more);
}

TEST_F(SessionKvReadTest, AReadIsTriedAgainUntilItsDeadline) {
  Open();
  Get("a");
  Get("b", Consistency::kLinearizable, milliseconds(30));
  Run();
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(channel_.reads.size(), i + 1);
    channel_.reads[i].done(Status(i % 2 == 0 ? Code::kUnavailable : Code::kNotLeader, "scripted"));
    for (int ms = 0; ms < 250 && channel_.reads.size() == i + 1; ++ms) AdvanceMs(1);
  }
  EXPECT_EQ(gets_.code(1), Code::kDeadlineExceeded);
  EXPECT_NE(gets_.all[1]->status().message().find("scripted"), std::string::npos);
  channel_.AnswerRead(4);
  EXPECT_EQ((*gets_.all[0])->value, "1");
}

TEST_F(SessionKvReadTest, AReadThatNobodyWaitsForMakesRoomForTheNext) {
  Open();
  Get("a", Consistency::kLinearizable, milliseconds(50));
  Run();
  Get("b");
  AdvanceMs(51);
  EXPECT_EQ(gets_.code(0), Code::kDeadlineExceeded);
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(0);
  channel_.AnswerRead(1);
  EXPECT_EQ((*gets_.all[1])->value, "2");
}

TEST_F(SessionKvReadTest, NothingIsSentAfterACallThatWasTooLateDestroyedTheStore) {
  Open();
  Get("a");
  kv_->GetAsync("late", {milliseconds(0), Consistency::kLinearizable},
                [this](const Result<KeyValue>& result) {
                  EXPECT_EQ(result.code(), Code::kDeadlineExceeded);
                  kv_.reset();
                });
  Run();
  EXPECT_EQ(kv_, nullptr);
  EXPECT_EQ(gets_.code(0), Code::kCancelled);
  EXPECT_TRUE(channel_.reads.empty());
}

TEST_F(SessionKvReadTest, WhatNoRetryCanMendFailsAtOnce) {
  Open();
  Get("a");
  Run();
  channel_.reads[0].done(Status(Code::kPermissionDenied, "no"));
  EXPECT_EQ(gets_.code(0), Code::kPermissionDenied);
  Get("a");
  Run();
  channel_.reads[1].done(Bytes(std::string("garbage!")));
  EXPECT_EQ(gets_.code(1), Code::kCorruption);
}

}  // namespace
}  // namespace raftkv::node
