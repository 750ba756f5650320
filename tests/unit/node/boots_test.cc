// Which start of another member counts?
#include <gtest/gtest.h>

#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

const std::vector<std::string> kThree = {"n1", "n2", "n3"};
constexpr std::uint64_t kHighest = ~std::uint64_t{0};

node::HelloAnswer Accepts(const node::Hello& self) {
  node::HelloAnswer answer;
  answer.self = self;
  return answer;
}

class Boots : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& name : kThree) world.Start(name, kThree);
    ASSERT_TRUE(world.Put("n1", "k", "1"));
    ASSERT_TRUE(Settled());
  }
  node::Member& member(const std::string& name) { return world.Find(name)->member(); }
  NodeId IdOf(const std::string& name) { return world.Disk(name).birth.member; }
  node::Boot BootOf(const std::string& name) { return world.Disk(name).birth.boot; }
  node::Boot BootAt(const std::string& at, const std::string& of) {
    return world.Disk(at).birth.peer_boots[IdOf(of)].boot;
  }
  /// All that run have written down which boots the others run under.
  bool Settled() {
    return world.RunUntil([&] {
      for (const std::string& at : kThree) {
        for (const std::string& of : kThree) {
          const bool both = world.Find(at) != nullptr && world.Find(of) != nullptr;
          if (at != of && both && BootAt(at, of) != BootOf(of)) return false;
        }
      }
      return world.Leader() != nullptr;
    });
  }
  /// What `to` answers to a hello of `from` that was changed by `change`.
  node::HelloAnswer Say(const std::string& from, const std::string& to,
                        const std::function<void(node::Hello&)>& change) {
    node::Hello hello = member(from).MakeHello(IdOf(to), to);
    change(hello);
    node::HelloAnswer answer;
    answer.refusal = "no answer came";
    member(to).OnHello(hello, [&](const node::HelloAnswer& a) { answer = a; });
    world.RunFor(std::chrono::milliseconds(500));
    return answer;
  }
  Status ResetBoot(const std::string& name) {
    std::optional<Status> outcome;
    world.RunUntil([&] {
      if (world.Leader() == nullptr) return false;
      outcome.reset();
      world.Leader()->member().UpdateMember(name, "", true, world.now() + std::chrono::seconds(5),
                                            [&](const Status& status) { outcome = status; });
      world.RunUntil([&] { return outcome.has_value(); });
      return outcome.has_value() && outcome->ok();
    });
    return outcome.value_or(Status(Code::kUnavailable, "nobody leads"));
  }
  /// With `name` and one other member only a write is acknowledged.
  void ExpectTakesPart(const std::string& name) {
    ASSERT_TRUE(Settled());
    const std::string away = name == "n1" ? "n2" : "n1";
    world.Crash(away);
    EXPECT_TRUE(world.Put(name, "part", name));
    world.Start(away, kThree);
    ASSERT_TRUE(Settled());
  }

  NodeWorld world;
};

// Known bug 71.
TEST_F(Boots, AHelloOfNobodyExpelsNoMember) {
  const node::Boot known = BootOf("n2");
  const auto highest = Say("n2", "n1", [](node::Hello& hello) { hello.boot.counter = kHighest; });
  EXPECT_TRUE(highest.permanent);
  EXPECT_NE(highest.refusal.find("raftkv member update n2 --reset-boot"), std::string::npos)
      << highest.refusal;
  const auto next = Say("n2", "n1", [](node::Hello& hello) { ++hello.boot.counter; });
  EXPECT_TRUE(next.verifying) << next.refusal;
  EXPECT_FALSE(next.permanent);
  EXPECT_EQ(BootAt("n1", "n2"), known);
  EXPECT_TRUE(member("n1").KnowsBoot(IdOf("n2"), known)) << "the real one is heard as before";
  world.Crash("n2");
  world.Start("n2", kThree);
  ExpectTakesPart("n2");
}

TEST_F(Boots, OneThatIsAwayIsNotExpelledEither) {
  node::Hello hello = member("n2").MakeHello(IdOf("n1"), "n1");
  world.Crash("n2");
  for (const std::uint64_t counter : {hello.boot.counter + 1, hello.boot.counter + 9, kHighest}) {
    hello.boot = {counter, 77};
    member("n1").OnHello(
        hello, [](const node::HelloAnswer& answer) { EXPECT_FALSE(answer.refusal.empty()); });
    world.RunFor(std::chrono::seconds(1));
  }
  world.Crash("n1");  // nor after a restart of the one that was told so
  world.Start("n1", kThree);
  world.Start("n2", kThree);
  ExpectTakesPart("n2");
}

TEST_F(Boots, AllThreeThatAreStartedAtOnceFindEachOther) {
  for (int round = 0; round < 5; ++round) {
    for (const std::string& name : kThree) world.Crash(name);
    for (const std::string& name : kThree) world.Start(name, kThree);
    ASSERT_TRUE(Settled()) << round;
    ASSERT_TRUE(world.Put("n1", "k", std::to_string(round)));
  }
}

TEST_F(Boots, ABootThatIsFarAheadIsRefusedEvenWhereItsAddressAnswersUntilItIsReset) {
  world.Crash("n3");
  world.Disk("n3").birth.boot.counter += 1 << 20;
  WorldMember& far = world.Start("n3", kThree);
  ASSERT_TRUE(world.RunUntil([&] { return !far.member().failure().ok(); }));
  EXPECT_NE(far.member().failure().message().find("--reset-boot"), std::string::npos)
      << far.member().failure().message();
  EXPECT_LT(BootAt("n1", "n3").counter, 1U << 20);
  world.Crash("n3");
  ASSERT_TRUE(ResetBoot("n3").ok());
  world.Start("n3", kThree);
  ExpectTakesPart("n3");
}

TEST_F(Boots, ARolledBackFolderThatTheOperatorTrustsIsTakenAndBroughtUpToDate) {
  const WorldDisk old = world.CopyDisk("n3");
  const WorldDisk same = world.CopyDisk("n3");
  world.Crash("n3");
  world.Start("n3", kThree);
  ASSERT_TRUE(world.Put("n1", "k", "2"));
  ASSERT_TRUE(Settled());
  world.RunFor(std::chrono::seconds(1));
  world.Crash("n3");
  world.Disk("n3") = old;
  WorldMember& refused = world.Start("n3", kThree);
  ASSERT_TRUE(world.RunUntil([&] { return !refused.member().failure().ok(); }));
  EXPECT_NE(refused.member().failure().message().find("--reset-boot"), std::string::npos);
  world.Crash("n3");
  ASSERT_TRUE(ResetBoot("n3").ok());
  world.Start("n3", kThree);
  EXPECT_TRUE(world.RunUntil([&] { return world.Disk("n3").log == world.Disk("n1").log; }))
      << "the leader still thinks that it has what it acknowledged";
  ExpectTakesPart("n3");
  // It was trusted once.
  world.RunFor(std::chrono::seconds(1));
  world.Crash("n3");
  world.Disk("n3") = same;
  WorldMember& again = world.Start("n3", kThree);
  EXPECT_TRUE(world.RunUntil([&] { return !again.member().failure().ok(); }));
}

TEST_F(Boots, TheTrustIsUsedUpByAMemberThatTakesPart) {
  const WorldDisk old = world.CopyDisk("n3");
  world.Crash("n3");
  world.Start("n3", kThree);
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(ResetBoot("n3").ok());
  ASSERT_TRUE(world.RunUntil([&] {
    return world.Disk("n1").birth.peer_boots[IdOf("n3")].incarnation == 2 &&
           world.Disk("n2").birth.peer_boots[IdOf("n3")].incarnation == 2;
  }));
  ASSERT_TRUE(world.Put("n1", "k", "2"));
  world.RunFor(std::chrono::seconds(1));
  world.Crash("n3");
  world.Disk("n3") = old;
  WorldMember& back = world.Start("n3", kThree);
  EXPECT_TRUE(world.RunUntil([&] { return !back.member().failure().ok(); }));
}

// Found by the simulator: it knew no members any more, but which boots they had.
TEST_F(Boots, AMemberThatHasLostItsLogHearsTheOthersUnderNewBoots) {
  for (const std::string& name : kThree) world.Crash(name);
  WorldDisk& lost = world.Disk("n3");
  lost.log.clear();
  lost.hard_state.commit = Index();
  lost.engine = std::make_shared<FakeEngine>();
  lost.birth.formation = Bytes();
  lost.suspect = true;
  for (const std::string& name : kThree) world.Start(name, kThree);
  EXPECT_TRUE(world.RunUntil(
      [&] { return !world.Disk("n3").suspect && world.Disk("n3").log == world.Disk("n1").log; }));
  EXPECT_TRUE(Settled());
}

TEST_F(Boots, AStrangerUnderTheNameOfAMemberCutsNobodyOff) {
  for (const std::string& address : {std::string("nowhere"), std::string("n2")}) {
    Say("n2", "n1", [&](node::Hello& hello) {
      hello.member.value += 1;
      hello.boot = {9, 9};
      hello.address = address;
    });
    world.Crash("n3");
    EXPECT_TRUE(world.Put("n1", "k", address));
    world.Start("n3", kThree);
    ASSERT_TRUE(Settled());
  }
}

TEST_F(Boots, AnAnswerOfAnotherMemberOrClusterConfirmsNothing) {
  node::Hello self = member("n2").MakeHello(IdOf("n1"), "n1");
  ++self.boot.counter;
  const node::Dialled dialled{IdOf("n2"), "n2", "n2"};
  const auto answer = [&](const std::function<void(node::Hello&, node::Dialled&)>& change) {
    node::Hello changed = self;
    node::Dialled at = dialled;
    change(changed, at);
    static_cast<void>(member("n1").OnHelloAnswer(Accepts(changed), at));
    world.RunFor(std::chrono::milliseconds(10));
    EXPECT_EQ(BootAt("n1", "n2"), BootOf("n2"));
  };
  answer([](node::Hello& hello, node::Dialled&) { ++hello.cluster.value; });
  answer([](node::Hello& hello, node::Dialled&) { hello.cluster = ClusterId{}; });
  answer([&](node::Hello&, node::Dialled& at) { at.expected = IdOf("n3"); });
  answer([](node::Hello&, node::Dialled& at) { at.name = "n3"; });
}

}  // namespace
}  // namespace raftkv::test
