// Are members listed and changed as etcd's tools expect it?
#include "rpc/etcd/cluster_service.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/etcd/member_names.h"
#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

constexpr char kListPath[] = "/etcdserverpb.Cluster/MemberList";
constexpr char kAddPath[] = "/etcdserverpb.Cluster/MemberAdd";
constexpr char kRemovePath[] = "/etcdserverpb.Cluster/MemberRemove";
constexpr char kUpdatePath[] = "/etcdserverpb.Cluster/MemberUpdate";
constexpr char kPromotePath[] = "/etcdserverpb.Cluster/MemberPromote";

using Kind = rpc::MemberChange::Kind;

class ClusterServiceTest : public StreamsTest {
 protected:
  /// n1 leads; n2 votes, n3 learns, and one is expected at h4.
  void StartFour(ServicesOptions options = {}) {
    Start(std::move(options));
    On([&] {
      member_->members = {
          {.id = kMemberId,
           .name = "n1",
           .address = "h1:7001",
           .zone = "",
           .leads = true,
           .client_url = "http://h1:2379"},
          {.id = 0xa2, .name = "n2", .address = "h2:7001", .zone = ""},
          {.id = 0xa3,
           .name = "n3",
           .address = "h3:7001",
           .zone = "",
           .role = MemberRole::kLearner},
          {.id = 0,
           .name = "h4:7001",
           .address = "h4:7001",
           .zone = "",
           .role = MemberRole::kInvited},
      };
    });
  }
  static MemberAddRequest AddOf(const std::string& url, bool learner = false) {
    MemberAddRequest request;
    request.peerURLs = {url};
    request.isLearner = learner;
    return request;
  }
  static MemberRemoveRequest RemoveOf(std::uint64_t id) {
    MemberRemoveRequest request;
    request.ID = id;
    return request;
  }
  static MemberPromoteRequest PromoteOf(std::uint64_t id) {
    MemberPromoteRequest request;
    request.ID = id;
    return request;
  }
  static MemberUpdateRequest UpdateOf(std::uint64_t id, const std::string& url) {
    MemberUpdateRequest request;
    request.ID = id;
    request.peerURLs = {url};
    return request;
  }
  void FailChanges(Code code) {
    On([&] { member_->change_outcomes = {Status(code, "as the test wants it")}; });
  }
  std::vector<rpc::MemberChange> Changes() {
    std::vector<rpc::MemberChange> changes;
    On([&] { changes = member_->changes; });
    return changes;
  }
};

TEST_F(ClusterServiceTest, MembersAreListedByNumberWithTheirUrls) {
  StartFour();
  for (const bool linearizable : {false, true}) {
    MemberListRequest request;
    request.linearizable = linearizable;
    const auto list = Get<MemberListResponse>(kListPath, request);
    EXPECT_EQ(list.header->revision, 0) << "as etcd";
    EXPECT_EQ(list.header->member_id, kMemberId);
    ASSERT_EQ(list.members.size(), 4U);
    EXPECT_EQ(list.members[0].ID, kMemberId);
    EXPECT_EQ(list.members[0].name, "n1");
    EXPECT_EQ(list.members[0].peerURLs, (std::vector<std::string>{"http://h1:7001"}));
    EXPECT_EQ(list.members[0].clientURLs, (std::vector<std::string>{"http://h1:2379"}));
    EXPECT_TRUE(list.members[1].clientURLs.empty()) << "it has not said so yet";
    EXPECT_TRUE(list.members[2].isLearner);
    EXPECT_EQ(list.members[3].ID, NumberOf("h4:7001"));
    EXPECT_EQ(list.members[3].name, "") << "not started";
  }
}

TEST_F(ClusterServiceTest, ALinearizableListNeedsALeader) {
  StartFour();
  On([&] { channel_->read_failure = Status(Code::kPermissionDenied, "not now"); });
  MemberListRequest request;
  request.linearizable = true;
  EXPECT_FALSE(Failure(kListPath, request).ok());
  request.linearizable = false;
  EXPECT_EQ(Get<MemberListResponse>(kListPath, request).members.size(), 4U);
}

TEST_F(ClusterServiceTest, ANewMemberIsNamedAfterItsAddressOrAsItsUrlSays) {
  StartFour();
  On([&] {
    member_->on_change = [this](const rpc::MemberChange& change) {
      member_->members.push_back({.id = 0,
                                  .name = change.name,
                                  .address = change.address,
                                  .zone = "",
                                  .role = MemberRole::kInvited});
    };
  });
  const auto added = Get<MemberAddResponse>(kAddPath, AddOf("http://h5:7001", true));
  EXPECT_EQ(added.member->name, "h5:7001");
  EXPECT_EQ(added.member->ID, NumberOf("h5:7001"));
  EXPECT_TRUE(added.member->isLearner);
  EXPECT_EQ(added.members.size(), 5U);
  EXPECT_EQ(Get<MemberAddResponse>(kAddPath, AddOf("http://h6:7001/n6")).member->name, "n6");
  const auto changes = Changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].kind, Kind::kAddLearner);
  EXPECT_EQ(changes[0].address, "h5:7001");
  EXPECT_EQ(changes[1].kind, Kind::kAddVoter);
  EXPECT_EQ(changes[1].name, "n6");
}

TEST_F(ClusterServiceTest, WhatCannotBeAddedIsRefusedAsEtcdDoes) {
  StartFour();
  const Outcome bad{GrpcCode::kInvalidArgument, "etcdserver: given member URLs are invalid"};
  for (const char* url : {"", "h5:7001", "ftp://h5:7001", "http://h5", "http://:7001",
                          "http://h5:7001/", "http://h5:7001/a=b"}) {
    EXPECT_EQ(Failure(kAddPath, AddOf(url)), bad) << url;
  }
  EXPECT_EQ(Failure(kAddPath, MemberAddRequest()), bad);
  EXPECT_EQ(Failure(kAddPath, AddOf("http://H2:7001")),
            (Outcome{GrpcCode::kFailedPrecondition, "etcdserver: Peer URLs already exists"}));
  EXPECT_EQ(Failure(kAddPath, AddOf("http://h9:7001/n2")),
            (Outcome{GrpcCode::kFailedPrecondition, "etcdserver: member ID already exist"}));
  EXPECT_TRUE(Changes().empty());
}

TEST_F(ClusterServiceTest, AMemberIsRemovedByEitherOfItsNumbers) {
  StartFour();
  On([&] {
    member_->on_change = [this](const rpc::MemberChange& change) {
      std::erase_if(member_->members,
                    [&](const ClusterMember& each) { return each.name == change.name; });
    };
  });
  EXPECT_EQ(Get<MemberRemoveResponse>(kRemovePath, RemoveOf(NumberOf("h4:7001"))).members.size(),
            3U);
  EXPECT_EQ(Get<MemberRemoveResponse>(kRemovePath, RemoveOf(NumberOf("n3"))).members.size(), 2U);
  EXPECT_EQ(Get<MemberRemoveResponse>(kRemovePath, RemoveOf(0xa2)).members.size(), 1U);
  EXPECT_EQ(Failure(kRemovePath, RemoveOf(0xa2)),
            (Outcome{GrpcCode::kNotFound, "etcdserver: member not found"}));
  EXPECT_EQ(Failure(kRemovePath, RemoveOf(kMemberId)).message,
            "etcdserver: re-configuration failed due to not enough started members");
}

TEST_F(ClusterServiceTest, OnlyALearnerThatHasCaughtUpIsPromoted) {
  StartFour();
  EXPECT_EQ(Failure(kPromotePath, PromoteOf(5)).message, "etcdserver: member not found");
  EXPECT_EQ(Failure(kPromotePath, PromoteOf(0xa2)).message,
            "etcdserver: can only promote a learner member");
  const std::string not_ready =
      "etcdserver: can only promote a learner member which is in sync with leader";
  EXPECT_EQ(Failure(kPromotePath, PromoteOf(NumberOf("h4:7001"))).message, not_ready);
  FailChanges(Code::kUnavailable);
  EXPECT_EQ(Failure(kPromotePath, PromoteOf(0xa3)),
            (Outcome{GrpcCode::kFailedPrecondition, not_ready}));
  On([&] {
    member_->change_outcomes = {Status::Ok()};
    member_->on_change = [this](const rpc::MemberChange&) {
      member_->members[2].role = MemberRole::kVoter;
    };
  });
  EXPECT_FALSE(Get<MemberPromoteResponse>(kPromotePath, PromoteOf(0xa3)).members[2].isLearner);
}

TEST_F(ClusterServiceTest, AnUpdateChangesTheAddress) {
  StartFour();
  EXPECT_EQ(Failure(kUpdatePath, UpdateOf(5, "http://h9:7001")).message,
            "etcdserver: member not found");
  EXPECT_EQ(Failure(kUpdatePath, UpdateOf(0xa2, "http://h3:7001")).message,
            "etcdserver: Peer URLs already exists");
  Get<MemberUpdateResponse>(kUpdatePath, UpdateOf(0xa2, "http://h2:7001"));
  EXPECT_TRUE(Changes().empty()) << "it is there already";
  On([&] {
    member_->on_change = [this](const rpc::MemberChange& change) {
      member_->members[1].address = change.address;
    };
  });
  Get<MemberUpdateResponse>(kUpdatePath, UpdateOf(0xa2, "http://h8:7001"));
  ASSERT_EQ(Changes().size(), 1U);
  EXPECT_EQ(Changes()[0].name, "n2");
  EXPECT_EQ(Changes()[0].address, "h8:7001");
}

TEST_F(ClusterServiceTest, AnUnhealthyClusterIsNotChanged) {
  StartFour();
  FailChanges(Code::kUnavailable);
  EXPECT_EQ(Failure(kRemovePath, RemoveOf(0xa2)),
            (Outcome{GrpcCode::kUnavailable, "etcdserver: unhealthy cluster"}));
}

TEST_F(ClusterServiceTest, AFollowerAsksTheLeaderUntilOneAnswers) {
  ServicesOptions options;
  int asked = 0;
  std::string asked_at;
  options.ask_leader = [&](const std::string& address, const rpc::MemberChange& change, MonoTime,
                           LeaderCall::Done done) {
    asked_at = address + " " + change.name;
    // The first one has just lost the leadership.
    const bool leads = ++asked == 2;
    if (leads) member_->members.erase(member_->members.begin() + 1);
    loop_->RunLater([leads, done = std::move(done)]() mutable {
      done(leads ? Status::Ok() : Status(Code::kNotLeader, "not any more"), leads);
    });
  };
  StartFour(std::move(options));
  FailChanges(Code::kNotLeader);
  On([&] { member_->leader_address = "h9:7001"; });
  EXPECT_EQ(Get<MemberRemoveResponse>(kRemovePath, RemoveOf(0xa2)).members.size(), 3U);
  On([&] {
    EXPECT_EQ(asked, 2);
    EXPECT_EQ(asked_at, "h9:7001 n2");
  });
}

TEST_F(ClusterServiceTest, WithoutALeaderAChangeIsRefusedInTime) {
  StartFour();
  FailChanges(Code::kNotLeader);
  CallContext context;
  On([&] { context.deadline = loop_->Now() + std::chrono::milliseconds(500); });
  OpenedCall& call = Open(kRemovePath, context);
  On([&] {
    call.Ask(RemoveOf(0xa2));
    call.handler->OnHalfClose();
  });
  ASSERT_TRUE(AwaitEnd(call));
  EXPECT_EQ(EndOf(call), Outcome(kNoLeader));
}

}  // namespace
}  // namespace raftkv::etcd
