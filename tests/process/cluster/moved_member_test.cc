// A member that comes back under another address takes part again, and the cluster learns of it.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

enum class List { kNone, kOld, kNew };

/// The command line of the member, with `address` to listen on.
std::vector<std::string> MovedTo(const ProcessCluster& cluster, std::size_t member,
                                 const std::string& address, List list) {
  std::vector<std::string> command = cluster.Command(member);
  for (std::size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] == "--listen") command[i + 1] = address;
    if (command[i] != "--cluster") continue;
    const std::size_t at = command[i + 1].find(cluster.address(member));
    if (list == List::kNew) command[i + 1].replace(at, cluster.address(member).size(), address);
    if (list != List::kNone) continue;
    const auto begin = command.begin() + static_cast<std::ptrdiff_t>(i);
    command.erase(begin, begin + 2);
  }
  return command;
}

std::unique_ptr<Process> StartAt(const ProcessCluster& cluster, std::size_t member,
                                 const std::string& address, List list,
                                 const std::vector<std::string>& more = {}) {
  ProcessOptions options;
  options.command = MovedTo(cluster, member, address, list);
  options.command.insert(options.command.end(), more.begin(), more.end());
  options.stdout_path = cluster.folder() / (cluster.name(member) + "-moved.out");
  options.stderr_path = cluster.folder() / (cluster.name(member) + "-moved.err");
  return std::make_unique<Process>(std::move(options));
}

bool Shows(const ProcessCluster& cluster, const std::string& name, const std::string& address) {
  return WaitFor(60s, [&] {
    return cluster.Cli({"member", "list"}).out.find(name + ", " + address) != std::string::npos;
  });
}

int Put(const ProcessCluster& cluster, const std::string& key, const std::string& endpoints) {
  return cluster
      .Cli({"put", key, "value", "--timeout", "60s", "--endpoints", endpoints},
           {.environment = {}, .stdin_content = {}, .timeout = 90s})
      .exit_code;
}

class Moved : public ::testing::TestWithParam<List> {};

TEST_P(Moved, AMemberTakesPartAgainAndTheListShowsItsNewAddress) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(Put(cluster, "before", cluster.endpoints()), 0);
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const std::string address = FreeAddress();
  const auto moved = StartAt(cluster, 2, address, GetParam());
  EXPECT_TRUE(Shows(cluster, "n3", address)) << moved->Stderr();
  // It is needed now, so it must take part.
  cluster.Kill(0);
  EXPECT_EQ(Put(cluster, "after", cluster.address(1) + "," + address), 0) << moved->Stderr();
  // And the one that was away meanwhile finds it where the configuration has it now.
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_EQ(cluster.Cli({"get", "after", "--print-value-only", "--timeout", "60s"}).out, "value\n");
}

INSTANTIATE_TEST_SUITE_P(WithoutAListWithTheOldOneAndWithANewOne, Moved,
                         ::testing::Values(List::kNone, List::kOld, List::kNew));

TEST(MovedMembers, OneAfterTheOtherAndTheLeaderToo) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  std::vector<std::unique_ptr<Process>> moved(3);
  std::string endpoints;
  for (std::size_t member = 0; member < 3; ++member) {
    // Whoever leads then: it hands over, and comes back elsewhere.
    ASSERT_EQ(cluster.Terminate(member, 20s), 0);
    const std::string address = FreeAddress();
    endpoints += (endpoints.empty() ? "" : ",") + address;
    moved[member] = StartAt(cluster, member, address, List::kNone);
    EXPECT_TRUE(WaitFor(60s, [&] {
      const std::string all = cluster.endpoints() + "," + endpoints;
      return cluster.Cli({"member", "list", "--endpoints", all})
                 .out.find(cluster.name(member) + ", " + address) != std::string::npos;
    })) << moved[member]->Stderr();
  }
  EXPECT_EQ(Put(cluster, "after", endpoints), 0);
}

TEST(MovedMembers, TwoOfThreeAtOnceFindEachOther) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(Put(cluster, "before", cluster.endpoints()), 0);
  for (const std::size_t member : {1, 2}) ASSERT_EQ(cluster.Terminate(member, 20s), 0);
  const std::string second = FreeAddress();
  const std::string third = FreeAddress();
  const auto n2 = StartAt(cluster, 1, second, List::kNone);
  const auto n3 = StartAt(cluster, 2, third, List::kNone);
  EXPECT_TRUE(Shows(cluster, "n2", second)) << n2->Stderr();
  EXPECT_TRUE(Shows(cluster, "n3", third)) << n3->Stderr();
  // The two without the one that alone knew both.
  cluster.Kill(0);
  EXPECT_EQ(Put(cluster, "after", second + "," + third), 0) << n2->Stderr() << n3->Stderr();
}

// Nobody is there to find it: it enters its address itself.
TEST(MovedMembers, OneThatIsAloneIsListedWhereItIs) {
  ProcessCluster cluster({.members = 1});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(Put(cluster, "before", cluster.address(0)), 0);
  ASSERT_EQ(cluster.Terminate(0, 20s), 0);
  for (int move = 0; move < 2; ++move) {
    const std::string address = FreeAddress();
    const auto moved = StartAt(cluster, 0, address, List::kNone);
    EXPECT_TRUE(WaitFor(60s, [&] {
      return cluster.Cli({"member", "list", "--endpoints", address}).out.find("n1, " + address) !=
             std::string::npos;
    })) << moved->Stderr();
    EXPECT_EQ(cluster.Cli({"get", "before", "--print-value-only", "--endpoints", address}).out,
              "value\n");
    moved->Signal(SIGTERM);
    ASSERT_EQ(moved->WaitForExit(20s), 0);
  }
}

TEST(MovedMembers, BothSidesSayWhatGoesOnWhileItCannotBeReached) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const std::string address = FreeAddress();
  const std::string wrong = FreeAddress();
  const auto lost = StartAt(cluster, 2, address, List::kNone, {"--advertise", wrong});
  const std::string place = "n3' announces the address " + wrong;
  EXPECT_TRUE(cluster.process(0).WaitForStderr(place, 60s)) << cluster.process(0).Stderr();
  EXPECT_TRUE(lost->WaitForStderr("'n1' does not hear this member yet", 60s)) << lost->Stderr();
  const auto says = [&](const std::string& endpoint, const std::string& text) {
    return WaitFor(30s, [&] {
      return cluster.Cli({"endpoint", "status", "-w", "json", "--endpoints", endpoint})
                 .out.find(text) != std::string::npos;
    });
  };
  EXPECT_TRUE(says(cluster.address(0), "nor at " + wrong + ", the address it announces"));
  EXPECT_TRUE(says(address, "does not hear this member yet"));
  EXPECT_TRUE(says(address, "counts once"));
}

TEST(MovedMembers, AnOperatorMayEnterAnAddressAsWell) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const std::string address = FreeAddress();
  EXPECT_EQ(cluster.Cli({"member", "update", "n3", "0.0.0.0:1"}).exit_code, 128);
  EXPECT_EQ(cluster.Cli({"member", "update", "n3", cluster.address(0)}).exit_code, 3);
  EXPECT_EQ(cluster.Cli({"member", "update", "n9", address}).exit_code, 4);
  EXPECT_EQ(cluster.Cli({"member", "update", "n3"}).exit_code, 128);
  const RunResult updated = cluster.Cli({"member", "update", "n3", address, "--timeout", "30s"});
  EXPECT_EQ(updated.exit_code, 0) << updated.err;
  EXPECT_TRUE(Shows(cluster, "n3", address));
  const auto n3 = StartAt(cluster, 2, address, List::kNone);
  cluster.Kill(0);
  EXPECT_EQ(Put(cluster, "after", cluster.address(1) + "," + address), 0) << n3->Stderr();
}

}  // namespace
}  // namespace raftkv::test
