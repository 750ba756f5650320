// Does the member campaign for its clients as they would themselves?
#include "rpc/etcd/election_service.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

constexpr char kCampaignPath[] = "/v3electionpb.Election/Campaign";
constexpr char kLeaderPath[] = "/v3electionpb.Election/Leader";
constexpr char kProclaimPath[] = "/v3electionpb.Election/Proclaim";
constexpr char kResignPath[] = "/v3electionpb.Election/Resign";
constexpr char kObservePath[] = "/v3electionpb.Election/Observe";

class ElectionServiceTest : public StreamsTest {
 protected:
  static CampaignRequest CampaignOf(std::int64_t lease, const std::string& value) {
    CampaignRequest request;
    request.name = "e";
    request.lease = lease;
    request.value = value;
    return request;
  }
  LeaderKey Elected(OpenedCall& call) {
    EXPECT_TRUE(AwaitEnd(call));
    EXPECT_EQ(EndOf(call), Outcome()) << EndOf(call).message;
    return At<CampaignResponse>(call, 0).leader.value_or(LeaderKey());
  }
  static LeaderRequest LeaderOf(const std::string& name) {
    LeaderRequest request;
    request.name = name;
    return request;
  }
  void Proclaim(const LeaderKey& leader, const std::string& value) {
    ProclaimRequest request;
    request.leader = leader;
    request.value = value;
    Get<ProclaimResponse>(kProclaimPath, request);
  }
  void Resign(const LeaderKey& leader) {
    ResignRequest request;
    request.leader = leader;
    Get<ResignResponse>(kResignPath, request);
  }
  /// The leader number `at` that an observer was told, as "key=value".
  std::string Told(OpenedCall& call, std::size_t at) {
    if (!AwaitAnswers(call, at + 1)) return "(none)";
    const KeyValue kv = At<LeaderResponse>(call, at).kv.value_or(KeyValue());
    return kv.key + "=" + kv.value;
  }
};

TEST_F(ElectionServiceTest, WhoCampaignsAloneLeads) {
  Start();
  Grant(0xa1);
  const LeaderKey leader = Elected(Ask(kCampaignPath, CampaignOf(0xa1, "one")));
  EXPECT_EQ(leader.name, "e");
  EXPECT_EQ(leader.key, "e/a1");
  EXPECT_EQ(leader.rev, 2);
  EXPECT_EQ(leader.lease, 0xa1);
  const auto shown = Get<LeaderResponse>(kLeaderPath, LeaderOf("e"));
  EXPECT_EQ(shown.kv->value, "one");
  EXPECT_EQ(shown.kv->create_revision, leader.rev);
}

TEST_F(ElectionServiceTest, TheNextOneLeadsWhenTheLeaderResigns) {
  Start();
  Grant(1);
  Grant(2);
  const LeaderKey first = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  OpenedCall& second = Ask(kCampaignPath, CampaignOf(2, "two"));
  ASSERT_TRUE(rpc::WaitFor([&] { return KeysBelow("e/").size() == 2; }));
  EXPECT_EQ(AnswersOf(second), 0U);
  Resign(first);
  EXPECT_EQ(Elected(second).key, "e/2");
  EXPECT_EQ(Get<LeaderResponse>(kLeaderPath, LeaderOf("e")).kv->value, "two");
}

TEST_F(ElectionServiceTest, OnlyTheLeaderProclaims) {
  Start();
  Grant(1);
  const LeaderKey leader = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  Proclaim(leader, "more");
  EXPECT_EQ(Get<LeaderResponse>(kLeaderPath, LeaderOf("e")).kv->value, "more");
  Resign(leader);
  ProclaimRequest late;
  late.leader = leader;
  late.value = "late";
  EXPECT_EQ(Failure(kProclaimPath, late), (Outcome{GrpcCode::kUnknown, "election: not leader"}));
  Resign(leader);  // once more is no error
  EXPECT_EQ(Failure(kLeaderPath, LeaderOf("e")),
            (Outcome{GrpcCode::kUnknown, "election: no leader"}));
}

TEST_F(ElectionServiceTest, WhoCampaignsAgainSaysItsNewValue) {
  Start();
  Grant(1);
  const LeaderKey before = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  const LeaderKey after = Elected(Ask(kCampaignPath, CampaignOf(1, "two")));
  EXPECT_EQ(after.rev, before.rev);
  EXPECT_EQ(Get<LeaderResponse>(kLeaderPath, LeaderOf("e")).kv->value, "two");
}

TEST_F(ElectionServiceTest, ACandidateWhoseLeaseEndedDoesNotLead) {
  Start();
  Grant(1);
  Grant(2);
  const LeaderKey first = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  OpenedCall& second = Ask(kCampaignPath, CampaignOf(2, "two"));
  ASSERT_TRUE(rpc::WaitFor([&] { return KeysBelow("e/").size() == 2; }));
  Revoke(2);
  Resign(first);
  ASSERT_TRUE(AwaitEnd(second));
  EXPECT_EQ(EndOf(second), (Outcome{GrpcCode::kUnknown, "election: not leader"}));
}

TEST_F(ElectionServiceTest, AnObserverIsToldEachLeaderAndWhatItSays) {
  Start();
  Grant(1);
  Grant(2);
  OpenedCall& observer = Open(kObservePath);
  Say(observer, LeaderOf("e"));
  // It came before there was anybody.
  ASSERT_TRUE(Await([&] { return channel_->watches >= 1; }));
  const LeaderKey first = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  EXPECT_EQ(Told(observer, 0), "e/1=one");
  Proclaim(first, "more");
  EXPECT_EQ(Told(observer, 1), "e/1=more");
  OpenedCall& second = Ask(kCampaignPath, CampaignOf(2, "two"));
  ASSERT_TRUE(rpc::WaitFor([&] { return KeysBelow("e/").size() == 2; }));
  Resign(first);
  Elected(second);
  EXPECT_EQ(Told(observer, 2), "e/2=two");
  Drop(observer);
  Delete("e/2");
  EXPECT_EQ(AnswersOf(observer), 3U);
}

TEST_F(ElectionServiceTest, AnObserverThatDoesNotReadIsToldTheRestLater) {
  Start();
  Grant(1);
  const LeaderKey leader = Elected(Ask(kCampaignPath, CampaignOf(1, "one")));
  OpenedCall& observer = Open(kObservePath);
  On([&] { observer.record->queued = Sink::kMaxQueuedBytes; });
  Say(observer, LeaderOf("e"));
  EXPECT_EQ(Told(observer, 0), "e/1=one");
  Proclaim(leader, "two");
  EXPECT_EQ(AnswersOf(observer), 1U);
  On([&] {
    observer.record->queued = 0;
    observer.handler->OnDrained();
  });
  EXPECT_EQ(Told(observer, 1), "e/1=two");
}

TEST_F(ElectionServiceTest, WhatIsMissingIsTheErrorOfEtcd) {
  Start();
  const Outcome missing{GrpcCode::kUnknown, "\"leader\" field must be provided"};
  EXPECT_EQ(Failure(kProclaimPath, ProclaimRequest()), missing);
  EXPECT_EQ(Failure(kResignPath, ResignRequest()), missing);
  EXPECT_EQ(Failure(kCampaignPath, CampaignOf(77, "v")),
            (Outcome{GrpcCode::kUnknown, "etcdserver: requested lease not found"}));
}

}  // namespace
}  // namespace raftkv::etcd
