#include <gtest/gtest.h>

#include "lib/node/formation.h"
#include "tests/support/node/node_world.h"

namespace raftkv::test {
namespace {

const std::vector<std::string> kThree = {"n1", "n2", "n3"};

void StartAll(NodeWorld& world) {
  for (const std::string& name : kThree) world.Start(name, kThree);
}

TEST(Formation, ThreeMembersFormOneClusterAndElectALeader) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
  const auto cluster = world.Find("n1")->member().status().cluster_id;
  EXPECT_NE(cluster, 0u);
  for (const std::string& name : kThree) {
    EXPECT_EQ(world.Find(name)->member().status().cluster_id, cluster);
    EXPECT_EQ(world.Disk(name).log.front(), world.Disk("n1").log.front());
  }
}

TEST(Formation, NobodyIsElectedBeforeAllHaveShakenHandsAndItSaysForWhomItWaits) {
  NodeWorld world;
  world.Start("n1", kThree);
  world.Start("n3", kThree);
  world.RunFor(std::chrono::seconds(10));
  EXPECT_EQ(world.Find("n1")->member().core(), nullptr);
  EXPECT_TRUE(world.Logged("n1: waiting for n2 to form the new cluster"));
  EXPECT_TRUE(world.Logged("n3: waiting for n2 to form the new cluster"));
  world.Start("n2", kThree);
  EXPECT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
}

TEST(Formation, AFounderThatCrashesRightAfterFoundingLeavesOneClusterOnly) {
  for (int after_us = 0; after_us < 4000; after_us += 100) {
    NodeWorld world(static_cast<std::uint64_t>(after_us) + 1);
    StartAll(world);
    ASSERT_TRUE(world.RunUntil([&] { return !world.Disk("n1").log.empty(); }));
    world.RunFor(std::chrono::microseconds(after_us));
    world.Crash("n1");
    world.RunFor(std::chrono::seconds(1));
    world.Start("n1", kThree);
    ASSERT_TRUE(world.Put("n2", "k", "v")) << after_us;
    for (const std::string& name : kThree) {
      ASSERT_TRUE(world.RunUntil([&] { return !world.Disk(name).log.empty(); }));
      EXPECT_EQ(world.Disk(name).log.front(), world.Disk("n1").log.front()) << after_us;
    }
  }
}

TEST(Formation, DifferentClusterListsAreRefusedByBoth) {
  NodeWorld world;
  world.Start("n1", kThree);
  world.Start("n2", {"n1", "n2", "n4"});
  world.RunFor(std::chrono::seconds(2));
  EXPECT_TRUE(world.Logged("start all members with the same list"));
  EXPECT_EQ(world.Find("n1")->member().core(), nullptr);
}

TEST(Formation, AMemberWithAnEmptiedFolderNeverVotesAndIsToldTheCommand) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  world.Crash("n3");
  world.Disk("n3") = WorldDisk{};
  WorldMember& wiped = world.Start("n3", kThree);
  ASSERT_TRUE(world.RunUntil([&] { return !wiped.member().failure().ok(); }));
  EXPECT_NE(wiped.member().failure().message().find("raftkv member add n3"), std::string::npos)
      << wiped.member().failure().message();
  EXPECT_TRUE(world.Disk("n3").log.empty());
  EXPECT_TRUE(world.Put("n1", "k", "w"));
}

TEST(Formation, TheListOfMembersIsChecked) {
  EXPECT_TRUE(node::CheckCluster({{"a", "x:1"}, {"b", "x:2"}, {"c", "x:3"}}, "b").ok());
  EXPECT_EQ(node::CheckCluster({{"a", "x:1"}, {"a", "x:2"}, {"c", "x:3"}}, "a").code(),
            Code::kInvalidArgument);
  EXPECT_EQ(node::CheckCluster({{"a", "x:1"}, {"b", "x:1"}, {"c", "x:3"}}, "a").code(),
            Code::kInvalidArgument);
  EXPECT_EQ(node::CheckCluster({{"a", "x:1"}, {"b", "x:2"}, {"c", "x:3"}}, "d").code(),
            Code::kInvalidArgument);
  EXPECT_EQ(node::CheckCluster({{"a", "x:1"}, {"b", "x:2"}}, "a").code(), Code::kInvalidArgument);
}

/// A formed member's verdict on a hello that was changed by `change`.
node::HelloAnswer Judge(const std::function<void(node::Hello&)>& change) {
  NodeWorld world;
  StartAll(world);
  EXPECT_TRUE(world.Put("n1", "k", "v"));
  node::Hello hello = world.Find("n2")->member().MakeHello(world.Disk("n1").birth.member, "n1");
  change(hello);
  node::HelloAnswer answer;
  answer.refusal = "no answer came";
  world.Find("n1")->member().OnHello(hello, [&](const node::HelloAnswer& a) { answer = a; });
  world.RunFor(std::chrono::milliseconds(5));
  return answer;
}

TEST(Handshake, AKnownMemberIsAccepted) {
  EXPECT_EQ(Judge([](node::Hello&) {}).refusal, "");
}

TEST(Handshake, AnUnknownProtocolVersionIsRefused) {
  const auto answer = Judge(
      [](node::Hello& hello) { hello.protocol_min = hello.protocol_max = node::kProtocolMax + 1; });
  EXPECT_NE(answer.refusal.find("upgrade"), std::string::npos) << answer.refusal;
}

TEST(Handshake, AnotherClusterIsRefused) {
  const auto answer = Judge([](node::Hello& hello) { ++hello.cluster.value; });
  EXPECT_NE(answer.refusal.find("belongs to cluster"), std::string::npos) << answer.refusal;
  EXPECT_TRUE(answer.permanent);
}

TEST(Handshake, AnUnknownMemberIdOfNoClusterIsRefused) {
  const auto stranger = [](node::Hello& hello) {
    ++hello.member.value;
    hello.cluster = ClusterId{};
    hello.name = "n9";
  };
  const auto answer = Judge(stranger);
  EXPECT_NE(answer.refusal.find("does not know"), std::string::npos) << answer.refusal;
  EXPECT_NE(answer.refusal.find("raftkv member add n9"), std::string::npos) << answer.refusal;
  EXPECT_TRUE(answer.permanent);
  // Who joins may come before it is added, but not under a name that another one has.
  const auto joins = Judge([&](node::Hello& hello) {
    stranger(hello);
    hello.joins = true;
  });
  EXPECT_NE(joins.refusal, "");
  EXPECT_FALSE(joins.permanent);
  const auto emptied = Judge([&](node::Hello& hello) {
    stranger(hello);
    hello.joins = true;
    hello.name = "n2";
  });
  EXPECT_NE(emptied.refusal.find("raftkv member remove n2"), std::string::npos) << emptied.refusal;
  EXPECT_TRUE(emptied.permanent);
}

TEST(Handshake, AMemberThatWasTakenInWhileThisOneWasBehindIsAskedBack) {
  const auto answer = Judge([](node::Hello& hello) {
    ++hello.member.value;
    hello.name = "n4";
  });
  EXPECT_TRUE(answer.verifying);
  EXPECT_FALSE(answer.permanent);
}

TEST(Handshake, ACallerThatMeansAnotherMemberIsRefused) {
  EXPECT_NE(Judge([](node::Hello& hello) { hello.expected_name = "n9"; }).refusal, "");
  EXPECT_NE(Judge([](node::Hello& hello) { ++hello.expected_member.value; }).refusal, "");
  EXPECT_NE(Judge([](node::Hello& hello) { hello.name = "n1"; }).refusal, "");
}

TEST(Handshake, ARolledBackOrCopiedDiskIsRefused) {
  const auto older = Judge([](node::Hello& hello) { --hello.boot.counter; });
  EXPECT_NE(older.refusal, "");
  const auto twin = Judge([](node::Hello& hello) { ++hello.boot.nonce; });
  EXPECT_NE(twin.refusal.find("rolled back or copied"), std::string::npos) << twin.refusal;
  EXPECT_TRUE(Judge([](node::Hello& hello) { ++hello.boot.counter; }).verifying);
}

node::HelloAnswer Accepts(const node::Hello& self) {
  node::HelloAnswer answer;
  answer.self = self;
  return answer;
}

TEST(Handshake, BootsAreWrittenDownOfMembersOnly) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  const std::size_t before = world.Disk("n1").birth.peer_boots.size();
  node::Member& n1 = world.Find("n1")->member();
  node::Hello hello = world.Find("n2")->member().MakeHello(world.Disk("n1").birth.member, "n1");
  hello.boot.counter = 7;
  int verifying = 0;
  for (int i = 0; i < 2000; ++i) {
    ++hello.member.value;
    hello.name = "invented" + std::to_string(i);
    n1.OnHello(hello, [&](const node::HelloAnswer& answer) { verifying += answer.verifying; });
  }
  world.RunFor(std::chrono::milliseconds(100));
  EXPECT_EQ(verifying, 2000) << "it may have been taken in while this one was behind";
  EXPECT_EQ(world.Disk("n1").birth.peer_boots.size(), before);
  EXPECT_FALSE(n1.KnowsBoot(hello.member, hello.boot)) << "it was not reached";
  const node::Dialled dialled{hello.member, hello.name, "somewhere"};
  EXPECT_TRUE(n1.OnHelloAnswer(Accepts(hello), dialled).ok());
  EXPECT_TRUE(n1.KnowsBoot(hello.member, hello.boot)) << "now it is heard";
  EXPECT_EQ(world.Disk("n1").birth.peer_boots.size(), before);
  --hello.boot.counter;
  std::string refusal;
  n1.OnHello(hello, [&](const node::HelloAnswer& answer) { refusal = answer.refusal; });
  EXPECT_NE(refusal.find("rolled back or copied"), std::string::npos) << refusal;
}

TEST(Handshake, OfTwoTwinsThatAnswerAtTheSameInstantOneIsRefused) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  node::Member& n1 = world.Find("n1")->member();
  node::Hello hello = world.Find("n2")->member().MakeHello(world.Disk("n1").birth.member, "n1");
  ++hello.boot.counter;
  node::Hello twin = hello;
  ++twin.boot.nonce;
  const node::Dialled dialled{hello.member, "n2", "n2"};
  for (const node::Hello& each : {hello, twin}) {
    EXPECT_EQ(n1.OnHelloAnswer(Accepts(each), dialled).code(), Code::kUnavailable);
    EXPECT_FALSE(n1.KnowsBoot(each.member, each.boot)) << "it is not durable yet";
  }
  world.RunFor(std::chrono::milliseconds(5));
  EXPECT_TRUE(n1.OnHelloAnswer(Accepts(hello), dialled).ok());
  EXPECT_EQ(n1.OnHelloAnswer(Accepts(twin), dialled).code(), Code::kPermissionDenied);
  EXPECT_EQ(world.Disk("n1").birth.peer_boots.at(hello.member).boot, hello.boot);
  EXPECT_TRUE(n1.KnowsBoot(hello.member, hello.boot));
  EXPECT_FALSE(n1.KnowsBoot(hello.member, twin.boot));
}

TEST(Handshake, AMemberWhoseDiskWasPutBackNeverCountsAgain) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "1"));
  world.RunFor(std::chrono::seconds(1));
  const WorldDisk old = world.CopyDisk("n3");
  world.Crash("n3");
  world.Start("n3", kThree);
  ASSERT_TRUE(world.Put("n1", "k", "2"));
  world.RunFor(std::chrono::seconds(1));
  world.Crash("n3");
  world.Disk("n3") = old;  // its boot counter is raised at the open to one that was seen already
  WorldMember& back = world.Start("n3", kThree);
  ASSERT_TRUE(world.RunUntil([&] { return !back.member().failure().ok(); }));
  EXPECT_NE(back.member().failure().message().find("rolled back or copied"), std::string::npos);
  EXPECT_EQ(world.Get("n1", "k"), "2");
}

TEST(Member, ANewcomerIsReachedByAClusterOfWhichItKnowsNobodyAnyMore) {
  NodeWorld world;
  world.Start("n1", {});
  ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
  const auto carried_out = [&](const auto& change) {
    return world.RunUntil([&] {
      WorldMember* const leader = world.Leader();
      if (leader == nullptr) return false;
      const auto outcome = std::make_shared<std::optional<Status>>();
      change(leader->member(), world.now() + std::chrono::seconds(1),
             [outcome](const Status& status) { *outcome = status; });
      return world.RunUntil([&] { return outcome->has_value(); }) && (*outcome)->ok();
    });
  };
  const auto add = [](const std::string& name) {
    return [name](node::Member& leader, MonoTime deadline, node::DoneStatus done) {
      leader.AddMember(name, name, true, deadline, std::move(done));
    };
  };
  const auto voters = [&](const std::string& name) {
    const auto members = world.Find(name)->member().members();
    return std::count_if(members.begin(), members.end(),
                         [](const raft::Member& member) { return !member.learner; });
  };
  ASSERT_TRUE(carried_out(add("n2")));
  world.Join("n2", {"n1", "n2"});
  ASSERT_TRUE(world.RunUntil([&] { return voters("n2") == 2; }));
  // n3 knows n1 only, and n1 alone has told the others who n3 is.
  ASSERT_TRUE(carried_out(add("n3")));
  world.Cut("n2", "n3");
  WorldMember& n3 = world.Join("n3", {"n1", "n3"});
  ASSERT_TRUE(world.RunUntil([&] { return world.Find("n2")->member().members().size() == 3; }));
  world.Cut("n1", "n3");
  ASSERT_TRUE(carried_out([](node::Member& leader, MonoTime deadline, node::DoneStatus done) {
    leader.MoveLeader("n2", deadline, std::move(done));
  }));
  ASSERT_TRUE(carried_out([](node::Member& leader, MonoTime deadline, node::DoneStatus done) {
    leader.RemoveMember("n1", deadline, std::move(done));
  }));
  ASSERT_TRUE(world.RunUntil([&] { return world.Find("n2")->member().members().size() == 2; }));
  world.Crash("n1");
  world.Heal();
  EXPECT_TRUE(world.RunUntil([&] { return n3.member().members().size() == 2; }));
}

TEST(Member, EachOneKnowsWhereTheOthersServeEtcdsClients) {
  NodeWorld world;
  StartAll(world);
  const auto url = [&](const std::string& asked, const std::string& of) {
    return world.Find(asked)->member().client_url(world.Disk(of).birth.member);
  };
  for (const std::string& asked : kThree) {
    for (const std::string& of : kThree) {
      EXPECT_TRUE(world.RunUntil([&] { return url(asked, of) == "http://" + of + ":2379"; }))
          << asked << " asked for " << of << " says '" << url(asked, of) << "'";
    }
  }
  world.Crash("n2");
  world.StartAt("n2-moved", "n2", kThree);
  EXPECT_TRUE(world.RunUntil([&] { return url("n1", "n2") == "http://n2-moved:2379"; }));
  EXPECT_EQ(world.Find("n1")->member().client_url(NodeId(12345)), "") << "no member";
}

TEST(Member, WhatAnOlderStartOfAPeerHasSentIsIgnored) {
  NodeWorld world;
  for (const char* name : {"n1", "n2", "n3"}) world.Start(name, {"n1", "n2", "n3"});
  ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
  WorldMember& leader = *world.Leader();
  const std::string other = leader.name() == "n1" ? "n2" : "n1";
  ASSERT_TRUE(world.Put(other, "k", "v"));
  const NodeId from = world.Disk(other).birth.member;
  const NodeId to = world.Disk(leader.name()).birth.member;
  const node::Boot boot = world.Disk(other).birth.boot;
  raft::AppendEntries append;
  append.term = leader.member().core()->term() + 5;
  leader.member().Receive(from, {boot.counter - 1, boot.nonce}, raft::Message{from, to, append});
  leader.member().Receive(from, {boot.counter, boot.nonce + 1}, raft::Message{from, to, append});
  EXPECT_EQ(leader.member().core()->role(), raft::Role::kLeader);
  leader.member().Receive(from, boot, raft::Message{from, to, append});
  EXPECT_EQ(leader.member().core()->role(), raft::Role::kFollower);
}

TEST(Member, WritesAndReadsWorkAtEveryMember) {
  NodeWorld world;
  StartAll(world);
  for (const std::string& name : kThree) {
    ASSERT_TRUE(world.Put(name, "key-" + name, "value-" + name));
    for (const std::string& reader : kThree) {
      EXPECT_EQ(world.Get(reader, "key-" + name), "value-" + name) << reader;
    }
  }
}

TEST(Member, AReadOnTheMinoritySideIsNotAnswered) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "old"));
  const std::string leader = world.Leader()->name();
  for (const std::string& name : kThree) {
    if (name != leader) world.Cut(leader, name);
  }
  const std::string other = leader == "n1" ? "n2" : "n1";
  ASSERT_TRUE(world.Put(other, "k", "new"));
  EXPECT_EQ(world.Get(leader, "k", std::chrono::seconds(3)), std::nullopt);
  world.Heal();
  EXPECT_EQ(world.Get(leader, "k"), "new");
}

TEST(Member, AnAcknowledgedWriteSurvivesTheLeadersCrash) {
  NodeWorld world;
  StartAll(world);
  for (int round = 0; round < 10; ++round) {
    const std::string value = std::to_string(round);
    ASSERT_TRUE(world.Put("n1", "k", value));
    ASSERT_TRUE(world.RunUntil([&] { return world.Leader() != nullptr; }));
    const std::string leader = world.Leader()->name();
    const std::string other = leader == "n1" ? "n2" : "n1";
    world.Crash(leader);
    EXPECT_EQ(world.Get(other, "k"), value);
    world.Start(leader, kThree);
  }
}

TEST(Member, AFailedWriteStopsItForGoodAndNothingIsAcknowledged) {
  NodeWorld world;
  WorldMember& alone = world.Start("n1", {});
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  alone.FailNextWrite({Code::kIOError, "no such luck"});
  const kv::RequestHeader header{99, alone.member().replicated_time_ms(), 1, 1};
  std::optional<node::SubmitOutcome> outcome;
  alone.member().Submit(kv::EncodeRequest(header, {kv::PutOp{"k", "w"}}),
                        world.now() + std::chrono::seconds(1),
                        [&](node::SubmitOutcome o) { outcome = std::move(o); });
  ASSERT_TRUE(world.RunUntil([&] { return outcome.has_value(); }));
  EXPECT_EQ(outcome->status.code(), Code::kUnknownOutcome);
  EXPECT_EQ(alone.member().failure().code(), Code::kIOError);
  EXPECT_EQ(world.Get("n1", "k", std::chrono::seconds(1)), std::nullopt);
}

TEST(Member, ConcurrentWritesShareOneSync) {
  NodeWorld world;
  WorldMember& alone = world.Start("n1", {});
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  const int before = alone.log_writes();
  int done = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const kv::RequestHeader header{1000 + i, alone.member().replicated_time_ms(), 1, 1};
    alone.member().Submit(kv::EncodeRequest(header, {kv::PutOp{std::to_string(i), "x"}}),
                          world.now() + std::chrono::seconds(1),
                          [&](const node::SubmitOutcome& o) { done += o.status.ok(); });
  }
  ASSERT_TRUE(world.RunUntil([&] { return done == 100; }));
  EXPECT_EQ(alone.log_writes() - before, 1);
}

// The answer of a log that was cut while it was read, or whose readers are busy.
TEST(Member, EntriesThatCannotBeReadNowAreReadLater) {
  NodeWorld world;
  StartAll(world);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(world.Put("n1", "k" + std::to_string(i), "v"));
  for (const std::string& name : kThree) world.Crash(name);
  for (const std::string& name : kThree) {
    *world.Disk(name).engine = FakeEngine();  // what was not flushed: applied again from the log
    world.Start(name, kThree).FailReads(3, {Code::kUnavailable, "cut while it was read"});
  }
  EXPECT_EQ(world.Get("n2", "k19"), "v");
  ASSERT_TRUE(world.RunUntil([&] { return world.Find("n3")->reads_to_fail() == 0; }));
  for (const std::string& name : kThree) {
    EXPECT_EQ(world.Find(name)->reads_to_fail(), 0) << name << ": nothing was read";
    EXPECT_TRUE(world.Find(name)->member().failure().ok()) << name;
    EXPECT_EQ(world.Get(name, "k19"), "v") << name;
  }
}

TEST(Member, ALogThatIsDamagedStopsTheMember) {
  NodeWorld world;
  WorldMember& first = world.Start("n1", {});
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  ASSERT_TRUE(first.member().failure().ok());
  world.Crash("n1");
  *world.Disk("n1").engine = FakeEngine();
  WorldMember& again = world.Start("n1", {});
  again.FailReads(1, {Code::kCorruption, "a checksum is wrong"});
  ASSERT_TRUE(world.RunUntil([&] { return !again.member().failure().ok(); }));
  EXPECT_EQ(again.member().failure().code(), Code::kCorruption);
}

TEST(Member, EntriesThatLeftTheMemoryAreReadBackForAFollowerAndForApply) {
  NodeWorld world;
  StartAll(world);
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  world.Crash("n3");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.Put("n1", "k" + std::to_string(i), "v"));
  // A restart of both leaves nothing of the log in memory.
  world.Crash("n1");
  world.Crash("n2");
  for (const std::string& name : kThree) {
    *world.Disk(name).engine = FakeEngine();  // what was not flushed: applied again from the log
    world.Start(name, kThree);
  }
  EXPECT_EQ(world.Get("n3", "k49"), "v");
}

// Found by the simulator (seed 94 of its first day).
TEST(Member, TheReplicatedTimeGoesOnWhileWallClocksAreBehindIt) {
  NodeWorld world;
  WorldMember& only = world.Start("n1", {});
  ASSERT_TRUE(world.Put("n1", "k", "v"));
  const std::uint64_t before = only.member().replicated_time_ms();
  world.SetWallClockBack(std::chrono::hours(1));
  world.RunFor(std::chrono::seconds(10));
  ASSERT_TRUE(world.Put("n1", "k", "w"));
  EXPECT_GE(only.member().replicated_time_ms(), before + 9'900);
  EXPECT_LE(only.member().replicated_time_ms(), before + 11'000);
}

}  // namespace
}  // namespace raftkv::test
