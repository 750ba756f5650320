// Does Txn answer as etcd does? (What is expected was recorded from etcd.)
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/request.h"
#include "rpc/etcd/txn_mapping.h"
#include "tests/rpc/etcd/service_fixture.h"

namespace raftkv::etcd {
namespace {

RequestOp PutOf(const std::string& key, const std::string& value = "", std::int64_t lease = 0) {
  RequestOp op;
  PutRequest& put = op.request_put.emplace();
  put.key = key;
  put.value = value;
  put.lease = lease;
  return op;
}
RequestOp RangeOf(const std::string& key, const std::string& range_end = "",
                  std::int64_t revision = 0) {
  RequestOp op;
  RangeRequest& range = op.request_range.emplace();
  range.key = key;
  range.range_end = range_end;
  range.revision = revision;
  return op;
}
RequestOp DeleteOf(const std::string& key, const std::string& range_end = "") {
  RequestOp op;
  DeleteRangeRequest& del = op.request_delete_range.emplace();
  del.key = key;
  del.range_end = range_end;
  return op;
}
RequestOp Nested(std::vector<RequestOp> success, std::vector<RequestOp> failure = {}) {
  RequestOp op;
  TxnRequest& txn = op.request_txn.emplace();
  txn.success = std::move(success);
  txn.failure = std::move(failure);
  return op;
}
TxnRequest Then(std::vector<RequestOp> success) {
  TxnRequest txn;
  txn.success = std::move(success);
  return txn;
}
Compare CompareOf(const std::string& key, CompareTargetNames::Value target,
                  CompareResultNames::Value result) {
  Compare compare;
  compare.key = key;
  compare.target = target;
  compare.result = result;
  return compare;
}

class EtcdTxn : public ServiceTest {
 protected:
  TxnResponse Done(const TxnRequest& request) {
    const auto answer = Txn(request);
    EXPECT_EQ(answer.outcome, Outcome());
    return answer.response;
  }
  bool Holds(const Compare& compare) {
    TxnRequest txn;
    txn.compare.push_back(compare);
    return Done(txn).succeeded;
  }
  std::int64_t Revision() { return Range(Of("none")).response.header->revision; }
};

TEST_F(EtcdTxn, OfNothingSucceedsAndTakesNoRevision) {
  const TxnResponse response = Done({});
  EXPECT_EQ(response.header, HeaderAt(1));
  EXPECT_TRUE(response.succeeded);
  EXPECT_TRUE(response.responses.empty());
}

TEST_F(EtcdTxn, EachOperationHasTheRevisionThatItLeaves) {
  PutPair("a", "4");  // revision 2
  PutPair("c", "1");  // 3
  RequestOp count = RangeOf("x");
  count.request_range->count_only = true;
  RequestOp del = DeleteOf("c");
  del.request_delete_range->prev_kv = true;
  const TxnResponse response =
      Done(Then({RangeOf("a"), DeleteOf("none"), PutOf("x", "1"), RangeOf("x"), DeleteOf("none"),
                 Nested({count, del}), Nested({}, {PutOf("q")})}));
  EXPECT_EQ(response.header, HeaderAt(4));
  EXPECT_TRUE(response.succeeded);
  ASSERT_EQ(response.responses.size(), 7U);
  const RangeResponse& first = *response.responses[0].response_range;
  EXPECT_EQ(first.header, RevisionOnly(3)) << "from before the first change";
  EXPECT_EQ(Keys(first), "a");
  EXPECT_EQ(first.count, 1);
  const DeleteRangeResponse& nothing = *response.responses[1].response_delete_range;
  EXPECT_EQ(nothing.header, RevisionOnly(3));
  EXPECT_EQ(nothing.deleted, 0);
  EXPECT_EQ(response.responses[2].response_put->header, RevisionOnly(4));
  EXPECT_EQ(response.responses[2].response_put->prev_kv, std::nullopt);
  const RangeResponse& own = *response.responses[3].response_range;
  EXPECT_EQ(own.header, RevisionOnly(4));
  ASSERT_EQ(own.kvs.size(), 1U);
  EXPECT_EQ(own.kvs[0].mod_revision, 4);
  EXPECT_EQ(response.responses[4].response_delete_range->header, RevisionOnly(4));
  ASSERT_TRUE(response.responses[5].response_txn.has_value());
  const TxnResponse& nested = *response.responses[5].response_txn;
  EXPECT_EQ(nested.header, ResponseHeader()) << "there, and empty";
  EXPECT_TRUE(nested.succeeded);
  ASSERT_EQ(nested.responses.size(), 2U);
  EXPECT_EQ(nested.responses[0].response_range->count, 1);
  EXPECT_TRUE(nested.responses[0].response_range->kvs.empty());
  EXPECT_EQ(nested.responses[1].response_delete_range->deleted, 1);
  EXPECT_EQ(nested.responses[1].response_delete_range->prev_kvs.at(0).key, "c");
  EXPECT_TRUE(response.responses[6].response_txn->responses.empty());
}

TEST_F(EtcdTxn, TakesTheElseBranchWhereACompareDoesNotHold) {
  PutPair("k", "v");
  TxnRequest txn;
  txn.compare.push_back(
      CompareOf("k", CompareTargetNames::kCreate, CompareResultNames::kEqual));  // to 0
  txn.success = {PutOf("k", "w")};
  txn.failure = {RangeOf("k")};
  const TxnResponse response = Done(txn);
  EXPECT_FALSE(response.succeeded);
  EXPECT_EQ(response.header, HeaderAt(2)) << "it has changed nothing";
  ASSERT_EQ(response.responses.size(), 1U);
  EXPECT_EQ(response.responses[0].response_range->header, RevisionOnly(2));
  EXPECT_EQ(Keys(*response.responses[0].response_range), "k");
}

TEST_F(EtcdTxn, ComparesLookAtWhatTheyName) {
  ASSERT_EQ(Grant(10, 7).outcome, Outcome());
  PutPair("k", "b", 7);
  PutPair("k", "b", 7);  // create 2, mod 3, version 2
  using Target = CompareTargetNames;
  using Result = CompareResultNames;
  const auto number = [](Target::Value target, Result::Value result, std::int64_t to) {
    Compare compare = CompareOf("k", target, result);
    if (target == Target::kVersion) compare.version = to;
    if (target == Target::kCreate) compare.create_revision = to;
    if (target == Target::kMod) compare.mod_revision = to;
    if (target == Target::kLease) compare.lease = to;
    return compare;
  };
  const std::vector<std::pair<Target::Value, std::int64_t>> is = {
      {Target::kVersion, 2}, {Target::kCreate, 2}, {Target::kMod, 3}, {Target::kLease, 7}};
  for (const auto& [target, value] : is) {
    for (const std::int64_t to : {value - 1, value, value + 1, std::int64_t{-1}, INT64_MIN}) {
      EXPECT_EQ(Holds(number(target, Result::kEqual, to)), value == to) << target << ' ' << to;
      EXPECT_EQ(Holds(number(target, Result::kNotEqual, to)), value != to) << target << ' ' << to;
      EXPECT_EQ(Holds(number(target, Result::kGreater, to)), value > to) << target << ' ' << to;
      EXPECT_EQ(Holds(number(target, Result::kLess, to)), value < to) << target << ' ' << to;
    }
  }
  for (const std::string to : {"a", "b", "c"}) {
    Compare compare = CompareOf("k", Target::kValue, Result::kEqual);
    compare.value = to;
    EXPECT_EQ(Holds(compare), to == "b");
    compare.result = Result::kLess;
    EXPECT_EQ(Holds(compare), to == "c");
    compare.result = Result::kGreater;
    EXPECT_EQ(Holds(compare), to == "a");
    compare.result = Result::kNotEqual;
    EXPECT_EQ(Holds(compare), to != "b");
    compare.key = "missing";
    EXPECT_FALSE(Holds(compare)) << "it has no value";
  }
}

TEST_F(EtcdTxn, WhatItDoesNotKnowIsTakenAsEtcdTakesIt) {
  PutPair("k", "v");
  using Target = CompareTargetNames;
  using Result = CompareResultNames;
  Compare compare = CompareOf("k", Target::kVersion, Result::kEqual);
  compare.value = "v";
  EXPECT_FALSE(Holds(compare)) << "the value is no version, which is compared with 0";
  compare = CompareOf("k", Target::kVersion, Result::kEqual);
  compare.result.value = 9;
  compare.version = 77;
  EXPECT_TRUE(Holds(compare));
  compare = CompareOf("k", Target::kVersion, Result::kEqual);
  compare.target.value = 9;
  compare.version = 77;
  EXPECT_TRUE(Holds(compare));
  compare.result = Result::kNotEqual;
  EXPECT_FALSE(Holds(compare));
  compare = CompareOf("missing", Target::kValue, Result::kEqual);
  compare.result.value = 9;
  EXPECT_FALSE(Holds(compare));
  compare.key = "k";
  EXPECT_TRUE(Holds(compare));
}

TEST_F(EtcdTxn, ACompareOfARangeHoldsForEveryKey) {
  PutPair("a", "1");
  PutPair("b", "1");
  PutPair("b", "2");
  Compare compare = CompareOf("a", CompareTargetNames::kVersion, CompareResultNames::kGreater);
  compare.range_end = std::string(1, '\0');
  EXPECT_TRUE(Holds(compare));
  compare.version = 1;
  EXPECT_FALSE(Holds(compare)) << "a has version 1";
  compare.key = "b";
  EXPECT_TRUE(Holds(compare));
  compare = CompareOf("z", CompareTargetNames::kVersion, CompareResultNames::kEqual);
  compare.range_end = "a";
  EXPECT_TRUE(Holds(compare)) << "there is no such key";
}

TEST_F(EtcdTxn, IsCheckedInEtcdsOrder) {
  TxnRequest txn;
  txn.compare.push_back(CompareOf("", CompareTargetNames::kValue, CompareResultNames::kEqual));
  EXPECT_EQ(Txn(txn).outcome, kEmptyKey);
  txn.success = {PutOf("k"), PutOf("k")};
  EXPECT_EQ(Txn(txn).outcome, kEmptyKey) << "before the key that is put twice";
  EXPECT_EQ(Txn(Then({RequestOp()})).outcome, kKeyNotFound) << "an operation of nothing";
  EXPECT_EQ(Txn(Then({RangeOf("")})).outcome, kEmptyKey);
  EXPECT_EQ(Txn(Then({DeleteOf("")})).outcome, kEmptyKey);
  EXPECT_EQ(Txn(Then({Nested({PutOf("")})})).outcome, kEmptyKey);
  EXPECT_EQ(Txn(Then({Nested({}, {PutOf("")})})).outcome, kEmptyKey) << "taken or not";
  RequestOp put = PutOf("k", "v");
  put.request_put->ignore_value = true;
  EXPECT_EQ(Txn(Then({put})).outcome, kValueProvided);
  RequestOp range = RangeOf("a", "z");
  range.request_range->sort_order.value = 7;
  EXPECT_EQ(Txn(Then({range})).outcome, kInvalidSortOption);
  EXPECT_EQ(channel_->submits, 0);
}

TEST_F(EtcdTxn, WritesAKeyOnce) {
  EXPECT_EQ(Txn(Then({PutOf("k"), PutOf("k")})).outcome, kDuplicateKey);
  EXPECT_EQ(Txn(Then({PutOf("k"), DeleteOf("k")})).outcome, kDuplicateKey);
  EXPECT_EQ(Txn(Then({PutOf("k"), DeleteOf("j", "l")})).outcome, kDuplicateKey);
  EXPECT_EQ(Txn(Then({Nested({DeleteOf("k")}), Nested({PutOf("k")})})).outcome, kDuplicateKey);
  EXPECT_EQ(Txn(Then({Nested({PutOf("k")}, {PutOf("k")})})).outcome, Outcome());
  EXPECT_EQ(Txn(Then({DeleteOf("k"), DeleteOf("k")})).outcome, Outcome());
  TxnRequest failure;
  failure.failure = {PutOf("k"), PutOf("k")};
  EXPECT_EQ(Txn(failure).outcome, kDuplicateKey) << "taken or not";
}

TEST_F(EtcdTxn, HasAsManyOperationsAsTheStoreTakes) {
  const std::size_t most = Limits().max_operations;
  std::vector<RequestOp> deletes(most, DeleteOf("k"));
  EXPECT_EQ(Txn(Then(deletes)).outcome, Outcome());
  deletes.push_back(DeleteOf("k"));
  EXPECT_EQ(Txn(Then(deletes)).outcome, kTooManyOps);
  deletes.resize(most / 2);
  EXPECT_EQ(Txn(Then({Nested(deletes, deletes)})).outcome, kTooManyOps) << "nested ones count";
  TxnRequest txn;
  txn.compare.resize(most + 1);
  EXPECT_EQ(Txn(txn).outcome, kTooManyOps) << "before the keys are looked at";
}

TEST_F(EtcdTxn, APutThatKeepsNeedsItsKey) {
  PutPair("k", "kept");
  RequestOp keeps = PutOf("k");
  keeps.request_put->ignore_value = true;
  keeps.request_put->prev_kv = true;
  RequestOp missing = PutOf("never", "", 9);
  missing.request_put->ignore_value = true;
  EXPECT_EQ(Txn(Then({PutOf("a", "1"), keeps, missing})).outcome, kKeyNotFound);
  EXPECT_EQ(Revision(), 2) << "nothing is changed";
  EXPECT_EQ(Txn(Then({PutOf("a", "1", 9)})).outcome, kLeaseNotFound);
  EXPECT_EQ(Txn(Then({PutOf("a", "1", -1)})).outcome, kLeaseNotFound);
  const TxnResponse response = Done(Then({keeps, RangeOf("k")}));
  EXPECT_EQ(response.responses.at(0).response_put->prev_kv->value, "kept");
  EXPECT_EQ(response.responses.at(1).response_range->kvs.at(0).value, "kept");
  EXPECT_EQ(response.responses.at(1).response_range->kvs.at(0).version, 2);
}

TEST_F(EtcdTxn, ARangeInItIsAnsweredAsOneByItself) {
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"a", "3"}, {"b", "2"}, {"c", "1"}, {"d", "0"}}) {
    PutPair(key, value);
  }
  std::vector<RangeRequest> ranges(10, Of("a", "z"));
  ranges[0].limit = 2;
  ranges[1].limit = 2;
  ranges[1].sort_target = SortTargetNames::kValue;
  ranges[2].sort_order = SortOrderNames::kDescend;
  ranges[2].limit = 3;
  ranges[3].count_only = true;
  ranges[4].keys_only = true;
  ranges[5].min_mod_revision = 3;
  ranges[5].limit = 1;
  ranges[6].max_create_revision = -1;
  ranges[7] = Of("a");
  ranges[7].max_mod_revision = 1;
  ranges[8] = Of("z", "a");
  ranges[9] = Of("c", std::string(1, '\0'));
  TxnRequest txn;
  for (const RangeRequest& range : ranges) txn.success.emplace_back().request_range = range;
  const TxnResponse response = Done(txn);
  ASSERT_EQ(response.responses.size(), ranges.size());
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    RangeResponse alone = Range(ranges[i]).response;
    alone.header = RevisionOnly(5);
    EXPECT_EQ(response.responses[i].response_range, alone) << i;
  }
}

TEST_F(EtcdTxn, ARangeInItMayBeOfAPastRevision) {
  PutPair("a", "1");  // revision 2
  PutPair("a", "2");  // 3
  TxnRequest txn = Then({PutOf("a", "3"), RangeOf("a", "", 2), RangeOf("a"),
                         Nested({RangeOf("a", "", 3)}, {RangeOf("a", "", 2)})});
  txn.failure = {RangeOf("a", "", 2)};
  TxnResponse response = Done(txn);
  ASSERT_EQ(response.responses.size(), 4U);
  const RangeResponse& past = *response.responses[1].response_range;
  EXPECT_EQ(past.header, RevisionOnly(4));
  EXPECT_EQ(past.kvs.at(0).value, "1");
  EXPECT_EQ(response.responses[2].response_range->kvs.at(0).value, "3");
  const TxnResponse& nested = *response.responses[3].response_txn;
  EXPECT_EQ(nested.responses.at(0).response_range->kvs.at(0).value, "2");
  // The else branch: the ranges of the other one are passed over.
  txn.compare.push_back(
      CompareOf("a", CompareTargetNames::kVersion, CompareResultNames::kEqual));  // to 0
  txn.failure.push_back(RangeOf("a", "", 4));
  response = Done(txn);
  ASSERT_EQ(response.responses.size(), 2U);
  EXPECT_EQ(response.responses[0].response_range->kvs.at(0).value, "1");
  EXPECT_EQ(response.responses[1].response_range->kvs.at(0).value, "3");
}

TEST_F(EtcdTxn, ARangeInItOfNoRevisionThereIsRefusesTheWhole) {
  for (int i = 0; i < 3; ++i) PutPair("a", "v");
  EXPECT_EQ(Txn(Then({PutOf("a", "w"), RangeOf("a", "", 99)})).outcome, kFutureRevision);
  ASSERT_EQ(Compact(3).outcome, Outcome());
  EXPECT_EQ(Txn(Then({PutOf("a", "w"), RangeOf("a", "", 2)})).outcome, kCompacted);
  EXPECT_EQ(Revision(), 4);
}

TEST_F(EtcdTxn, ThatReturnsTooMuchIsRefused) {
  const std::string value(600'000, 'v');
  PutPair("a", value);
  PutPair("b", value);
  const auto refused = Txn(Then({PutOf("c", "1"), RangeOf("a"), RangeOf("b")}));
  EXPECT_EQ(refused.outcome.code, GrpcCode::kResourceExhausted);
  const RequestOp past = RangeOf("a", "c", 3);
  EXPECT_EQ(Txn(Then({past})).outcome, Outcome());
  EXPECT_EQ(Txn(Then({past, past})).outcome.code, GrpcCode::kResourceExhausted)
      << "of the past as well";
  EXPECT_EQ(Txn(Then({RangeOf("a")})).outcome, Outcome());
}

TEST_F(EtcdTxn, ThatInsistsOnALeaderEndsWhereThereIsNone) {
  OnLoop([&] { leader_.clear(); });
  const auto answer = Call<TxnResponse>("/etcdserverpb.KV/Txn", Then({PutOf("k")}),
                                        std::chrono::milliseconds(0), /*needs_leader=*/true);
  EXPECT_EQ(answer.outcome, kNoLeader);
}

}  // namespace
}  // namespace raftkv::etcd
