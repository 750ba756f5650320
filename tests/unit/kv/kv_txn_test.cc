// What does a transaction do, and what is it told? As etcd has it where etcd has it.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "lib/kv/request.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;
constexpr std::uint64_t kStart = AppliedLog::kStartMs;

/// One transaction, which is not refused.
TxnOutcome Commit(AppliedLog& log, const TxnRequest& txn) {
  const Response response = log.Apply({TxnOp{txn}});
  EXPECT_EQ(response.code, Code::kOk);
  EXPECT_EQ(response.results.size(), 1U);
  const OperationResult& result = response.results.front();
  EXPECT_EQ(result.code, Code::kOk) << result.message;
  EXPECT_NE(result.txn, nullptr);
  return result.txn == nullptr ? TxnOutcome() : *result.txn;
}

bool Holds(AppliedLog& log, std::vector<Compare> compares) {
  return Commit(log, {std::move(compares), {}, {}}).succeeded;
}

std::vector<std::string> Pairs(const TxnOperationResult& result) {
  std::vector<std::string> pairs;
  for (const KeyValue& kv : result.read.value_or(ScanResult()).kvs) {
    pairs.push_back(kv.key + "=" + kv.value);
  }
  return pairs;
}
using Strings = std::vector<std::string>;

ScanOptions Limited(std::uint64_t limit) {
  ScanOptions options;
  options.limit = limit;
  return options;
}
ScanOptions Counted() {
  ScanOptions options;
  options.count_only = true;
  return options;
}

TEST(KvTxn, TheCompareDecidesTheBranch) {
  AppliedLog log;
  log.Apply({PutOp{"k", "old"}});
  const TxnRequest txn{{Compare::Value("k", Compare::kEqual, "old")},
                       {Op::Put("k", "new"), Op::Put("then", "1")},
                       {Op::Put("else", "1"), Op::Get("k")}};
  const TxnOutcome first = Commit(log, txn);
  EXPECT_TRUE(first.succeeded);
  ASSERT_EQ(first.results.size(), 2U);
  EXPECT_EQ(log.Get("k"), "new");
  EXPECT_EQ(log.Get("then"), "1");
  EXPECT_EQ(log.Get("else"), "(none)");
  const TxnOutcome second = Commit(log, txn);
  EXPECT_FALSE(second.succeeded);
  EXPECT_EQ(log.Get("else"), "1");
  EXPECT_EQ(Pairs(second.results[1]), Strings{"k=new"});
}

TEST(KvTxn, EachTargetAndOperator) {
  AppliedLog log;
  log.Apply({PutOp{"other", "x"}});
  log.Apply({PutOp{"k", "b"}});
  log.Apply({PutOp{"k", "b"}});  // create 3, mod 4, version 2
  using Make = Compare (*)(std::string, Compare::Operator, std::uint64_t);
  const std::vector<std::pair<Make, std::uint64_t>> numbers = {
      {&Compare::CreateRevision, 3}, {&Compare::ModRevision, 4}, {&Compare::Version, 2}};
  for (const auto& [make, is] : numbers) {
    EXPECT_TRUE(Holds(log, {make("k", Compare::kEqual, is)}));
    EXPECT_FALSE(Holds(log, {make("k", Compare::kEqual, is + 1)}));
    EXPECT_FALSE(Holds(log, {make("k", Compare::kNotEqual, is)}));
    EXPECT_TRUE(Holds(log, {make("k", Compare::kNotEqual, is - 1)}));
    EXPECT_TRUE(Holds(log, {make("k", Compare::kLess, is + 1)}));
    EXPECT_FALSE(Holds(log, {make("k", Compare::kLess, is)}));
    EXPECT_TRUE(Holds(log, {make("k", Compare::kGreater, is - 1)}));
    EXPECT_FALSE(Holds(log, {make("k", Compare::kGreater, is)}));
  }
  EXPECT_TRUE(Holds(log, {Compare::Lease("k", Compare::kEqual, 0)}));
  EXPECT_FALSE(Holds(log, {Compare::Lease("k", Compare::kGreater, 0)}));
  EXPECT_TRUE(Holds(log, {Compare::Value("k", Compare::kEqual, "b")}));
  EXPECT_FALSE(Holds(log, {Compare::Value("k", Compare::kNotEqual, "b")}));
  EXPECT_TRUE(Holds(log, {Compare::Value("k", Compare::kLess, "ba")}));
  EXPECT_TRUE(Holds(log, {Compare::Value("k", Compare::kGreater, "a\xff")}));
  EXPECT_TRUE(Holds(log, {Compare::Exists("k")}));
  EXPECT_FALSE(Holds(log, {Compare::Missing("k")}));
  EXPECT_TRUE(Holds(log, {})) << "no compare holds";
  EXPECT_FALSE(Holds(log, {Compare::Exists("k"), Compare::Missing("k")})) << "all must hold";
  EXPECT_EQ(log.store().revisions().revision, 4U) << "none of them takes a revision";
}

TEST(KvTxn, AMissingKeyIsZeroEverywhereAndHasNoValue) {
  AppliedLog log;
  log.Apply({PutOp{"gone", "x"}, DeleteOp{Range::Single("gone")}});
  for (const std::string key : {"never", "gone"}) {
    for (const auto make :
         {&Compare::CreateRevision, &Compare::ModRevision, &Compare::Version, &Compare::Lease}) {
      EXPECT_TRUE(Holds(log, {make(key, Compare::kEqual, 0)}));
      EXPECT_TRUE(Holds(log, {make(key, Compare::kLess, 1)}));
      EXPECT_TRUE(Holds(log, {make(key, Compare::kNotEqual, 1)}));
      EXPECT_FALSE(Holds(log, {make(key, Compare::kGreater, 0)}));
    }
    for (const auto op : {Compare::kEqual, Compare::kNotEqual, Compare::kLess, Compare::kGreater}) {
      EXPECT_FALSE(Holds(log, {Compare::Value(key, op, "")}));
      EXPECT_FALSE(Holds(log, {Compare::Value(key, op, "x")}));
    }
  }
}

TEST(KvTxn, ACompareOfARangeMustHoldForEveryKeyOfIt) {
  AppliedLog log;
  log.Apply({PutOp{"a1", "x"}, PutOp{"a2", "x"}, PutOp{"a2", "x"}, PutOp{"b", "y"}});
  EXPECT_TRUE(Holds(log, {Compare::Value("a", Compare::kEqual, "x").WithPrefix()}));
  EXPECT_FALSE(Holds(log, {Compare::Value("a", Compare::kEqual, "x").WithRange("c")}));
  EXPECT_FALSE(Holds(log, {Compare::Value("a", Compare::kEqual, "x").WithRange("")}));
  EXPECT_TRUE(Holds(log, {Compare::Version("a", Compare::kLess, 3).WithPrefix()}));
  EXPECT_FALSE(Holds(log, {Compare::Version("a", Compare::kLess, 2).WithPrefix()}));
  EXPECT_TRUE(Holds(log, {Compare::Value("a1", Compare::kEqual, "x").WithRange("a2")}))
      << "the end is exclusive";
}

// etcd compares an empty range like a key that does not exist.
TEST(KvTxn, AnEmptyRangeIsLikeAKeyThatDoesNotExist) {
  AppliedLog log;
  log.Apply({PutOp{"b", "y"}});
  EXPECT_TRUE(Holds(log, {Compare::Missing("c").WithPrefix()}));
  EXPECT_FALSE(Holds(log, {Compare::Exists("c").WithPrefix()}));
  EXPECT_FALSE(Holds(log, {Compare::Value("c", Compare::kNotEqual, "x").WithPrefix()}));
  EXPECT_TRUE(Holds(log, {Compare::Missing("z").WithRange("a")})) << "it ends before it begins";
}

TEST(KvTxn, IsOneRevisionAndAReadOnlyOneIsNone) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"d1", "1"}, PutOp{"d2", "1"}});
  ASSERT_EQ(log.store().revisions().revision, 4U);
  const Response response =
      log.Apply({TxnOp{{{},
                        {Op::Put("a", "2"), Op::Put("b", "1"), Op::DeleteRange({"d", "e"}),
                         Op::Increment("n", 4), Op::Range({"a", "c"})},
                        {}}},
                 PutOp{"after", "1"}});
  EXPECT_EQ(response.revision, 4U);
  EXPECT_TRUE(response.results[0].changed);
  EXPECT_EQ(log.store().revisions().revision, 6U);
  const TxnOutcome& outcome = *response.results[0].txn;
  EXPECT_EQ(outcome.results[2].write.number, 2);
  EXPECT_EQ(outcome.results[3].write.number, 4);
  for (const KeyValue& kv : outcome.results[4].read->kvs) EXPECT_EQ(kv.mod_revision, 5U);
  for (const TxnRequest& idle :
       {TxnRequest{{}, {Op::Get("a"), Op::Range({"a", ""})}, {}},
        TxnRequest{{}, {Op::Delete("none"), Op::DeleteRange({"x", "z"})}, {}},
        TxnRequest{{}, {Op::Txn({})}, {}}, TxnRequest{}}) {
    EXPECT_FALSE(log.Apply({TxnOp{idle}}).results[0].changed);
    EXPECT_EQ(log.store().revisions().revision, 6U);
  }
}

// Known bug 65: a read in a transaction misses its own writes. With what was written before, what
// waits to be written with it, and nothing.
TEST(KvTxn, AReadSeesTheWritesBeforeItAndNotThoseAfterIt) {
  for (const bool together : {false, true}) {
    AppliedLog log;
    std::vector<Operation> operations = {PutOp{"a", "old"}, PutOp{"b", "old"}, PutOp{"b", "old2"},
                                         PutOp{"d", "old"}};
    const TxnOp txn{
        {{},
         {Op::Range({"a", "z"}), Op::Put("b", "new"), Op::Get("b"), Op::Put("c", "new"),
          Op::Delete("a"), Op::Get("a"), Op::Range({"a", "z"}), Op::Range({"a", "z"}, Limited(2)),
          Op::Range({"a", "z"}, Counted()), Op::DeleteRange({"d", "e"}), Op::Increment("n", 7),
          Op::Range({"a", "z"}), Op::Put("z0", "late")},
         {}}};
    if (!together) log.Apply(operations);
    if (!together) operations.clear();
    operations.emplace_back(txn);
    const Response response = log.Apply(operations);
    const auto& results = response.results.back().txn->results;
    EXPECT_EQ(Pairs(results[0]), (Strings{"a=old", "b=old2", "d=old"}));
    EXPECT_EQ(Pairs(results[2]), Strings{"b=new"});
    const KeyValue& b = results[2].read->kvs.front();
    EXPECT_EQ(b.version, 3U);
    EXPECT_EQ(b.create_revision, 3U);
    EXPECT_EQ(b.mod_revision, 6U);
    EXPECT_TRUE(results[5].read->kvs.empty());
    EXPECT_EQ(Pairs(results[6]), (Strings{"b=new", "c=new", "d=old"}));
    EXPECT_EQ(Pairs(results[7]), (Strings{"b=new", "c=new"}));
    EXPECT_TRUE(results[7].read->more);
    EXPECT_EQ(results[8].read->count, 3U);
    EXPECT_EQ(Pairs(results[11]), (Strings{"b=new", "c=new", "n=7"}));
    EXPECT_EQ(log.Get("z0"), "late");
    EXPECT_EQ(log.Get("a"), "(none)");
    EXPECT_EQ(log.Get("d"), "(none)");
  }
}

// Known bug 65's relative: what waits in the same write counts for the compares too.
TEST(KvTxn, ComparesSeeWhatWaitsToBeWritten) {
  AppliedLog log;
  const Response response =
      log.Apply({PutOp{"k", "1"},
                 TxnOp{{{Compare::Value("k", Compare::kEqual, "1")}, {Op::Put("k", "2")}, {}}},
                 TxnOp{{{Compare::Version("k", Compare::kEqual, 2)}, {Op::Delete("k")}, {}}},
                 TxnOp{{{Compare::Missing("k")}, {Op::Put("k", "3")}, {}}},
                 DeleteOp{{Range::Kind::kUnbounded, "", ""}},
                 TxnOp{{{Compare::Missing("").WithRange("")}, {Op::Put("k", "4")}, {}}}});
  for (const std::size_t i : {1, 2, 3, 5}) EXPECT_TRUE(response.results[i].txn->succeeded) << i;
  EXPECT_EQ(log.Get("k"), "4");
}

// As etcd: which branches are taken is decided before anything is changed.
TEST(KvTxn, ComparesOfANestedTransactionSeeTheStateBeforeTheWhole) {
  AppliedLog log;
  const TxnRequest inner{{Compare::Missing("k")},
                         {Op::Put("inner", "missing"), Op::Get("k")},
                         {Op::Put("inner", "x")}};
  const TxnOutcome outcome =
      Commit(log, {{}, {Op::Put("k", "1"), Op::Txn(inner), Op::Get("inner")}, {}});
  ASSERT_NE(outcome.results[1].write.txn, nullptr);
  const TxnOutcome& nested = *outcome.results[1].write.txn;
  EXPECT_TRUE(nested.succeeded);
  EXPECT_EQ(Pairs(nested.results[1]), Strings{"k=1"}) << "its reads see what was written before";
  EXPECT_EQ(Pairs(outcome.results[2]), Strings{"inner=missing"});
  EXPECT_EQ(log.store().revisions().revision, 2U);
}

TEST(KvTxn, OnlyTheBranchThatIsTakenIsLookedAt) {
  AppliedLog log;
  log.Apply({PutOp{"text", "x"}});
  const TxnRequest inner{{Compare::Exists("text")}, {}, {Op::Increment("text", 1)}};
  EXPECT_TRUE(Commit(log, {{}, {Op::Txn(inner)}, {Op::Increment("text", 1)}}).succeeded);
}

TEST(KvTxn, ARefusedIncrementRefusesTheWhole) {
  AppliedLog log;
  log.Apply({PutOp{"text", "x"}, PutOp{"max", "9223372036854775807"}, PutOp{"a", "old"}});
  const std::uint64_t revision = log.store().revisions().revision;
  const auto before = log.engine().content();
  for (const std::string key : {"text", "max"}) {
    for (const bool nested : {false, true}) {
      const TxnRequest inner{{}, {Op::Put("c", "1"), Op::Increment(key, 1)}, {}};
      std::vector<Op> operations = {Op::Put("a", "new"), Op::DeleteRange({"b", "c"}),
                                    nested ? Op::Txn(inner) : Op::Increment(key, 1),
                                    Op::Put("d", "1")};
      const Response response = log.Apply({TxnOp{{{}, operations, {}}}, PutOp{"next", "1"}});
      EXPECT_EQ(response.results[0].code, Code::kInvalidArgument);
      EXPECT_EQ(response.results[0].txn, nullptr);
      EXPECT_FALSE(response.results[0].changed);
      EXPECT_NE(response.results[0].message.find("an increment in the transaction is refused"),
                std::string::npos);
      EXPECT_EQ(log.Get("a"), "old");
      EXPECT_EQ(log.Get("c"), "(none)");
      EXPECT_EQ(log.Get("d"), "(none)");
    }
  }
  EXPECT_EQ(log.store().revisions().revision, revision + 4) << "the puts behind them";
}

TEST(KvTxn, AnIncrementIsPlannedOnTheValueBeforeIt) {
  AppliedLog log;
  log.Apply({PutOp{"n", "5"}});
  const TxnOutcome outcome = Commit(log, {{}, {Op::Increment("n", 3), Op::Get("n")}, {}});
  EXPECT_EQ(outcome.results[0].write.number, 8);
  EXPECT_EQ(Pairs(outcome.results[1]), Strings{"n=8"});
  EXPECT_EQ(log.Get("n"), "8");
}

TEST(KvTxn, ReturnsWhatWasThereBefore) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "2"}, PutOp{"c", "3"}});
  const TxnOutcome outcome =
      Commit(log, {{},
                   {Op::Put("a", "x").WithPrevious(), Op::Put("new", "x").WithPrevious(),
                    Op::Delete("b"), Op::DeleteRange({"b", "d"}).WithPrevious()},
                   {}});
  ASSERT_EQ(outcome.results[0].write.previous.size(), 1U);
  EXPECT_EQ(outcome.results[0].write.previous[0].value, "1");
  EXPECT_EQ(outcome.results[0].write.previous[0].mod_revision, 2U);
  EXPECT_TRUE(outcome.results[1].write.previous.empty());
  ASSERT_EQ(outcome.results[3].write.previous.size(), 1U) << "b was deleted before";
  EXPECT_EQ(outcome.results[3].write.previous[0].key, "c");
  EXPECT_EQ(outcome.results[3].write.number, 1);
}

TEST(KvTxn, OperationsByThemselvesReturnWhatWasThereBeforeAsWell) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "2"}});
  const Response response =
      log.Apply({PutOp{"a", "x", true}, PutOp{"new", "x", true}, DeleteOp{Range::Single("a"), true},
                 DeleteOp{{Range::Kind::kUnbounded, "b", ""}, true},
                 DeleteOp{Range::Single("a"), true}, PutOp{"a", "y"}});
  const auto values = [&](std::size_t i) {
    Strings all;
    for (const KeyValue& kv : response.results[i].previous) all.push_back(kv.key + "=" + kv.value);
    return all;
  };
  EXPECT_EQ(values(0), Strings{"a=1"});
  EXPECT_EQ(values(1), Strings());
  EXPECT_EQ(values(2), Strings{"a=x"});
  EXPECT_EQ(values(3), (Strings{"b=2", "new=x"}));
  EXPECT_EQ(values(4), Strings());
  EXPECT_EQ(values(5), Strings()) << "it did not ask";
  EXPECT_EQ(response.results[3].number, 2);
}

TEST(KvTxn, AFailedCompareAndSwapReturnsWhatTheKeyHas) {
  AppliedLog log;
  log.Apply({PutOp{"k", "is"}});
  const Response response = log.Apply(
      {CompareAndSwapOp{"k", "not", "new", true}, CompareAndSwapOp{"k", std::nullopt, "new", true},
       CompareAndSwapOp{"none", "x", "new", true}, CompareAndSwapOp{"k", "not", "new"}});
  for (const OperationResult& result : response.results) {
    EXPECT_EQ(result.code, Code::kCompareFailed);
    EXPECT_FALSE(result.changed);
  }
  ASSERT_EQ(response.results[0].previous.size(), 1U);
  EXPECT_EQ(response.results[0].previous[0].value, "is");
  EXPECT_EQ(response.results[0].previous[0].mod_revision, 2U);
  EXPECT_EQ(response.results[1].previous.size(), 1U);
  EXPECT_TRUE(response.results[2].previous.empty());
  EXPECT_TRUE(response.results[3].previous.empty());
}

// Known bug 66: a retry is answered by a second look at the compares.
TEST(KvTxn, ARetryIsToldTheStoredAnswerAlsoAfterARestart) {
  AppliedLog log;
  const std::vector<Operation> operations = {
      TxnOp{{{Compare::Missing("k")}, {Op::Put("k", "1"), Op::Get("k")}, {Op::Get("k")}}}};
  const RequestHeader header{8, kStart, 1, 0};
  EXPECT_TRUE(log.Apply(header, operations).results[0].txn->succeeded);
  const Bytes first = log.last_answer();
  log.Apply({PutOp{"k", "2"}});
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    EXPECT_TRUE(log.Apply(header, operations).results[0].txn->succeeded);
    EXPECT_EQ(log.last_answer(), first);
    EXPECT_EQ(log.Get("k"), "2");
  }
}

std::string Name(std::size_t i) { return std::to_string(1000 + i); }

TEST(KvTxn, AnAnswerThatIsTooLargeRefusesTheWhole) {
  // Each pair takes as much as its value and 7 words.
  constexpr std::size_t kPairs = 64;
  const std::string value(kMaxCallAnswerBytes / kPairs - 56, 'v');
  AppliedLog log;
  for (std::size_t i = 0; i < kPairs; ++i) log.Apply({PutOp{Name(i), value}});
  const auto range = [](std::size_t pairs) { return Op::Range({Name(0), Name(pairs)}); };
  EXPECT_EQ(Commit(log, {{}, {range(kPairs)}, {}}).results[0].read->kvs.size(), kPairs) << "at it";
  EXPECT_EQ(Commit(log, {{}, {range(kPairs - 1)}, {}}).results[0].read->kvs.size(), kPairs - 1);
  const std::uint64_t revision = log.store().revisions().revision;
  // One beyond: an own write, a second read, what was there before, and nested.
  const TxnRequest inner{{}, {Op::Get(Name(0))}, {}};
  const std::vector<std::vector<Op>> beyond = {
      {Op::Put(Name(kPairs), ""), range(kPairs + 1)},
      {Op::Put("x", "1"), range(kPairs), Op::Get(Name(1))},
      {Op::Put("x", "1"), range(kPairs), Op::Put(Name(0), "new").WithPrevious()},
      {Op::Put("x", "1"), range(kPairs), Op::Txn(inner)}};
  for (const std::vector<Op>& operations : beyond) {
    const Response response = log.Apply({TxnOp{{{}, operations, {}}}});
    EXPECT_EQ(response.results[0].code, Code::kInvalidArgument);
    EXPECT_NE(response.results[0].message.find("answer would be larger"), std::string::npos);
    EXPECT_FALSE(response.results[0].changed);
    EXPECT_EQ(log.Get("x"), "(none)");
  }
  EXPECT_EQ(log.store().revisions().revision, revision);
  EXPECT_EQ(Commit(log, {{}, {range(kPairs), Op::Range({Name(0), ""}, Counted())}, {}})
                .results[1]
                .read->count,
            kPairs)
      << "a count takes no room";
}

TEST(KvTxn, OnePairMayAlwaysBeReturned) {
  AppliedLog log;
  log.Apply({PutOp{"k", std::string(kMaxRequestAnswerBytes + 1, 'v')}});
  EXPECT_EQ(Commit(log, {{}, {Op::Get("k")}, {}}).results[0].read->kvs.size(), 1U);
}

TEST(KvTxn, WhereTheAnswerOfARequestIsFullLaterCallsChangeNothing) {
  AppliedLog log;
  log.Apply({PutOp{"k", std::string(kMaxCallAnswerBytes - 1000, 'v')}});
  std::vector<Operation> operations;
  for (int i = 0; i < 12; ++i) {
    operations.emplace_back(TxnOp{{{}, {Op::Get("k"), Op::Put("n" + std::to_string(i), "")}, {}}});
  }
  const Response response = log.Apply(operations);
  for (std::size_t i = 0; i < 12; ++i) {
    const bool fits = i < 8;
    EXPECT_EQ(response.results[i].code, fits ? Code::kOk : Code::kUnavailable) << i;
    EXPECT_EQ(log.Get("n" + std::to_string(i)), fits ? "" : "(none)") << i;
  }
}

TEST(KvTxn, ReadsInItTakeOrderBoundsAndCount) {
  AppliedLog log;
  for (const char* key : {"a", "b", "c"}) log.Apply({PutOp{key, key}});  // revisions 2, 3, 4
  ScanOptions newest;
  newest.order = OrderBy::kModRevision;
  newest.reverse = true;
  newest.limit = 2;
  ScanOptions last;
  last.reverse = true;
  last.limit = 1;
  ScanOptions old;
  old.max_mod_revision = 3;
  ScanOptions uncounted = last;
  uncounted.skip_count = true;
  const TxnOutcome outcome =
      Commit(log, {{},
                   {Op::Put("a", "new"), Op::Range({"a", "z"}, newest), Op::Range({"a", "z"}, last),
                    Op::Range({"a", "z"}, old), Op::Range({"a", "z"}, uncounted)},
                   {}});
  const auto read = [&](std::size_t i) { return outcome.results[i].read.value_or(ScanResult()); };
  EXPECT_EQ(Pairs(outcome.results[1]), (Strings{"a=new", "c=c"})) << "its own write is the newest";
  EXPECT_EQ(read(1).count, 3U);
  EXPECT_TRUE(read(1).more);
  EXPECT_EQ(Pairs(outcome.results[2]), Strings{"c=c"});
  EXPECT_EQ(read(2).count, 3U);
  EXPECT_EQ(Pairs(outcome.results[3]), Strings{"b=b"});
  EXPECT_FALSE(read(3).more);
  EXPECT_EQ(read(4).count, 1U);
  EXPECT_TRUE(read(4).more);
}

TEST(KvTxn, ReadsMissTheKeysAndRangesThatItHasDeleted) {
  AppliedLog log;
  for (const char* key : {"a", "b", "c", "d", "e"}) log.Apply({PutOp{key, key}});
  const TxnOutcome outcome =
      Commit(log, {{}, {Op::Delete("b"), Op::DeleteRange({"d", "e"}), Op::Range({"a", "z"})}, {}});
  EXPECT_EQ(Pairs(outcome.results[2]), (Strings{"a=a", "c=c", "e=e"}));
}

}  // namespace
}  // namespace raftkv::kv
