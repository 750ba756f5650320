#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

constexpr std::size_t kRoom = 1 << 20;

class KvRead : public testing::Test {
 protected:
  KvRead() {
    log_.Apply({PutOp{"a", "1"}, PutOp{"b", "2"}, PutOp{"b1", "3"}});
    log_.Apply({PutOp{"c", "4"}});
  }

  std::vector<ReadAnswer> Read(const std::vector<ReadOp>& reads, std::size_t max_bytes = kRoom,
                               std::size_t max_visited_bytes = kMaxVisitedBytes) {
    const auto answer = kv::Read(log_.engine(), ReadTier::kAll, EncodeReadRequest(reads).view(),
                                 max_bytes, max_visited_bytes);
    EXPECT_TRUE(answer.ok()) << answer.status().ToString();
    if (!answer.ok()) return {};
    const auto results = DecodeReadResponse(answer->view());
    EXPECT_TRUE(results.ok()) << results.status().ToString();
    EXPECT_EQ(results->size(), reads.size());
    return *results;
  }

  static std::string Keys(const ScanResult& result) {
    std::string keys;
    for (const KeyValue& kv : result.kvs) keys += kv.key + "=" + kv.value + " ";
    return keys;
  }

  static Range All() { return {Range::Kind::kUnbounded, "", ""}; }

  AppliedLog log_;
};

TEST_F(KvRead, AnswersOneKeyWithItsRevision) {
  const auto results =
      Read({{Range::Single("b"), 0, false, false}, {Range::Single("none"), 0, false, false}});
  ASSERT_EQ(results[0].kvs.size(), 1U);
  EXPECT_EQ(results[0].kvs[0].key, "b");
  EXPECT_EQ(results[0].kvs[0].value, "2");
  EXPECT_EQ(results[0].kvs[0].mod_revision, 3U);
  EXPECT_EQ(results[0].kvs[0].create_revision, 3U);
  EXPECT_EQ(results[0].kvs[0].version, 1U);
  EXPECT_EQ(results[0].kvs[0].lease, 0U);
  EXPECT_EQ(results[0].revision, 5U) << "of the store";
  EXPECT_EQ(results[0].count, 1U);
  EXPECT_TRUE(results[1].kvs.empty());
  EXPECT_FALSE(results[1].more);
}

TEST_F(KvRead, ScansARangeInOrder) {
  EXPECT_EQ(Keys(Read({{All(), 0, false, false}})[0]), "a=1 b=2 b1=3 c=4 ");
  EXPECT_EQ(Keys(Read({{Range::From(KeyRange::Prefix("b")), 0, false, false}})[0]), "b=2 b1=3 ");
  EXPECT_EQ(Keys(Read({{{Range::Kind::kBounded, "a1", "c"}, 0, false, false}})[0]), "b=2 b1=3 ");
  EXPECT_EQ(Keys(Read({{{Range::Kind::kUnbounded, "b1", ""}, 0, false, false}})[0]), "b1=3 c=4 ");
  EXPECT_EQ(Keys(Read({{{Range::Kind::kBounded, "c", "a"}, 0, false, false}})[0]), "");
}

TEST_F(KvRead, StopsAtItsLimitAndSaysIfThereIsMore) {
  const ScanResult two = Read({{All(), 2, false, false}})[0];
  EXPECT_EQ(Keys(two), "a=1 b=2 ");
  EXPECT_TRUE(two.more);
  EXPECT_EQ(two.count, 4U) << "of the whole range";
  const ScanResult all = Read({{All(), 4, false, false}})[0];
  EXPECT_EQ(all.kvs.size(), 4U);
  EXPECT_FALSE(all.more) << "the range ends with the limit";
}

TEST_F(KvRead, KeysOnlyAndCountOnly) {
  EXPECT_EQ(Keys(Read({{All(), 0, true, false}})[0]), "a= b= b1= c= ");
  const ScanResult counted = Read({{All(), 0, false, true}}, /*max_bytes=*/1)[0];
  EXPECT_EQ(counted.count, 4U);
  EXPECT_TRUE(counted.kvs.empty());
  EXPECT_FALSE(counted.more);
}

TEST_F(KvRead, AFullAnswerSaysMoreAndTheFirstReadAlwaysGetsOn) {
  const auto results = Read(
      {{All(), 0, false, false}, {Range::Single("c"), 0, false, false}, {All(), 0, false, true}},
      /*max_bytes=*/1);
  EXPECT_EQ(Keys(results[0]), "a=1 ");
  EXPECT_TRUE(results[0].more);
  EXPECT_TRUE(results[1].kvs.empty());
  EXPECT_TRUE(results[1].more) << "left out, not: no such key";
  EXPECT_EQ(results[2].count, 4U) << "a count takes no room";
}

// Four records are there, each counts for a bit more than 256 bytes.
TEST_F(KvRead, TheFirstCountIsWholeAndNoWorkIsDoneAfterTooMuch) {
  const ReadOp count{All(), 0, false, true};
  const auto results =
      Read({count, count, {Range::Single("c"), 0, false, false}, {All(), 0, true, false}}, kRoom,
           /*max_visited_bytes=*/600);
  EXPECT_EQ(results[0].count, 4U) << "however many keys there are";
  EXPECT_FALSE(results[0].more);
  for (std::size_t left_out = 1; left_out < results.size(); ++left_out) {
    EXPECT_EQ(results[left_out].count, 0U) << left_out;
    EXPECT_TRUE(results[left_out].kvs.empty()) << left_out;
    EXPECT_TRUE(results[left_out].more) << left_out;
  }
}

TEST_F(KvRead, ACountIsWholeOrLeftOutNeverCutShort) {
  const ReadOp get{Range::Single("a"), 0, false, false};
  const ReadOp none{Range::Single("none"), 0, false, false};
  const ReadOp count{All(), 0, false, true};
  for (std::size_t room = 1; room < 3000; room += 50) {
    const auto results = Read({get, none, count, count}, kRoom, room);
    EXPECT_EQ(Keys(results[0]), "a=1 ");
    for (const std::size_t i : {2, 3}) {
      EXPECT_EQ(results[i].count, results[i].more ? 0U : 4U) << "room for " << room;
    }
    EXPECT_EQ(results[2].more, room < 1600) << "room for " << room;
    EXPECT_EQ(results[3].more, room < 2650) << "room for " << room;
  }
}

TEST_F(KvRead, AScanThatVisitsTooMuchSaysMoreAndGetsOn) {
  const ReadOp keys{All(), 0, true, false};
  const auto results = Read({keys, keys}, kRoom, /*max_visited_bytes=*/600);
  EXPECT_EQ(Keys(results[0]), "a= b= ");
  EXPECT_TRUE(results[0].more);
  EXPECT_EQ(Keys(results[1]), "");
  EXPECT_TRUE(results[1].more);
  EXPECT_EQ(Keys(Read({keys}, kRoom, /*max_visited_bytes=*/1)[0]), "a= ");
}

TEST_F(KvRead, TheAnswerKeepsToItsSize) {
  log_.Apply({PutOp{"big1", std::string(1000, 'x')}, PutOp{"big2", std::string(1000, 'x')},
              PutOp{"big3", std::string(1000, 'x')}});
  const Bytes request =
      EncodeReadRequest({{Range::From(KeyRange::Prefix("big")), 0, false, false}});
  const auto answer = kv::Read(log_.engine(), ReadTier::kAll, request.view(), 2200);
  ASSERT_TRUE(answer.ok());
  EXPECT_LE(answer->size(), 2200U + 128);
  EXPECT_EQ(DecodeReadResponse(answer->view())->front().kvs.size(), 2U);
}

TEST_F(KvRead, WhatIsNotInMemoryIsAskedAgain) {
  const Bytes request = EncodeReadRequest({{Range::Single("a"), 0, false, false}});
  EXPECT_TRUE(kv::Read(log_.engine(), ReadTier::kMemory, request.view(), kRoom).ok());
  log_.engine().SetInMemory(false);
  EXPECT_EQ(kv::Read(log_.engine(), ReadTier::kMemory, request.view(), kRoom).code(),
            Code::kUnavailable);
  EXPECT_TRUE(kv::Read(log_.engine(), ReadTier::kAll, request.view(), kRoom).ok());
}

TEST_F(KvRead, ARangeIsNeverReadOnTheCallersThread) {
  const Bytes range = EncodeReadRequest(
      {{Range::Single("a"), 0, false, false}, {Range::From(KeyRange::Prefix("")), 0, false, true}});
  EXPECT_EQ(kv::Read(log_.engine(), ReadTier::kMemory, range.view(), kRoom).code(),
            Code::kUnavailable);
  EXPECT_TRUE(kv::Read(log_.engine(), ReadTier::kAll, range.view(), kRoom).ok());
}

TEST_F(KvRead, SaysWhatIsMalformedOrDamaged) {
  EXPECT_EQ(kv::Read(log_.engine(), ReadTier::kAll, "garbage!", kRoom).code(),
            Code::kInvalidArgument);
  test::FakeEngine damaged(test::FakeEngine::Content{{"dk", "\x02"}});
  const Bytes request = EncodeReadRequest({{All(), 0, false, false}});
  EXPECT_EQ(kv::Read(damaged, ReadTier::kAll, request.view(), kRoom).code(), Code::kCorruption);
}

TEST_F(KvRead, AReadRequestIsCheckedWhereItEnters) {
  Limits limits;
  limits.max_key_bytes = 4;
  const auto validate = [&](const std::vector<ReadOp>& reads) {
    return ValidateReadRequest(EncodeReadRequest(reads).view(), limits).code();
  };
  EXPECT_EQ(validate({{Range::Single("abcd"), 0, false, false}}), Code::kOk);
  EXPECT_EQ(validate({{All(), 0, false, false}}), Code::kOk);
  EXPECT_EQ(validate({}), Code::kInvalidArgument);
  EXPECT_EQ(validate({{Range::Single(""), 0, false, false}}), Code::kInvalidArgument);
  EXPECT_EQ(validate({{Range::Single("abcde"), 0, false, false}}), Code::kInvalidArgument);
  // A scan goes on from the longest key + '\0'.
  const auto from = [](const std::string& begin) {
    return Range{Range::Kind::kUnbounded, begin, {}};
  };
  EXPECT_EQ(validate({{from("abcde"), 0, false, false}}), Code::kOk);
  EXPECT_EQ(validate({{from("abcdef"), 0, false, false}}), Code::kInvalidArgument);
  limits.max_operations = 1;
  EXPECT_EQ(validate({{All(), 0, false, false}, {All(), 0, false, false}}), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::kv
