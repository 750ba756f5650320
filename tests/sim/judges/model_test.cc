// Does the model see what is wrong with an answer?
#include "tests/sim/judges/model.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/response.h"

namespace raftkv::sim {
namespace {

class ModelTest : public testing::Test {
 protected:
  /// Carries out `operation` as the next entry; what the model says of these results.
  std::string Write(const kv::Operation& operation, kv::OperationResult result = kDone,
                    std::uint64_t sequence = 0) {
    ++index_;
    if (sequence == 0) sequence = index_;
    raft::Entry entry;
    entry.index = Index(index_);
    entry.term = Term(1);
    entry.kind = raft::EntryKind::kCommand;
    entry.payload = kv::EncodeRequest({1, 1, sequence, 1}, {operation});
    kv::Response response;
    response.revision = revision_;
    if (result.changed && sequence == index_) ++revision_;
    response.results = {std::move(result)};
    return model_.Apply(entry, {kv::EncodeResponse(response), 1});
  }
  /// The same for a request of several calls, which takes `revisions`.
  std::string WriteCalls(const std::vector<kv::Operation>& operations,
                         const std::vector<std::size_t>& call_sizes,
                         std::vector<kv::OperationResult> results, std::uint64_t revisions) {
    ++index_;
    raft::Entry entry;
    entry.index = Index(index_);
    entry.term = Term(1);
    entry.kind = raft::EntryKind::kCommand;
    entry.payload = kv::EncodeRequest({1, 1, index_, 1}, operations, call_sizes);
    kv::Response response;
    response.revision = revision_;
    revision_ += revisions;
    response.results = std::move(results);
    return model_.Apply(entry, {kv::EncodeResponse(response), 1});
  }
  static KeyValue Pair(std::string key, std::string value, std::uint64_t mod_revision,
                       std::uint64_t create_revision, std::uint64_t version) {
    return {std::move(key), std::move(value), mod_revision, create_revision, version, 0};
  }
  [[nodiscard]] std::string Found(const std::vector<KeyValue>& kvs, bool count_only = false,
                                  std::uint64_t count = 0) const {
    kv::ParsedRead asked;
    asked.range = {kv::Range::Kind::kBounded, "a", "z"};
    asked.count_only = count_only;
    ScanResult result;
    result.kvs = kvs;
    result.count = count_only ? count : kvs.size();
    result.revision = revision_;
    return model_.Compare(asked, result);
  }

  static inline const kv::OperationResult kDone{Code::kOk, "", 0, true};

  Model model_;
  std::uint64_t index_ = 0;
  std::uint64_t revision_ = 1;
};

TEST_F(ModelTest, AScanShowsOneStateAndAllOfIt) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::PutOp{"b", "2"}), "");
  const KeyValue a = Pair("a", "1", 2, 2, 1);
  const KeyValue b = Pair("b", "2", 3, 3, 1);
  EXPECT_EQ(Found({a, b}), "");
  EXPECT_NE(Found({a}), "");
  EXPECT_NE(Found({b}), "");
  EXPECT_NE(Found({Pair("a", "0", 2, 2, 1), b}), "");
  EXPECT_NE(Found({a, b, Pair("c", "3", 4, 4, 1)}), "");
  EXPECT_EQ(Found({}, true, 2), "");
  EXPECT_NE(Found({}, true, 1), "");
  ++revision_;
  EXPECT_NE(Found({a, b}), "") << "of another revision";
}

TEST_F(ModelTest, AKeyHasItsCounts) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::PutOp{"a", "2"}), "");
  EXPECT_EQ(Found({Pair("a", "2", 3, 2, 2)}), "");
  EXPECT_NE(Found({Pair("a", "2", 2, 2, 2)}), "");
  EXPECT_NE(Found({Pair("a", "2", 3, 3, 2)}), "");
  EXPECT_NE(Found({Pair("a", "2", 3, 2, 1)}), "");
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 1, true}), "");
  EXPECT_EQ(Write(kv::PutOp{"a", "3"}), "");
  EXPECT_EQ(Found({Pair("a", "3", 5, 5, 1)}), "");
  EXPECT_NE(Found({Pair("a", "3", 5, 2, 3)}), "");
}

TEST_F(ModelTest, WhatChangesNothingTakesNoRevision) {
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 0, false}), "");
  EXPECT_NE(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 0, true}), "");
}

TEST_F(ModelTest, ACallTakesOneRevisionForAllThatItChanges) {
  const kv::OperationResult nothing{Code::kOk, "", 0, false};
  const kv::OperationResult refused{Code::kCompareFailed, "", 0, false};
  const std::vector<kv::Operation> two_keys = {
      kv::PutOp{"a", "1"}, kv::DeleteOp{kv::Range::Single("c")}, kv::PutOp{"b", "1"}};
  const std::vector<kv::Operation> no_key = {kv::CompareAndSwapOp{"a", "2", "3"},
                                             kv::DeleteOp{kv::Range::Single("c")}};
  const std::vector<kv::Operation> one_key_twice = {kv::PutOp{"c", "1"}, kv::PutOp{"c", "2"}};
  std::vector<kv::Operation> all = two_keys;
  all.insert(all.end(), no_key.begin(), no_key.end());
  all.insert(all.end(), one_key_twice.begin(), one_key_twice.end());
  EXPECT_EQ(WriteCalls(all, {3, 2, 2}, {kDone, nothing, kDone, refused, nothing, kDone, kDone}, 2),
            "");
  EXPECT_EQ(Found({Pair("a", "1", 2, 2, 1), Pair("b", "1", 2, 2, 1), Pair("c", "2", 3, 3, 2)}), "");
}

TEST_F(ModelTest, CallsOfARequestDoNotShareARevision) {
  EXPECT_EQ(WriteCalls({kv::PutOp{"a", "1"}, kv::PutOp{"b", "1"}}, {1, 1}, {kDone, kDone}, 2), "");
  EXPECT_NE(Found({Pair("a", "1", 2, 2, 1), Pair("b", "1", 2, 2, 1)}), "");
  EXPECT_EQ(Found({Pair("a", "1", 2, 2, 1), Pair("b", "1", 3, 3, 1)}), "");
}

TEST_F(ModelTest, AnAbsentKeyIsAbsent) {
  EXPECT_EQ(Found({}), "");
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_NE(Found({}), "");
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 1, true}), "");
  EXPECT_EQ(Found({}), "");
  EXPECT_NE(Found({Pair("a", "1", 2, 2, 1)}), "");
}

TEST_F(ModelTest, WritesAreToldWhatTheyDid) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::PutOp{"b", "1"}), "");
  const kv::Range all{kv::Range::Kind::kBounded, "a", "z"};
  EXPECT_EQ(Write(kv::DeleteOp{all}, {Code::kOk, "", 2, true}), "");
  EXPECT_EQ(Write(kv::DeleteOp{all}, {Code::kOk, "", 0, false}), "");
  EXPECT_EQ(Write(kv::IncrementOp{"n", 3}, {Code::kOk, "", 3, true}), "");
  EXPECT_EQ(Write(kv::CompareAndSwapOp{"n", "5", "1"}, {Code::kCompareFailed, "", 0, false}), "");
  EXPECT_EQ(Write(kv::CompareAndSwapOp{"n", "3", "1"}), "");
}

TEST_F(ModelTest, WritesThatAreToldSomethingElseAreFound) {
  const kv::Range all{kv::Range::Kind::kBounded, "a", "z"};
  const std::vector<std::pair<kv::Operation, kv::OperationResult>> wrong = {
      {kv::DeleteOp{all}, {Code::kOk, "", 2, true}},
      {kv::IncrementOp{"n", 3}, {Code::kOk, "", 3, true}},
      {kv::CompareAndSwapOp{"n", "5", "1"}, kDone},
      {kv::CompareAndSwapOp{"n", "1", "2"}, {Code::kCompareFailed, "", 0, false}}};
  for (const auto& [operation, result] : wrong) {
    model_ = Model();
    index_ = 0;
    revision_ = 1;
    EXPECT_EQ(Write(kv::PutOp{"n", "1"}), "");
    EXPECT_NE(Write(operation, result), "");
  }
}

TEST_F(ModelTest, ARepeatedRequestDoesNothing) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  model_ = Model();
  index_ = 0;
  revision_ = 1;
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  const std::uint64_t after = std::exchange(revision_, 1);
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}, kDone, 1), "");
  revision_ = after;
  EXPECT_EQ(Found({Pair("a", "1", 2, 2, 1)}), "");
  EXPECT_NE(Write(kv::PutOp{"a", "1"}, kDone, 1), "") << "answered with another revision";
}

TEST_F(ModelTest, AnAbsentKeyIsNotEmpty) {
  EXPECT_EQ(Write(kv::CompareAndSwapOp{"a", "", "1"}, {Code::kCompareFailed, "", 0}), "");
  EXPECT_NE(Write(kv::CompareAndSwapOp{"a", "", "1"}), "");
}

TEST_F(ModelTest, AnIncrementDoesNotOverflow) {
  EXPECT_EQ(Write(kv::IncrementOp{"n", INT64_MAX}, {Code::kOk, "", INT64_MAX, true}), "");
  EXPECT_EQ(Write(kv::IncrementOp{"n", 1}, {Code::kInvalidArgument, "", 0}), "");
  EXPECT_NE(Write(kv::IncrementOp{"n", 1}, {Code::kOk, "", INT64_MIN, true}), "");
}

class ModelRangeTest : public ModelTest {
 protected:
  /// a and c of revision 2 and 4, and b of 3 that was written again at 5.
  ModelRangeTest() {
    for (const char* key : {"a", "b", "c"}) EXPECT_EQ(Write(kv::PutOp{key, "v"}), "");
    EXPECT_EQ(Write(kv::PutOp{"b", "u"}), "");
    asked_.range = {kv::Range::Kind::kUnbounded, "", ""};
  }
  std::string Shown(const std::vector<KeyValue>& kvs, std::uint64_t count, bool more = false) {
    ScanResult result;
    result.kvs = kvs;
    result.count = count;
    result.more = more;
    result.revision = revision_;
    return model_.Compare(asked_, result);
  }

  const KeyValue a_ = Pair("a", "v", 2, 2, 1);
  const KeyValue b_ = Pair("b", "u", 5, 3, 2);
  const KeyValue c_ = Pair("c", "v", 4, 4, 1);
  kv::ParsedRead asked_;
};

TEST_F(ModelRangeTest, KnowsEveryOrder) {
  EXPECT_EQ(Shown({a_, b_, c_}, 3), "");
  asked_.order.descending = true;
  EXPECT_EQ(Shown({c_, b_, a_}, 3), "");
  EXPECT_NE(Shown({a_, b_, c_}, 3), "");
  asked_.order.by = OrderBy::kModRevision;
  EXPECT_EQ(Shown({b_, c_, a_}, 3), "");
  asked_.order.by = OrderBy::kCreateRevision;
  EXPECT_EQ(Shown({c_, b_, a_}, 3), "");
  asked_.order.by = OrderBy::kVersion;
  EXPECT_EQ(Shown({b_, a_, c_}, 3), "") << "equal ones by key";
  EXPECT_NE(Shown({b_, c_, a_}, 3), "");
  asked_.order = {.by = OrderBy::kValue};
  EXPECT_EQ(Shown({b_, a_, c_}, 3), "");
}

TEST_F(ModelRangeTest, KnowsWhatFiltersLeaveOutAndWhatIsCounted) {
  asked_.order.min_mod_revision = 4;
  EXPECT_EQ(Shown({b_, c_}, 3), "");
  EXPECT_NE(Shown({a_, b_, c_}, 3), "");
  EXPECT_NE(Shown({b_, c_}, 2), "") << "the count is of the range";
  EXPECT_NE(Shown({b_}, 3), "");
  asked_.limit = 1;
  EXPECT_EQ(Shown({b_}, 3, true), "");
  EXPECT_NE(Shown({b_}, 1, true), "");
  EXPECT_NE(Shown({b_}, 3, false), "") << "one more passes";
  asked_.uncounted = true;
  EXPECT_EQ(Shown({b_}, 1, true), "");
  asked_.order.max_create_revision = 3;
  asked_.limit = 0;
  EXPECT_EQ(Shown({b_}, 1), "");
}

TEST_F(ModelRangeTest, FindsKeysThatPagesRepeatOrSkip) {
  EXPECT_NE(Shown({a_, b_, b_, c_}, 3), "");
  EXPECT_NE(Shown({a_, c_}, 3, true), "");
  EXPECT_EQ(Shown({a_, b_}, 3, true), "");
  EXPECT_NE(Shown({a_, b_, c_}, 3, true), "");
}

TEST_F(ModelRangeTest, KnowsThePastAndThatARefusedTransactionIsNoneOfIt) {
  const kv::OperationResult refused{Code::kInvalidArgument, "", 0, false};
  const TxnRequest txn = {
      {}, {Op::Put("a", "x"), Op::Put("d", "x"), Op::Delete("c"), Op::Increment("b", 1)}, {}};
  EXPECT_EQ(Write(kv::TxnOp{txn}, refused), "") << "b is no number";
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 1, true}), "");
  asked_.revision = 4;
  const KeyValue b = Pair("b", "v", 3, 3, 1);
  EXPECT_EQ(Shown({a_, b, c_}, 3), "");
  EXPECT_NE(Shown({a_, b_, c_}, 3), "");
  asked_.order.descending = true;
  EXPECT_EQ(Shown({c_, b, a_}, 3), "");
  asked_.order = {};
  asked_.revision = 6;
  EXPECT_EQ(Shown({b_, c_}, 2), "");
  asked_.revision = 7;
  EXPECT_NE(Shown({b_, c_}, 2), "") << "it is to come";
}

TEST(ModelEnd, ASortedRangeIsShownWholeOrNotAtAll) {
  kv::ParsedRead asked;
  asked.order.by = OrderBy::kValue;
  ScanResult found;
  found.kvs = {{"a", "1", 1}};
  found.count = 2;
  found.more = true;
  EXPECT_NE(Model::CompareEnd(asked, found, true, true), "");
  asked.limit = 1;
  EXPECT_EQ(Model::CompareEnd(asked, found, true, true), "");
}

TEST_F(ModelTest, ATransactionIsCarriedOutByItsCompares) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  const kv::Operation operation = kv::TxnOp{{{Compare::Value("a", Compare::kEqual, "1")},
                                             {Op::Put("b", "2"), Op::Range({"a", "z"})},
                                             {Op::Increment("a", 1)}}};
  const auto told = [&](bool succeeded, const std::vector<KeyValue>& seen) {
    kv::OperationResult result{Code::kOk, "", 0, true};
    result.txn = std::make_shared<kv::TxnOutcome>();
    result.txn->succeeded = succeeded;
    result.txn->results.resize(2);
    result.txn->results[0].write.changed = true;
    ScanResult& read = result.txn->results[1].read.emplace();
    read.kvs = seen;
    read.count = seen.size();
    return result;
  };
  const KeyValue a = Pair("a", "1", 2, 2, 1);
  const KeyValue b = Pair("b", "2", 3, 3, 1);
  const auto judged = [&](const kv::OperationResult& result) {
    const Model before = model_;
    const std::uint64_t revision = revision_;
    std::string wrong = Write(operation, result);
    model_ = before;
    revision_ = revision;
    return wrong;
  };
  EXPECT_EQ(judged(told(true, {a, b})), "");
  EXPECT_NE(judged(told(false, {a, b})), "") << "the wrong branch";
  EXPECT_NE(judged(told(true, {a})), "") << "misses its own write";
  kv::OperationResult refused{Code::kInvalidArgument, "", 0, false};
  EXPECT_NE(judged(refused), "") << "refused without a reason";
  EXPECT_EQ(Write(kv::PutOp{"a", "text"}), "");
  EXPECT_EQ(judged(refused), "") << "an increment of a text";
  EXPECT_NE(judged(told(true, {a, b})), "");
}

TEST(ModelEnd, AReadEndsAtItsLimitOrWhereTheAnswerIsFull) {
  kv::ParsedRead asked;
  asked.limit = 2;
  ScanResult found;
  found.kvs = {{"a", "1", 1}, {"b", "2", 2}};
  found.count = 2;
  found.more = true;
  EXPECT_EQ(Model::CompareEnd(asked, found, true, false), "");
  asked.limit = 1;
  EXPECT_NE(Model::CompareEnd(asked, found, true, true), "");
  asked.limit = 0;
  EXPECT_NE(Model::CompareEnd(asked, found, true, false), "");
  EXPECT_EQ(Model::CompareEnd(asked, found, true, true), "");
  found.kvs.clear();
  found.count = 0;
  EXPECT_NE(Model::CompareEnd(asked, found, true, true), "");
  EXPECT_EQ(Model::CompareEnd(asked, found, false, true), "");
}

}  // namespace
}  // namespace raftkv::sim
