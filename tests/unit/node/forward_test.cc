// What does the loss of a forwarded request, or of its answer, cost, and is it carried out once?
// On virtual time. A round trip takes 2 ms, a write to the disk 0.3 ms.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/node/forward_answers.h"
#include "lib/node/forwards.h"
#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

template <class T>
bool Is(const node::PeerMessage& message) {
  return std::holds_alternative<T>(message);
}
template <class T>
bool IsRaft(const node::PeerMessage& message) {
  const auto* raft_message = std::get_if<raft::Message>(&message);
  return raft_message != nullptr && std::holds_alternative<T>(raft_message->body);
}

// --- The time that is waited.

TEST(RoundTrip, IsSmoothedAsInRfc6298) {
  node::RoundTrip trip(milliseconds(300));
  EXPECT_EQ(trip.Timeout(0), milliseconds(300)) << "nothing was measured yet";
  trip.Measured(milliseconds(40));
  EXPECT_EQ(trip.Timeout(0), milliseconds(40 + 4 * 20));
  trip.Measured(milliseconds(40));
  EXPECT_EQ(trip.Timeout(0), milliseconds(40 + 4 * 15));
  trip.Measured(milliseconds(80));  // the variation first: 15 + (40 - 15) / 4, then 40 + 40 / 8
  EXPECT_EQ(trip.Timeout(0), milliseconds(45) + 4 * std::chrono::microseconds(21'250));
}

TEST(RoundTrip, BacksOffUntilSomethingIsMeasuredAndIsBounded) {
  node::RoundTrip trip(milliseconds(300));
  trip.Measured(milliseconds(40));
  EXPECT_EQ(trip.Timeout(1), milliseconds(240));
  EXPECT_EQ(trip.Timeout(2), milliseconds(480));
  EXPECT_EQ(trip.Timeout(50), node::RoundTrip::kLongest);
  trip.SentAgain(1);
  EXPECT_EQ(trip.Timeout(0), milliseconds(240)) << "the network may have become slower";
  trip.Measured(milliseconds(40));
  EXPECT_EQ(trip.Timeout(0), milliseconds(100));
  for (int i = 0; i < 100; ++i) trip.Measured(std::chrono::microseconds(50));
  EXPECT_EQ(trip.Timeout(0), node::RoundTrip::kShortest);
}

// --- The member that hands on.

class RecordingTransport final : public node::Transport {
 public:
  void Send(NodeId /*to*/, node::PeerMessage message) override {
    sent.push_back(std::get<node::ForwardSubmit>(message));
  }
  void SetPeers(std::vector<Peer> /*peers*/) override {}
  std::vector<node::ForwardSubmit> sent;
};

class ForwardsTest : public testing::Test {
 protected:
  node::Forwards Make(bool messages_may_be_lost) {
    return {{.first_id = 7,
             .messages_may_be_lost = messages_may_be_lost,
             .first_timeout = milliseconds(300)},
            transport,
            [this](std::size_t bytes) { released += bytes; }};
  }
  void Add(node::Forwards& forwards) {
    forwards.Add(kLeader, Bytes("request"), now, now + seconds(2),
                 [this](node::SubmitOutcome o) { outcomes.push_back(std::move(o)); });
  }
  void Answer(node::Forwards& forwards, std::uint64_t id, Code code, NodeId from = kLeader) {
    forwards.OnReply(from, {.id = id, .outcome = {Status(code, "x"), Bytes("response")}}, now);
  }

  static constexpr NodeId kLeader{2};
  RecordingTransport transport;
  MonoTime now{seconds(1)};
  std::size_t released = 0;
  std::vector<node::SubmitOutcome> outcomes;
};

TEST_F(ForwardsTest, ARequestGoesAgainUnderTheSameIdUntilItIsAnsweredOnce) {
  node::Forwards forwards = Make(true);
  Add(forwards);
  EXPECT_EQ(forwards.NextResend(), now + milliseconds(300));
  forwards.Resend(now + milliseconds(299));
  EXPECT_EQ(transport.sent.size(), 1u);
  now += milliseconds(300);
  forwards.Resend(now);
  ASSERT_EQ(transport.sent.size(), 2u);
  EXPECT_EQ(transport.sent[1].id, transport.sent[0].id);
  EXPECT_EQ(transport.sent[1].request, transport.sent[0].request);
  EXPECT_EQ(forwards.NextResend(), now + milliseconds(600));
  Answer(forwards, 7, Code::kOk, NodeId(3));
  EXPECT_TRUE(outcomes.empty()) << "that is not who was asked";
  Answer(forwards, 7, Code::kOk);
  Answer(forwards, 7, Code::kOk);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].status.ok());
  EXPECT_EQ(released, 7u);
  EXPECT_EQ(forwards.NextResend(), kNever);
}

TEST_F(ForwardsTest, WhereLossIsReportedNothingGoesAgain) {
  node::Forwards forwards = Make(false);
  Add(forwards);
  EXPECT_EQ(forwards.NextResend(), kNever);
  forwards.Resend(now + seconds(10));
  EXPECT_EQ(transport.sent.size(), 1u);
  forwards.FailOf(kLeader, Status(Code::kUnknownOutcome, "broke"));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].status.code(), Code::kUnknownOutcome);
}

// The leader may have carried out the first copy and forgotten it, and then refuse the second.
TEST_F(ForwardsTest, ARefusalOfACopyIsNoProofThatNothingWasCarriedOut) {
  for (const Code code : {Code::kNotLeader, Code::kUnavailable, Code::kNoSpace}) {
    node::Forwards forwards = Make(true);
    Add(forwards);
    Add(forwards);
    Answer(forwards, 7, code);
    EXPECT_EQ(outcomes.back().status.code(), code) << "sent once: it is";
    forwards.Resend(now + milliseconds(300));
    Answer(forwards, 8, code);
    EXPECT_EQ(outcomes.back().status.code(), Code::kUnknownOutcome);
  }
}

TEST_F(ForwardsTest, OnlyAnswersToOneCopyAreMeasured) {
  node::Forwards forwards = Make(true);
  Add(forwards);
  forwards.Resend(now + milliseconds(300));
  now += milliseconds(301);
  Answer(forwards, 7, Code::kOk);
  Add(forwards);
  EXPECT_EQ(forwards.NextResend(), now + milliseconds(600)) << "of which copy was it the answer?";
  now += milliseconds(4);
  Answer(forwards, 8, Code::kOk);
  Add(forwards);
  EXPECT_EQ(forwards.NextResend(), now + milliseconds(12));
}

TEST_F(ForwardsTest, ACallbackMayHandOnTheNext) {
  node::Forwards forwards = Make(true);
  int ended = 0;
  forwards.Add(kLeader, Bytes("a"), now, now + seconds(2), [&](const node::SubmitOutcome&) {
    ++ended;
    Add(forwards);
  });
  forwards.FailAll(Status(Code::kUnknownOutcome, "stopped"));
  EXPECT_EQ(ended, 1);
  EXPECT_TRUE(outcomes.empty());
  EXPECT_FALSE(forwards.empty());
}

// --- The leader.

TEST(ForwardAnswers, ACopyGetsTheAnswerOfTheFirst) {
  node::ForwardAnswers answers;
  const node::ForwardAnswers::Key key{NodeId(2), 7};
  EXPECT_TRUE(answers.Begin(key));
  EXPECT_FALSE(answers.Begin(key));
  EXPECT_EQ(answers.Find(key), nullptr) << "under way";
  EXPECT_TRUE(answers.Begin({NodeId(3), 7})) << "another member's";
  answers.End(key, {Status::Ok(), Bytes("response")});
  EXPECT_FALSE(answers.Begin(key));
  ASSERT_NE(answers.Find(key), nullptr);
  EXPECT_EQ(answers.Find(key)->response, Bytes("response"));
}

TEST(ForwardAnswers, AreBoundedByNumberAndBytes) {
  node::ForwardAnswers answers;
  const auto answer = [&](std::uint64_t id, std::size_t bytes) {
    ASSERT_TRUE(answers.Begin({NodeId(2), id}));
    answers.End({NodeId(2), id}, {Status::Ok(), Bytes(std::string(bytes, 'x'))});
  };
  constexpr std::uint64_t kMany = node::ForwardAnswers::kMaxAnswers + 10;
  for (std::uint64_t id = 0; id < kMany; ++id) answer(id, 10);
  EXPECT_EQ(answers.size(), node::ForwardAnswers::kMaxAnswers);
  EXPECT_EQ(answers.Find({NodeId(2), 9}), nullptr);
  EXPECT_NE(answers.Find({NodeId(2), 10}), nullptr);
  for (std::uint64_t id = kMany; id < kMany + 10; ++id) answer(id, 1 << 20);
  EXPECT_LE(answers.size(), 4u);
}

// --- A cluster.

class LossyWorld : public testing::Test {
 protected:
  void Start(NodeWorld::Copies copies) {
    world.SetCopies([this](const std::string& from, const node::PeerMessage& message) {
      return copies_ ? copies_(from, message) : 1;
    });
    for (const std::string& name : kThree) world.Start(name, kThree);
    ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
    leader = world.Leader()->name();
    follower = leader == "n1" ? "n2" : "n1";
    ASSERT_TRUE(world.Put(follower, "warm", "up"));
    ASSERT_TRUE(world.Get(follower, "warm").has_value());
    copies_ = std::move(copies);
  }
  /// Submits a put at the follower; what came of it, and how long it took.
  Status Put(const std::string& key, Duration& took) {
    const MonoTime began = world.now();
    const kv::RequestHeader header{++sequence, world.Find(follower)->member().replicated_time_ms(),
                                   1, 1};
    std::optional<node::SubmitOutcome> outcome;
    world.Find(follower)->member().Submit(kv::EncodeRequest(header, {kv::PutOp{key, "value"}}),
                                          world.now() + seconds(2),
                                          [&](node::SubmitOutcome o) { outcome = std::move(o); });
    world.RunUntil([&] { return outcome.has_value(); }, seconds(3));
    took = world.now() - began;
    return outcome ? outcome->status : Status(Code::kDeadlineExceeded, "no answer");
  }
  std::size_t Entries() { return world.Disk(leader).log.size(); }

  NodeWorld world;
  NodeWorld::Copies copies_;
  std::string leader;
  std::string follower;
  std::uint64_t sequence = 1000;
};

TEST_F(LossyWorld, ALostRequestCostsARoundTripAndNotSeconds) {
  int lost = 0;
  Start([&](const std::string&, const node::PeerMessage& message) {
    return Is<node::ForwardSubmit>(message) && lost++ == 0 ? 0 : 1;
  });
  const std::size_t before = Entries();
  Duration took{};
  const Status put = Put("k", took);
  EXPECT_TRUE(put.ok()) << put.ToString();
  EXPECT_EQ(lost, 2) << "sent twice";
  EXPECT_LT(took, milliseconds(60));
  EXPECT_EQ(Entries(), before + 1);
}

TEST_F(LossyWorld, ALostAnswerIsGivenAgainAndTheRequestEnteredOnce) {
  int answers = 0;
  Start([&](const std::string&, const node::PeerMessage& message) {
    return Is<node::ForwardSubmitReply>(message) && answers++ == 0 ? 0 : 1;
  });
  const std::size_t before = Entries();
  Duration took{};
  const Status put = Put("k", took);
  EXPECT_TRUE(put.ok()) << put.ToString();
  EXPECT_EQ(answers, 2);
  EXPECT_LT(took, milliseconds(60));
  EXPECT_EQ(Entries(), before + 1);
}

TEST_F(LossyWorld, ADoubledRequestIsEnteredOnce) {
  Start([&](const std::string&, const node::PeerMessage& message) {
    return Is<node::ForwardSubmit>(message) || Is<node::ForwardSubmitReply>(message) ? 3 : 1;
  });
  const std::size_t before = Entries();
  Duration took{};
  EXPECT_TRUE(Put("k", took).ok());
  world.RunFor(seconds(1));
  EXPECT_EQ(Entries(), before + 1);
}

TEST_F(LossyWorld, ARequestThatTakesLongIsEnteredOnceThoughItComesAgain) {
  int requests = 0;
  Start([&](const std::string&, const node::PeerMessage& message) {
    requests += Is<node::ForwardSubmit>(message) ? 1 : 0;
    return 1;
  });
  const std::size_t before = Entries();
  // Nothing is committed for a while: who could acknowledge it does not respond.
  for (const std::string& name : kThree) {
    if (name != leader) world.Find(name)->HangDisk(true);
  }
  std::optional<node::SubmitOutcome> outcome;
  const kv::RequestHeader header{++sequence, world.Find(follower)->member().replicated_time_ms(), 1,
                                 1};
  world.Find(follower)->member().Submit(kv::EncodeRequest(header, {kv::PutOp{"k", "value"}}),
                                        world.now() + seconds(2),
                                        [&](node::SubmitOutcome o) { outcome = std::move(o); });
  world.RunFor(milliseconds(150));
  EXPECT_FALSE(outcome.has_value());
  EXPECT_GT(requests, 2) << "it went again";
  for (const std::string& name : kThree) {
    if (name != leader) world.Find(name)->HangDisk(false);
  }
  ASSERT_TRUE(world.RunUntil([&] { return outcome.has_value(); }, seconds(3)));
  EXPECT_TRUE(outcome->status.ok()) << outcome->status.ToString();
  EXPECT_EQ(Entries(), before + 1);
}

TEST_F(LossyWorld, ALostQuestionOfAReadCostsARoundTripAndNotAnElectionTimeout) {
  int questions = 0;
  int answers = 0;
  Start([&](const std::string& from, const node::PeerMessage& message) {
    if (from == follower && IsRaft<raft::ReadIndex>(message)) return questions++ == 0 ? 0 : 1;
    if (IsRaft<raft::ReadIndexReply>(message)) return answers++ == 0 ? 0 : 1;
    return 1;
  });
  const MonoTime began = world.now();
  EXPECT_EQ(world.Get(follower, "warm"), "up");
  EXPECT_GE(questions, 3);
  EXPECT_LT(world.now() - began, milliseconds(200)) << "two losses in a row";
}

// A tenth of all that belongs to forwarding is lost: 19 % of the requests or their answers.
TEST_F(LossyWorld, ATenthOfLossCostsFarLessThanSecondsEach) {
  Random chance(1);
  Start([&](const std::string&, const node::PeerMessage& message) {
    const bool forwarding =
        Is<node::ForwardSubmit>(message) || Is<node::ForwardSubmitReply>(message);
    return forwarding && chance.Below(10) == 0 ? 0 : 1;
  });
  const std::size_t before = Entries();
  constexpr int kPuts = 200;
  Duration all{};
  Duration longest{};
  for (int i = 0; i < kPuts; ++i) {
    Duration took{};
    const Status put = Put("k" + std::to_string(i), took);
    ASSERT_TRUE(put.ok()) << i << ": " << put.ToString();
    all += took;
    longest = std::max(longest, took);
  }
  EXPECT_LT(all / kPuts, milliseconds(30)) << "some 40 are lost; at 2 s each the mean is 380 ms";
  EXPECT_LT(longest, seconds(1));
  EXPECT_EQ(Entries(), before + kPuts);
}

// The same of all messages, consensus included.
TEST_F(LossyWorld, ATenthOfLossOfEverythingIsBorne) {
  Random chance(2);
  Start(
      [&](const std::string&, const node::PeerMessage&) { return chance.Below(10) == 0 ? 0 : 1; });
  int in_time = 0;
  for (int i = 0; i < 200; ++i) {
    Duration took{};
    if (Put("k" + std::to_string(i), took).ok() && took < seconds(1)) ++in_time;
  }
  EXPECT_GT(in_time, 190);
}

}  // namespace
}  // namespace raftkv::test
