// Does a client change the members once, at the leader, and try again only what did not happen?
#include <raftkv/client.h>

#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<Client> ConnectTo(std::vector<std::string> endpoints) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  auto client = Client::Connect(std::move(options));
  EXPECT_TRUE(client.ok()) << client.status().ToString();
  return std::move(client).value();
}

std::vector<MemberChange> Changes(TestServer& server) {
  return server.Get<std::vector<MemberChange>>([](FakeMember& m) { return m.changes; });
}

TEST(RemoteCluster, CarriesEachChange) {
  TestServer server;
  const auto client = ConnectTo({server.address()});
  Cluster& cluster = client->cluster();
  EXPECT_TRUE(cluster.AddMember("n2", "host:1", false).ok());
  EXPECT_TRUE(cluster.AddMember("n3", "host:2", true).ok());
  EXPECT_TRUE(cluster.PromoteMember("n2").ok());
  EXPECT_TRUE(cluster.RemoveMember("n3").ok());
  EXPECT_TRUE(cluster.MoveLeader("n2").ok());
  EXPECT_TRUE(cluster.UpdateMember("n2", {.address = "HOST:3", .reset_boot = true}).ok());
  EXPECT_EQ(cluster.UpdateMember("n2", {}).code(), Code::kInvalidArgument);
  const auto changes = Changes(server);
  ASSERT_EQ(changes.size(), 6u);
  using Kind = MemberChange::Kind;
  const Kind kinds[] = {Kind::kAddLearner, Kind::kAddVoter,   Kind::kPromote,
                        Kind::kRemove,     Kind::kMoveLeader, Kind::kUpdate};
  for (std::size_t i = 0; i < changes.size(); ++i) EXPECT_EQ(changes[i].kind, kinds[i]) << i;
  EXPECT_EQ(changes[1].name, "n3");
  EXPECT_EQ(changes[1].address, "host:2");
  EXPECT_EQ(changes[5].address, "host:3");
  EXPECT_TRUE(changes[5].reset_boot);
  EXPECT_EQ(client->LastHeader().member_id, 11u);
}

TEST(RemoteCluster, ListsTheMembers) {
  TestServer server;
  server.On([](FakeMember& m) {
    m.members = {{4, "n1", "a:1", "z", MemberRole::kVoter, true},
                 {0, "n2", "b:2", "", MemberRole::kInvited, false}};
  });
  const auto client = ConnectTo({server.address()});
  const auto members = client->cluster().Members();
  ASSERT_TRUE(members.ok()) << members.status().ToString();
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ((*members)[0].id, 4u);
  EXPECT_EQ((*members)[0].zone, "z");
  EXPECT_TRUE((*members)[0].leads);
  EXPECT_EQ((*members)[1].role, MemberRole::kInvited);
  EXPECT_EQ((*members)[1].address, "b:2");
}

TEST(RemoteCluster, GoesToTheLeader) {
  TestServer follower("n1", 11);
  TestServer leader("n2", 12);
  follower.On([&](FakeMember& m) {
    m.leader_address = leader.address();
    m.change_outcomes = {{Code::kNotLeader, "this member is not the leader"}};
  });
  const auto client = ConnectTo({follower.address()});
  EXPECT_TRUE(client->cluster().PromoteMember("n2").ok());
  EXPECT_EQ(Changes(leader).size(), 1u);
}

TEST(RemoteCluster, TriesAgainWhatDidNotHappen) {
  TestServer server;
  server.On([](FakeMember& m) {
    m.change_outcomes = {
        {Code::kUnavailable, "not now"}, {Code::kNotLeader, "nor here"}, raftkv::Status::Ok()};
  });
  const auto client = ConnectTo({server.address()});
  EXPECT_TRUE(client->cluster().PromoteMember("n2", seconds(20)).ok());
  EXPECT_EQ(Changes(server).size(), 3u);
}

TEST(RemoteCluster, SaysWhyItWasRefusedToTheEnd) {
  TestServer server;
  server.On([](FakeMember& m) { m.change_outcomes = {{Code::kUnavailable, "it is behind"}}; });
  const auto client = ConnectTo({server.address()});
  const auto refused = client->cluster().PromoteMember("n2", milliseconds(300));
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  EXPECT_EQ(refused.message(), "it is behind");
  EXPECT_GT(Changes(server).size(), 1u);
}

TEST(RemoteCluster, NeverRepeatsWhatMayHaveHappened) {
  TestServer server;
  for (const Code code : {Code::kUnknownOutcome, Code::kInvalidArgument, Code::kNotFound}) {
    server.On([code](FakeMember& m) {
      m.changes.clear();
      m.change_outcomes = {{code, "so it is"}, raftkv::Status::Ok()};
    });
    const auto client = ConnectTo({server.address()});
    EXPECT_EQ(client->cluster().RemoveMember("n2").code(), code);
    EXPECT_EQ(Changes(server).size(), 1u);
  }
}

TEST(RemoteCluster, WhereNobodyAnswersNothingHappened) {
  const auto client = ConnectTo({"127.0.0.1:1"});
  EXPECT_EQ(client->cluster().RemoveMember("n2", milliseconds(200)).code(),
            Code::kDeadlineExceeded);
}

TEST(RemoteCluster, AClosedClientEndsItsCalls) {
  std::promise<Code> outcome;
  {
    const auto client = ConnectTo({"127.0.0.1:1"});
    client->cluster().RemoveMemberAsync(
        "n2", seconds(60), [&](const raftkv::Status& status) { outcome.set_value(status.code()); });
  }
  const Code code = outcome.get_future().get();
  EXPECT_TRUE(code == Code::kCancelled || code == Code::kUnknownOutcome);
}

TEST(BoundedReads, GoToTheMemberAskedWithTheSmallestStaleness) {
  TestServer leader("n2", 12);
  TestServer follower("n1", 11);
  follower.On([&](FakeMember& m) { m.leader_address = leader.address(); });
  const auto client = ConnectTo({follower.address(), leader.address()});
  ReadOptions options;
  options.timeout = milliseconds(500);
  options.consistency = Consistency::kBounded;
  options.max_staleness = milliseconds(1234);
  static_cast<void>(client->kv().Get("key", options));  // an echo is no answer
  follower.On([](FakeMember& m) {
    EXPECT_GE(m.reads, 1);
    EXPECT_EQ(m.last_policy.consistency, Consistency::kBounded);
    EXPECT_EQ(m.last_policy.max_staleness, milliseconds(1234));
  });
  EXPECT_EQ(leader.Get<int>([](FakeMember& m) { return m.reads; }), 0);
  options.max_staleness = milliseconds(-1);
  EXPECT_EQ(client->kv().Get("key", options).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::rpc
