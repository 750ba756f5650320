// Does a client keep to its cluster, whatever answers at an address?
#include <future>
#include <map>
#include <string>

#include <raftkv/client.h>

#include "lib/kv/response.h"
#include "rpc/client/client_link.h"
#include "rpc/client/remote_backup.h"
#include "rpc/loop/outbound.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Carries every write out at once, on paper. The members of TestServer are of cluster 5.
void Writes(TestServer& server, ClusterId cluster = ClusterId(5)) {
  server.On([cluster](FakeMember& m) {
    m.cluster = cluster;
    m.respond = [](const Bytes&) {
      kv::Response response;
      response.revision = 42;
      return kv::EncodeResponse(response);
    };
  });
}

int Submits(TestServer& server) {
  return server.Get<int>([](FakeMember& m) { return m.submits; });
}

std::unique_ptr<Client> ConnectTo(std::vector<std::string> endpoints, std::uint64_t cluster = 0,
                                  std::uint32_t connections = 1) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  options.cluster = cluster;
  options.connections = connections;
  auto client = Client::Connect(std::move(options));
  EXPECT_TRUE(client.ok()) << client.status().ToString();
  return std::move(client).value();
}

bool Contains(const raftkv::Status& status, const std::string& text) {
  return status.message().find(text) != std::string::npos;
}

TEST(OtherCluster, ALeadersAddressThatReachesItIsNotFollowed) {
  TestServer follower("n1", 11);
  TestServer other("n1", 21);
  Writes(follower);
  Writes(other, ClusterId(6));
  follower.On([&](FakeMember& m) { m.leader_address = other.address(); });
  const auto client = ConnectTo({follower.address()}, 0, 4);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->kv().Put("k", "v").ok());
  EXPECT_EQ(Submits(other), 0);
  EXPECT_EQ(Submits(follower), 20);
  EXPECT_EQ(client->LastHeader().cluster_id, 5u);
}

// The hint comes with an answer on a connection that stands.
TEST(OtherCluster, ALaterLeadersAddressIsNotFollowedEither) {
  TestServer member("n1", 11);
  TestServer other("n1", 21);
  Writes(member);
  Writes(other, ClusterId(6));
  const auto client = ConnectTo({member.address()});
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  member.On([&](FakeMember& m) { m.leader_address = other.address(); });
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  // It has tried to go there, and was not accepted.
  ASSERT_TRUE(WaitFor([&] { return other.log.Count("the client expects cluster 5") > 0; }));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->kv().Put("k", "v").ok());
  EXPECT_EQ(Submits(other), 0);
}

TEST(OtherCluster, AChangeOfMembersStaysInItsClusterAndSaysWhatIsWrong) {
  TestServer follower("n1", 11);
  TestServer other("n1", 21);
  other.On([](FakeMember& m) { m.cluster = ClusterId(6); });
  follower.On([&](FakeMember& m) {
    m.leader_address = other.address();
    m.change_outcomes = {{Code::kNotLeader, "this member is not the leader"}};
  });
  const auto client = ConnectTo({follower.address()});
  const auto refused = client->cluster().RemoveMember("n2", seconds(2));
  EXPECT_EQ(refused.code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Contains(refused, other.address())) << refused.ToString();
  EXPECT_TRUE(Contains(refused, "a member of cluster 6 answers there")) << refused.ToString();
  EXPECT_TRUE(other.Get<bool>([](FakeMember& m) { return m.changes.empty(); }));
}

TEST(OtherCluster, TheFirstMemberReachedDecidesAndOtherEndpointsArePassedOver) {
  auto first = std::make_unique<TestServer>("n1", 11);
  TestServer other("n2", 21);
  TestServer last("n3", 13);
  Writes(*first);
  Writes(other, ClusterId(6));
  Writes(last);
  const auto client = ConnectTo({first->address(), other.address(), last.address()});
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  first.reset();
  ASSERT_TRUE(client->kv().Put("k", "v").ok());
  EXPECT_EQ(Submits(other), 0);
  EXPECT_EQ(Submits(last), 1);
}

TEST(OtherCluster, TheClusterThatTheOptionsNameIsTheOnlyOne) {
  TestServer other("n1", 11);
  TestServer meant("n2", 21);
  Writes(other);
  Writes(meant, ClusterId(6));
  const auto client = ConnectTo({other.address(), meant.address()}, 6, 3);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(client->kv().Put("k", "v").ok());
  EXPECT_EQ(Submits(other), 0);
  EXPECT_EQ(Submits(meant), 9);
  const auto nowhere = ConnectTo({meant.address()}, 7);
  WriteOptions options;
  options.timeout = milliseconds(300);
  const auto put = nowhere->kv().Put("k", "v", options);
  EXPECT_EQ(put.code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Contains(put.status(), meant.address() + " (a member of cluster 6 answers there, " +
                                         "this client talks to cluster 7)"))
      << put.status().ToString();
  EXPECT_EQ(Submits(meant), 9);
  const auto status = nowhere->Status(meant.address(), seconds(10), false);
  EXPECT_TRUE(Contains(status.status(), "cluster 6")) << status.status().ToString();
}

// Which cluster it will be of nobody knows: it may form while the request is on its way.
TEST(OtherCluster, NothingIsSentToAMemberThatIsOfNoneYet) {
  TestServer forming("n1", 11);
  Writes(forming, ClusterId());
  const auto client = ConnectTo({forming.address()});
  WriteOptions options;
  options.timeout = milliseconds(300);
  const auto put = client->kv().Put("k", "v", options);
  EXPECT_EQ(put.code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Contains(put.status(), "its cluster has not formed yet")) << put.status().ToString();
  EXPECT_EQ(Submits(forming), 0);
  forming.On([](FakeMember& m) { m.cluster = ClusterId(5); });
  EXPECT_TRUE(client->kv().Put("k", "v").ok());
}

TEST(OtherCluster, AnAttemptWithoutTimeSaysWhatWasWrongBefore) {
  TestServer forming("n1", 11);
  Writes(forming, ClusterId());
  std::string nobody;
  {
    TestServer gone("n2", 12);
    nobody = gone.address();
  }
  const std::map<std::string, std::string> reasons = {
      {forming.address(), "its cluster is not formed yet"}, {nobody, "refused"}};
  for (const auto& [address, reason] : reasons) {
    TestChannel channel({address});
    const auto first = channel.Submit("put");
    EXPECT_TRUE(Contains(first.status, reason)) << first.status.ToString();
    const auto late = channel.Submit("put", milliseconds(0));
    EXPECT_EQ(late.status.code(), Code::kUnavailable);
    EXPECT_TRUE(Contains(late.status, reason)) << late.status.ToString();
  }
}

TEST(OtherCluster, ABackupIsOfTheClusterThatIsMeant) {
  TestServer other("n1", 11);
  const auto loop = StartLoop();
  const auto pin = std::make_shared<ClusterPin>(ClusterId(6));
  const auto none = BeginRemoteBackup(*loop, {other.address()}, pin, milliseconds(300));
  EXPECT_EQ(none.code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Contains(none.status(), "a member of cluster 5 answers there"))
      << none.status().ToString();
  loop->Stop();
}

TEST(OtherCluster, AMemberRefusesAHelloThatNamesIt) {
  TestServer server;
  const auto loop = StartLoop();
  const auto refusal = [&](std::uint64_t cluster) {
    std::promise<std::string> answered;
    loop->Call([&] {
      loop->Spawn(Dial(*loop, server.address(), seconds(5), 1 << 20)
                      .then([&, cluster](std::unique_ptr<Outbound>&& connection) {
                        auto request = connection->bootstrap().connectRequest();
                        request.initHello().setProtocolMin(node::kProtocolMin);
                        request.getHello().setProtocolMax(node::kProtocolMax);
                        request.getHello().setCluster(cluster);
                        using Results = wire::Bootstrap::ConnectResults;
                        return request.send()
                            .then([&](capnp::Response<Results>&& response) {
                              answered.set_value(response.getAnswer().getRefusal().cStr());
                            })
                            .attach(std::move(connection));
                      }));
    });
    return answered.get_future().get();
  };
  EXPECT_EQ(refusal(5), "");
  EXPECT_EQ(refusal(0), "");
  EXPECT_NE(refusal(6).find("this member belongs to cluster 5"), std::string::npos);
  server.On([](FakeMember& m) { m.cluster = ClusterId(); });
  EXPECT_NE(refusal(6).find("this member does not belong to one yet"), std::string::npos);
  loop->Stop();
}

}  // namespace
}  // namespace raftkv::rpc
