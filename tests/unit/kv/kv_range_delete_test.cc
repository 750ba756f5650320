// Is a range of any number of keys seen as deleted by all that comes after it, and as it was by who
// looks back?
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/record.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

Range Bounded(std::string begin, std::string end) {
  return {Range::Kind::kBounded, std::move(begin), std::move(end)};
}

std::string KeyOf(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return "k" + std::string(6 - digits.size(), '0') + digits;
}

void PutMany(AppliedLog& log, std::uint64_t keys) {
  std::vector<Operation> puts;
  for (std::uint64_t i = 0; i < keys; ++i) puts.push_back(PutOp{KeyOf(i), "value"});
  log.Apply(puts);
}

TEST(KvRangeDelete, EachKeyOfItHasAPast) {
  AppliedLog log;
  PutMany(log, 3000);
  const auto answer = log.Apply({DeleteOp{Bounded("k000500", "k002999")}});
  EXPECT_EQ(answer.results.at(0).number, 2499);
  EXPECT_EQ(log.Get("k000499"), "value");
  EXPECT_EQ(log.Get("k000500"), "(none)");
  EXPECT_EQ(log.Get("k002998"), "(none)");
  EXPECT_EQ(log.Get("k002999"), "value");
  EXPECT_EQ(log.store().range_deleted_keys(), 2499U);
  const auto view = log.engine().NewView(ReadTier::kAll);
  for (const char* key : {"k000499", "k000500", "k002998", "k002999"}) {
    EXPECT_TRUE(view->GetAt(DataKey(key), answer.revision)->has_value()) << key;
  }
  EXPECT_EQ(log.Apply({DeleteOp{{Range::Kind::kUnbounded, "", ""}}}).results.at(0).number, 501);
}

// All in one request: nothing is written in between.
TEST(KvRangeDelete, LaterOperationsSeeThatItIsGone) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "1"}, PutOp{"c", "1"}, PutOp{"d", "1"}, PutOp{"e", "1"}});
  const auto answer = log.Apply({
      DeleteOp{Bounded("b", "d")},                  // 0: b, c
      DeleteOp{Range::Single("b")},                 // 1: nothing
      CompareAndSwapOp{"c", std::nullopt, "2"},     // 2: it is not there
      CompareAndSwapOp{"b", "1", "2"},              // 3: fails
      IncrementOp{"b", 5},                          // 4: from nothing
      DeleteOp{Bounded("a", "c")},                  // 5: a and the new b
      PutOp{"bb", "3"},                             // 6
      DeleteOp{Bounded("aa", "z")},                 // 7: bb, the new c, d, e
      DeleteOp{{Range::Kind::kUnbounded, "", ""}},  // 8: nothing
      PutOp{"d", "4"},                              // 9
  });
  ASSERT_EQ(answer.results.size(), 10U);
  EXPECT_EQ(answer.results[0].number, 2);
  EXPECT_EQ(answer.results[1].number, 0);
  EXPECT_EQ(answer.results[2].code, Code::kOk);
  EXPECT_EQ(answer.results[3].code, Code::kCompareFailed);
  EXPECT_EQ(answer.results[4].number, 5);
  EXPECT_EQ(answer.results[5].number, 2);
  EXPECT_EQ(answer.results[7].number, 4);
  EXPECT_EQ(answer.results[8].number, 0);
  EXPECT_EQ(log.Get("a"), "(none)");
  EXPECT_EQ(log.Get("c"), "(none)");
  EXPECT_EQ(log.Get("d"), "4");
}

TEST(KvRangeDelete, ARepeatedRequestIsAnsweredWithTheFirstCount) {
  AppliedLog log;
  PutMany(log, 10);
  RequestHeader header{
      .session = 9, .opened_at_ms = AppliedLog::kStartMs, .sequence = 1, .acknowledged_below = 0};
  const std::vector<Operation> all = {DeleteOp{{Range::Kind::kUnbounded, "", ""}}};
  const auto first = log.Apply(header, all);
  PutMany(log, 3);
  log.Reopen();
  const auto again = log.Apply(header, all);
  EXPECT_EQ(first.results.at(0).number, 10);
  EXPECT_EQ(again.results.at(0).number, 10);
  EXPECT_EQ(again.revision, first.revision);
  EXPECT_EQ(log.Get("k000002"), "value");
}

TEST(KvRangeDelete, AFailedReadDeletesNothing) {
  AppliedLog log;
  PutMany(log, 10);
  PendingWrite pending(log.engine(), 4096);
  log.engine().FailReads({Code::kIOError, "the disk failed"});
  const RangeView all{Range::Kind::kUnbounded, "", ""};
  EXPECT_EQ(pending.DeleteDataRange(all, 99).code(), Code::kIOError);
  log.engine().FailReads(Status::Ok());
  ASSERT_TRUE(pending.Write().ok());
  EXPECT_EQ(log.Get("k000003"), "value");
}

/// The same operations against a map of strings.
struct Model {
  std::map<std::string, std::string> keys;

  std::int64_t Apply(const Operation& operation) {
    if (const auto* put = std::get_if<PutOp>(&operation)) {
      keys[put->key] = put->value;
      return 0;
    }
    const Range& range = std::get<DeleteOp>(operation).range;
    if (range.kind == Range::Kind::kSingle) {
      return static_cast<std::int64_t>(keys.erase(range.begin));
    }
    const auto end =
        range.kind == Range::Kind::kUnbounded ? keys.end() : keys.lower_bound(range.end);
    std::int64_t count = 0;
    if (range.kind == Range::Kind::kBounded && range.begin >= range.end) return 0;
    for (auto it = keys.lower_bound(range.begin); it != end; ++count) it = keys.erase(it);
    return count;
  }
};

Operation Draw(Random& dice) {
  const std::string a = KeyOf(dice.Below(60));
  const std::string b = KeyOf(dice.Below(60));
  switch (dice.Below(6)) {
    case 0: return DeleteOp{Range::Single(a)};
    case 1: return DeleteOp{Bounded(a, b)};
    case 2: return DeleteOp{{Range::Kind::kUnbounded, a, ""}};
    default: return PutOp{a, std::to_string(dice.Below(1000))};
  }
}

TEST(KvRangeDelete, AnyMixtureOfRangesAndPutsIsWhatAMapMakesOfIt) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random dice(seed);
    Model model;
    AppliedLog log;
    for (int request = 0; request < 12; ++request) {
      std::vector<Operation> operations;
      const std::uint64_t count = 1 + dice.Below(25);
      while (operations.size() < count) operations.push_back(Draw(dice));
      const auto answer = log.Apply(operations);
      for (std::size_t i = 0; i < operations.size(); ++i) {
        const std::int64_t expected = model.Apply(operations[i]);
        const std::int64_t got = answer.results.empty() ? 0 : answer.results[i].number;
        ASSERT_EQ(got, expected) << "request " << request << " operation " << i;
      }
      for (std::uint64_t i = 0; i < 60; ++i) {
        const auto found = model.keys.find(KeyOf(i));
        ASSERT_EQ(log.Get(KeyOf(i)), found == model.keys.end() ? "(none)" : found->second);
      }
    }
  }
}

}  // namespace
}  // namespace raftkv::kv
