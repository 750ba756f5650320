// Does a snapshot arrive as it was sent, once, and no faster than it may?
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/node/snapshot_receiver.h"
#include "lib/node/snapshot_sender.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using node::SnapshotChunk;
using node::SnapshotChunkReply;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Remembers what it is told, and answers what the test says.
class FakeSnapshots final : public node::Snapshots {
 public:
  struct Received {
    std::uint64_t id = 0;
    std::uint64_t offset = 0;
    std::string data;
  };

  void Make(node::Done<Made> done) override { making.push_back(std::move(done)); }
  void Receive(const raft::SnapshotMeta& /*snapshot*/, std::uint64_t id, std::uint64_t offset,
               Bytes data, bool /*last*/, node::Done<std::uint64_t> done) override {
    received.push_back({id, offset, std::string(data.view())});
    const std::uint64_t end = offset + data.size();
    done(skip_to.value_or(end));
  }
  void Install(const raft::SnapshotMeta& /*snapshot*/, node::LogWrite /*write*/,
               node::Done<std::uint64_t> /*done*/) override {}
  void DropUnfinished() override { ++dropped; }
  void Compact(Index /*through*/) override {}
  Index Beyond(std::uint64_t /*bytes*/) override { return Index(); }

  std::vector<node::Done<Made>> making;
  std::vector<Received> received;
  std::optional<std::uint64_t> skip_to;
  int dropped = 0;
};

class FakeTransport final : public node::Transport {
 public:
  void Send(NodeId to, node::PeerMessage message) override {
    sent.emplace_back(to, std::move(message));
  }
  void SetPeers(std::vector<Peer> /*peers*/) override {}

  /// Messages of type T that were sent since the last call.
  template <class T>
  std::vector<T> Take() {
    std::vector<T> found;
    for (const auto& [to, message] : sent) {
      if (const T* t = std::get_if<T>(&message)) found.push_back(*t);
    }
    sent.clear();
    return found;
  }

  std::vector<std::pair<NodeId, node::PeerMessage>> sent;
};

class ReceiveSnapshot : public testing::Test {
 protected:
  SnapshotChunkReply Chunk(std::uint64_t from, std::uint64_t id, std::uint64_t offset,
                           const std::string& data, bool last = false) {
    receiver.OnChunk(NodeId(from), SnapshotChunk{Term(1), meta, id, offset, Bytes(data), last});
    const auto replies = transport.Take<SnapshotChunkReply>();
    EXPECT_EQ(replies.size(), 1u);
    return replies.empty() ? SnapshotChunkReply() : replies[0];
  }

  const std::shared_ptr<const raft::SnapshotMeta> meta = std::make_shared<raft::SnapshotMeta>(
      raft::SnapshotMeta{{Index(9), Term(1)}, MakeConfiguration(3), Index(1)});
  Solo me{3};
  FakeSnapshots snapshots;
  FakeTransport transport;
  node::SnapshotReceiver receiver{snapshots, transport, me.core(), [] { return MonoTime{}; },
                                  [] {}};
};

// The leader has made a second snapshot of the same index, with other files: a part of the one
// behind a part of the other would be neither.
TEST_F(ReceiveSnapshot, TwoSnapshotsOfOneIndexAreTwo) {
  EXPECT_EQ(Chunk(2, 71, 0, "aaaa").next_offset, 4u);
  const SnapshotChunkReply other = Chunk(2, 72, 0, "bb");
  EXPECT_EQ(other.id, 72u);
  EXPECT_EQ(other.next_offset, 2u);
  ASSERT_EQ(snapshots.received.size(), 2u);
  EXPECT_EQ(snapshots.received[1].id, 72u);
  EXPECT_EQ(snapshots.received[1].offset, 0u);
  EXPECT_EQ(snapshots.received[1].data, "bb");
  // And what is left of the first does not get between.
  EXPECT_EQ(Chunk(2, 72, 2, "cc").next_offset, 4u);
}

TEST_F(ReceiveSnapshot, ANewLeaderGoesOnWithTheSameBytes) {
  EXPECT_EQ(Chunk(2, 71, 0, "aaaa").next_offset, 4u);
  EXPECT_EQ(Chunk(3, 71, 0, "aaaa").next_offset, 4u) << "it is told where to go on";
  EXPECT_EQ(Chunk(3, 71, 4, "bb").next_offset, 6u);
  EXPECT_EQ(snapshots.received.size(), 2u);
}

TEST_F(ReceiveSnapshot, WhatIsHereAlreadyIsLeftOut) {
  snapshots.skip_to = 1000;
  EXPECT_EQ(Chunk(2, 71, 0, "aaaa").next_offset, 1000u);
  EXPECT_EQ(Chunk(2, 71, 4, "late").next_offset, 1000u);
  EXPECT_EQ(snapshots.received.size(), 1u);
}

// A part that was received before a restart, or of a transfer that was broken off, stays for the
// next snapshot; not any longer than that is of use.
TEST_F(ReceiveSnapshot, APartGoesOnceTheLogCameInstead) {
  const Index end = me.core().log().last_index();
  receiver.OnApplied(end);
  EXPECT_EQ(snapshots.dropped, 0) << "that was in the log when it was received";
  receiver.OnApplied(end + 1);
  EXPECT_EQ(snapshots.dropped, 1);
  receiver.OnApplied(end + 2);
  EXPECT_EQ(snapshots.dropped, 1) << "once";
}

TEST_F(ReceiveSnapshot, APartStaysUntilTheLogHasAllThatItIsOf) {
  EXPECT_EQ(Chunk(2, 71, 0, "aaaa").next_offset, 4u);
  receiver.OnApplied(Index(8));
  EXPECT_EQ(snapshots.dropped, 0);
  EXPECT_EQ(Chunk(2, 71, 4, "bbbb").next_offset, 8u) << "it continues";
  receiver.OnApplied(Index(9));
  EXPECT_EQ(snapshots.dropped, 1);
  EXPECT_EQ(Chunk(2, 71, 8, "cccc").next_offset, 0u) << "nothing of it is here any more";
}

// Another member leads meanwhile: the whole snapshot is not installed, and not lost.
TEST_F(ReceiveSnapshot, OneThatTheCoreRefusesStaysForTheNextLeader) {
  EXPECT_EQ(Chunk(2, 71, 0, "aaaa").next_offset, 4u);
  me.Step(3, Append(2, 1, 1, 1));
  ASSERT_EQ(me.core().leader(), NodeId(3));
  receiver.OnChunk(NodeId(2), SnapshotChunk{Term(2), meta, 71, 4, Bytes("bbbb"), /*last=*/true});
  const auto replies = transport.Take<SnapshotChunkReply>();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_FALSE(replies[0].installed);
  EXPECT_EQ(snapshots.dropped, 0);
  receiver.OnApplied(me.core().log().last_index() + 1);
  EXPECT_EQ(snapshots.dropped, 1);
}

class FakeClock final : public node::Clock {
 public:
  explicit FakeClock(SimNode& node) : node_(node) {}
  MonoTime Now() override { return node_.now(); }
  std::uint64_t WallTimeMs() override { return 0; }

 private:
  SimNode& node_;
};

class ByteCounter final : public node::Observer {
 public:
  void Observe(node::Stage, Duration) override {}
  void CountProposal(Code) override {}
  void CountLogSync(std::size_t, std::size_t) override {}
  void CountElection() override {}
  void CountSnapshotSent(std::size_t bytes) override { sent += bytes; }
  void CountSnapshotReceived(std::size_t) override {}

  std::size_t sent = 0;
};

/// As many bytes as the test says, all at once.
class FakeSource final : public node::SnapshotSource {
 public:
  explicit FakeSource(std::uint64_t bytes) : bytes_(bytes) {}
  void Read(std::uint64_t offset, std::size_t max_bytes, node::Done<Part> done) override {
    const std::uint64_t size = std::min<std::uint64_t>(max_bytes, bytes_ - offset);
    done(Part{Bytes(std::string(size, 'x')), offset + size == bytes_});
  }

 private:
  const std::uint64_t bytes_;
};

/// Member 1 leads three and has applied eleven entries; member 3 has answered, and needs a
/// snapshot.
class SendSnapshot : public testing::Test {
 protected:
  void SetUp() override {
    me->disk().applied = Index(10);
    me->Crash();
    me->Restart();
    me->Compact(Index(8));
    me.BecomeLeader();
    me.Step(2, Ack(term(), 11));
    ASSERT_EQ(me.core().applied_index(), Index(11));
    me.Step(3, Refusal(term(), 10, 2, 1));
    ASSERT_EQ(me.core().progress().at(NodeId(3)).state, raft::ProgressState::kSnapshot);
  }

  node::SnapshotSender MakeSender(node::SnapshotSender::Options options) {
    return {options, clock, snapshots, transport, observer, me.core(), [] {}};
  }
  void FinishMaking(std::uint64_t bytes) {
    ASSERT_EQ(snapshots.making.size(), 1u);
    snapshots.making[0](
        node::Snapshots::Made{me.core().applied_index(), 71, std::make_shared<FakeSource>(bytes)});
    snapshots.making.clear();
  }
  SnapshotChunkReply Reply(std::uint64_t next, bool installed = false) {
    return {me.core().term(), meta_last(), 71, next, installed};
  }
  raft::LogBase meta_last() { return {Index(11), me.core().term()}; }
  /// While the others are heard, so that it goes on to lead.
  void Advance(Duration by) {
    for (; by > Duration::zero(); by -= milliseconds(50)) {
      me.Advance(std::min<Duration>(by, milliseconds(50)));
      me.Step(2, Ack(term(), 11));
    }
    ASSERT_EQ(me.core().role(), raft::Role::kLeader);
  }

  [[nodiscard]] std::uint64_t term() { return me.core().term().value; }

  Solo me{3, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 10};
  FakeClock clock{me.node()};
  ByteCounter observer;
  FakeSnapshots snapshots;
  FakeTransport transport;
};

TEST_F(SendSnapshot, TheLogIsHeldFromTheMakingUntilTheReceiverHasCaughtUp) {
  node::SnapshotSender sender = MakeSender({});
  EXPECT_FALSE(sender.KeepAfter().has_value());
  sender.Want(NodeId(3));
  EXPECT_EQ(sender.KeepAfter(), Index(11)) << "what will be in it at least";
  FinishMaking(10);
  EXPECT_EQ(sender.KeepAfter(), Index(11));
  ASSERT_EQ(transport.Take<SnapshotChunk>().size(), 1u);
  // Entries are written while it is under way, and after it.
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(me.Propose("y").ok());
  me->Drain();
  me.Step(2, Ack(term(), 111));
  sender.OnReply(NodeId(3), Reply(10, true));
  sender.Tick();
  EXPECT_EQ(sender.KeepAfter(), Index(11)) << "it has its snapshot and not yet what follows";
  me.Step(3, Ack(term(), 60));
  sender.Tick();
  EXPECT_EQ(sender.KeepAfter(), Index(60));
  me.Step(3, Ack(term(), 105));
  sender.Tick();
  EXPECT_FALSE(sender.KeepAfter().has_value());
}

TEST_F(SendSnapshot, AReceiverThatDoesNotGetOnHoldsNothing) {
  node::SnapshotSender::Options options;
  options.give_up_after = seconds(2);
  node::SnapshotSender sender = MakeSender(options);
  sender.Want(NodeId(3));
  FinishMaking(10);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(me.Propose("y").ok());
  me->Drain();
  sender.OnReply(NodeId(3), Reply(10, true));
  sender.Tick();
  EXPECT_EQ(sender.KeepAfter(), Index(11));
  Advance(seconds(3));
  sender.Tick();
  EXPECT_FALSE(sender.KeepAfter().has_value());
}

TEST_F(SendSnapshot, ItSendsNoFasterThanItMay) {
  node::SnapshotSender::Options options;
  options.bytes_per_second = 1 << 20;
  node::SnapshotSender sender = MakeSender(options);
  sender.Want(NodeId(3));
  FinishMaking(10 << 20);
  std::uint64_t sent = 0;
  for (int tick = 0; tick < 300; ++tick) {  // three seconds
    for (const SnapshotChunk& chunk : transport.Take<SnapshotChunk>()) {
      EXPECT_EQ(chunk.offset, sent);
      sent += chunk.data.size();
      sender.OnReply(NodeId(3), Reply(sent));
    }
    EXPECT_NE(sender.NextDeadline(), kNever);
    Advance(milliseconds(10));
    sender.Tick();
  }
  EXPECT_EQ(observer.sent, sent);
  EXPECT_GT(sent, 5u << 19) << "two and a half MiB";
  EXPECT_LT(sent, 7u << 19);
}

TEST_F(SendSnapshot, AReceiverThatBeginsAgainAndAgainGetsANewOne) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  FinishMaking(10 << 20);
  for (int attempt = 0; attempt < 4; ++attempt) {
    ASSERT_EQ(me.core().progress().at(NodeId(3)).state, raft::ProgressState::kSnapshot) << attempt;
    sender.OnReply(NodeId(3), Reply(1 << 20));
    sender.OnReply(NodeId(3), Reply(0));
  }
  EXPECT_EQ(me.core().progress().at(NodeId(3)).state, raft::ProgressState::kProbe);
}

TEST_F(SendSnapshot, AnAnswerToAnotherSnapshotOfThatIndexIsNone) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  FinishMaking(10 << 20);
  transport.Take<SnapshotChunk>();
  SnapshotChunkReply other = Reply(1 << 20);
  other.id = 70;
  sender.OnReply(NodeId(3), other);
  EXPECT_TRUE(transport.Take<SnapshotChunk>().empty());
  sender.OnReply(NodeId(3), Reply(1 << 20));
  EXPECT_EQ(transport.Take<SnapshotChunk>().size(), 1u);
}

/// A disk that answers when the test says so.
class LateSource final : public node::SnapshotSource {
 public:
  void Read(std::uint64_t /*offset*/, std::size_t /*max_bytes*/, node::Done<Part> done) override {
    pending = std::move(done);
  }
  node::Done<Part> pending;
};

// Sent in the name of its successor it would be taken for the leader of that term.
TEST_F(SendSnapshot, APartThatIsReadAfterTheLeadershipIsOverGoesNowhere) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  const auto source = std::make_shared<LateSource>();
  ASSERT_EQ(snapshots.making.size(), 1u);
  snapshots.making[0](node::Snapshots::Made{me.core().applied_index(), 71, source});
  ASSERT_TRUE(source->pending);
  me->Step(From(2, Append(term() + 1, 11, term(), 11)));
  me->Drain();
  ASSERT_EQ(me.core().role(), raft::Role::kFollower);
  source->pending(node::SnapshotSource::Part{Bytes(std::string("all of it")), true});
  EXPECT_TRUE(transport.Take<SnapshotChunk>().empty());
  EXPECT_FALSE(sender.KeepAfter().has_value());
}

TEST_F(SendSnapshot, APartThatWasAskedForInAnEarlierLeadershipGoesNowhere) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  const auto source = std::make_shared<LateSource>();
  ASSERT_EQ(snapshots.making.size(), 1u);
  snapshots.making[0](node::Snapshots::Made{me.core().applied_index(), 71, source});
  me->Step(From(2, Append(term() + 1, 11, term(), 11)));
  me->Drain();
  me.Advance(seconds(2));
  me.BecomeLeader();
  ASSERT_EQ(me.core().role(), raft::Role::kLeader);
  ASSERT_TRUE(source->pending);
  source->pending(node::SnapshotSource::Part{Bytes(std::string("all of it")), true});
  EXPECT_TRUE(transport.Take<SnapshotChunk>().empty());
  EXPECT_FALSE(sender.KeepAfter().has_value());
}

TEST_F(SendSnapshot, OneThatIsMadeAfterTheLeadershipIsOverGoesNowhere) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  me->Step(From(2, Append(term() + 1, 11, term(), 11)));
  me->Drain();
  FinishMaking(10);
  EXPECT_TRUE(transport.Take<SnapshotChunk>().empty());
  EXPECT_FALSE(sender.KeepAfter().has_value());
}

// Each try costs a flush of the state machine.
TEST_F(SendSnapshot, OneThatCannotBeMadeIsTriedAgainAfterAPauseThatGrows) {
  node::SnapshotSender sender = MakeSender({});
  int tries = 0;
  for (int heartbeat = 0; heartbeat < 200; ++heartbeat) {  // twenty seconds
    sender.Want(NodeId(3));
    if (!snapshots.making.empty()) {
      ++tries;
      snapshots.making[0](Status(Code::kIOError, "no"));
      snapshots.making.clear();
    }
    Advance(milliseconds(100));
    sender.Tick();
  }
  EXPECT_GE(tries, 4);
  EXPECT_LE(tries, 6);
  EXPECT_EQ(sender.KeepAfter(), std::nullopt) << "no log is kept for what cannot be made";
}

// Where the network loses a part, its time is the network's, not a flat second.
TEST_F(SendSnapshot, ALostPartGoesAgainAfterTheMeasuredRoundTrip) {
  for (const bool measured : {true, false}) {
    SCOPED_TRACE(measured);
    node::SnapshotSender::Options options;
    options.measure_round_trip = measured;
    node::SnapshotSender sender = MakeSender(options);
    sender.Want(NodeId(3));
    FinishMaking(10 << 20);
    ASSERT_EQ(transport.Take<SnapshotChunk>().size(), 1u);
    Advance(milliseconds(10));
    sender.OnReply(NodeId(3), Reply(1 << 20));
    ASSERT_EQ(transport.Take<SnapshotChunk>().size(), 1u) << "this one is lost";
    Advance(milliseconds(20));
    sender.Tick();
    EXPECT_TRUE(transport.Take<SnapshotChunk>().empty());
    Advance(milliseconds(10));
    sender.Tick();
    EXPECT_EQ(transport.Take<SnapshotChunk>().size(), measured ? 1u : 0u);
    Advance(milliseconds(970));
    sender.Tick();
    EXPECT_EQ(transport.Take<SnapshotChunk>().size(), 1u);
  }
}

// To make one of a large database takes longer than a transfer may stand still.
TEST_F(SendSnapshot, ItWaitsForASnapshotThatIsBeingMade) {
  node::SnapshotSender sender = MakeSender({});
  sender.Want(NodeId(3));
  for (int i = 0; i < 30; ++i) {
    Advance(seconds(1));
    sender.Tick();
  }
  FinishMaking(10);
  EXPECT_EQ(transport.Take<SnapshotChunk>().size(), 1u);
}

}  // namespace
}  // namespace raftkv::test
