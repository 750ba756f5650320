// Does a member notice that its data folder was removed or replaced while it runs, and acknowledge
// nothing that nobody would find again?
#include <chrono>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class FolderGone : public ::testing::TestWithParam<std::string> {
 protected:
  /// What the name of the test's kind says.
  void Do(const fs::path& dir) {
    const fs::path away = dir.string() + ".away";
    const std::string& way = GetParam();
    if (way == "Removed") {
      fs::remove_all(dir);
    } else if (way == "Moved") {
      fs::rename(dir, away);
    } else if (way == "ReplacedByACopy") {
      fs::rename(dir, away);
      fs::copy(away, dir, fs::copy_options::recursive);
    } else if (way == "RecordReplaced") {
      fs::copy(dir / "record", dir / "record.other");
      fs::rename(dir / "record.other", dir / "record");
    } else if (way == "RecordRemoved") {
      fs::remove(dir / "record");
    } else {
      ASSERT_EQ(way, "LockRemoved");
      fs::remove(dir / "LOCK");
    }
  }
  [[nodiscard]] bool TakesTheLogAway() const {
    return GetParam() == "Removed" || GetParam() == "Moved" || GetParam() == "ReplacedByACopy";
  }
};

TEST_P(FolderGone, TheMemberStopsWithAClearMessage) {
  ProcessClusterOptions options;
  options.members = 1;
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "a", "b"}).exit_code, 0);
  ASSERT_NO_FATAL_FAILURE(Do(cluster.data_dir(0)));
  if (TakesTheLogAway()) {
    // The first one already: its sync notices, if nothing else did before.
    EXPECT_NE(cluster.Cli({"put", "c", "d", "--timeout", "2s"}).exit_code, 0);
  }
  EXPECT_TRUE(cluster.process(0).WaitForStderr("while it was in use", 20s));
  EXPECT_TRUE(cluster.process(0).WaitForStderr("stops for good", 20s));
  EXPECT_NE(cluster.Cli({"put", "e", "f", "--timeout", "2s"}).exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, FolderGone,
                         testing::Values("Removed", "Moved", "ReplacedByACopy", "RecordReplaced",
                                         "RecordRemoved", "LockRemoved"),
                         [](const auto& kind) { return kind.param; });

TEST(FolderGoneOfOne, OfThreeTheOthersCarryOn) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  const auto leader = cluster.WaitForLeader(20s);
  ASSERT_TRUE(leader.has_value());
  fs::remove_all(cluster.data_dir(*leader));
  const auto client = cluster.Connect((*leader + 1) % 3);
  const auto put = client->kv().Put("a", "b", {.timeout = 30s});
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_EQ(cluster.ConnectOnlyTo((*leader + 1) % 3)->kv().Get("a", {.timeout = 30s})->value, "b");
}

}  // namespace
}  // namespace raftkv::test
