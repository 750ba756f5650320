// Is a peer found where else it may be, and is one that was replaced noticed?
#include <string>
#include <vector>

#include "rpc/peers/peers.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

constexpr char kNobodyThere[] = "127.0.0.1:1";

class MovedPeer : public testing::Test {
 protected:
  void SetPeer(const node::Transport::Peer& peer) {
    from_.On([&](FakeMember&) { peers_.SetPeers({peer}); });
  }
  bool WaitConnected() {
    return WaitFor(
        [&] { return from_.Get<bool>([&](FakeMember&) { return peers_.Connected(NodeId(2)); }); });
  }
  void Verify() {
    from_.On([&](FakeMember&) { peers_.Verify("n2"); });
  }
  int Hellos() {
    return to_.Get<int>([](FakeMember& m) { return m.hellos; });
  }
  std::vector<std::string> DialledAt() {
    return from_.Get<std::vector<std::string>>([](FakeMember& m) { return m.dialled_at; });
  }
  node::Transport::Peer At(const std::string& address) { return {NodeId(2), "n2", address}; }

  TestServer from_{"n1", 1};
  TestServer to_{"n2", 2};
  Peers& peers_ = from_.MakePeers({});
};

TEST_F(MovedPeer, IsTriedWhereElseItMayBe) {
  auto peer = At(kNobodyThere);
  peer.also = {"127.0.0.1:2", to_.address()};
  SetPeer(peer);
  ASSERT_TRUE(WaitConnected());
  EXPECT_EQ(DialledAt(), std::vector<std::string>{to_.address()});
  // The configuration has it there now: the connection stays.
  SetPeer(At(to_.address()));
  EXPECT_TRUE(WaitConnected());
  EXPECT_EQ(Hellos(), 1);
}

TEST_F(MovedPeer, IsNotLookedForElsewhereWhileItAnswers) {
  auto peer = At(to_.address());
  peer.also = {kNobodyThere};
  SetPeer(peer);
  ASSERT_TRUE(WaitConnected());
  Verify();
  ASSERT_TRUE(WaitFor([&] { return Hellos() == 2; }));
  EXPECT_TRUE(WaitConnected());
  EXPECT_EQ(DialledAt().size(), 1U) << "a hello on the same connection told that it is there";
}

TEST_F(MovedPeer, IsDialledAgainWhereAnotherStartAnswers) {
  SetPeer(At(to_.address()));
  ASSERT_TRUE(WaitConnected());
  to_.On([](FakeMember& m) { m.boot = {2, 3}; });
  Verify();
  ASSERT_TRUE(WaitFor([&] { return DialledAt().size() == 2; }));
  EXPECT_TRUE(WaitConnected());
}

TEST_F(MovedPeer, AnswersANewHelloWhereItsIncarnationRose) {
  SetPeer(At(to_.address()));
  ASSERT_TRUE(WaitConnected());
  auto peer = At(to_.address());
  peer.incarnation = 2;
  SetPeer(peer);
  ASSERT_TRUE(WaitFor([&] { return DialledAt().size() == 2; }));
  EXPECT_TRUE(WaitConnected());
}

}  // namespace
}  // namespace raftkv::rpc
