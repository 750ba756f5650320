#include "rpc/peers/frame_peers.h"

#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

constexpr node::Boot kFirstBoot{1, 101};
constexpr node::Boot kOtherBoot{1, 202};

node::PeerMessage Submit(std::uint64_t id, std::size_t bytes = 8) {
  return node::ForwardSubmit{id, Bytes(std::string(bytes, 'r'))};
}
std::uint64_t IdOf(const node::PeerMessage& message) {
  return std::get<node::ForwardSubmit>(message).id;
}

/// Hands on what is sent, or keeps it, and remembers all of it.
class TestWire {
 public:
  struct Sent {
    std::string from;
    std::string to;
    std::string frame;
  };
  class Port final : public raftkv::Transport {
   public:
    Port(TestWire& wire, std::string address) : wire_(wire), address_(std::move(address)) {}
    void Start(Receiver receiver) override { wire_.SetReceiver(address_, std::move(receiver)); }
    void Send(const std::string& to, std::string frame) override {
      wire_.Take({address_, to, std::move(frame)});
    }
    void Stop() override { wire_.SetReceiver(address_, nullptr); }

   private:
    TestWire& wire_;
    const std::string address_;
  };

  /// What goes from `from` is kept back from now on, or not any more.
  void Hold(const std::string& from, bool hold) {
    const std::lock_guard lock(mutex_);
    hold_[from] = hold;
  }
  /// All that `from` has sent so far, of the kind that `Body` is.
  template <class Body>
  std::vector<Sent> SentBy(const std::string& from) {
    const std::lock_guard lock(mutex_);
    std::vector<Sent> found;
    for (const Sent& sent : sent_) {
      const auto frame = DecodeFrame(sent.frame);
      EXPECT_TRUE(frame.ok()) << frame.status().ToString();
      if (sent.from == from && std::holds_alternative<Body>(frame->body)) found.push_back(sent);
    }
    return found;
  }
  void Deliver(const Sent& sent) {
    raftkv::Transport::Receiver receiver;
    {
      const std::lock_guard lock(mutex_);
      receiver = receivers_[sent.to];
    }
    if (receiver) receiver(sent.from, sent.frame);
  }

 private:
  void SetReceiver(const std::string& address, raftkv::Transport::Receiver receiver) {
    const std::lock_guard lock(mutex_);
    receivers_[address] = std::move(receiver);
  }
  void Take(Sent sent) {
    bool hold = false;
    {
      const std::lock_guard lock(mutex_);
      sent_.push_back(sent);
      hold = hold_[sent.from];
    }
    if (!hold) Deliver(sent);
  }

  std::mutex mutex_;
  std::map<std::string, raftkv::Transport::Receiver> receivers_;
  std::map<std::string, bool> hold_;
  std::vector<Sent> sent_;
};

/// A fake member that speaks over the wire.
class WireMember {
 public:
  WireMember(TestWire& wire, std::string name, std::uint64_t id, node::Boot boot)
      : wire_(wire), name_(std::move(name)), id_(id), loop_(StartLoop()) {
    Boot(boot, {});
  }
  ~WireMember() {
    End();
    loop_->Stop();
  }

  void End() {
    loop_->Call([this] {
      peers_.reset();
      port_.reset();
      member_.reset();
    });
  }
  void Boot(node::Boot boot, FramePeersOptions options) {
    options.link.log_sink = log.Sink();
    loop_->Call([&] {
      member_ = std::make_unique<FakeMember>(*loop_, name_, NodeId(id_), ClusterId(5));
      member_->boot = boot;
      port_ = std::make_unique<TestWire::Port>(wire_, name_);
      peers_ = std::make_unique<FramePeers>(*loop_, *port_, *member_, *member_, options);
    });
  }

  template <class T>
  T Get(const std::function<T(FakeMember&, FramePeers&)>& read) {
    T result{};
    loop_->Call([&] { result = read(*member_, *peers_); });
    return result;
  }
  void On(const std::function<void(FakeMember&, FramePeers&)>& work) {
    loop_->Call([&] { work(*member_, *peers_); });
  }
  /// Both must do so before messages go between them.
  void Knows(std::uint64_t id, const std::string& name, node::Boot boot) {
    On([&](FakeMember& member, FramePeers& peers) {
      member.peer_boot = boot;
      peers.SetPeers({{NodeId(id), name, name}});
    });
  }
  bool WaitConnected(std::uint64_t id) {
    return WaitFor([&] {
      return Get<bool>([&](FakeMember&, FramePeers& peers) { return peers.Connected(NodeId(id)); });
    });
  }
  void Send(std::uint64_t to, const node::PeerMessage& message) {
    On([&](FakeMember&, FramePeers& peers) { peers.Send(NodeId(to), message); });
  }
  /// The ids of what has come from `from`.
  std::vector<std::uint64_t> Received(std::uint64_t from) {
    return Get<std::vector<std::uint64_t>>([&](FakeMember& member, FramePeers&) {
      std::vector<std::uint64_t> ids;
      for (const auto& message : member.received[NodeId(from)]) ids.push_back(IdOf(message));
      return ids;
    });
  }
  /// Until all that is posted to the loop now is done.
  void Settle() {
    for (int i = 0; i < 3; ++i) {
      std::promise<void> done;
      loop_->Post([&] { loop_->RunLater([&] { done.set_value(); }); });
      done.get_future().get();
    }
  }

  LogLines log;

 private:
  TestWire& wire_;
  const std::string name_;
  const std::uint64_t id_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<FakeMember> member_;
  std::unique_ptr<TestWire::Port> port_;
  std::unique_ptr<FramePeers> peers_;
};

class FramePeersTest : public testing::Test {
 protected:
  void Connect() {
    n1.Knows(2, "n2", kOtherBoot);
    n2.Knows(1, "n1", kFirstBoot);
    ASSERT_TRUE(n1.WaitConnected(2));
    ASSERT_TRUE(n2.WaitConnected(1));
  }
  bool WaitReceived(WireMember& member, std::uint64_t from, std::vector<std::uint64_t> ids) {
    return WaitFor([&] { return member.Received(from) == ids; });
  }

  TestWire wire;
  WireMember n1{wire, "n1", 1, kFirstBoot};
  WireMember n2{wire, "n2", 2, kOtherBoot};
};

TEST_F(FramePeersTest, MessagesGoBothWaysAndThoseOfATurnGoTogether) {
  Connect();
  n1.On([](FakeMember&, FramePeers& peers) {
    for (std::uint64_t i = 1; i <= 3; ++i) peers.Send(NodeId(2), Submit(i));
  });
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 2, 3}));
  EXPECT_EQ(wire.SentBy<DeliverFrame>("n1").size(), 1U);
  raft::Message vote{NodeId(7), NodeId(8), raft::RequestVote{}};
  n2.Send(1, vote);
  EXPECT_TRUE(WaitFor([&] {
    return n1.Get<bool>(
        [](FakeMember& m, FramePeers&) { return m.received[NodeId(2)].size() == 1; });
  }));
  n1.On([](FakeMember& m, FramePeers&) {
    const auto& message = std::get<raft::Message>(m.received[NodeId(2)][0]);
    EXPECT_EQ(message.from, NodeId(2)) << "the sender is the link's";
    EXPECT_EQ(message.to, NodeId(1));
  });
}

TEST_F(FramePeersTest, ADoubledFrameCountsOnce) {
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  for (int i = 0; i < 5; ++i) wire.Deliver(frames.at(0));
  n1.Send(2, Submit(2));
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 2}));
}

TEST_F(FramePeersTest, FramesMayOvertakeEachOther) {
  Connect();
  wire.Hold("n1", true);
  for (std::uint64_t i = 1; i <= 4; ++i) n1.Send(2, Submit(i));
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<DeliverFrame>("n1").size() == 4; }));
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  for (const std::size_t i : {3, 1, 3, 0, 1, 2, 0}) wire.Deliver(frames.at(i));
  EXPECT_TRUE(WaitReceived(n2, 1, {4, 2, 1, 3}));
}

TEST_F(FramePeersTest, ALostHelloIsSaidAgainWithTheSameBytes) {
  wire.Hold("n1", true);
  n1.Knows(2, "n2", kOtherBoot);
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<node::Hello>("n1").size() >= 3; }));
  const auto hellos = wire.SentBy<node::Hello>("n1");
  EXPECT_EQ(hellos.at(0).frame, hellos.at(2).frame);
  // The answer to any of them will do, and they are judged once, also while that goes on.
  n2.On([&](FakeMember&, FramePeers&) {
    for (const auto& hello : hellos) wire.Deliver(hello);
  });
  EXPECT_TRUE(n1.WaitConnected(2));
  for (const auto& hello : hellos) wire.Deliver(hello);
  n2.Settle();
  EXPECT_EQ(n2.Get<int>([](FakeMember& m, FramePeers&) { return m.hellos; }), 1);
}

TEST_F(FramePeersTest, ALostAnswerIsGivenAgain) {
  wire.Hold("n2", true);
  n1.Knows(2, "n2", kOtherBoot);
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<node::HelloAnswer>("n2").size() >= 2; }));
  EXPECT_FALSE(n1.Get<bool>([](FakeMember&, FramePeers& p) { return p.Connected(NodeId(2)); }));
  wire.Hold("n2", false);
  EXPECT_TRUE(n1.WaitConnected(2));
  EXPECT_EQ(n2.Get<int>([](FakeMember& m, FramePeers&) { return m.hellos; }), 1);
}

TEST_F(FramePeersTest, WhatWasSentToAnEarlierBootIsNotHeardByTheNext) {
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  const auto hellos = wire.SentBy<node::Hello>("n1");
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  n2.End();
  constexpr node::Boot kNext{2, 303};
  n2.Boot(kNext, {});
  n2.On([](FakeMember& member, FramePeers&) { member.peer_boot = kFirstBoot; });
  // Safety: a late hello opens the old link at the new boot; it is not that boot's.
  for (const auto& hello : hellos) wire.Deliver(hello);
  n2.Settle();
  for (const auto& frame : frames) wire.Deliver(frame);
  n2.Settle();
  EXPECT_TRUE(n2.Received(1).empty());
  // n1 was told that its link is gone, and opens another one.
  n1.On([&](FakeMember& member, FramePeers&) { member.peer_boot = kNext; });
  ASSERT_TRUE(WaitFor([&] { return n1.log.Count("it has closed the link") == 1; }));
  ASSERT_TRUE(n1.WaitConnected(2));
  n1.Send(2, Submit(2));
  EXPECT_TRUE(WaitReceived(n2, 1, {2}));
  EXPECT_GT(n1.Get<int>([](FakeMember& m, FramePeers&) { return m.unreachable[NodeId(2)]; }), 0)
      << "what was under way is as good as lost";
}

TEST_F(FramePeersTest, WhatAnEarlierBootHasSentIsNotHeard) {
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  wire.Hold("n1", true);
  n1.Send(2, Submit(2));
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<DeliverFrame>("n1").size() == 2; }));
  const auto late = wire.SentBy<DeliverFrame>("n1");
  n1.End();
  wire.Hold("n1", false);
  constexpr node::Boot kNext{2, 303};
  n1.Boot(kNext, {});
  n2.On([&](FakeMember& member, FramePeers&) { member.peer_boot = kNext; });
  n1.Knows(2, "n2", kOtherBoot);
  ASSERT_TRUE(n1.WaitConnected(2));
  for (const auto& frame : late) wire.Deliver(frame);
  n1.Send(2, Submit(3));
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 3}));
  // n2 knows by that hello that its own link went to the old boot, and that what it asked is lost.
  EXPECT_EQ(n2.Get<int>([](FakeMember& m, FramePeers&) { return m.disconnected[NodeId(1)]; }), 1);
  EXPECT_TRUE(WaitFor([&] { return n2.log.Count("it has restarted") == 1; }));
  EXPECT_TRUE(n2.WaitConnected(1));
}

TEST_F(FramePeersTest, ALateHelloDoesNotOpenAnOldLinkAnew) {
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  const auto hellos = wire.SentBy<node::Hello>("n1");
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  // n2 drops n1 for a moment, so that n1 opens another link.
  n2.On([](FakeMember&, FramePeers& peers) { peers.SetPeers({}); });
  n1.Send(2, Submit(2));
  ASSERT_TRUE(WaitFor([&] { return n1.log.Count("it has closed the link") == 1; }));
  ASSERT_TRUE(n1.WaitConnected(2));
  for (const auto& hello : hellos) wire.Deliver(hello);
  n2.Settle();
  for (const auto& frame : frames) wire.Deliver(frame);
  n1.Send(2, Submit(3));
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 3}));
}

TEST_F(FramePeersTest, WhoIsRefusedSaysWhyAndTriesAgain) {
  n2.On([](FakeMember& member, FramePeers&) { member.refuse_peers = "not today"; });
  n1.Knows(2, "n2", kOtherBoot);
  n2.On([](FakeMember& member, FramePeers&) { member.peer_boot = kFirstBoot; });
  ASSERT_TRUE(WaitFor([&] { return n1.log.Count("not today") == 1; }));
  ASSERT_TRUE(WaitFor(
      [&] { return n2.Get<int>([](FakeMember& m, FramePeers&) { return m.hellos; }) >= 2; }));
  EXPECT_EQ(n1.log.Count("not today"), 1U) << "one line is enough";
  n1.Send(2, Submit(1));
  EXPECT_TRUE(WaitFor([&] {
    return n1.Get<int>([](FakeMember& m, FramePeers&) { return m.unreachable[NodeId(2)]; }) > 0;
  }));
  n2.On([](FakeMember& member, FramePeers&) { member.refuse_peers.clear(); });
  ASSERT_TRUE(n1.WaitConnected(2));
  n1.Send(2, Submit(2));
  EXPECT_TRUE(WaitReceived(n2, 1, {2}));
}

TEST_F(FramePeersTest, ARefusedHelloOfAnotherBootLeavesTheLinkOpen) {
  Connect();
  n2.On([](FakeMember& member, FramePeers&) { member.refuse_peers = "rolled back"; });
  node::Hello late;
  late.cluster = ClusterId(5);
  late.member = NodeId(1);
  late.name = "n1";
  late.boot = {0, 99};
  wire.Deliver({"n1", "n2", EncodeFrame({{late.boot.nonce, 7}, late})});
  ASSERT_TRUE(WaitFor(
      [&] { return n2.Get<int>([](FakeMember& m, FramePeers&) { return m.hellos; }) == 2; }));
  n2.Settle();
  n1.Send(2, Submit(1));
  EXPECT_TRUE(WaitReceived(n2, 1, {1}));
}

TEST_F(FramePeersTest, APeerIsTriedWhereElseItMayBe) {
  n1.On([](FakeMember& member, FramePeers& peers) {
    member.peer_boot = kOtherBoot;
    node::Transport::Peer peer{NodeId(2), "n2", "nobody-there"};
    peer.also = {"n2"};
    peers.SetPeers({peer});
  });
  n2.Knows(1, "n1", kFirstBoot);
  ASSERT_TRUE(n1.WaitConnected(2));
  n1.Send(2, Submit(1));
  EXPECT_TRUE(WaitReceived(n2, 1, {1}));
}

TEST_F(FramePeersTest, APeerThatIsVerifiedAnswersANewHello) {
  Connect();
  const auto hellos = wire.SentBy<node::Hello>("n1").size();
  for (int i = 0; i < 100; ++i) n1.On([](FakeMember&, FramePeers& peers) { peers.Verify("n2"); });
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<node::Hello>("n1").size() > hellos; }));
  ASSERT_TRUE(n1.WaitConnected(2));
  n1.Send(2, Submit(1));
  EXPECT_TRUE(WaitReceived(n2, 1, {1}));
  EXPECT_EQ(n1.log.Count("another boot of it sent a hello"), 1U) << "once a second";
}

TEST_F(FramePeersTest, ALinkOpensOnceBothSaidThatTheyAreFormed) {
  n1.On([](FakeMember& member, FramePeers&) { member.cluster = ClusterId(); });
  n2.On([](FakeMember& member, FramePeers&) { member.peer_boot = kFirstBoot; });
  wire.Hold("n2", true);
  n1.Knows(2, "n2", kOtherBoot);
  ASSERT_TRUE(WaitFor([&] { return !wire.SentBy<node::HelloAnswer>("n2").empty(); }));
  // Formed between its hello and the answer: n2 does not know, and has not opened the link.
  n1.On([](FakeMember& member, FramePeers&) { member.cluster = ClusterId(5); });
  wire.Deliver(wire.SentBy<node::HelloAnswer>("n2").front());
  wire.Hold("n2", false);
  ASSERT_TRUE(n1.WaitConnected(2));
  n1.Send(2, Submit(1));
  EXPECT_TRUE(WaitReceived(n2, 1, {1}));
}

TEST_F(FramePeersTest, AnotherMemberAtTheAddressIsRefused) {
  n1.Knows(9, "n2", kOtherBoot);
  EXPECT_TRUE(WaitFor([&] { return n1.log.Count("another member answers at n2") == 1; }));
}

TEST_F(FramePeersTest, WhatIsLargeGoesInFramesOfItsOwn) {
  n1.End();
  FramePeersOptions options;
  options.max_batch_bytes = 10'000;
  n1.Boot(kFirstBoot, options);
  Connect();
  n1.On([](FakeMember&, FramePeers& peers) {
    for (const std::size_t bytes : {4'000, 4'000, 4'000, 50'000, 10}) {
      peers.Send(NodeId(2), Submit(bytes, bytes));
    }
  });
  EXPECT_TRUE(WaitReceived(n2, 1, {4'000, 4'000, 4'000, 50'000, 10}));
  std::vector<std::size_t> counts;
  for (const auto& sent : wire.SentBy<DeliverFrame>("n1")) {
    counts.push_back(std::get<DeliverFrame>(DecodeFrame(sent.frame)->body).messages.size());
  }
  EXPECT_EQ(counts, (std::vector<std::size_t>{2, 1, 1, 1}));
}

TEST_F(FramePeersTest, NoBytesHurt) {
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  const std::string good = wire.SentBy<DeliverFrame>("n1").at(0).frame;
  const std::string hello = wire.SentBy<node::Hello>("n1").at(0).frame;
  Random chance(7);
  for (const std::string& frame : {good, hello}) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      wire.Deliver({"n1", "n2", frame.substr(0, size)});
    }
    for (int i = 0; i < 2000; ++i) {
      std::string bad = frame;
      for (int flips = 0; flips < 3; ++flips) {
        bad[chance.Below(bad.size())] ^= static_cast<char>(1 << chance.Below(8));
      }
      // Not one that is well-formed and says something else: that is the network's word.
      const auto decoded = DecodeFrame(bad);
      if (!decoded.ok()) wire.Deliver({"n1", "n2", bad});
    }
  }
  n2.Settle();
  EXPECT_GT(n2.log.Count("a frame was dropped"), 0U);
  n1.Send(2, Submit(2));
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 2}));
}

TEST_F(FramePeersTest, WhatComesFasterThanItIsTakenIsDropped) {
  n2.End();
  FramePeersOptions options;
  options.max_inbox_bytes = 10'000;
  options.max_frame_bytes = 8'000;
  n2.Boot(kOtherBoot, options);
  Connect();
  n1.Send(2, Submit(1, 9'000));
  n1.Send(2, Submit(2, 100));
  ASSERT_TRUE(WaitReceived(n2, 1, {2})) << "too large a frame is not taken";
  wire.Hold("n1", true);
  for (std::uint64_t i = 3; i <= 10; ++i) n1.Send(2, Submit(i, 3'000));
  ASSERT_TRUE(WaitFor([&] { return wire.SentBy<DeliverFrame>("n1").size() == 10; }));
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  n2.On([&](FakeMember&, FramePeers&) {
    for (std::size_t i = 2; i < frames.size(); ++i) wire.Deliver(frames[i]);
  });
  EXPECT_TRUE(WaitReceived(n2, 1, {2, 3, 4, 5}));
}

TEST_F(FramePeersTest, StrangersDoNotTakeTheRoomOfMembers) {
  n2.End();
  FramePeersOptions options;
  options.max_known = 4;
  n2.Boot(kOtherBoot, options);
  Connect();
  n1.Send(2, Submit(1));
  ASSERT_TRUE(WaitReceived(n2, 1, {1}));
  for (std::uint64_t i = 0; i < 50; ++i) {
    node::Hello hello;
    hello.member = NodeId(1000 + i);
    hello.name = "stranger";
    hello.boot = {1, 5000 + i};
    wire.Deliver({"x", "n2", EncodeFrame({{hello.boot.nonce, 1}, hello})});
    n2.Settle();
  }
  const auto frames = wire.SentBy<DeliverFrame>("n1");
  wire.Deliver(frames.at(0));
  n1.Send(2, Submit(2));
  EXPECT_TRUE(WaitReceived(n2, 1, {1, 2})) << "n1 is still known, with what it has sent";
}

TEST(SequenceWindow, TakesEachNumberOnceInAnyOrder) {
  SequenceWindow window;
  EXPECT_FALSE(window.TakeFirst(0));
  Random chance(3);
  std::map<std::uint64_t, int> taken;
  std::uint64_t highest = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t base = 1 + static_cast<std::uint64_t>(i) / 4;
    const std::uint64_t number = base + chance.Below(SequenceWindow::kSize / 2);
    highest = std::max(highest, number);
    if (window.TakeFirst(number)) {
      EXPECT_EQ(++taken[number], 1) << number;
    } else {
      EXPECT_EQ(taken[number], 1) << "not taken though it is new: " << number;
    }
  }
  EXPECT_FALSE(window.TakeFirst(highest - SequenceWindow::kSize)) << "too late to know";
  EXPECT_TRUE(window.TakeFirst(highest + 10 * SequenceWindow::kSize));
  EXPECT_TRUE(window.TakeFirst(highest + 9 * SequenceWindow::kSize + 1));
  EXPECT_FALSE(window.TakeFirst(highest + 9 * SequenceWindow::kSize + 1));
  EXPECT_FALSE(window.TakeFirst(highest + 9 * SequenceWindow::kSize));
}

}  // namespace
}  // namespace raftkv::rpc
