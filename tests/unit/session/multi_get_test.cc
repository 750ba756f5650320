// Several keys at once: from one state, in their order, however many answers it takes.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::node {
namespace {

using std::chrono::milliseconds;

class MultiGetTest : public test::SessionKvTest {
 protected:
  MultiGetTest() {
    channel_.log.Apply({kv::PutOp{"a", "1"}, kv::PutOp{"b", "2"}, kv::PutOp{"c", "3"}});
  }
  void GetMany(const std::vector<std::string>& keys,
               milliseconds timeout = std::chrono::seconds(5)) {
    ReadOptions options;
    options.timeout = timeout;
    kv_->GetManyAsync(keys, options, many_.Next());
    Run();
  }
  void LetThePastGo() {
    channel_.log.Apply({kv::CompactOp{channel_.log.store().revisions().revision}});
  }
  std::string Found(std::size_t i) {
    if (many_.code(i) != Code::kOk) return many_.all[i]->status().ToString();
    std::string found;
    for (const auto& kv : (*many_.all[i])->kvs) {
      found += kv.has_value() ? kv->key + "=" + kv->value + " " : "- ";
    }
    return found;
  }

  test::Outcomes<GetManyResult> many_;
};

TEST_F(MultiGetTest, AnswersInOrderAndMarksWhatIsMissing) {
  Open();
  GetMany({"c", "none", "a", "c", "zzz"});
  ASSERT_EQ(channel_.reads.size(), 1U) << "one request";
  channel_.AnswerRead(0);
  EXPECT_EQ(Found(0), "c=3 - a=1 c=3 - ");
  EXPECT_EQ((*many_.all[0])->revision, 4U);
  EXPECT_EQ((*many_.all[0])->kvs[2]->mod_revision, 2U);
}

TEST_F(MultiGetTest, WhatAnAnswerLeftOutIsAskedForAtTheSameRevision) {
  Open();
  GetMany({"a", "none", "b", "c"});
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(channel_.reads.size(), i + 1);
    channel_.AnswerRead(i, /*max_bytes=*/1);
    Run();
  }
  EXPECT_EQ(Found(0), "a=1 - b=2 c=3 ");
}

TEST_F(MultiGetTest, NeverMixesTwoStates) {
  Open();
  GetMany({"a", "b"});
  channel_.AnswerRead(0, /*max_bytes=*/1);
  Run();
  channel_.log.Apply({kv::PutOp{"a", "new"}, kv::PutOp{"b", "new"}});
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(1, /*max_bytes=*/1);
  EXPECT_EQ(Found(0), "a=1 b=2 ");
  EXPECT_EQ((*many_.all[0])->revision, 4U);
}

TEST_F(MultiGetTest, BeginsAgainWhereItsStateIsGone) {
  Open();
  GetMany({"a", "b"});
  channel_.AnswerRead(0, /*max_bytes=*/1);
  Run();
  channel_.log.Apply({kv::PutOp{"a", "new"}, kv::PutOp{"b", "new"}});
  LetThePastGo();
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(1, /*max_bytes=*/1);
  Run();
  ASSERT_EQ(channel_.reads.size(), 3U);
  channel_.AnswerRead(2);
  EXPECT_EQ(Found(0), "a=new b=new ");
  EXPECT_EQ((*many_.all[0])->revision, 6U);
}

TEST_F(MultiGetTest, AStateThatIsGoneHarmsNoOtherRead) {
  Open();
  GetMany({"a", "b"});
  channel_.AnswerRead(0, /*max_bytes=*/1);
  Get("c");
  Run();
  channel_.log.Apply({kv::PutOp{"b", "new"}});
  LetThePastGo();
  for (std::size_t i = 1; i < channel_.reads.size(); ++i) {
    channel_.AnswerRead(i);
    AdvanceMs(20);
    Run();
  }
  ASSERT_EQ(gets_.code(0), Code::kOk);
  EXPECT_EQ((*gets_.all[0])->value, "3");
  EXPECT_EQ(Found(0), "a=1 b=new ");
}

TEST_F(MultiGetTest, GivesUpWhereEveryStateIsGoneTooSoon) {
  Open();
  GetMany({"a", "b"});
  std::size_t answered = 0;
  while (!many_.all[0].has_value() && answered < 100) {
    ASSERT_LT(answered, channel_.reads.size());
    channel_.AnswerRead(answered++, /*max_bytes=*/1);
    Run();
    channel_.log.Apply({kv::PutOp{"b", std::to_string(answered)}});
    LetThePastGo();
  }
  EXPECT_EQ(many_.code(0), Code::kCompacted);
  EXPECT_EQ(answered, 10U) << "five attempts";
}

TEST_F(MultiGetTest, AnAnswerOfAStoreBelowItsRevisionIsNotTaken) {
  Open();
  GetMany({"a", "b"});
  channel_.AnswerRead(0, /*max_bytes=*/1);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  test::AppliedLog behind;
  const Bytes latest = kv::EncodeReadRequest({kv::ReadOp{.range = kv::Range::Single("b")}});
  channel_.reads[1].done(kv::Read(behind.engine(), kv::ReadTier::kAll, latest.view(), 1 << 20));
  EXPECT_EQ(many_.code(0), Code::kCorruption);
}

TEST_F(MultiGetTest, SharesARequestAndGoesBackWholeWhereTheAnswerIsFull) {
  Open();
  Get("a");
  kv_->GetManyAsync({"b", "c"}, {}, many_.Next());
  Get("c");
  Run();
  ASSERT_EQ(channel_.reads.size(), 1U);
  // Room for two pairs: the second of the multi-get has none.
  channel_.AnswerRead(0, /*max_bytes=*/130);
  EXPECT_EQ((*gets_.all[0])->value, "1");
  EXPECT_FALSE(many_.all[0].has_value());
  channel_.log.Apply({kv::PutOp{"b", "new"}, kv::PutOp{"c", "new"}});
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U);
  channel_.AnswerRead(1);
  EXPECT_EQ(Found(0), "b=new c=new ");
  EXPECT_EQ((*gets_.all[1])->value, "new");
}

TEST_F(MultiGetTest, EndsAtItsTimeoutAlsoBetweenTwoAnswers) {
  Open();
  GetMany({"a", "b"}, milliseconds(50));
  AdvanceMs(30);
  channel_.AnswerRead(0, /*max_bytes=*/1);
  Run();
  AdvanceMs(21);
  EXPECT_EQ(many_.code(0), Code::kDeadlineExceeded);
}

TEST_F(MultiGetTest, TakesAsManyKeysAsARequestHasOperations) {
  SessionKvOptions options;
  options.limits.max_operations = 3;
  Open(options);
  GetMany({});
  GetMany({"a", "b", "c", "a"});
  GetMany({"a", "", "b"});
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(many_.code(i), Code::kInvalidArgument) << i;
  GetMany({"a", "b", "c"});
  ASSERT_EQ(channel_.reads.size(), 1U);
  channel_.AnswerRead(0);
  EXPECT_EQ(Found(3), "a=1 b=2 c=3 ");
}

TEST_F(MultiGetTest, ScansSayWhichOrderAndHaveNoPagesBeyondTheKeys) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions newest;
  newest.order = OrderBy::kValue;
  newest.reverse = true;
  newest.limit = 2;
  Get("a");
  kv_->ScanAsync(KeyRange::Prefix(""), newest, scans.Next());
  Run();
  AdvanceMs(20);
  Run();
  ASSERT_EQ(channel_.reads.size(), 2U) << "one that may be refused shares its request with none";
  channel_.AnswerRead(1);
  ASSERT_EQ((*scans.all[0])->kvs.size(), 2U);
  EXPECT_EQ((*scans.all[0])->kvs[0].key, "c");
  EXPECT_EQ((*scans.all[0])->count, 3U);
  EXPECT_TRUE((*scans.all[0])->more);
  EXPECT_EQ((*scans.all[0])->continuation, "");
  newest.continuation = std::string(40, 'x');
  kv_->ScanAsync(KeyRange::Prefix(""), newest, scans.Next());
  EXPECT_EQ(scans.code(1), Code::kInvalidArgument);
}

TEST_F(MultiGetTest, PagesCarryTheCountOfTheFirst) {
  Open();
  test::Outcomes<ScanResult> scans;
  ScanOptions options;
  options.reverse = true;
  std::string keys;
  for (std::size_t i = 0; i < 3; ++i) {
    kv_->ScanAsync(KeyRange::Prefix(""), options, scans.Next());
    Run();
    AdvanceMs(20);
    Run();
    ASSERT_EQ(channel_.reads.size(), i + 1);
    channel_.AnswerRead(i, /*max_bytes=*/1);
    ASSERT_TRUE((*scans.all[i]).ok()) << (*scans.all[i]).status().ToString();
    EXPECT_EQ((*scans.all[i])->count, 3U);
    keys += (*scans.all[i])->kvs.at(0).key;
    options.continuation = (*scans.all[i])->continuation;
    channel_.log.Apply({kv::PutOp{"d" + std::to_string(i), "new"}});
  }
  EXPECT_EQ(keys, "cba");
  EXPECT_EQ(options.continuation, "");
}

}  // namespace
}  // namespace raftkv::node
