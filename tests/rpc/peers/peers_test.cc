#include "rpc/peers/peers.h"

#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

node::PeerMessage Heartbeat(std::uint64_t round, std::size_t payload_bytes = 0) {
  raft::AppendEntries append{Term(3), Index(0), Term(0), Index(0), round, {}};
  if (payload_bytes > 0) {
    raft::Entry entry;
    entry.index = Index(1);
    entry.term = Term(3);
    entry.payload = Bytes(std::string(payload_bytes, 'p'));
    append.entries.push_back(entry);
  }
  return raft::Message{NodeId(1), NodeId(2), append};
}

std::uint64_t RoundOf(const node::PeerMessage& message) {
  return std::get<raft::AppendEntries>(std::get<raft::Message>(message).body).read_round;
}

/// Two members; `from` sends to `to`.
class PeersTest : public testing::Test {
 protected:
  void Connect(PeersOptions options = {}) {
    peers = &from.MakePeers(options);
    SetPeer(to->address());
    ASSERT_TRUE(WaitConnected());
  }
  void SetPeer(const std::string& address) {
    from.On([&](FakeMember&) { peers->SetPeers({{NodeId(2), "n2", address}}); });
  }
  bool Connected() {
    bool result = false;
    from.On([&](FakeMember&) { result = peers->Connected(NodeId(2)); });
    return result;
  }
  bool WaitConnected() {
    return WaitFor([&] { return Connected(); });
  }
  void Send(std::uint64_t first, std::uint64_t count, std::size_t payload_bytes = 0) {
    from.On([&](FakeMember&) {
      for (std::uint64_t i = 0; i < count; ++i) {
        peers->Send(NodeId(2), Heartbeat(first + i, payload_bytes));
      }
    });
  }
  std::size_t Received() {
    return to->Get<std::size_t>([](FakeMember& m) { return m.received[NodeId(1)].size(); });
  }

  TestServer from{"n1", 1};
  std::unique_ptr<TestServer> to = std::make_unique<TestServer>("n2", 2);
  Peers* peers = nullptr;
};

TEST_F(PeersTest, DeliversInOrderAndGathersATurn) {
  Connect();
  Send(0, 100);
  ASSERT_TRUE(WaitFor([&] { return Received() == 100; }));
  to->On([](FakeMember& m) {
    EXPECT_EQ(m.deliveries, 1) << "what one turn of the loop sends goes in one call";
    std::uint64_t expected = 0;
    for (const auto& message : m.received[NodeId(1)]) {
      EXPECT_EQ(RoundOf(message), expected++);
      EXPECT_EQ(std::get<raft::Message>(message).from, NodeId(1))
          << "the sender is the connection's";
      EXPECT_EQ(std::get<raft::Message>(message).to, NodeId(2));
    }
  });
}

TEST_F(PeersTest, AnAnswerRidesOnTheReturnOfTheCallAndEntriesNeverDo) {
  Connect();
  Peers& back = to->MakePeers({});
  to->On([&](FakeMember&) { back.SetPeers({{NodeId(1), "n1", from.address()}}); });
  ASSERT_TRUE(WaitFor(
      [&] { return to->Get<bool>([&](FakeMember&) { return back.Connected(NodeId(1)); }); }));
  const auto ack = [](std::uint64_t index) {
    raft::AppendEntriesReply reply;
    reply.term = Term(3);
    reply.success = true;
    reply.index = Index(index);
    return raft::Message{NodeId(2), NodeId(1), reply};
  };
  // In the turn in which the call arrives, so that its return is surely still held.
  to->On([&](FakeMember& m) { m.on_receive = [&] { back.Send(NodeId(1), ack(7)); }; });
  Send(0, 1);
  ASSERT_TRUE(WaitFor([&] {
    return from.Get<std::size_t>([](FakeMember& m) { return m.answered[NodeId(2)].size(); }) == 1;
  }));
  from.On([&](FakeMember& m) {
    EXPECT_EQ(std::get<raft::Message>(m.answered[NodeId(2)][0]), ack(7));
    EXPECT_TRUE(m.received[NodeId(2)].empty());
  });
  // What is no answer goes as a call, whatever is held.
  to->On([&](FakeMember& m) {
    m.on_receive = [&] {
      auto entries = Heartbeat(9, 10);
      std::get<raft::Message>(entries).from = NodeId(2);
      back.Send(NodeId(1), std::move(entries));
    };
  });
  Send(1, 1);
  ASSERT_TRUE(WaitFor([&] {
    return from.Get<std::size_t>([](FakeMember& m) { return m.received[NodeId(2)].size(); }) == 1;
  }));
}

TEST_F(PeersTest, AnAnswerWithoutAHeldCallIsACallOfItsOwn) {
  Connect();
  raft::AppendEntriesReply reply;
  reply.term = Term(3);
  from.On([&](FakeMember&) { peers->Send(NodeId(2), raft::Message{NodeId(1), NodeId(2), reply}); });
  EXPECT_TRUE(WaitFor([&] { return Received() == 1; }));
}

TEST_F(PeersTest, OnlyAnswersToSnapshotsRideOnReturns) {
  Connect();
  Peers& back = to->MakePeers({});
  to->On([&](FakeMember&) { back.SetPeers({{NodeId(1), "n1", from.address()}}); });
  ASSERT_TRUE(WaitFor(
      [&] { return to->Get<bool>([&](FakeMember&) { return back.Connected(NodeId(1)); }); }));
  std::vector<node::PeerMessage> calls = {
      node::ForwardJoin{"n3", NodeId(3), ""},
      raft::Message{NodeId(2), NodeId(1), raft::TimeoutNow{Term(3)}},
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    to->On([&](FakeMember& m) { m.on_receive = [&, i] { back.Send(NodeId(1), calls[i]); }; });
    Send(0, 1);
    ASSERT_TRUE(WaitFor([&] {
      return from.Get<std::size_t>([](FakeMember& m) { return m.received[NodeId(2)].size(); }) ==
             i + 1;
    })) << i;
  }
  to->On([&](FakeMember& m) {
    m.on_receive = [&] {
      back.Send(NodeId(1), node::SnapshotChunkReply{Term(3), {Index(4), Term(2)}, 5, 9, false});
    };
  });
  Send(0, 1);
  EXPECT_TRUE(WaitFor([&] {
    return from.Get<std::size_t>([](FakeMember& m) { return m.answered[NodeId(2)].size(); }) == 1;
  }));
}

TEST_F(PeersTest, WhoIsNoPeerAnyMoreIsClosedAndSaysHelloAgain) {
  Connect();
  Peers& back = to->MakePeers({});
  const int hellos = to->Get<int>([](FakeMember& m) { return m.hellos; });
  to->On([&](FakeMember&) { back.SetPeers({{NodeId(1), "n1", from.address()}}); });
  to->On([&](FakeMember& m) {
    EXPECT_EQ(m.hellos, hellos) << "a peer that stays is left alone";
    m.refuse_peers = "it was removed";
    back.SetPeers({});
  });
  EXPECT_TRUE(
      WaitFor([&] { return to->Get<int>([](FakeMember& m) { return m.hellos; }) > hellos; }));
  EXPECT_TRUE(WaitFor([&] { return from.log.Count("it was removed") > 0; }));
  EXPECT_EQ(to->Get<int>([](FakeMember& m) { return m.disconnected[NodeId(1)]; }), 1);
}

TEST_F(PeersTest, WhoIsKnownByNameOnlyIsKnownByItsIdOnceItAnswered) {
  peers = &from.MakePeers({});
  from.On([&](FakeMember&) { peers->SetPeers({{kNobody, "n2", to->address()}}); });
  ASSERT_TRUE(WaitConnected());
  Send(0, 1);
  EXPECT_TRUE(WaitFor([&] { return Received() == 1; }));
  // The list learns the id: the connection stays.
  SetPeer(to->address());
  EXPECT_TRUE(Connected());
}

TEST_F(PeersTest, CarriesMoreThanOneCallHolds) {
  PeersOptions options;
  options.max_batch_bytes = 64 * 1024;
  options.max_calls = 2;
  Connect(options);
  Send(0, 200, 10'000);
  ASSERT_TRUE(WaitFor([&] { return Received() == 200; }));
  to->On([](FakeMember& m) {
    EXPECT_GT(m.deliveries, 20);
    for (std::uint64_t i = 0; i < 200; ++i) EXPECT_EQ(RoundOf(m.received[NodeId(1)][i]), i);
  });
}

TEST_F(PeersTest, CarriesAnEntryOfTheLargestSize) {
  Connect();
  Send(0, 1, 16 << 20);
  ASSERT_TRUE(WaitFor([&] { return Received() == 1; }));
}

TEST_F(PeersTest, DropsAboveItsBoundsAndSaysSo) {
  PeersOptions options;
  options.link.max_queued_messages = 10;
  Connect(options);
  Send(0, 25);
  ASSERT_TRUE(WaitFor([&] { return Received() == 10; }));
  EXPECT_TRUE(WaitFor([&] {
    return from.Get<int>([](FakeMember& m) { return m.unreachable[NodeId(2)]; }) == 1;
  })) << "one report a turn";
  from.On([&](FakeMember&) { EXPECT_EQ(peers->dropped_messages(), 15u); });
}

TEST_F(PeersTest, BoundsTheQueueInBytes) {
  PeersOptions options;
  options.link.max_queued_bytes = 100'000;
  Connect(options);
  Send(0, 25, 10'000);
  ASSERT_TRUE(WaitFor([&] { return Received() == 9; })) << Received();
}

TEST_F(PeersTest, ReportsADisconnectAtOnceAndComesBackAfterARestart) {
  Connect();
  Send(0, 1);
  ASSERT_TRUE(WaitFor([&] { return Received() == 1; }));
  const std::string address = to->address();
  to.reset();
  ASSERT_TRUE(WaitFor([&] { return !Connected(); }));
  Send(1, 1);
  EXPECT_TRUE(WaitFor(
      [&] { return from.Get<int>([](FakeMember& m) { return m.unreachable[NodeId(2)]; }) >= 1; }));
  to = std::make_unique<TestServer>("n2", 2, address);
  ASSERT_TRUE(WaitConnected());
  Send(2, 1);
  ASSERT_TRUE(WaitFor([&] { return Received() == 1; }));
  EXPECT_EQ(from.log.Count("lost the connection to n2"), 1u);
}

TEST_F(PeersTest, TheOtherEndNoticesALostPeerAtOnce) {
  Connect();
  from.On([&](FakeMember&) { peers->SetPeers({}); });
  EXPECT_TRUE(WaitFor(
      [&] { return to->Get<int>([](FakeMember& m) { return m.disconnected[NodeId(1)]; }) == 1; }));
}

TEST_F(PeersTest, ANewConnectionOfAPeerReplacesTheOldOneWithoutAReport) {
  Connect();
  TestServer twin("n1", 1);
  Peers& twin_peers = twin.MakePeers();
  twin.On([&](FakeMember&) { twin_peers.SetPeers({{NodeId(2), "n2", to->address()}}); });
  bool connected = false;
  ASSERT_TRUE(WaitFor([&] {
    twin.On([&](FakeMember&) { connected = twin_peers.Connected(NodeId(2)); });
    return connected;
  }));
  ASSERT_TRUE(WaitFor([&] { return from.log.Count("lost the connection to n2") >= 1; }));
  twin.On([&](FakeMember&) { twin_peers.SetPeers({}); });
}

TEST_F(PeersTest, BacksOffWhileNobodyListens) {
  const std::string address = to->address();
  to.reset();
  peers = &from.MakePeers();
  SetPeer(address);
  ASSERT_TRUE(WaitFor([&] { return from.log.Count("cannot connect to n2") == 1; }));
  to = std::make_unique<TestServer>("n2", 2, address);
  ASSERT_TRUE(WaitConnected());
  EXPECT_EQ(from.log.Count("Connection refused"), 1u) << "one cause, one line";
}

TEST_F(PeersTest, ARefusalReachesTheCallerAndIsLoggedOnce) {
  to->On([](FakeMember& m) { m.refuse_peers = "you belong to cluster 8"; });
  peers = &from.MakePeers();
  SetPeer(to->address());
  ASSERT_TRUE(WaitFor([&] { return to->Get<int>([](FakeMember& m) { return m.hellos; }) >= 3; }));
  EXPECT_FALSE(Connected());
  EXPECT_EQ(from.log.Count("n2 refused: you belong to cluster 8"), 1u);
  to->On([](FakeMember& m) { m.refuse_peers = ""; });
  EXPECT_TRUE(WaitConnected());
}

TEST_F(PeersTest, RepeatsTheHelloOnOneConnectionWhileForming) {
  to->On([](FakeMember& m) { m.cluster = ClusterId(); });
  peers = &from.MakePeers();
  from.On([&](FakeMember&) { peers->SetPeers({{kNobody, "n2", to->address()}}); });
  ASSERT_TRUE(WaitFor([&] { return to->Get<int>([](FakeMember& m) { return m.hellos; }) >= 3; }));
  EXPECT_EQ(to->connections(), 1u);
  EXPECT_FALSE(Connected());
  to->On([](FakeMember& m) { m.cluster = ClusterId(5); });
  SetPeer(to->address());
  ASSERT_TRUE(WaitConnected());
  EXPECT_EQ(to->connections(), 1u) << "the id became known, the connection stayed";
}

TEST_F(PeersTest, AMalformedHelloIsRefusedOnBothEnds) {
  from.On([](FakeMember& m) { m.name = "a\nb"; });
  peers = &from.MakePeers();
  SetPeer(to->address());
  EXPECT_TRUE(WaitFor([&] { return to->log.Count("control characters") >= 1; }));
  EXPECT_TRUE(WaitFor([&] { return from.log.Count("control characters") >= 1; }));
}

}  // namespace
}  // namespace raftkv::rpc
