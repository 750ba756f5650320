// Can a cluster of real processes be grown and shrunk while it works, and are mistakes refused?
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void ExpectEqualContent(const std::vector<EndpointStatus>& statuses, std::size_t members) {
  ASSERT_EQ(statuses.size(), members);
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses[0].content_hash) << status.node.name;
  }
}

TEST(Membership, GrowsFromOneToThree) {
  ProcessCluster cluster({.members = 3, .founders = 1, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client->kv().Put("key" + std::to_string(i), std::string(100, 'v')).ok());
  }

  const RunResult add = cluster.Cli({"member", "add", "n2", cluster.address(1)});
  ASSERT_EQ(add.exit_code, 0) << add.err;
  EXPECT_TRUE(cluster.WaitForRole(1, MemberRole::kInvited, 10s));
  const RunResult early = cluster.Cli({"member", "promote", "n2", "--timeout", "2s"});
  EXPECT_EQ(early.exit_code, 4) << early.err;
  EXPECT_TRUE(Contains(early.err, "raftkv serve --join")) << early.err;
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  const RunResult promote = cluster.Cli({"member", "promote", "n2", "--timeout", "20s"});
  ASSERT_EQ(promote.exit_code, 0) << promote.err;
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kVoter, 20s));

  const RunResult add_voter = cluster.Cli({"member", "add", "n3", cluster.address(2), "--voter"});
  ASSERT_EQ(add_voter.exit_code, 0) << add_voter.err;
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_TRUE(cluster.WaitForRole(2, MemberRole::kVoter, 20s)) << "it is promoted by itself";
  ExpectEqualContent(cluster.WaitUntilEqual(20s), 3);

  // They are voters indeed: two of the three go on without the first.
  cluster.Kill(0);
  const RunResult put = cluster.Cli({"put", "after", "1", "--timeout", "20s"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(cluster.Cli({"get", "key", "--prefix", "--count-only"}).out, "100\n");
}

TEST(Membership, GrowsFromThreeToFiveUnderWritesAndThenSurvivesTwo) {
  ProcessCluster cluster({.members = 5, .founders = 3, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  ASSERT_TRUE(workload.WaitForProgress(10, 20s));
  for (const std::size_t newcomer : {std::size_t{3}, std::size_t{4}}) {
    const RunResult add = cluster.Cli({"member", "add", cluster.name(newcomer),
                                       cluster.address(newcomer), "--voter", "--timeout", "20s"});
    ASSERT_EQ(add.exit_code, 0) << add.err;
    ASSERT_TRUE(cluster.Start(newcomer));
    ASSERT_TRUE(cluster.WaitForRole(newcomer, MemberRole::kVoter, 20s));
  }
  // The leader among them, and one that was there before.
  const auto leader = cluster.WaitForLeader(20s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t other = *leader == 0 ? 1 : 0;
  cluster.Kill(*leader);
  cluster.Kill(other);
  EXPECT_TRUE(workload.WaitForProgress(10, 20s));
  ASSERT_TRUE(cluster.Start(*leader));
  ASSERT_TRUE(cluster.Start(other));
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  ExpectEqualContent(cluster.WaitUntilEqual(20s), 5);
  EXPECT_EQ(cluster.Cli({"get", "counter", "--print-value-only"}).out,
            std::to_string(workload.increments()) + "\n");
}

TEST(Membership, ANewcomerIsTakenInWhileOneThatItDoesNotKnowLeads) {
  ProcessCluster cluster({.members = 3, .founders = 1, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1), "--voter"}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kVoter, 20s));
  // The first one, which founded the cluster and is all that a newcomer knows of it, goes.
  const RunResult remove = cluster.Cli({"member", "remove", "n1"});
  ASSERT_EQ(remove.exit_code, 0) << remove.err;
  EXPECT_EQ(cluster.process(0).WaitForExit(20s), 1);
  ASSERT_EQ(cluster.Cli({"member", "add", "n3", cluster.address(2)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_TRUE(cluster.WaitForRole(2, MemberRole::kLearner, 20s));
  ExpectEqualContent(cluster.WaitUntilEqual(20s, {1, 2}), 2);
}

TEST(Membership, ARemovedFollowerSaysSoAndExitsAndItsNameIsFree) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t follower = (*leader + 1) % 3;
  const RunResult remove = cluster.Cli({"member", "remove", cluster.name(follower)});
  ASSERT_EQ(remove.exit_code, 0) << remove.err;
  EXPECT_EQ(cluster.process(follower).WaitForExit(20s), 1);
  EXPECT_TRUE(Contains(cluster.process(follower).Stderr(), "was removed from the cluster"));
  EXPECT_FALSE(Contains(cluster.Cli({"member", "list"}).out, cluster.name(follower) + ","));

  // Nor with its old data.
  static_cast<void>(cluster.Start(follower));
  EXPECT_EQ(cluster.process(follower).WaitForExit(20s), 1);
  EXPECT_TRUE(Contains(cluster.process(follower).Stderr(), "was removed from the cluster"));

  std::filesystem::remove_all(cluster.data_dir(follower));
  ASSERT_EQ(
      cluster.Cli({"member", "add", cluster.name(follower), cluster.address(follower), "--voter"})
          .exit_code,
      0);
  cluster.SetJoins(follower);
  ASSERT_TRUE(cluster.Start(follower));
  ASSERT_TRUE(cluster.WaitForRole(follower, MemberRole::kVoter, 20s));
  ExpectEqualContent(cluster.WaitUntilEqual(20s), 3);
}

TEST(Membership, RemovingTheLeaderLosesNothing) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  ASSERT_TRUE(workload.WaitForProgress(10, 20s));
  const auto leader = cluster.WaitForLeader(20s);
  ASSERT_TRUE(leader.has_value());
  const RunResult remove = cluster.Cli({"member", "remove", cluster.name(*leader)});
  EXPECT_EQ(remove.exit_code, 0) << remove.err;
  EXPECT_EQ(cluster.process(*leader).WaitForExit(20s), 1);
  EXPECT_TRUE(Contains(cluster.process(*leader).Stderr(), "was removed from the cluster"));
  const auto next = cluster.WaitForLeader(20s);
  ASSERT_TRUE(next.has_value());
  EXPECT_NE(*next, *leader);
  EXPECT_TRUE(workload.WaitForProgress(10, 20s));
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  EXPECT_EQ(cluster.Cli({"get", "counter", "--print-value-only"}).out,
            std::to_string(workload.increments()) + "\n");
}

TEST(Membership, ARemovalThatTheLiveOnesWouldNotSurviveIsRefused) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::string live = cluster.name((*leader + 1) % 3);
  const std::string dead = cluster.name((*leader + 2) % 3);
  cluster.Kill((*leader + 2) % 3);
  // Its connections break: from then on the leader does not count it as alive.
  ASSERT_TRUE(WaitFor(10s, [&] {
    const auto status = cluster.Status(*leader);
    return status.ok() && !status->node.errors.empty();
  }));
  const RunResult refused = cluster.Cli({"member", "remove", live, "--timeout", "3s"});
  EXPECT_EQ(refused.exit_code, 4) << refused.err;
  EXPECT_TRUE(Contains(refused.err, "quorum") && Contains(refused.err, dead)) << refused.err;
  EXPECT_EQ(refused.ErrorLines(), 1U) << refused.err;
  const RunResult remove = cluster.Cli({"member", "remove", dead});
  EXPECT_EQ(remove.exit_code, 0) << remove.err;
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

TEST(Membership, ALearnerThatIsNotThereIsNotPromoted) {
  ProcessCluster cluster({.members = 2, .founders = 1, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  cluster.Kill(1);
  RunResult refused;
  ASSERT_TRUE(WaitFor(10s, [&] {
    const auto status = cluster.Status(0);
    return status.ok() && !status->node.errors.empty();
  }));
  // A change that its leader alone could not carry on.
  ASSERT_TRUE(WaitFor(10s, [&] {
    refused = cluster.Cli({"member", "promote", "n2", "--timeout", "1s"});
    return refused.exit_code == 4;
  })) << refused.err;
  EXPECT_TRUE(Contains(refused.err, "not connected")) << refused.err;
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

TEST(Membership, WhoJoinsWithoutAnInvitationWaitsAndSaysHowToGetOne) {
  ProcessCluster cluster({.members = 2, .founders = 1, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_TRUE(cluster.Start(1));
  const std::string add = "raftkv member add n2 " + cluster.address(1);
  EXPECT_TRUE(cluster.process(1).WaitForStderr(add, 20s));
  EXPECT_TRUE(cluster.process(1).Running());
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  EXPECT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  // What a learner is asked it hands on, and it has what it is asked for itself.
  ASSERT_EQ(cluster.Cli({"put", "key", "value", "--endpoints", cluster.address(1)}).exit_code, 0);
  EXPECT_EQ(cluster
                .Cli({"get", "key", "--print-value-only", "--consistency", "bounded",
                      "--max-staleness", "1ms", "--endpoints", cluster.address(1)})
                .out,
            "value\n");
}

TEST(Membership, AnEmptiedDataFolderIsRefusedWithWhatMendsIt) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  ASSERT_EQ(cluster.Terminate(2, 5s), 0);
  std::filesystem::remove_all(cluster.data_dir(2));
  static_cast<void>(cluster.Start(2));
  EXPECT_EQ(cluster.process(2).WaitForExit(20s), 1);
  const std::string said = cluster.process(2).Stderr();
  EXPECT_TRUE(Contains(said, "raftkv member remove n3")) << said;
  EXPECT_TRUE(Contains(said, "raftkv member add n3")) << said;

  // The mending.
  ASSERT_EQ(cluster.Cli({"member", "remove", "n3"}).exit_code, 0);
  ASSERT_EQ(cluster.Cli({"member", "add", "n3", cluster.address(2), "--voter"}).exit_code, 0);
  std::filesystem::remove_all(cluster.data_dir(2));
  cluster.SetJoins(2);
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_TRUE(cluster.WaitForRole(2, MemberRole::kVoter, 20s));
  ExpectEqualContent(cluster.WaitUntilEqual(20s), 3);
}

TEST(Membership, WhatMakesNoSenseIsRefusedInOneLine) {
  ProcessCluster cluster({.members = 1});
  ASSERT_TRUE(cluster.StartAll());
  const auto expect = [&](std::vector<std::string> arguments, int exit_code) {
    const RunResult result = cluster.Cli(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << arguments.back() << ": " << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_EQ(result.out, "");
  };
  expect({"member", "add", "n1", "127.0.0.1:1"}, 3);
  expect({"member", "add", "n2", "nonsense"}, 128);
  expect({"member", "add", "n=2", "127.0.0.1:1"}, 128);
  expect({"member", "add", "n2"}, 128);
  expect({"member", "promote", "n9"}, 4);
  expect({"member", "remove", "n9"}, 4);
  expect({"member", "remove", "n1", "--timeout", "1s"}, 3);
  expect({"member", "vote"}, 128);
  expect({"move-leader", "n1"}, 3);
  expect({"member", "list", "--endpoints", FreeAddress(), "--timeout", "500ms"}, 2);
  const RunResult json = cluster.Cli({"member", "list", "-w", "json"});
  EXPECT_TRUE(Contains(json.out, R"("name":"n1")")) << json.out;
  EXPECT_TRUE(Contains(json.out, R"("role":"voter","leader":true)")) << json.out;
}

}  // namespace
}  // namespace raftkv::test
