// A member that comes back under another address takes part again, and the cluster learns of it.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// The command line of the member, with `address` to listen on and without the cluster list, or
/// with the old one.
std::vector<std::string> MovedTo(const ProcessCluster& cluster, std::size_t member,
                                 const std::string& address, bool with_list) {
  std::vector<std::string> command = cluster.Command(member);
  for (std::size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] == "--listen") command[i + 1] = address;
  }
  if (with_list) return command;
  for (std::size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] != "--cluster") continue;
    command.erase(command.begin() + static_cast<std::ptrdiff_t>(i),
                  command.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    break;
  }
  return command;
}

bool Shows(const ProcessCluster& cluster, const std::string& name, const std::string& address) {
  return WaitFor(60s, [&] {
    return cluster.Cli({"member", "list"}).out.find(name + ", " + address) != std::string::npos;
  });
}

class Moved : public ::testing::TestWithParam<bool> {};

TEST_P(Moved, AMemberTakesPartAgainAndTheListShowsItsNewAddress) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "before", "1"}).exit_code, 0);
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const std::string address = FreeAddress();
  Process moved({.command = MovedTo(cluster, 2, address, GetParam()),
                 .environment = {},
                 .stdin_content = {},
                 .stdout_path = cluster.folder() / "moved.out",
                 .stderr_path = cluster.folder() / "moved.err"});
  EXPECT_TRUE(Shows(cluster, "n3", address)) << moved.Stderr();
  // It is needed now, so it must take part.
  cluster.Kill(0);
  EXPECT_EQ(cluster
                .Cli({"put", "after", "2", "--timeout", "60s", "--endpoints",
                      cluster.address(1) + "," + address})
                .exit_code,
            0)
      << moved.Stderr();
  // And the one that was away meanwhile finds it where the configuration has it now.
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_EQ(cluster.Cli({"get", "after", "--print-value-only", "--timeout", "60s"}).out, "2\n");
}

INSTANTIATE_TEST_SUITE_P(WithTheOldListAndWithout, Moved, ::testing::Bool());

TEST(MovedMembers, TwoOfThreeAtOnceFindEachOther) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "before", "1"}).exit_code, 0);
  for (const std::size_t member : {1, 2}) ASSERT_EQ(cluster.Terminate(member, 20s), 0);
  const std::string second = FreeAddress();
  const std::string third = FreeAddress();
  Process n2({.command = MovedTo(cluster, 1, second, false),
              .environment = {},
              .stdin_content = {},
              .stdout_path = cluster.folder() / "n2.out",
              .stderr_path = cluster.folder() / "n2.err"});
  Process n3({.command = MovedTo(cluster, 2, third, false),
              .environment = {},
              .stdin_content = {},
              .stdout_path = cluster.folder() / "n3.out",
              .stderr_path = cluster.folder() / "n3.err"});
  EXPECT_TRUE(Shows(cluster, "n2", second)) << n2.Stderr();
  EXPECT_TRUE(Shows(cluster, "n3", third)) << n3.Stderr();
  // The two without the third, which alone knew both.
  cluster.Kill(0);
  EXPECT_EQ(
      cluster.Cli({"put", "after", "2", "--timeout", "60s", "--endpoints", second + "," + third})
          .exit_code,
      0)
      << n2.Stderr() << n3.Stderr();
}

}  // namespace
}  // namespace raftkv::test
