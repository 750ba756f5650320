// How does a client's transaction become a request, and its answer a result?
#include <string>
#include <vector>

#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::node {
namespace {

class SessionKvTxn : public test::SessionKvTest {
 protected:
  /// Carries out every attempt that is new, until none comes any more.
  void Work() {
    for (Run(); answered_ < channel_.submits.size(); Run()) channel_.ApplyAndAnswer(answered_++);
  }
  Result<TxnResult> Commit(const Transaction& txn) {
    test::Outcomes<TxnResult> outcome;
    Transaction copy = txn;
    copy.CommitAsync({}, outcome.Next());
    Work();
    EXPECT_EQ(outcome.ended(), 1U);
    return *outcome.all.at(0);
  }
  std::size_t answered_ = 0;
};

TEST_F(SessionKvTxn, ResultsAreThoseOfTheBranchThatWasTaken) {
  Open();
  const Transaction txn =
      kv_->Txn()
          .If({Compare::Missing("k")})
          .Then({Op::Put("k", "1"), Op::Get("k"), Op::Increment("n", 5),
                 Op::Txn(kv_->Txn().Then({Op::Delete("none")}).request())})
          .Else({Op::Range({"a", "z"}), Op::DeleteRange({"k", "l"}).WithPrevious()});
  const auto first = Commit(txn);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_TRUE(first->succeeded);
  EXPECT_EQ(first->revision, 2U);
  ASSERT_EQ(first->results.size(), 4U);
  EXPECT_EQ(first->results[1].found.kvs.at(0).value, "1");
  EXPECT_EQ(first->results[1].found.revision, 2U);
  EXPECT_EQ(first->results[2].number, 5);
  ASSERT_EQ(first->results[3].txn.size(), 1U);
  EXPECT_TRUE(first->results[3].txn[0].succeeded);
  const auto second = Commit(txn);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->succeeded);
  EXPECT_EQ(second->revision, 3U);
  EXPECT_EQ(second->results.at(0).found.count, 2U);
  EXPECT_EQ(second->results.at(1).number, 1);
  EXPECT_EQ(second->results.at(1).previous.at(0).value, "1");
  const auto third = Commit(kv_->Txn().Then({Op::Get("k")}));
  EXPECT_EQ(third->revision, 3U) << "it has changed nothing and tells what it saw";
}

TEST_F(SessionKvTxn, WhatIsRefusedIsAnError) {
  Open();
  Put("text");
  Work();
  const auto refused = Commit(kv_->Txn().Then({Op::Increment("text", 1), Op::Put("k", "1")}));
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_EQ(Stored("k"), "(none)");
  const std::size_t sent = channel_.submits.size();
  EXPECT_EQ(Commit(kv_->Txn().Then({Op::Put("k", "1"), Op::Delete("k")})).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(channel_.submits.size(), sent) << "nothing is sent";
}

TEST_F(SessionKvTxn, ASwapSaysWhatTheKeyHas) {
  Open();
  Put("k");
  Work();
  const auto swap = [this](Compare condition) {
    test::Outcomes<SwapResult> outcome;
    kv_->SwapAsync(std::move(condition), "new", {}, outcome.Next());
    Work();
    return *outcome.all.at(0);
  };
  auto result = swap(Compare::ModRevision("k", Compare::kEqual, 7));
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->succeeded);
  ASSERT_TRUE(result->current.has_value());
  EXPECT_EQ(result->current->value, "value of k");
  EXPECT_EQ(result->current->mod_revision, 2U);
  result = swap(Compare::ModRevision("k", Compare::kEqual, 2));
  EXPECT_TRUE(result->succeeded);
  EXPECT_EQ(result->revision, 3U);
  EXPECT_FALSE(result->current.has_value());
  EXPECT_EQ(Stored("k"), "new");
  EXPECT_FALSE(swap(Compare::Exists("none"))->current.has_value());
  EXPECT_EQ(swap(Compare::Exists("k").WithPrefix()).code(), Code::kInvalidArgument);
}

TEST_F(SessionKvTxn, PreviousValuesComeWithPutsAndDeletes) {
  Open();
  Put("k");
  Work();
  WriteOptions options;
  options.return_previous = true;
  test::Outcomes<DeleteResult> deletes;
  kv_->PutAsync("k", "new", options, puts_.Next());
  kv_->PutAsync("first", "new", options, puts_.Next());
  kv_->DeleteAsync("k", options, deletes.Next());
  kv_->DeleteRangeAsync({"a", "z"}, options, deletes.Next());
  kv_->DeleteAsync("k", {}, deletes.Next());
  Work();
  EXPECT_EQ(puts_.all[1]->value().previous.value().value, "value of k");
  EXPECT_FALSE(puts_.all[2]->value().previous.has_value());
  EXPECT_EQ(deletes.all[0]->value().previous.at(0).value, "new");
  EXPECT_EQ(deletes.all[1]->value().previous.at(0).key, "first");
  EXPECT_TRUE(deletes.all[2]->value().previous.empty());
}

TEST_F(SessionKvTxn, ABatchWithConditionsIsAllOrNothing) {
  Open();
  Put("k");
  Work();
  const auto write = [this](const Batch& batch) {
    test::Outcomes<WriteResult> outcome;
    kv_->WriteAsync(batch, {}, outcome.Next());
    Work();
    return outcome.code(0);
  };
  EXPECT_EQ(write(Batch().If(Compare::Missing("k")).Put("a", "1")), Code::kCompareFailed);
  EXPECT_EQ(Stored("a"), "(none)");
  EXPECT_EQ(write(Batch().Put("a", "1").Increment("k", 1)), Code::kInvalidArgument);
  EXPECT_EQ(Stored("a"), "(none)");
  EXPECT_EQ(
      write(
          Batch().If(Compare::Exists("k")).Put("a", "1").DeleteRange({"k", "l"}).Increment("n", 2)),
      Code::kOk);
  EXPECT_EQ(Stored("a") + Stored("k") + Stored("n"), "1(none)2");
  EXPECT_EQ(write(Batch().Put("a", "2").DeleteRange({"a", "b"}).Put("a", "3").Put("a", "4")),
            Code::kOk);
  EXPECT_EQ(Stored("a"), "4") << "without a condition the last write counts";
}

TEST_F(SessionKvTxn, ACallWhoseAnswerHasNoRoomInTheRequestGoesIntoAnother) {
  Open();
  kv_->PutAsync("large", std::string(1 << 20, 'v'), {}, puts_.Next());
  Work();
  test::Outcomes<TxnResult> results;
  for (int i = 0; i < 20; ++i) {
    kv_->Txn().Then({Op::Get("large"), Op::Increment("n", 1)}).CommitAsync({}, results.Next());
  }
  Work();
  ASSERT_EQ(results.ended(), 20U);
  for (std::size_t i = 0; i < 20; ++i) {
    ASSERT_EQ(results.code(i), Code::kOk);
    EXPECT_EQ(results.all[i]->value().results[0].found.kvs.size(), 1U);
  }
  EXPECT_EQ(Stored("n"), "20") << "each exactly once";
}

TEST_F(SessionKvTxn, OperationsOfTransactionsFillARequestLikeOthers) {
  SessionKvOptions options;
  options.limits.max_operations = 10;
  Open(options);
  test::Outcomes<TxnResult> results;
  for (int i = 0; i < 6; ++i) {
    const std::string n = std::to_string(i);
    kv_->Txn()
        .Then({Op::Put("a" + n, ""), Op::Put("b" + n, ""), Op::Put("c" + n, "")})
        .CommitAsync({}, results.Next());
  }
  Work();
  ASSERT_EQ(results.ended(), 6U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(results.code(i), Code::kOk);
  EXPECT_EQ(channel_.submits.size(), 2U) << "three in each";
}

TEST_F(SessionKvTxn, ASwapWithoutACallbackMayBeRefused) {
  Open();
  kv_->SwapAsync(Compare::Missing("k").WithPrefix(), "v", {}, nullptr);
  Run();
  EXPECT_EQ(channel_.submits.size(), 0U);
}

}  // namespace
}  // namespace raftkv::node
