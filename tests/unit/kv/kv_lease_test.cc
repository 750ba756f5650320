// What do leases do to keys, and keys to leases?
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/kv/lease_log.h"

namespace raftkv::kv {
namespace {

using test::LeaseLog;
using Strings = std::vector<std::string>;

constexpr std::uint64_t kLeastTtl = 100;
constexpr std::uint64_t kMostTtl = 9'000'000'000'000;
constexpr std::uint64_t kMostId = INT64_MAX;

TEST(KvLease, IsGrantedUnderItsOwnNumber) {
  LeaseLog log;
  log.SetClockMs(5'000);
  const OperationResult result = log.Do(GrantLeaseOp{77, 1'500});
  ASSERT_EQ(result.code, Code::kOk) << result.message;
  ASSERT_EQ(result.leases.size(), 1U);
  EXPECT_EQ(result.leases[0].id, 77U);
  EXPECT_EQ(result.leases[0].ttl.count(), 1'500);
  EXPECT_EQ(result.leases[0].remaining.count(), 1'500);
  EXPECT_EQ(log.Deadlines(), (std::map<std::uint64_t, std::uint64_t>{{77, 6'500}}));
  EXPECT_EQ(log.revision(), 1U);
}

TEST(KvLease, ANumberThatIsChosenIsTheSameAtAllMembersAndFree) {
  LeaseLog a;
  LeaseLog b;
  b.AdvanceMs(5);
  for (int i = 0; i < 50; ++i) {
    const Response of_a = a.Apply({GrantLeaseOp{0, 1'000}, GrantLeaseOp{0, 1'000}});
    const Response of_b = b.Apply({GrantLeaseOp{0, 1'000}, GrantLeaseOp{0, 1'000}});
    for (std::size_t k = 0; k < 2; ++k) {
      ASSERT_EQ(of_a.results.at(k).leases.size(), 1U);
      const std::uint64_t id = of_a.results[k].leases[0].id;
      EXPECT_EQ(of_b.results.at(k).leases.at(0).id, id);
      EXPECT_GT(id, 0U);
      EXPECT_LE(id, kMostId);
    }
  }
  EXPECT_EQ(a.Deadlines().size(), 100U) << "one of them was in use";
}

TEST(KvLease, ANumberInUseIsRefusedAndItsLeaseStaysAsItWas) {
  LeaseLog log;
  log.Grant(5, 1'000);
  log.AdvanceClockMs(400);
  const OperationResult result = log.Do(GrantLeaseOp{5, 2'000});
  EXPECT_EQ(result.code, Code::kInvalidArgument);
  EXPECT_TRUE(result.leases.empty());
  EXPECT_EQ(log.Deadlines()[5], 1'000U);
  log.Do(RevokeLeaseOp{5});
  EXPECT_EQ(log.Grant(5, 2'000), 5U) << "it is free again";
  EXPECT_EQ(log.Deadlines()[5], 2'400U);
}

TEST(KvLease, TimesToLiveAndNumbersHaveLimits) {
  for (const std::uint64_t ttl : {kLeastTtl, kLeastTtl + 1, kMostTtl - 1, kMostTtl}) {
    EXPECT_TRUE(CheckOperation(GrantLeaseOp{1, ttl}, {}).ok()) << ttl;
  }
  for (const std::uint64_t ttl : {std::uint64_t{0}, kLeastTtl - 1, kMostTtl + 1, UINT64_MAX}) {
    EXPECT_EQ(CheckOperation(GrantLeaseOp{1, ttl}, {}).code(), Code::kInvalidArgument) << ttl;
    const Bytes request = EncodeRequest({7, 1, 1, 0}, {GrantLeaseOp{1, ttl}});
    EXPECT_EQ(ValidateRequest(request.view(), {}).code(), Code::kInvalidArgument) << ttl;
  }
  for (const std::uint64_t id : {kMostId - 1, kMostId}) {
    EXPECT_TRUE(CheckOperation(GrantLeaseOp{id, 1'000}, {}).ok()) << id;
  }
  for (const std::uint64_t id : {kMostId + 1, UINT64_MAX}) {
    EXPECT_EQ(CheckOperation(GrantLeaseOp{id, 1'000}, {}).code(), Code::kInvalidArgument) << id;
    const Bytes request = EncodeRequest({7, 1, 1, 0}, {GrantLeaseOp{id, 1'000}});
    EXPECT_EQ(ValidateRequest(request.view(), {}).code(), Code::kInvalidArgument) << id;
  }
  LeaseLog log;
  EXPECT_EQ(log.Grant(kMostId, kMostTtl), kMostId);
  EXPECT_EQ(log.Put("k", "v", kMostId), Code::kOk);
  EXPECT_EQ(log.Attached(kMostId), Strings{"k"});
  EXPECT_EQ(log.Do(RevokeLeaseOp{kMostId}).number, 1);
}

TEST(KvLease, AKeepAliveBeginsTheWholeTimeToLiveAgain) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 5'000);
  log.AdvanceClockMs(300);
  const auto renewed = log.Renew({2, 9, 1, 2});
  ASSERT_EQ(renewed.size(), 4U);
  const std::vector<std::uint64_t> ids = {2, 9, 1, 2};
  const std::vector<std::int64_t> ttls = {5'000, 0, 1'000, 5'000};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(renewed[i].id, ids[i]);
    EXPECT_EQ(renewed[i].ttl.count(), ttls[i]) << "0: there is no such lease";
    EXPECT_EQ(renewed[i].remaining.count(), ttls[i]);
  }
  EXPECT_EQ(log.Deadlines(), (std::map<std::uint64_t, std::uint64_t>{{1, 1'300}, {2, 5'300}}));
  log.ExpectConsistent();
}

TEST(KvLease, AKeepAliveCountsForItsLeases) {
  EXPECT_EQ(CountOperations(RenewLeasesOp{{1, 2, 3}}), 3U);
  Limits limits;
  std::vector<std::uint64_t> ids(limits.max_operations, 1);
  const auto validate = [&] {
    return ValidateRequest(EncodeRequest({7, 1, 1, 0}, {RenewLeasesOp{ids}}).view(), limits);
  };
  EXPECT_TRUE(validate().ok()) << validate().status().ToString();
  ids.push_back(1);
  EXPECT_EQ(validate().code(), Code::kInvalidArgument);
  ids.clear();
  EXPECT_EQ(validate().code(), Code::kInvalidArgument);
}

TEST(KvLease, ARevocationDeletesItsKeysInOrderAtOneRevision) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 1'000);
  for (const char* key : {"c", "a", "b"}) log.Put(key, "v", 1);
  log.Put("other", "v", 2);
  log.Put("free", "v", 0);
  const std::uint64_t before = log.revision();
  const OperationResult result = log.Do(RevokeLeaseOp{1});
  EXPECT_EQ(result.code, Code::kOk);
  EXPECT_EQ(result.number, 3);
  EXPECT_TRUE(result.changed);
  EXPECT_EQ(log.revision(), before + 1);
  ASSERT_NE(log.last_changes(), nullptr);
  Strings keys;
  for (const Change& change : log.last_changes()->changes()) {
    EXPECT_EQ(change.kind, ChangeKind::kDelete);
    EXPECT_EQ(change.revision, before + 1);
    keys.emplace_back(change.key);
  }
  EXPECT_EQ(keys, (Strings{"a", "b", "c"}));
  EXPECT_EQ(log.Get("other"), "v");
  EXPECT_EQ(log.Get("free"), "v");
  EXPECT_EQ(log.Attached(1), Strings{});
  log.ExpectConsistent();
}

TEST(KvLease, ARevocationWithoutKeysTakesNoRevision) {
  LeaseLog log;
  log.Grant(1, 1'000);
  const OperationResult result = log.Do(RevokeLeaseOp{1});
  EXPECT_EQ(result.code, Code::kOk);
  EXPECT_EQ(result.number, 0);
  EXPECT_FALSE(result.changed);
  EXPECT_EQ(log.revision(), 1U);
  EXPECT_EQ(log.last_changes(), nullptr);
  EXPECT_EQ(log.Do(RevokeLeaseOp{1}).code, Code::kNotFound) << "it is gone";
  EXPECT_EQ(log.Do(RevokeLeaseOp{0}).code, Code::kNotFound);
  EXPECT_EQ(log.Do(RevokeLeaseOp{UINT64_MAX}).code, Code::kNotFound);
}

TEST(KvLease, AWriteWithALeaseThereIsNotChangesNothing) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Put("k", "1", 1);
  const auto content = [&] {
    auto rows = log.engine().content();
    // The position, and what the session was answered.
    std::erase_if(rows, [](const auto& row) {
      return row.first.front() == kAppliedPrefix || row.first.front() == kSessionPrefix;
    });
    return rows;
  };
  const auto before = content();
  TxnRequest txn;
  txn.success = {Op::Put("before", "x"), Op::Put("k", "2", 9), Op::Put("after", "x")};
  TxnRequest outer;
  outer.success = {Op::Put("outer", "x"), Op::Txn(txn)};
  const std::vector<Operation> refused = {PutOp{"k", "2", false, 9},
                                          PutOp{"k", "2", true, 9},
                                          CompareAndSwapOp{"k", "1", "2", false, 9},
                                          IncrementOp{"k", 1, 9},
                                          IncrementOp{"new", 1, 9},
                                          CompareAndSwapOp{"new", std::nullopt, "2", false, 9},
                                          TxnOp{txn},
                                          TxnOp{outer}};
  for (const Operation& operation : refused) {
    const OperationResult result = log.Do(operation);
    EXPECT_EQ(result.code, Code::kNotFound) << operation.index();
    EXPECT_FALSE(result.changed);
    EXPECT_EQ(result.number, 0);
    EXPECT_EQ(result.txn, nullptr);
    EXPECT_TRUE(result.previous.empty());
    EXPECT_EQ(content(), before) << operation.index();
  }
  EXPECT_EQ(log.Do(CompareAndSwapOp{"k", "other", "2", false, 9}).code, Code::kCompareFailed);
}

TEST(KvLease, EveryKindOfWriteAttaches) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Put("put", "1", 1);
  log.Do(CompareAndSwapOp{"cas", std::nullopt, "1", false, 1});
  log.Do(IncrementOp{"incr", 3, 1});
  TxnRequest txn;
  txn.success = {Op::Put("txn", "1", 1)};
  log.Do(TxnOp{txn});
  EXPECT_EQ(log.Attached(1), (Strings{"cas", "incr", "put", "txn"}));
  log.ExpectConsistent();
  EXPECT_EQ(log.Do(RevokeLeaseOp{1}).number, 4);
  for (const char* key : {"put", "cas", "incr", "txn"}) EXPECT_EQ(log.Get(key), "(none)");
}

TEST(KvLease, WhatIsOverwrittenGoesToTheLeaseOfTheLastWrite) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 1'000);
  const std::vector<Operation> detaching = {PutOp{"k", "2"}, CompareAndSwapOp{"k", "1", "2"},
                                            IncrementOp{"k", 1}};
  for (const Operation& operation : detaching) {
    log.Put("k", "1", 1);
    ASSERT_EQ(log.Attached(1), Strings{"k"});
    ASSERT_EQ(log.Do(operation).code, Code::kOk);
    EXPECT_EQ(log.LeaseOf("k"), 0U);
    EXPECT_EQ(log.Attached(1), Strings{}) << operation.index();
  }
  log.Put("k", "1", 1);
  log.Put("k", "2", 2);
  EXPECT_EQ(log.Attached(1), Strings{});
  EXPECT_EQ(log.Attached(2), Strings{"k"});
  log.Put("k", "3", 2);
  EXPECT_EQ(log.Attached(2), Strings{"k"}) << "as it was";
  EXPECT_EQ(log.Do(RevokeLeaseOp{1}).number, 0);
  EXPECT_EQ(log.Get("k"), "3") << "it is not its lease that has ended";
  log.ExpectConsistent();
}

TEST(KvLease, ADeleteDetaches) {
  LeaseLog log;
  log.Grant(1, 1'000);
  const std::vector<Operation> deletes = {DeleteOp{Range::Single("k")},
                                          DeleteOp{{Range::Kind::kBounded, "j", "l"}},
                                          DeleteOp{{Range::Kind::kUnbounded, "", ""}}};
  for (const Operation& operation : deletes) {
    log.Put("k", "1", 1);
    log.Do(operation);
    EXPECT_EQ(log.Attached(1), Strings{});
    log.Put("k", "2", 0);
    EXPECT_EQ(log.Attached(1), Strings{});
    log.ExpectConsistent();
  }
  EXPECT_EQ(log.Do(RevokeLeaseOp{1}).number, 0);
  EXPECT_EQ(log.Get("k"), "2");
}

// All in one entry: nothing is written in between.
TEST(KvLease, LaterOperationsOfARequestSeeEarlierOnes) {
  LeaseLog log;
  const Response response =
      log.Apply({PutOp{"early", "1", false, 1}, GrantLeaseOp{1, 1'000}, PutOp{"a", "1", false, 1},
                 PutOp{"b", "1", false, 1}, PutOp{"b", "2"}, DeleteOp{Range::Single("a")},
                 PutOp{"c", "1", false, 1}, RevokeLeaseOp{1}, PutOp{"late", "1", false, 1},
                 RenewLeasesOp{{1}}, GrantLeaseOp{1, 2'000}, PutOp{"d", "1", false, 1}});
  const auto code = [&](std::size_t i) { return response.results.at(i).code; };
  EXPECT_EQ(code(0), Code::kNotFound);
  EXPECT_EQ(response.results.at(7).number, 1) << "just c";
  EXPECT_EQ(code(8), Code::kNotFound);
  EXPECT_EQ(response.results.at(9).leases.at(0).ttl.count(), 0);
  EXPECT_EQ(code(10), Code::kOk);
  EXPECT_EQ(log.Attached(1), Strings{"d"});
  EXPECT_EQ(log.Get("b"), "2");
  EXPECT_EQ(log.Get("c"), "(none)");
  log.ExpectConsistent();
}

TEST(KvLease, ATransactionReadsAndComparesTheLeaseOfAKey) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 1'000);
  log.Put("k", "v", 1);
  TxnRequest txn;
  txn.compares = {Compare::Lease("k", Compare::kEqual, 1),
                  Compare::Lease("none", Compare::kEqual, 0)};
  txn.success = {Op::Get("k"), Op::Put("k", "w", 2).WithPrevious(), Op::Get("k"),
                 Op::Increment("n", 1), Op::Get("n")};
  const OperationResult result = log.Do(TxnOp{txn});
  ASSERT_NE(result.txn, nullptr) << result.message;
  ASSERT_TRUE(result.txn->succeeded);
  const auto lease = [&](std::size_t i) { return result.txn->results.at(i).read->kvs.at(0).lease; };
  EXPECT_EQ(lease(0), 1U);
  EXPECT_EQ(result.txn->results.at(1).write.previous.at(0).lease, 1U);
  EXPECT_EQ(lease(2), 2U) << "as the put before it left it";
  EXPECT_EQ(lease(4), 0U);
  EXPECT_EQ(log.Attached(1), Strings{});
  EXPECT_EQ(log.Attached(2), Strings{"k"});
  const OperationResult again = log.Do(TxnOp{txn});
  ASSERT_NE(again.txn, nullptr);
  EXPECT_FALSE(again.txn->succeeded);
}

}  // namespace
}  // namespace raftkv::kv
