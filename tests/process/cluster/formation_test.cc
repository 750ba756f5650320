// How does a new cluster come about, and who cannot get into one that exists?
#include <chrono>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(Formation, AMemberSaysForWhomItWaitsAndNobodyIsElectedUntilAllHaveMet) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.Start(2));
  EXPECT_TRUE(cluster.process(2).WaitForStderr("waiting for n1, n2 to form", 10s));
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_TRUE(cluster.process(0).WaitForStderr("waiting for n2 to form", 10s));
  // Two of three are a majority, but not of a cluster that does not exist yet.
  WaitFor(1500ms, [] { return false; });
  for (const std::size_t member : {0, 2}) {
    const auto status = cluster.Status(member);
    ASSERT_TRUE(status.ok()) << status.status().ToString();
    EXPECT_EQ(status->node.role, Role::kForming);
    EXPECT_EQ(status->node.cluster_id, 0U);
  }
  const RunResult put = cluster.Cli({"put", "key", "value", "--timeout", "1s"});
  EXPECT_EQ(put.exit_code, 2) << put.err;

  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.WaitForLeader(10s).has_value());
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

TEST(Formation, SurvivesTheDeathOfWaitingMembers) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.Start(0));
  ASSERT_TRUE(cluster.Start(1));
  cluster.Kill(0);
  ASSERT_TRUE(cluster.Start(2));
  cluster.Kill(1);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.Start(0));
  ASSERT_TRUE(cluster.WaitForLeader(15s).has_value());
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

TEST(Formation, AnEmptyFolderNeverMakesAVoterOfAFormedCluster) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  EXPECT_EQ(cluster.Terminate(2, 5s), 0);
  std::filesystem::remove_all(cluster.data_dir(2));

  // It is refused with the command that adds it, and stops: alone it can do nothing.
  static_cast<void>(cluster.Start(2));  // whether it is ready before it is refused does not matter
  EXPECT_EQ(cluster.process(2).WaitForExit(10s), 1);
  EXPECT_NE(cluster.process(2).Stderr().find("raftkv member add n3"), std::string::npos)
      << cluster.process(2).Stderr();
  EXPECT_EQ(cluster.Cli({"put", "key", "still served"}).exit_code, 0);

  // It did not vote or count: with n2 gone as well there is no quorum.
  cluster.Kill(1);
  static_cast<void>(cluster.Start(2));
  const RunResult put = cluster.Cli({"put", "key", "x", "--timeout", "2s"});
  EXPECT_TRUE(put.exit_code == 2 || put.exit_code == 9) << put.exit_code << put.err;
}

}  // namespace
}  // namespace raftkv::test
