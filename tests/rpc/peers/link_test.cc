#include "rpc/peers/link.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/node/member.h"
#include "tests/support/node/fake_loop.h"

namespace raftkv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr node::Boot kBoot{1, 202};
constexpr node::Boot kNextBoot{2, 303};

node::PeerMessage Submit(std::uint64_t id, std::size_t bytes = 8) {
  return node::ForwardSubmit{id, Bytes(std::string(bytes, 'r'))};
}

/// The member that the link belongs to.
class TestOwner final : public PeerOwner {
 public:
  node::Hello MakeHello(NodeId expected_member, const std::string& expected_name) override {
    node::Hello hello;
    if (formed) hello.cluster = ClusterId(5);
    hello.member = NodeId(1);
    hello.name = "n1";
    hello.boot = {1, 101};
    hello.expected_member = expected_member;
    hello.expected_name = expected_name;
    return hello;
  }
  Status OnHelloAnswer(const node::HelloAnswer& answer, const node::Dialled&) override {
    if (!answer.refusal.empty()) return {Code::kPermissionDenied, answer.refusal};
    if (answer.self.cluster == ClusterId()) return {Code::kUnavailable, "forming"};
    return Status::Ok();
  }
  void PeerUnreachable(NodeId) override { ++unreachable; }
  void ReceiveAnswers(NodeId, node::Boot, std::vector<node::PeerMessage>) override {}

  bool formed = true;
  int unreachable = 0;
};

/// A carrier that does what the test says, and remembers what it was told and when.
class TestLink final : public Link {
 public:
  TestLink(LinkContext& context, Peer peer) : Link(context, std::move(peer)), context(context) {}

  using Link::Lose;
  using Link::OnAnswer;
  using Link::Opened;
  using Link::ScheduleFlush;

  void RetryNow() {
    hurried = true;
    Link::RetryNow();
  }
  void Verify() {
    hurried = hurried || !ready();
    Link::Verify();
  }

  LinkContext& context;
  bool can_ask = true;
  bool holds_back = false;  ///< sends nothing
  bool open = false;
  bool hurried = false;  ///< since it was opened last
  MonoTime closed_at = MonoTime::min();
  std::vector<MonoTime> opened_at;
  std::vector<std::string> addresses;
  std::vector<MonoTime> hellos;
  std::vector<MonoTime> repeats;
  std::vector<MonoTime> asks;
  int flushes = 0;
  std::size_t sent = 0;

 private:
  void Open() override {
    EXPECT_FALSE(open) << "closed before it is opened again";
    EXPECT_TRUE(hurried || context.loop.Now() >= closed_at + context.options.min_backoff / 2);
    open = true;
    hurried = false;
    opened_at.push_back(context.loop.Now());
    addresses.push_back(address());
  }
  void SayHello(const node::Hello& hello) override {
    EXPECT_TRUE(open);
    EXPECT_EQ(hello.expected_name, "n2");
    hellos.push_back(context.loop.Now());
  }
  void RepeatHello() override {
    EXPECT_TRUE(open);
    repeats.push_back(context.loop.Now());
  }
  bool AskAgain(const node::Hello&) override {
    EXPECT_TRUE(open);
    asks.push_back(context.loop.Now());
    return can_ask;
  }
  bool Close() override {
    EXPECT_TRUE(open);
    open = false;
    closed_at = context.loop.Now();
    return std::exchange(sent, 0) > 0;
  }
  void Flush() override {
    EXPECT_TRUE(ready());
    ++flushes;
    while (!holds_back && !queue().empty()) {
      TakeQueued();
      ++sent;
    }
  }
  void RunLast(OnceFunction<void()> work) override { context.loop.Post(std::move(work)); }
};

class LinkTest : public testing::Test {
 protected:
  TestLink& Make(LinkOptions options = {}, std::vector<std::string> also = {}) {
    options.log_sink = [this](node::LogSeverity, const std::string& line) { ++lines[line]; };
    options_ = options;
    context = std::make_unique<LinkContext>(LinkContext{loop, &owner, options, Random(7)});
    Link::Peer peer{NodeId(2), "n2", "here:1"};
    peer.also = std::move(also);
    link = std::make_unique<TestLink>(*context, peer);
    return *link;
  }
  /// A link that waits for the answer to its hello.
  TestLink& MakeGreeting(const LinkOptions& options = {}, std::vector<std::string> also = {}) {
    TestLink& made = Make(options, std::move(also));
    loop.Advance({});
    made.Opened();
    return made;
  }
  TestLink& MakeReady(const LinkOptions& options = {}) {
    TestLink& made = MakeGreeting(options);
    made.OnAnswer(Accepting());
    EXPECT_TRUE(made.ready());
    return made;
  }
  static node::HelloAnswer Accepting(node::Boot boot = kBoot) {
    node::HelloAnswer answer;
    answer.self.cluster = ClusterId(5);
    answer.self.member = NodeId(2);
    answer.self.name = "n2";
    answer.self.boot = boot;
    return answer;
  }
  static node::HelloAnswer Refusing(const std::string& why) {
    node::HelloAnswer answer = Accepting();
    answer.refusal = why;
    return answer;
  }
  /// Until the link is opened again; how long that took.
  Duration UntilOpened() {
    const std::size_t before = link->opened_at.size();
    const MonoTime from = loop.Now();
    while (link->opened_at.size() == before) {
      loop.Advance(milliseconds(1));
      if (loop.Now() - from > seconds(60)) {
        ADD_FAILURE() << "it does not try any more";
        break;
      }
    }
    return loop.Now() - from;
  }

  test::FakeLoop loop;
  TestOwner owner;
  std::map<std::string, int> lines;
  LinkOptions options_;
  std::unique_ptr<LinkContext> context;
  std::unique_ptr<TestLink> link;
};

TEST_F(LinkTest, ConnectsInALaterTurnAndIsReadyOnceItsHelloIsAccepted) {
  Make();
  EXPECT_TRUE(link->opened_at.empty()) << "the member may be just being built";
  loop.Advance({});
  EXPECT_EQ(link->opened_at.size(), 1U);
  EXPECT_TRUE(link->hellos.empty());
  link->Opened();
  EXPECT_EQ(link->hellos.size(), 1U);
  EXPECT_FALSE(link->ready());
  link->OnAnswer(Accepting());
  EXPECT_TRUE(link->ready());
  loop.Advance(std::chrono::hours(1));
  EXPECT_TRUE(link->ready()) << "no timer of an earlier state ends it";
  EXPECT_EQ(link->opened_at.size(), 1U);
  EXPECT_EQ(lines["connected to n2 at here:1"], 1);
}

TEST_F(LinkTest, PausesAreDoubledAndBounded) {
  Make();
  loop.Advance({});
  Duration expected = options_.min_backoff;
  for (int i = 0; i < 200; ++i) {
    link->Lose("refused");
    const Duration pause = UntilOpened();
    EXPECT_GE(pause, expected / 2) << i;
    EXPECT_LE(pause, expected + milliseconds(1)) << i;
    expected = std::min(2 * expected, options_.max_backoff);
  }
  EXPECT_EQ(expected, options_.max_backoff);
  EXPECT_EQ(lines["cannot connect to n2 at here:1: refused"], 1) << "one cause, one line";
}

TEST_F(LinkTest, APauseIsShortAgainOnceTheHelloWasAccepted) {
  Make();
  loop.Advance({});
  for (int i = 0; i < 20; ++i) {
    link->Lose("refused");
    UntilOpened();
  }
  link->Opened();
  link->OnAnswer(Accepting());
  link->Lose("the other side closed the connection");
  EXPECT_LE(UntilOpened(), options_.min_backoff + milliseconds(1));
}

TEST_F(LinkTest, ARefusedHelloIsFollowedByTheLongestPauseAndTheNextAddress) {
  MakeGreeting({}, {"there:2"});
  for (const char* next : {"there:2", "here:1", "there:2"}) {
    link->OnAnswer(Refusing("you were removed"));
    EXPECT_FALSE(link->open) << "what was refused is closed";
    const Duration pause = UntilOpened();
    EXPECT_GE(pause, options_.max_backoff / 2);
    EXPECT_LE(pause, options_.max_backoff + milliseconds(1));
    EXPECT_EQ(link->addresses.back(), next);
    link->Opened();
  }
  EXPECT_EQ(lines["you were removed"], 1);
  EXPECT_EQ(owner.unreachable, 0) << "nothing was lost";
  link->OnAnswer(Accepting());
  EXPECT_TRUE(link->ready()) << "a refusal is not for ever";
}

TEST_F(LinkTest, AnAnswerThatCannotBeReadIsARefusal) {
  MakeGreeting();
  link->OnAnswer(Status(Code::kCorruption, "the answer has no name"));
  EXPECT_GE(UntilOpened(), options_.max_backoff / 2);
  EXPECT_EQ(lines["the answer has no name"], 1);
}

TEST_F(LinkTest, AnotherMemberAtTheAddressIsRefused) {
  MakeGreeting();
  node::HelloAnswer answer = Accepting();
  answer.self.member = NodeId(9);
  link->OnAnswer(answer);
  EXPECT_FALSE(link->ready());
  EXPECT_EQ(lines["another member answers at here:1"], 1);
  EXPECT_GE(UntilOpened(), options_.max_backoff / 2);
}

TEST_F(LinkTest, AHelloWithoutAnAnswerIsGivenUpAndItsLateAnswerPassedOver) {
  MakeGreeting({}, {"there:2"});
  loop.Advance(options_.hello_timeout - milliseconds(1));
  EXPECT_TRUE(link->open);
  loop.Advance(milliseconds(1));
  EXPECT_FALSE(link->open);
  link->OnAnswer(Accepting());
  EXPECT_FALSE(link->ready()) << "nothing is open that it could be of";
  UntilOpened();
  EXPECT_EQ(link->addresses.back(), "there:2");
  link->OnAnswer(Accepting());
  EXPECT_FALSE(link->ready()) << "this attempt has not said hello yet";
  EXPECT_EQ(lines["cannot connect to n2 at here:1: it does not respond to our hello"], 1);
  EXPECT_TRUE(link->repeats.empty());
}

TEST_F(LinkTest, OverALossyCarrierAHelloIsRepeatedEverMoreSlowlyUntilItIsGivenUp) {
  MakeGreeting({.resend_hello = milliseconds(100)});
  const MonoTime from = loop.Now();
  loop.Advance(options_.hello_timeout);
  std::vector<std::int64_t> at;
  for (const MonoTime time : link->repeats) {
    at.push_back(std::chrono::duration_cast<milliseconds>(time - from).count());
  }
  EXPECT_EQ(at, (std::vector<std::int64_t>{100, 300, 700, 1200, 1700, 2200, 2700}));
  EXPECT_EQ(link->hellos.size(), 1U) << "the same one: any copy of its answer will do";
  EXPECT_FALSE(link->open);
  UntilOpened();
  link->Opened();
  EXPECT_EQ(link->hellos.size(), 2U);
  link->OnAnswer(Accepting());
  const std::size_t repeats = link->repeats.size();
  loop.Advance(seconds(10));
  EXPECT_EQ(link->repeats.size(), repeats) << "answered";
}

TEST_F(LinkTest, SaysHelloAgainOverTheSameWayWhileOneOfTheTwoIsForming) {
  owner.formed = false;
  MakeGreeting();
  node::HelloAnswer forming = Accepting();
  forming.self.cluster = ClusterId();
  for (int i = 0; i < 100; ++i) {
    link->OnAnswer(forming);
    link->OnAnswer(forming);  // a copy
    link->RetryNow();         // they say hello to each other: that must not make it faster
    loop.Advance(node::Member::kFormationPoll);
  }
  EXPECT_EQ(link->hellos.size(), 101U);
  link->OnAnswer(Accepting());
  EXPECT_FALSE(link->ready()) << "we were not formed when we said hello";
  owner.formed = true;
  loop.Advance(node::Member::kFormationPoll);
  link->OnAnswer(Accepting());
  EXPECT_TRUE(link->ready());
  EXPECT_EQ(link->opened_at.size(), 1U);
}

TEST_F(LinkTest, WhatWaitedOrWasUnderWayWhenItIsLostIsReportedOnce) {
  MakeReady();
  link->Lose("gone");
  loop.RunPosted();
  EXPECT_EQ(owner.unreachable, 0) << "nothing was under way";
  UntilOpened();
  link->Opened();
  link->OnAnswer(Accepting());
  link->Send(Submit(1));
  loop.RunPosted();
  EXPECT_EQ(link->sent, 1U);
  link->Send(Submit(2));
  link->Lose("gone");
  EXPECT_EQ(owner.unreachable, 0) << "not from inside the call";
  link->Send(Submit(3));
  loop.RunPosted();
  EXPECT_EQ(owner.unreachable, 1);
  EXPECT_EQ(context->dropped_messages, 2U) << "the second and the third";
  EXPECT_EQ(link->flushes, 1) << "nothing waits any more";
}

TEST_F(LinkTest, ALostOneIsLookedForWhereItWas) {
  MakeGreeting({}, {"there:2"});
  link->OnAnswer(Accepting());
  link->Lose("gone");
  UntilOpened();
  EXPECT_EQ(link->addresses.back(), "here:1");
  link->Lose("refused");
  UntilOpened();
  EXPECT_EQ(link->addresses.back(), "there:2") << "it does not answer there any more";
}

TEST_F(LinkTest, WhatWaitsIsBoundedInMessagesAndBytes) {
  MakeReady({.max_queued_messages = 10, .max_queued_bytes = 100'000});
  link->holds_back = true;
  for (std::uint64_t i = 0; i < 25; ++i) link->Send(Submit(i));
  EXPECT_EQ(context->dropped_messages, 15U);
  loop.RunPosted();
  EXPECT_EQ(owner.unreachable, 1) << "one report a turn";
  link->holds_back = false;
  link->ScheduleFlush();
  loop.RunPosted();
  EXPECT_EQ(link->sent, 10U);
  link->holds_back = true;
  for (std::uint64_t i = 0; i < 5; ++i) link->Send(Submit(i, 30'000));
  EXPECT_EQ(context->dropped_messages, 17U);
}

TEST_F(LinkTest, APeerThatSaysHelloIsTriedAtOnceButNotAsOftenAsItSpeaks) {
  Make();
  loop.Advance({});
  for (int i = 0; i < 20; ++i) {
    link->Lose("refused");
    UntilOpened();
  }
  link->Lose("refused");
  const std::size_t before = link->opened_at.size();
  link->RetryNow();
  loop.Advance({});
  EXPECT_EQ(link->opened_at.size(), before + 1);
  link->Lose("refused");
  const MonoTime from = loop.Now();
  for (int i = 0; i < 1000; ++i) {
    link->RetryNow();
    loop.Advance(milliseconds(1));
    if (link->open) link->Lose("refused");
  }
  const auto attempts = static_cast<std::int64_t>(link->opened_at.size() - before);
  // Each of them begins with the shortest pause.
  EXPECT_LE(attempts, 5 * ((loop.Now() - from) / node::Member::kFormationPoll + 2));
}

TEST_F(LinkTest, ARetryTakesThePlaceOfTheAttemptThatWasDueLater) {
  MakeGreeting();
  link->OnAnswer(Refusing("not today"));
  link->RetryNow();
  loop.Advance({});
  EXPECT_EQ(link->opened_at.size(), 2U);
  loop.Advance(options_.max_backoff);
  EXPECT_EQ(link->opened_at.size(), 2U) << "it is being opened, the old pause does nothing";
  link->Opened();
  EXPECT_EQ(link->hellos.size(), 2U);
}

TEST_F(LinkTest, ARetryRepeatsAHelloThatMayBeLost) {
  MakeGreeting({.resend_hello = milliseconds(100)});
  loop.Advance(milliseconds(20));
  for (int i = 0; i < 100; ++i) link->RetryNow();
  EXPECT_EQ(link->repeats.size(), 1U);
  link->OnAnswer(Accepting());
  link->RetryNow();
  loop.Advance(seconds(1));
  EXPECT_EQ(link->repeats.size(), 1U);
  EXPECT_TRUE(link->ready());
}

TEST_F(LinkTest, WhoIsStillThereKeepsItsLink) {
  MakeReady();
  for (int i = 0; i < 100; ++i) link->Verify();
  EXPECT_EQ(link->asks.size(), 1U);
  EXPECT_TRUE(link->ready());
  link->Send(Submit(1));
  loop.RunPosted();
  EXPECT_EQ(link->sent, 1U) << "it is used meanwhile";
  link->OnAnswer(Accepting());
  for (int i = 0; i < 100; ++i) link->Verify();
  EXPECT_EQ(link->asks.size(), 1U) << "once a second";
  loop.Advance(seconds(1));
  link->Verify();
  EXPECT_EQ(link->asks.size(), 2U);
  link->OnAnswer(Accepting());
  loop.Advance(seconds(100));
  EXPECT_TRUE(link->ready()) << "no deadline of a question that was answered";
  EXPECT_EQ(link->opened_at.size(), 1U);
}

TEST_F(LinkTest, WhereAnotherStartAnswersItIsLost) {
  std::vector<Result<node::HelloAnswer>> answers = {Accepting(kNextBoot), Refusing("removed"),
                                                    Status(Code::kCorruption, "no name")};
  answers.push_back(Accepting());
  answers.back()->self.member = NodeId(9);
  for (const auto& answer : answers) {
    MakeReady();
    link->Verify();
    link->OnAnswer(answer);
    EXPECT_FALSE(link->ready());
    EXPECT_FALSE(link->open);
  }
}

TEST_F(LinkTest, WhoDoesNotSayThatItIsStillThereIsLost) {
  MakeReady();
  link->Verify();
  loop.Advance(options_.hello_timeout);
  EXPECT_FALSE(link->ready());
  EXPECT_LE(UntilOpened(), options_.min_backoff + milliseconds(1));
}

TEST_F(LinkTest, WhereNothingCanBeAskedItIsLostOnceASecondAtMost) {
  MakeReady();
  link->can_ask = false;
  for (int i = 0; i < 3'000; ++i) {
    link->Verify();
    loop.Advance(milliseconds(1));
    if (!link->open) continue;
    if (link->hellos.size() < link->opened_at.size()) link->Opened();
    if (!link->ready()) link->OnAnswer(Accepting());
  }
  EXPECT_LE(link->asks.size(), 4U);
  EXPECT_GE(link->asks.size(), 3U);
}

TEST_F(LinkTest, WhoIsKnownByNameOnlyIsKnownByItsIdOnceItAnswered) {
  Make();
  link = std::make_unique<TestLink>(*context, Link::Peer{kNobody, "n2", "here:1"});
  loop.Advance({});
  link->Send(Submit(1));
  loop.RunPosted();
  EXPECT_EQ(owner.unreachable, 0) << "nobody is known that it could be reported of";
  link->Opened();
  link->OnAnswer(Accepting());
  EXPECT_EQ(link->peer().id, NodeId(2));
}

TEST_F(LinkTest, NothingHappensAfterTheEnd) {
  for (int state = 0; state < 5; ++state) {
    MakeGreeting({.resend_hello = milliseconds(100)});
    if (state == 1) link->OnAnswer(Refusing("removed"));
    if (state >= 2) link->OnAnswer(Accepting());
    if (state == 3) link->Verify();
    if (state == 4) link->Send(Submit(1));
    link->Send(Submit(2));
    link.reset();  // what is still called would be found by the sanitizer
    const int unreachable = owner.unreachable;
    loop.Advance(seconds(20));
    EXPECT_EQ(owner.unreachable, unreachable);
  }
}

/// Whatever happens, in whatever order: what is opened is closed before it is opened again, and not
/// without a pause unless the peer is known to be there (TestLink looks at both), and once the peer
/// is well the link is ready soon.
TEST_F(LinkTest, WhateverHappensItComesBackAndNeverHammers) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random chance(seed);
    const bool lossy = chance.Below(2) == 0;
    Make({.resend_hello = lossy ? milliseconds(100) : Duration()}, {"there:2"});
    link->can_ask = !lossy;
    std::size_t greeted = 0;  // attempts
    const auto opened = [&] {
      if (link->open && greeted < link->opened_at.size()) {
        greeted = link->opened_at.size();
        link->Opened();
      }
    };
    for (int step = 0; step < 500; ++step) {
      switch (chance.Below(9)) {
        case 0: link->Lose("gone"); break;
        case 1: link->RetryNow(); break;
        case 2: link->Verify(); break;
        case 3: link->Send(Submit(1)); break;
        case 4: link->OnAnswer(Accepting(chance.Below(4) == 0 ? kNextBoot : kBoot)); break;
        case 5: link->OnAnswer(Refusing("no")); break;
        case 6: opened(); break;
        case 7: owner.formed = chance.Below(2) == 0; break;
        default: loop.Advance(milliseconds(chance.Below(200))); break;
      }
    }
    owner.formed = true;
    link->can_ask = true;
    const MonoTime well = loop.Now();
    const Duration bound = options_.hello_timeout + 2 * options_.max_backoff;
    while (!link->ready() && loop.Now() - well < bound) {
      opened();
      link->OnAnswer(Accepting());
      loop.Advance(milliseconds(1));
    }
    ASSERT_TRUE(link->ready()) << seed;
    link.reset();
    loop.Advance(seconds(10));
  }
}

}  // namespace
}  // namespace raftkv::rpc
