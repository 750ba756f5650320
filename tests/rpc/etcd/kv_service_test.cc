// Do Put, DeleteRange and Compact answer as etcd does? (What is expected was recorded from etcd.)
#include <string>
#include <vector>

#include "tests/rpc/etcd/service_fixture.h"

namespace raftkv::etcd {
namespace {

using std::chrono::milliseconds;

class EtcdPut : public ServiceTest {
 protected:
  static PutRequest Of(const std::string& key, const std::string& value = "") {
    PutRequest request;
    request.key = key;
    request.value = value;
    return request;
  }
};

TEST_F(EtcdPut, HasItsOwnRevisionInItsHeader) {
  const auto first = Put(Of("a", "1"));
  EXPECT_EQ(first.outcome, Outcome());
  EXPECT_EQ(first.response.header, HeaderAt(2));
  EXPECT_EQ(first.response.prev_kv, std::nullopt);
  const auto second = Put(Of("a", "1"));
  EXPECT_EQ(second.response.header, HeaderAt(3));
}

TEST_F(EtcdPut, ReturnsWhatWasThereBefore) {
  PutRequest put = Of("a", "1");
  put.prev_kv = true;
  EXPECT_EQ(Put(put).response.prev_kv, std::nullopt);
  put.value = "2";
  const KeyValue before{
      .key = "a", .create_revision = 2, .mod_revision = 2, .version = 1, .value = "1"};
  EXPECT_EQ(Put(put).response.prev_kv, before);
}

TEST_F(EtcdPut, RefusesWhatContradictsItselfBeforeItAsksTheStore) {
  EXPECT_EQ(Put(Of("", "v")).outcome, kEmptyKey);
  PutRequest put = Of("k", "v");
  put.ignore_value = true;
  EXPECT_EQ(Put(put).outcome, kValueProvided);
  put = Of("k", "v");
  put.ignore_lease = true;
  put.lease = 5;
  EXPECT_EQ(Put(put).outcome, kLeaseProvided);
  put.key.clear();
  EXPECT_EQ(Put(put).outcome, kEmptyKey) << "the first thing that is wrong";
  EXPECT_EQ(channel_->submits, 0);
}

TEST_F(EtcdPut, KeepsWhatItIsToIgnore) {
  ASSERT_EQ(Grant(10, 7).outcome, Outcome());
  PutPair("k", "kept", 7);
  PutRequest put = Of("k");
  put.ignore_value = true;
  put.ignore_lease = true;
  put.prev_kv = true;
  const auto answer = Put(put);
  EXPECT_EQ(answer.outcome, Outcome());
  ASSERT_TRUE(answer.response.prev_kv.has_value());
  EXPECT_EQ(answer.response.prev_kv->value, "kept");
  put = Of("k", "new");
  put.ignore_lease = true;
  EXPECT_EQ(Put(put).outcome, Outcome());
  const KeyValue is{.key = "k",
                    .create_revision = 2,
                    .mod_revision = 4,
                    .version = 3,
                    .value = "new",
                    .lease = 7};
  EXPECT_EQ(Range(ServiceTest::Of("k")).response.kvs, std::vector<KeyValue>{is});
  put = Of("k");
  put.ignore_value = true;
  EXPECT_EQ(Put(put).outcome, Outcome());
  const auto kvs = Range(ServiceTest::Of("k")).response.kvs;
  ASSERT_EQ(kvs.size(), 1U);
  EXPECT_EQ(kvs[0].value, "new");
  EXPECT_EQ(kvs[0].lease, 0) << "a lease that is not ignored is the one of the request: none";
}

TEST_F(EtcdPut, CannotKeepAnythingOfAKeyThatDoesNotExist) {
  PutRequest put = Of("never");
  put.ignore_value = true;
  EXPECT_EQ(Put(put).outcome, kKeyNotFound);
  put.lease = 9;
  EXPECT_EQ(Put(put).outcome, kLeaseNotFound) << "the lease comes first";
  put = Of("never", "v");
  put.ignore_lease = true;
  EXPECT_EQ(Put(put).outcome, kKeyNotFound);
}

TEST_F(EtcdPut, NeedsItsLease) {
  PutRequest put = Of("k", "v");
  for (const std::int64_t lease : {std::int64_t{9}, std::int64_t{-1}, INT64_MIN, INT64_MAX}) {
    put.lease = lease;
    EXPECT_EQ(Put(put).outcome, kLeaseNotFound) << lease;
  }
}

TEST_F(EtcdPut, ThatIsTooLargeIsRefused) {
  EXPECT_EQ(Put(Of("k", std::string((1 << 20) + 1, 'v'))).outcome, kRequestTooLarge);
  EXPECT_EQ(Put(Of(std::string((64 << 10) + 1, 'k'), "v")).outcome, kRequestTooLarge);
}

TEST_F(EtcdPut, EndsAsEtcdsDoWhereTheClusterCannot) {
  const auto put = [&] {
    return Call<PutResponse>("/etcdserverpb.KV/Put", Of("k", "v"), milliseconds(100)).outcome;
  };
  OnLoop([&] { channel_->open_failure = {Code::kUnavailable, "scripted"}; });
  EXPECT_EQ(put(), kTimeout);
  OnLoop([&] {
    channel_->open_failure = Status::Ok();
    channel_->submit_failure = {Code::kNoSpace, "the disk is full"};
  });
  EXPECT_EQ(Put(Of("k", "v")).outcome, kNoSpace);
  OnLoop([&] { channel_->submit_failure = {Code::kUnknownOutcome, "scripted"}; });
  EXPECT_EQ(put(), kTimeoutDueToLeaderFail);
}

TEST_F(EtcdPut, ThatInsistsOnALeaderEndsWhereThereIsNone) {
  const auto put = [&](bool needs_leader) {
    return Call<PutResponse>("/etcdserverpb.KV/Put", Of("k", "v"), milliseconds(0), needs_leader)
        .outcome;
  };
  EXPECT_EQ(put(true), Outcome());
  OnLoop([&] { leader_.clear(); });
  EXPECT_EQ(put(true), kNoLeader);
  EXPECT_EQ(put(false), Outcome()) << "it is up to the cluster then";
}

TEST_F(EtcdPut, IsGatheredWithItsNeighbours) {
  constexpr int kPuts = 50;
  PutPair("warm", "up");
  std::vector<std::shared_ptr<CallSink>> sinks;
  std::vector<std::unique_ptr<Handler>> handlers;
  std::vector<std::future<Outcome>> finished;
  const int before = channel_->submits;
  OnLoop([&] {
    for (int i = 0; i < kPuts; ++i) {
      sinks.push_back(std::make_shared<CallSink>());
      finished.push_back(sinks.back()->finished.get_future());
      handlers.push_back(Open("/etcdserverpb.KV/Put", {}, sinks.back()));
      handlers.back()->OnMessage(EncodeProto(Of("k" + std::to_string(i), "v")));
      handlers.back()->OnHalfClose();
    }
  });
  for (auto& each : finished) {
    ASSERT_EQ(each.wait_for(kPatience), std::future_status::ready);
    EXPECT_EQ(each.get(), Outcome());
  }
  OnLoop([&] {
    handlers.clear();
    EXPECT_LT(channel_->submits - before, kPuts / 2);
  });
}

TEST_F(EtcdPut, IsNotAnsweredOnceTheServiceIsGone) {
  const auto sink = std::make_shared<CallSink>();
  OnLoop([&] {
    const auto handler = Open("/etcdserverpb.KV/Put", {}, sink);
    handler->OnMessage(EncodeProto(Of("k", "v")));
    handler->OnHalfClose();
    kv_service_.reset();
  });
  EXPECT_TRUE(rpc::WaitFor([&] {
    std::string value;
    OnLoop([&] { value = channel_->log.Get("k"); });
    return value == "v";
  }));
  OnLoop([&] { EXPECT_FALSE(sink->is_finished); });
}

class EtcdDelete : public ServiceTest {
 protected:
  static DeleteRangeRequest Of(const std::string& key, const std::string& range_end = "",
                               bool prev_kv = false) {
    DeleteRangeRequest request;
    request.key = key;
    request.range_end = range_end;
    request.prev_kv = prev_kv;
    return request;
  }
};

TEST_F(EtcdDelete, CountsWhatItDeletes) {
  for (const char* key : {"a", "b", "c", "d"}) PutPair(key, "v");  // revisions 2 to 5
  const auto one = Delete(Of("a"));
  EXPECT_EQ(one.response.header, HeaderAt(6));
  EXPECT_EQ(one.response.deleted, 1);
  EXPECT_TRUE(one.response.prev_kvs.empty());
  const auto none = Delete(Of("a"));
  EXPECT_EQ(none.response.header, HeaderAt(6)) << "it has changed nothing";
  EXPECT_EQ(none.response.deleted, 0);
  const auto range = Delete(Of("b", "d", true));
  EXPECT_EQ(range.response.header, HeaderAt(7));
  EXPECT_EQ(range.response.deleted, 2);
  ASSERT_EQ(range.response.prev_kvs.size(), 2U);
  EXPECT_EQ(range.response.prev_kvs[1].key, "c");
  EXPECT_EQ(range.response.prev_kvs[1].mod_revision, 4);
  EXPECT_EQ(Keys(Range(ServiceTest::Of("a", "z")).response), "d");
}

TEST_F(EtcdDelete, OfARangeWithoutAnEndGoesToTheLastKey) {
  for (const char* key : {"a", "b", "\xff\xff"}) PutPair(key, "v");
  EXPECT_EQ(Delete(Of("b", std::string(1, '\0'))).response.deleted, 2);
  EXPECT_EQ(Delete(Of(std::string(1, '\0'), std::string(1, '\0'))).response.deleted, 1);
}

TEST_F(EtcdDelete, OfNothingChangesNothing) {
  PutPair("b", "v");
  const auto reversed = Delete(Of("c", "a"));
  EXPECT_EQ(reversed.outcome, Outcome());
  EXPECT_EQ(reversed.response.header, HeaderAt(2));
  EXPECT_EQ(reversed.response.deleted, 0);
  EXPECT_EQ(Delete(Of("", "z")).outcome, kEmptyKey);
}

using EtcdCompact = ServiceTest;

TEST_F(EtcdCompact, RefusesWhatIsBelow) {
  for (int i = 0; i < 5; ++i) PutPair("k", std::to_string(i));  // revisions 2 to 6
  EXPECT_EQ(Compact(7).outcome, kFutureRevision);
  EXPECT_EQ(Compact(-1).outcome, kCompacted);
  const auto nothing = Compact(0);
  EXPECT_EQ(nothing.outcome, Outcome()) << "nothing was compacted yet";
  EXPECT_EQ(nothing.response.header, HeaderAt(6));
  const auto compacted = Compact(5);
  EXPECT_EQ(compacted.outcome, Outcome());
  EXPECT_EQ(compacted.response.header, HeaderAt(6));
  EXPECT_EQ(Compact(5).outcome, kCompacted);
  EXPECT_EQ(Compact(3).outcome, kCompacted);
  EXPECT_EQ(Compact(0).outcome, kCompacted);
  RangeRequest range = Of("k");
  range.revision = 4;
  EXPECT_EQ(Range(range).outcome, kCompacted);
  range.revision = 5;
  const auto at = Range(range);
  EXPECT_EQ(at.outcome, Outcome());
  ASSERT_EQ(at.response.kvs.size(), 1U);
  EXPECT_EQ(at.response.kvs[0].value, "3");
  EXPECT_EQ(at.response.header, HeaderAt(6)) << "that of the store";
}

}  // namespace
}  // namespace raftkv::etcd
