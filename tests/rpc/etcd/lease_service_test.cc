// Do the calls of leases answer as etcd does? (What is expected was recorded from etcd.)
#include <string>
#include <vector>

#include "rpc/etcd/lease_keep_alive.h"
#include "tests/rpc/etcd/service_fixture.h"

namespace raftkv::etcd {
namespace {

class EtcdLease : public ServiceTest {
 protected:
  Answer<LeaseRevokeResponse> Revoke(std::int64_t id) {
    LeaseRevokeRequest request;
    request.ID = id;
    return Call<LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request);
  }
  LeaseTimeToLiveResponse TimeToLive(std::int64_t id, bool keys = false) {
    LeaseTimeToLiveRequest request;
    request.ID = id;
    request.keys = keys;
    const auto answer =
        Call<LeaseTimeToLiveResponse>("/etcdserverpb.Lease/LeaseTimeToLive", request);
    EXPECT_EQ(answer.outcome, Outcome());
    return answer.response;
  }
  std::vector<std::int64_t> Leases() {
    const auto answer =
        Call<LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases", LeaseLeasesRequest());
    EXPECT_EQ(answer.outcome, Outcome());
    EXPECT_EQ(answer.response.header, HeaderAt(static_cast<std::int64_t>(Revision())));
    std::vector<std::int64_t> ids;
    for (const LeaseStatus& lease : answer.response.leases) ids.push_back(lease.ID);
    return ids;
  }
  std::uint64_t Revision() {
    std::uint64_t revision = 0;
    OnLoop([&] { revision = Now().revision; });
    return revision;
  }
};

TEST_F(EtcdLease, IsGrantedWithANumberThatIsChosen) {
  const auto granted = Grant(10);
  EXPECT_EQ(granted.outcome, Outcome());
  EXPECT_EQ(granted.response.header, HeaderAt(1)) << "a lease takes no revision";
  EXPECT_GT(granted.response.ID, 0);
  EXPECT_EQ(granted.response.TTL, 10);
  EXPECT_NE(Grant(10).response.ID, granted.response.ID);
  EXPECT_EQ(Grant(10, 77).response.ID, 77);
}

TEST_F(EtcdLease, LivesForTwoSecondsAtLeastAndForTheLongestTimeAtMost) {
  for (const std::int64_t ttl :
       {std::int64_t{0}, std::int64_t{-5}, INT64_MIN, std::int64_t{1}, std::int64_t{2}}) {
    EXPECT_EQ(Grant(ttl).response.TTL, 2) << ttl;
  }
  EXPECT_EQ(Grant(3).response.TTL, 3);
  EXPECT_EQ(Grant(9'000'000'000).response.TTL, 9'000'000'000);
  EXPECT_EQ(Grant(9'000'000'001).outcome, kLeaseTtlTooLarge);
  EXPECT_EQ(Grant(INT64_MAX).outcome, kLeaseTtlTooLarge);
}

TEST_F(EtcdLease, HasANumberOfItsOwn) {
  EXPECT_EQ(Grant(10, INT64_MAX).outcome, Outcome());
  EXPECT_EQ(Grant(10, INT64_MAX).outcome, kLeaseExists);
  EXPECT_EQ(Grant(9'000'000'001, INT64_MAX).outcome, kLeaseTtlTooLarge) << "that comes first";
  EXPECT_EQ(Grant(10, -77).outcome.code, GrpcCode::kInvalidArgument);
}

TEST_F(EtcdLease, TakesItsKeysWithIt) {
  ASSERT_EQ(Grant(10, 77).outcome, Outcome());
  PutPair("l2", "v", 77);  // revision 2
  PutPair("l1", "v", 77);  // 3
  const auto revoked = Revoke(77);
  EXPECT_EQ(revoked.outcome, Outcome());
  EXPECT_EQ(revoked.response.header, HeaderAt(4));
  EXPECT_EQ(Range(Of("l", "m")).response.count, 0);
  for (const std::int64_t id : {77, 7777, 0, -1}) EXPECT_EQ(Revoke(id).outcome, kLeaseNotFound);
}

TEST_F(EtcdLease, TellsItsTimeAndItsKeys) {
  ASSERT_EQ(Grant(10, 77).outcome, Outcome());
  PutPair("l2", "v", 77);
  PutPair("l1", "v", 77);
  OnLoop([&] { channel_->log.AdvanceClockMs(1'500); });
  LeaseTimeToLiveResponse response = TimeToLive(77, /*keys=*/true);
  EXPECT_EQ(response.header, HeaderAt(3));
  EXPECT_EQ(response.ID, 77);
  EXPECT_EQ(response.TTL, 8) << "full seconds";
  EXPECT_EQ(response.grantedTTL, 10);
  EXPECT_EQ(response.keys, (std::vector<std::string>{"l1", "l2"}));
  response = TimeToLive(77);
  EXPECT_TRUE(response.keys.empty());
  EXPECT_EQ(response.TTL, 8);
  for (const std::int64_t id : {std::int64_t{7777}, std::int64_t{0}, INT64_MIN}) {
    response = TimeToLive(id, /*keys=*/true);
    EXPECT_EQ(response.ID, id);
    EXPECT_EQ(response.TTL, -1);
    EXPECT_EQ(response.grantedTTL, 0);
    EXPECT_EQ(response.header, HeaderAt(3));
  }
}

TEST_F(EtcdLease, TheOnesThatEndFirstAreListedFirst) {
  EXPECT_TRUE(Leases().empty());
  Grant(30, 1);
  Grant(10, 2);
  Grant(20, 3);
  EXPECT_EQ(Leases(), (std::vector<std::int64_t>{2, 3, 1}));
}

TEST_F(EtcdLease, ThatCannotBeReachedEndsAsEtcdsDoes) {
  OnLoop([&] {
    channel_->open_failure = {Code::kUnavailable, "scripted"};
    channel_->read_failure = {Code::kUnavailable, "scripted"};
    leader_.clear();
  });
  LeaseGrantRequest grant;
  grant.TTL = 10;
  const auto timeout = std::chrono::milliseconds(100);
  const char* const path = "/etcdserverpb.Lease/LeaseGrant";
  EXPECT_EQ(Call<LeaseGrantResponse>(path, grant, timeout).outcome, kTimeout);
  EXPECT_EQ(Call<LeaseGrantResponse>(path, grant, timeout, true).outcome, kNoLeader);
  LeaseTimeToLiveRequest ttl;
  ttl.ID = 7;
  EXPECT_EQ(
      Call<LeaseTimeToLiveResponse>("/etcdserverpb.Lease/LeaseTimeToLive", ttl, timeout).outcome,
      kTimeout)
      << "it may be there";
}

/// One stream.
class EtcdKeepAlive : public EtcdLease {
 protected:
  void Begin(bool needs_leader = false) {
    OnLoop([&] {
      CallContext context;
      context.needs_leader = needs_leader;
      handler_ = Open("/etcdserverpb.Lease/LeaseKeepAlive", context, sink_);
    });
  }
  ~EtcdKeepAlive() override {
    OnLoop([&] { handler_.reset(); });
  }
  void Send(std::int64_t id) {
    LeaseKeepAliveRequest request;
    request.ID = id;
    handler_->OnMessage(EncodeProto(request));
  }
  /// The answers so far, once there are `count`.
  std::vector<LeaseKeepAliveResponse> Answers(std::size_t count) {
    EXPECT_TRUE(rpc::WaitFor([&] {
      std::size_t sent = 0;
      OnLoop([&] { sent = sink_->sent.size(); });
      return sent >= count;
    }));
    std::vector<LeaseKeepAliveResponse> answers;
    OnLoop([&] {
      for (const std::string& sent : sink_->sent) {
        const auto decoded = DecodeProto<LeaseKeepAliveResponse>(sent);
        EXPECT_TRUE(decoded.ok());
        if (decoded.ok()) answers.push_back(*decoded);
      }
    });
    return answers;
  }
  Outcome End() {
    auto finished = sink_->finished.get_future();
    EXPECT_EQ(finished.wait_for(kPatience), std::future_status::ready);
    return finished.get();
  }

  const std::shared_ptr<CallSink> sink_ = std::make_shared<CallSink>();
  std::unique_ptr<Handler> handler_;
};

TEST_F(EtcdKeepAlive, AnswersEachRequestInOrder) {
  Grant(10, 77);
  Grant(20, 78);
  OnLoop([&] { channel_->log.AdvanceClockMs(5'000); });
  Begin();
  OnLoop([&] {
    for (const std::int64_t id : {77, 79, 78, 0, -1, 77}) Send(id);
    handler_->OnHalfClose();
  });
  EXPECT_EQ(End(), Outcome());
  const auto answers = Answers(6);
  std::vector<std::pair<std::int64_t, std::int64_t>> told;
  for (const auto& answer : answers) {
    told.emplace_back(answer.ID, answer.TTL);
    EXPECT_EQ(answer.header, HeaderAt(1));
  }
  const std::vector<std::pair<std::int64_t, std::int64_t>> expected = {{77, 10}, {79, 0}, {78, 20},
                                                                       {0, 0},   {-1, 0}, {77, 10}};
  EXPECT_EQ(told, expected);
  EXPECT_EQ(TimeToLive(77).TTL, 10) << "it begins again";
}

TEST_F(EtcdKeepAlive, TheHeaderIsFromBeforeTheRenewal) {
  Grant(10, 77);
  Begin();
  OnLoop([&] {
    Send(77);
    channel_->log.Apply({kv::PutOp{"k", "v"}});
  });
  EXPECT_EQ(Answers(1).at(0).header, HeaderAt(1));
}

TEST_F(EtcdKeepAlive, StaysOpenWithoutARequest) {
  Grant(10, 77);
  Begin();
  OnLoop([&] { Send(77); });
  EXPECT_EQ(Answers(1).size(), 1U);
  OnLoop([&] {
    EXPECT_FALSE(sink_->is_finished);
    handler_->OnHalfClose();
  });
  EXPECT_EQ(End(), Outcome());
}

TEST_F(EtcdKeepAlive, RenewsTogetherWhatWaits) {
  Grant(10, 77);
  Begin();
  const int before = channel_->submits;
  OnLoop([&] {
    for (int i = 0; i < 200; ++i) Send(77);
  });
  EXPECT_EQ(Answers(200).size(), 200U);
  OnLoop([&] { EXPECT_LE(channel_->submits - before, 3); });
}

TEST_F(EtcdKeepAlive, WaitsForAClientThatDoesNotRead) {
  Grant(10, 77);
  Begin();
  const int before = channel_->submits;
  OnLoop([&] {
    sink_->queued = Sink::kMaxQueuedBytes;
    Send(77);
  });
  OnLoop([&] {
    EXPECT_TRUE(sink_->sent.empty());
    EXPECT_EQ(channel_->submits, before);
    sink_->queued = 0;
    handler_->OnDrained();
  });
  EXPECT_EQ(Answers(1).size(), 1U);
}

TEST_F(EtcdKeepAlive, EndsWhereTooManyRequestsWait) {
  Grant(10, 77);
  Begin();
  OnLoop([&] {
    sink_->queued = Sink::kMaxQueuedBytes;
    for (std::size_t i = 0; i < LeaseKeepAlive::kMaxWaiting; ++i) Send(77);
    EXPECT_FALSE(sink_->is_finished);
    Send(77);
    EXPECT_TRUE(sink_->is_finished);
    Send(77);
    handler_->OnHalfClose();
  });
  EXPECT_EQ(End(), kTooManyRequests);
}

TEST_F(EtcdKeepAlive, EndsWithTheErrorOfARenewal) {
  Grant(10, 77);
  Begin();
  OnLoop([&] {
    channel_->submit_failure = {Code::kNoSpace, "the disk is full"};
    Send(77);
    Send(77);
  });
  EXPECT_EQ(End(), kNoSpace);
}

TEST_F(EtcdKeepAlive, ThatInsistsOnALeaderEndsWhereThereIsNone) {
  Grant(10, 77);
  OnLoop([&] { leader_.clear(); });
  Begin(/*needs_leader=*/true);
  OnLoop([&] { Send(77); });
  EXPECT_EQ(End(), kNoLeader);
}

TEST_F(EtcdKeepAlive, ThatIsOverIsNotAnswered) {
  Grant(10, 77);
  Begin();
  OnLoop([&] {
    Send(77);
    handler_.reset();
  });
  EXPECT_TRUE(rpc::WaitFor([&] {
    bool carried_out = false;
    OnLoop([&] { carried_out = channel_->submits >= 2; });
    return carried_out;
  }));
  OnLoop([&] { EXPECT_TRUE(sink_->sent.empty()); });
}

}  // namespace
}  // namespace raftkv::etcd
