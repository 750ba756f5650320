// Can clients, or strangers, keep the members of a cluster from reaching each other?
#include "rpc/server/server.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

/// Another member.
class TestPeer {
 public:
  TestPeer(std::uint64_t id, const std::string& address) : server_("p" + std::to_string(id), id) {
    peers_ = &server_.MakePeers({});
    server_.On([&](FakeMember&) { peers_->SetPeers({{NodeId(11), "n1", address}}); });
  }
  bool Connected() {
    return server_.Get<bool>([&](FakeMember&) { return peers_->Connected(NodeId(11)); });
  }

 private:
  TestServer server_;
  Peers* peers_;
};

class ReserveTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kMax = 8;
  static constexpr std::uint32_t kClients = kMax - ReservedForPeers(kMax);

  void FillWithClients() {
    for (std::uint32_t i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<TestChannel>(std::vector{server.address()}));
      ASSERT_TRUE(clients.back()->Submit("x").status.ok());
    }
  }

  // The handshake's deadline is so far away that nothing here can be its doing.
  TestServer server{"n1", 11, "127.0.0.1:0", [](ServerOptions& options) {
                      options.max_connections = kMax;
                      options.handshake_timeout = std::chrono::minutes(10);
                    }};
  std::vector<std::unique_ptr<TestChannel>> clients;
};

TEST(Reserve, IsRoomForEveryMemberTwiceAndNeverMoreThanHalf) {
  EXPECT_EQ(ReservedForPeers(1024), 128u);
  EXPECT_EQ(ReservedForPeers(100'000), 128u);
  EXPECT_EQ(ReservedForPeers(8), 4u);
}

TEST_F(ReserveTest, ClientsLeaveRoomForPeers) {
  FillWithClients();
  TestChannel one_more({server.address()});
  const auto outcome = one_more.Submit("x");
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_NE(outcome.status.message().find("all 4 connections for clients are in use; close some, "
                                          "or raise max_connections"),
            std::string::npos)
      << outcome.status.message();
  EXPECT_TRUE(clients.front()->Submit("still served").status.ok());
  std::vector<std::unique_ptr<TestPeer>> peers;
  for (std::uint64_t id = 1; id <= kMax - kClients; ++id) {
    peers.push_back(std::make_unique<TestPeer>(id, server.address()));
    EXPECT_TRUE(WaitFor([&] { return peers.back()->Connected(); })) << id;
  }
  clients.pop_back();
  EXPECT_TRUE(WaitFor([&] { return one_more.Submit("x").status.ok(); }));
}

TEST_F(ReserveTest, WhoDoesNotShakeHandsMakesRoomForAPeer) {
  FillWithClients();
  std::vector<std::unique_ptr<RawSocket>> strangers;
  for (std::uint32_t i = kClients; i < kMax; ++i) {
    strangers.push_back(std::make_unique<RawSocket>(server.address()));
  }
  ASSERT_TRUE(WaitFor([&] { return server.connections() == kMax; }));
  TestPeer peer(1, server.address());
  EXPECT_TRUE(WaitFor([&] { return peer.Connected(); }));
  EXPECT_EQ(strangers.front()->ReadToEnd(), "") << "the oldest made room";
  EXPECT_GE(server.log.Count("which had not completed its handshake: all 8 connections are in use"),
            1u);
  // And a flood of them does not push out who is through.
  for (int i = 0; i < 100; ++i) strangers.push_back(std::make_unique<RawSocket>(server.address()));
  EXPECT_TRUE(strangers[kMax]->ReadToEnd().has_value());
  EXPECT_TRUE(peer.Connected());
  for (auto& client : clients) EXPECT_TRUE(client->Submit("x").status.ok());
  EXPECT_EQ(server.connections(), kMax);
}

TEST_F(ReserveTest, ClosesWhatIsAboveTheBound) {
  FillWithClients();
  std::vector<std::unique_ptr<TestPeer>> peers;
  for (std::uint64_t id = 1; id <= kMax - kClients; ++id) {
    peers.push_back(std::make_unique<TestPeer>(id, server.address()));
    ASSERT_TRUE(WaitFor([&] { return peers.back()->Connected(); })) << id;
  }
  RawSocket one_more(server.address());
  EXPECT_EQ(one_more.ReadToEnd(), "");
  EXPECT_EQ(server.log.Count("closed a new connection"), 1u);
  EXPECT_EQ(server.connections(), kMax);
}

}  // namespace
}  // namespace raftkv::rpc
