// How is a member that came back under another address found?
#include <gtest/gtest.h>

#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

class Whereabouts : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& name : kThree) world.Start(name, kThree);
    ASSERT_TRUE(world.Put("n1", "k", "1"));
    ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
  }
  NodeId IdOf(const std::string& name) { return world.Disk(name).birth.member; }
  std::string AddressAt(const std::string& at, const std::string& of) {
    for (const raft::Member& member : world.Find(at)->member().members()) {
      if (member.name == of) return member.address;
    }
    return {};
  }
  bool AllHave(const std::string& of, const std::string& address) {
    return world.RunUntil([&] {
      for (const std::string& at : kThree) {
        if (world.Find(at) != nullptr && AddressAt(at, of) != address) return false;
      }
      return true;
    });
  }
  std::string Follower() {
    for (const std::string& name : kThree) {
      if (name != world.Leader()->name()) return name;
    }
    return {};
  }
  /// The write needs `needed`: one of the others is away.
  void ExpectNeeded(const std::string& needed) {
    const std::string away = needed == "n1" ? "n2" : "n1";
    world.Cut(away, "n1");
    world.Cut(away, "n2");
    world.Cut(away, "n3");
    EXPECT_TRUE(world.Put(needed, "needed", needed));
    world.Heal();
  }

  NodeWorld world;
};

TEST_F(Whereabouts, AMemberUnderAnotherAddressIsFoundAndEntered) {
  for (const std::string& name : kThree) {
    world.Crash(name);
    world.StartAt("new-" + name, name, kThree);
    EXPECT_TRUE(AllHave(name, "new-" + name)) << name;
    ExpectNeeded(name);
  }
  EXPECT_TRUE(world.Logged("'n3' has moved"));
}

TEST_F(Whereabouts, TheLeaderItselfMayMove) {
  const std::string leader = world.Leader()->name();
  world.Crash(leader);
  world.StartAt("elsewhere", leader, kThree);
  EXPECT_TRUE(AllHave(leader, "elsewhere"));
  ExpectNeeded(leader);
}

TEST_F(Whereabouts, TwoOfThreeAtOnceAreFound) {
  world.Crash("n2");
  world.Crash("n3");
  world.StartAt("b", "n2", kThree);
  world.StartAt("c", "n3", kThree);
  EXPECT_TRUE(AllHave("n2", "b"));
  EXPECT_TRUE(AllHave("n3", "c"));
  world.Crash("n1");
  EXPECT_TRUE(world.Put("n2", "k", "2")) << "the two without the one that knew both";
}

TEST_F(Whereabouts, TwoThatHaveChangedPlacesAreFound) {
  world.Crash("n2");
  world.Crash("n3");
  world.StartAt("n3", "n2", kThree);
  world.StartAt("n2", "n3", kThree);
  EXPECT_TRUE(AllHave("n2", "n3"));
  EXPECT_TRUE(AllHave("n3", "n2"));
  ExpectNeeded("n3");
}

TEST_F(Whereabouts, OneThatWasAwayMeanwhileFindsThoseThatHaveMoved) {
  world.Crash("n1");
  world.Crash("n2");
  world.StartAt("b", "n2", kThree);
  ASSERT_TRUE(AllHave("n2", "b"));
  world.Crash("n3");
  world.StartAt("c", "n3", kThree);
  ASSERT_TRUE(AllHave("n3", "c"));
  // It knows the old addresses only, and is itself elsewhere: nobody can find the other.
  world.StartAt("n1", "n1", kThree);
  EXPECT_TRUE(AllHave("n2", "b"));
  ExpectNeeded("n1");
}

TEST_F(Whereabouts, AHelloRedirectsNobodyWhoIsWhereTheConfigurationHasHim) {
  const std::string victim = Follower();
  node::Member& leader = world.Leader()->member();
  node::Hello hello =
      world.Find(victim)->member().MakeHello(IdOf(world.Leader()->name()), world.Leader()->name());
  const node::Boot known = hello.boot;
  ++hello.boot.counter;
  hello.address = "impostor";
  for (int i = 0; i < 50; ++i) {
    leader.OnHello(hello, [](const node::HelloAnswer& answer) { EXPECT_TRUE(answer.verifying); });
    world.RunFor(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(leader.KnowsBoot(IdOf(victim), known));
  EXPECT_EQ(AddressAt(victim, victim), victim);
  EXPECT_TRUE(world.Put(victim, "k", "2"));
  EXPECT_NE(leader.Whereabouts(IdOf(victim)).find("impostor"), std::string::npos);
}

TEST_F(Whereabouts, AnAddressThatLeadsToAnotherMemberIsNeverEntered) {
  const std::string away = Follower();
  const std::string leader = world.Leader()->name();
  node::Hello hello = world.Find(away)->member().MakeHello(IdOf(leader), leader);
  world.Crash(away);
  hello.boot = {hello.boot.counter + 1, 99};
  for (const std::string& address : kThree) {
    if (address == away || address == leader) continue;
    hello.address = address;
    for (int i = 0; i < 100; ++i) {
      world.Find(leader)->member().OnHello(hello, [](const node::HelloAnswer&) {});
      world.RunFor(std::chrono::milliseconds(50));
    }
  }
  EXPECT_EQ(AddressAt(leader, away), away);
  EXPECT_FALSE(world.Find(leader)->member().KnowsBoot(hello.member, hello.boot));
  world.Start(away, kThree);
  ExpectNeeded(away);
}

TEST_F(Whereabouts, AFloodOfMadeUpAddressesTakesOneTurnAtATime) {
  const std::string away = Follower();
  const std::string leader = world.Leader()->name();
  node::Hello hello = world.Find(away)->member().MakeHello(IdOf(leader), leader);
  world.Crash(away);
  hello.boot = {hello.boot.counter + 1, 99};
  for (int i = 0; i < 1000; ++i) {
    hello.address = "made-up-" + std::to_string(i);
    world.Find(leader)->member().OnHello(hello, [](const node::HelloAnswer&) {});
  }
  EXPECT_NE(world.Find(leader)->member().Whereabouts(hello.member).find("made-up-0,"),
            std::string::npos)
      << "the first one has to be tried before another takes its place";
}

/// A cluster of one: nobody else could find it.
class Alone : public ::testing::Test {
 protected:
  void SetUp() override {
    world.Start("n1", {});
    ASSERT_TRUE(world.Put("n1", "k", "1"));
  }
  std::string AddressAt(const std::string& at, const std::string& of) {
    for (const raft::Member& member : world.Find(at)->member().members()) {
      if (member.name == of) return member.address;
    }
    return {};
  }
  bool Has(const std::string& at, const std::string& address) {
    return world.RunUntil([&] { return AddressAt(at, "n1") == address; });
  }
  void Join(const std::string& name, bool voter) {
    bool added = false;
    world.Find("n1")->member().AddMember(name, name, voter, world.now() + std::chrono::seconds(10),
                                         [&](const Status& status) { added = status.ok(); });
    ASSERT_TRUE(world.RunUntil([&] { return added; }));
    world.Join(name, {"n1", name});
    // Until it knows so itself.
    ASSERT_TRUE(world.RunUntil([&] {
      for (const raft::Member& member : world.Find(name)->member().members()) {
        if (member.name == name) return member.learner != voter;
      }
      return false;
    }));
  }

  NodeWorld world;
};

TEST_F(Alone, AMemberThatDecidesAloneEntersItsNewAddressItself) {
  for (const char* address : {"elsewhere", "n1", "elsewhere"}) {
    world.Crash("n1");
    world.StartAt(address, "n1", {});
    EXPECT_TRUE(Has("n1", address)) << address;
  }
  EXPECT_TRUE(world.Logged("'n1' has moved: recording elsewhere"));
  EXPECT_EQ(world.Get("n1", "k"), "1");
}

TEST_F(Alone, SoDoesOneWhoseLearnersAreAwayAndTheyFindIt) {
  ASSERT_NO_FATAL_FAILURE(Join("n2", /*voter=*/false));
  world.Crash("n2");
  world.Crash("n1");
  world.StartAt("elsewhere", "n1", {});
  EXPECT_TRUE(Has("n1", "elsewhere"));
  world.Start("n2", {});
  EXPECT_TRUE(Has("n2", "elsewhere"));
  EXPECT_TRUE(world.Put("n2", "k", "2"));
}

TEST_F(Alone, OneOfTwoVotersDoesNot) {
  ASSERT_NO_FATAL_FAILURE(Join("n2", /*voter=*/true));
  world.Crash("n2");
  world.Crash("n1");
  world.StartAt("elsewhere", "n1", {});
  world.RunFor(std::chrono::seconds(10));
  EXPECT_EQ(AddressAt("n1", "n1"), "n1");
  world.Start("n2", {});
  EXPECT_TRUE(Has("n2", "elsewhere")) << "the other one has found it";
}

TEST_F(Whereabouts, TheMemberThatNobodyHearsSaysWhy) {
  node::Member& n3 = world.Find("n3")->member();
  node::HelloAnswer answer;
  answer.self = world.Find("n1")->member().MakeHello(IdOf("n3"), "n3");
  answer.refusal = "boot 2 counts once it was reached at nowhere";
  answer.verifying = true;
  for (int i = 0; i < 100; ++i) {
    const Status status = n3.OnHelloAnswer(answer, {IdOf("n1"), "n1", "n1"});
    EXPECT_EQ(status.code(), Code::kUnavailable);
    world.RunFor(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(world.Logged("n3: 'n1' does not hear this member yet: boot 2 counts once"));
  const std::vector<std::string> errors = n3.status().errors;
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_NE(errors[0].find("'n1' does not hear this member yet"), std::string::npos) << errors[0];
  world.RunFor(std::chrono::seconds(3));
  EXPECT_TRUE(n3.status().errors.empty());
}

}  // namespace
}  // namespace raftkv::test
