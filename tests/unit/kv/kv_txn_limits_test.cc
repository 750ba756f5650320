// Which transactions are refused before they enter the log, at the client and at the server?
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/request.h"

namespace raftkv::kv {
namespace {

/// What both say: the client before it sends, the server of the bytes.
Status Check(const TxnRequest& txn, const Limits& limits = {}) {
  const Operation operation = TxnOp{txn};
  Status at_client = CheckOperation(operation, limits);
  if (at_client.ok() && CountOperations(operation) > limits.max_operations) {
    at_client = {Code::kInvalidArgument, "too many"};
  }
  if (at_client.ok()) at_client = CheckWholeRanges(CountWholeRanges(operation));
  const Status at_server =
      ValidateRequest(EncodeRequest({1, 1, 1, 0}, {operation}).view(), limits).status();
  EXPECT_EQ(at_client.code(), at_server.code())
      << at_client.ToString() << " and " << at_server.ToString();
  return at_server;
}

TxnRequest Then(std::vector<Op> operations) { return {{}, std::move(operations), {}}; }
TxnRequest Else(std::vector<Op> operations) { return {{}, {}, std::move(operations)}; }

// Known bug 65: a key put twice, or put and deleted.
TEST(KvTxnLimits, ABranchWritesAKeyOnce) {
  const TxnRequest puts_k = Then({Op::Put("k", "1")});
  const TxnRequest deletes_k = Else({Op::Delete("k")});
  const TxnRequest either{{}, {Op::Put("k", "1")}, {Op::Put("k", "2")}};
  const std::vector<std::vector<Op>> bad = {
      {Op::Put("k", "1"), Op::Put("k", "2")},
      {Op::Put("k", "1"), Op::Get("x"), Op::Put("k", "1")},
      {Op::Put("k", "1"), Op::Delete("k")},
      {Op::Delete("k"), Op::Put("k", "1")},
      {Op::Put("k", "1"), Op::Increment("k", 1)},
      {Op::Increment("k", 1), Op::Increment("k", 1)},
      {Op::Increment("k", 1), Op::Delete("k")},
      {Op::Put("k", "1"), Op::DeleteRange({"a", "z"})},
      {Op::DeleteRange({"k", ""}), Op::Put("k", "1")},
      {Op::DeleteRange({"k", ""}), Op::Put("kk", "1")},
      {Op::Put("k", "1"), Op::Txn(puts_k)},
      {Op::Txn(puts_k), Op::Txn(puts_k)},
      {Op::Txn(deletes_k), Op::Put("k", "1")},
      {Op::Txn(puts_k), Op::Txn(deletes_k)},
      {Op::Txn(deletes_k), Op::Txn(puts_k)},
      {Op::Txn(either), Op::Delete("k")},
      {Op::Txn(puts_k), Op::DeleteRange({"a", "z"})},
      {Op::Txn(Then({Op::DeleteRange({"a", "z"})})), Op::Txn(Else({Op::Txn(puts_k)}))},
      {Op::Txn(Then({Op::Put("k", "1"), Op::Put("k", "1")}))},
      {Op::Txn(Else({Op::Txn(Else({Op::Put("k", "1"), Op::Delete("k")}))}))}};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    for (const TxnRequest& txn : {Then(bad[i]), Else(bad[i])}) {
      const Status status = Check(txn);
      EXPECT_EQ(status.code(), Code::kInvalidArgument) << i;
      EXPECT_NE(status.message().find("duplicate key"), std::string::npos) << status.ToString();
    }
  }
  const std::vector<TxnRequest> good = {
      {{}, {Op::Put("k", "1")}, {Op::Put("k", "1"), Op::Delete("l")}},
      Then({Op::Delete("k"), Op::Delete("k"), Op::DeleteRange({"a", "z"})}),
      Then({Op::Put("k", "1"), Op::Get("k"), Op::Range({"a", "z"})}),
      Then({Op::Put("z", "1"), Op::DeleteRange({"a", "z"}), Op::Put("zz", "1")}),
      Then({Op::DeleteRange({"z", "a"}), Op::Put("k", "1")}),
      Then({Op::Txn(either), Op::Put("l", "1")}),
      Then({Op::Txn(TxnRequest{{}, {Op::Put("k", "1")}, {Op::DeleteRange({"a", "z"})}})})};
  for (std::size_t i = 0; i < good.size(); ++i) EXPECT_EQ(Check(good[i]).message(), "") << i;
}

TEST(KvTxnLimits, OperationsAreCountedWithTheNestedOnesAndTheCompares) {
  Limits limits;
  limits.max_operations = 10;
  for (const std::size_t operations : {9, 10, 11}) {
    std::vector<Op> puts;
    for (std::size_t i = 0; i < operations; ++i) puts.push_back(Op::Put(std::to_string(i), ""));
    const Code wanted = operations <= 10 ? Code::kOk : Code::kInvalidArgument;
    EXPECT_EQ(Check(Then(puts), limits).code(), wanted);
    EXPECT_EQ(Check(Else(puts), limits).code(), wanted);
    // Half of them in the other branch; the last three as a compare and a nested one.
    TxnRequest spread{{Compare::Exists("k")}, {}, {}};
    for (std::size_t i = 3; i < operations; ++i) {
      (i % 2 == 0 ? spread.success : spread.failure).push_back(puts[i]);
    }
    spread.success.push_back(Op::Txn(Then({puts[0]})));
    EXPECT_EQ(CountOperations(TxnOp{spread}), operations);
    EXPECT_EQ(Check(spread, limits).code(), wanted);
  }
  EXPECT_EQ(CountOperations(TxnOp{}), 1U);
  const auto several = [&](std::size_t count) {
    std::vector<Operation> operations(count, TxnOp{});
    return ValidateRequest(EncodeRequest({1, 1, 1, 0}, operations).view(), limits).code();
  };
  EXPECT_EQ(several(10), Code::kOk);
  EXPECT_EQ(several(11), Code::kInvalidArgument) << "one that does nothing counts as well";
}

TEST(KvTxnLimits, FourThousandAndNinetySixOperationsAreTheMost) {
  for (const std::size_t operations : {4095, 4096, 4097}) {
    std::vector<Op> puts;
    for (std::size_t i = 0; i < operations; ++i) puts.push_back(Op::Put(std::to_string(i), ""));
    EXPECT_EQ(Check(Then(puts)).code(), operations <= 4096 ? Code::kOk : Code::kInvalidArgument);
  }
}

TEST(KvTxnLimits, NestingIsBounded) {
  TxnRequest txn;
  for (std::size_t depth = 1; depth <= 20; ++depth) {
    const Status status = Check(txn);
    EXPECT_EQ(status.ok(), depth <= kMaxTxnDepth) << depth << status.ToString();
    if (depth == kMaxTxnDepth + 1) {
      EXPECT_EQ(status.message(), "the transactions are nested too deep, the limit is 8");
    }
    txn = depth % 2 == 0 ? Then({Op::Txn(txn)}) : Else({Op::Txn(txn)});
  }
}

TEST(KvTxnLimits, SizesAreThoseOfOperationsByThemselves) {
  Limits limits;
  limits.max_key_bytes = 10;
  limits.max_value_bytes = 20;
  for (const int more : {0, 1}) {
    const std::string key(10 + more, 'k');
    const std::string value(20 + more, 'v');
    std::vector<TxnRequest> all = {{{Compare::Missing(key)}, {}, {}},
                                   {{Compare::Value("k", Compare::kLess, value)}, {}, {}},
                                   {{Compare::Missing("k").WithRange(key + "k")}, {}, {}}};
    for (const Op& op :
         {Op::Put(key, ""), Op::Put("k", value), Op::Get(key), Op::Delete(key),
          Op::Increment(key, 1), Op::Range({"", key + "k"}), Op::DeleteRange({key + "k", ""})}) {
      all.push_back(Then({op}));
      all.push_back(Else({Op::Txn(Then({op}))}));
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(Check(all[i], limits).code(), more == 0 ? Code::kOk : Code::kInvalidArgument) << i;
    }
  }
  for (const Op& op : {Op::Put("", ""), Op::Get(""), Op::Delete(""), Op::Increment("", 1)}) {
    EXPECT_EQ(Check(Then({op})).code(), Code::kInvalidArgument) << "an empty key";
  }
  EXPECT_EQ(Check({{Compare::Missing("")}, {}, {}}).code(), Code::kInvalidArgument);
}

TEST(KvTxnLimits, WholeRangesAreCountedWhereverTheyStand) {
  ScanOptions counted;
  counted.count_only = true;
  ScanOptions limited;
  limited.limit = 5;
  ScanOptions sorted;
  sorted.order = OrderBy::kVersion;
  ScanOptions filtered;
  filtered.min_mod_revision = 2;
  for (const std::size_t ranges : {15, 16, 17}) {
    const Code wanted = ranges <= 16 ? Code::kOk : Code::kInvalidArgument;
    const std::vector<Compare> compares(ranges, Compare::Missing("k").WithPrefix());
    EXPECT_EQ(Check({compares, {}, {}}).code(), wanted);
    EXPECT_EQ(Check(Then(std::vector<Op>(ranges, Op::DeleteRange({"a", "b"})))).code(), wanted);
    for (const ScanOptions& options : {counted, limited, sorted, filtered}) {
      const std::vector<Op> reads(ranges, Op::Range({"a", "b"}, options));
      EXPECT_EQ(Check(Then(reads)).code(), wanted);
    }
    EXPECT_EQ(Check(Then({Op::Txn(TxnRequest{compares, {}, {}})})).code(), wanted);
  }
  limited.skip_count = true;
  EXPECT_TRUE(Check(Then(std::vector<Op>(100, Op::Range({"a", "b"}, limited)))).ok());
  EXPECT_TRUE(Check(Then(std::vector<Op>(100, Op::Range({"a", "b"})))).ok())
      << "its answer is bounded";
}

TEST(KvTxnLimits, AReadOfAnotherRevisionIsRefused) {
  ScanOptions past;
  past.revision = 1;
  EXPECT_EQ(Check(Then({Op::Range({"a", "b"}, past)})).code(), Code::kInvalidArgument);
}

TEST(KvTxnLimits, ACompareAndSwapIsNoOperationOfATransaction) {
  Op odd = Op::Put("k", "1");
  odd.kind = Op::Kind::kTxn;
  EXPECT_EQ(CheckOperation(TxnOp{Then({odd})}, {}).code(), Code::kInvalidArgument)
      << "without a transaction in it";
  odd = Op::Txn({});
  odd.kind = Op::Kind::kGet;
  EXPECT_EQ(CheckOperation(TxnOp{Then({odd})}, {}).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::kv
