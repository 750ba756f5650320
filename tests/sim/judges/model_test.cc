// Does the model see what is wrong with an answer?
#include "tests/sim/judges/model.h"

#include <gtest/gtest.h>

#include "lib/kv/response.h"

namespace raftkv::sim {
namespace {

class ModelTest : public testing::Test {
 protected:
  /// Carries out `operation` as the next entry; what the model says of these results.
  std::string Write(const kv::Operation& operation, kv::OperationResult result = {},
                    std::uint64_t revision_off_by = 0) {
    ++index_;
    raft::Entry entry;
    entry.index = Index(index_);
    entry.term = Term(1);
    entry.kind = raft::EntryKind::kCommand;
    entry.payload = kv::EncodeRequest({1, 1, index_, 1}, {operation});
    kv::Response response;
    response.revision = index_ - revision_off_by;
    response.results = {std::move(result)};
    return model_.Apply(entry, {kv::EncodeResponse(response), 1});
  }
  [[nodiscard]] std::string Found(const std::vector<KeyValue>& kvs, bool count_only = false,
                                  std::uint64_t count = 0) const {
    kv::ParsedRead asked;
    asked.range = {kv::Range::Kind::kBounded, "a", "z"};
    asked.count_only = count_only;
    ScanResult result;
    result.kvs = kvs;
    result.count = count_only ? count : kvs.size();
    return model_.Compare(asked, result);
  }

  Model model_;
  std::uint64_t index_ = 0;
};

TEST_F(ModelTest, AScanShowsOneStateAndAllOfIt) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::PutOp{"b", "2"}), "");
  EXPECT_EQ(Found({{"a", "1", 1}, {"b", "2", 2}}), "");
  EXPECT_NE(Found({{"a", "1", 1}}), "");
  EXPECT_NE(Found({{"b", "2", 2}}), "");
  EXPECT_NE(Found({{"a", "0", 1}, {"b", "2", 2}}), "");
  EXPECT_NE(Found({{"a", "1", 1}, {"b", "2", 1}}), "");
  EXPECT_NE(Found({{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}}), "");
  EXPECT_EQ(Found({}, true, 2), "");
  EXPECT_NE(Found({}, true, 1), "");
}

TEST_F(ModelTest, AnAbsentKeyIsAbsent) {
  EXPECT_EQ(Found({}), "");
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_NE(Found({}), "");
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 1}), "");
  EXPECT_EQ(Found({}), "");
  EXPECT_NE(Found({{"a", "1", 1}}), "");
}

TEST_F(ModelTest, WritesAreToldWhatTheyDid) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::PutOp{"b", "1"}), "");
  const kv::Range all{kv::Range::Kind::kBounded, "a", "z"};
  EXPECT_NE(Write(kv::DeleteOp{all}, {Code::kOk, "", 1}), "");
  EXPECT_EQ(Write(kv::DeleteOp{all}, {Code::kOk, "", 0}), "");
  EXPECT_EQ(Write(kv::IncrementOp{"n", 3}, {Code::kOk, "", 3}), "");
  EXPECT_NE(Write(kv::IncrementOp{"n", 3}, {Code::kOk, "", 3}), "");
  EXPECT_NE(Write(kv::CompareAndSwapOp{"n", "5", "1"}), "");
  EXPECT_EQ(Write(kv::CompareAndSwapOp{"n", "6", "1"}), "");
  EXPECT_NE(Write(kv::CompareAndSwapOp{"n", "1", "2"}, {Code::kCompareFailed, "", 0}), "");
}

TEST_F(ModelTest, ARepeatedRequestDoesNothing) {
  EXPECT_EQ(Write(kv::PutOp{"a", "1"}), "");
  EXPECT_EQ(Write(kv::DeleteOp{kv::Range::Single("a")}, {Code::kOk, "", 1}, 1), "");
  EXPECT_EQ(Found({{"a", "1", 1}}), "");
}

TEST_F(ModelTest, AnAbsentKeyIsNotEmpty) {
  EXPECT_EQ(Write(kv::CompareAndSwapOp{"a", "", "1"}, {Code::kCompareFailed, "", 0}), "");
  EXPECT_NE(Write(kv::CompareAndSwapOp{"a", "", "1"}), "");
}

TEST_F(ModelTest, AnIncrementDoesNotOverflow) {
  EXPECT_EQ(Write(kv::IncrementOp{"n", INT64_MAX}, {Code::kOk, "", INT64_MAX}), "");
  EXPECT_EQ(Write(kv::IncrementOp{"n", 1}, {Code::kInvalidArgument, "", 0}), "");
  EXPECT_NE(Write(kv::IncrementOp{"n", 1}, {Code::kOk, "", INT64_MIN}), "");
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
