// Do real processes go on when their disks are full, and by themselves when there is space again?
// (known bug 27)
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "tests/support/process/mounts.h"
#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kDiskBytes = 48 << 20;
constexpr int kRefused = 4;

/// Members on small disks of their own.
class FullDisk : public ::testing::Test {
 protected:
  void StartOn(std::size_t members, const std::string& reserve = "1MiB") {
    ASSERT_EQ(MakeMountsPrivate(), "");
    ProcessClusterOptions options;
    options.members = members;
    options.http = true;
    options.flags = {"--disk-reserve", reserve, "--log-keep-bytes", "4MiB"};
    cluster_ = std::make_unique<ProcessCluster>(options);
    for (std::size_t i = 0; i < members; ++i) {
      disks_.push_back(std::make_unique<SmallDisk>(cluster_->data_dir(i), kDiskBytes));
      ASSERT_EQ(disks_.back()->problem(), "");
    }
    ASSERT_TRUE(cluster_->StartAll());
    ASSERT_EQ(cluster_->Cli({"put", "k", "v"}).exit_code, 0);
  }
  void TearDown() override {
    cluster_.reset();
    disks_.clear();
  }

  /// Whether a member says of itself that its disk is full.
  bool SaysFull(std::size_t member) {
    const auto status = cluster_->Status(member);
    if (!status.ok()) return false;
    for (const std::string& error : status->node.errors) {
      if (error.find("no space is left on the disk") != std::string::npos) return true;
    }
    return false;
  }
  bool WaitUntilFull(std::size_t member, bool full) {
    return WaitFor(20s, [&] { return SaysFull(member) == full; });
  }

  std::unique_ptr<ProcessCluster> cluster_;
  std::vector<std::unique_ptr<SmallDisk>> disks_;
};

TEST_F(FullDisk, OfTheLeaderLeadershipGoesAndItComesBackWithoutARestart) {
  ASSERT_NO_FATAL_FAILURE(StartOn(3));
  const auto full = cluster_->WaitForLeader(20s);
  ASSERT_TRUE(full.has_value());
  ASSERT_TRUE(disks_[*full]->Fill());
  ASSERT_TRUE(WaitFor(20s, [&] {
    const auto leader = cluster_->WaitForLeader(5s);
    return leader && *leader != *full;
  })) << "the leadership stays on a full disk";
  EXPECT_TRUE(SaysFull(*full));
  const auto client = cluster_->Connect();
  for (int i = 0; i < 50; ++i) {
    const auto put = client->kv().Put("while" + std::to_string(i), "x");
    ASSERT_TRUE(put.ok()) << put.status().ToString();
  }
  const auto read = cluster_->ConnectOnlyTo(*full)->kv().Get("while49", {.timeout = 20s});
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->value, "x");

  disks_[*full]->Free();
  ASSERT_TRUE(WaitUntilFull(*full, false));
  ASSERT_TRUE(cluster_->process(*full).Running());
  const auto statuses = cluster_->WaitUntilEqual(20s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const auto& status : statuses) EXPECT_EQ(status.content_hash, statuses[0].content_hash);
  EXPECT_TRUE(cluster_->process(*full).WaitForStderr("has space again", 5s));
}

TEST_F(FullDisk, OfAllReadsGoOnAndPutsAreRefusedUntilSpaceIsFreed) {
  ASSERT_NO_FATAL_FAILURE(StartOn(3));
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(disks_[i]->Fill());
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(WaitUntilFull(i, true)) << i;
  RunResult put;
  EXPECT_TRUE(WaitFor(20s,
                      [&] {
                        put = cluster_->Cli({"put", "k", "w"});
                        return put.exit_code == kRefused;
                      }))
      << put.exit_code << " " << put.err;
  const std::string metrics = HttpGet(cluster_->http_address(0), "/metrics").body;
  EXPECT_NE(metrics.find("\nraftkv_disk_full 1"), std::string::npos) << metrics;
  EXPECT_NE(put.err.find("NoSpace"), std::string::npos) << put.err;
  EXPECT_EQ(put.ErrorLines(), 1u) << put.err;
  EXPECT_EQ(cluster_->Cli({"get", "k", "--print-value-only"}).out, "v\n");
  // The reserve has made room for that.
  const RunResult deleted = cluster_->Cli({"del", "k"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_EQ(deleted.out, "1\n");

  for (std::size_t i = 0; i < 3; ++i) disks_[i]->Free();
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(WaitUntilFull(i, false)) << i;
  EXPECT_TRUE(WaitFor(20s, [&] { return cluster_->Cli({"put", "k", "x"}).exit_code == 0; }));
  EXPECT_EQ(cluster_->Cli({"get", "k", "--print-value-only"}).out, "x\n");
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(cluster_->process(i).Running()) << i;
}

// Nobody frees anything but by deleting keys.
TEST_F(FullDisk, FilledByPutsIsEmptiedByDeletes) {
  // More than is written between two looks at the disk, or the puts would eat the reserve.
  ASSERT_NO_FATAL_FAILURE(StartOn(1, "8MiB"));
  const auto client = cluster_->Connect();
  Random chance(1);
  Status last;
  for (int i = 0; i < 2000 && last.ok(); ++i) {
    std::string value;
    while (value.size() < 100'000) AppendBigEndian64(value, chance.Next());
    last = client->kv().Put("big" + std::to_string(i), value).status();
  }
  ASSERT_EQ(last.code(), Code::kNoSpace) << last.ToString();
  const RunResult deleted = cluster_->Cli({"del", "big", "--prefix"});
  ASSERT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_TRUE(WaitFor(60s, [&] { return client->kv().Put("k", "again").ok(); }))
      << "what was deleted does not make room";
  EXPECT_TRUE(cluster_->process(0).Running());
}

TEST_F(FullDisk, AtTheStartItOpensByItsReserveOrSaysSoAndNothingIsLost) {
  ASSERT_NO_FATAL_FAILURE(StartOn(1));
  ASSERT_EQ(cluster_->Terminate(0, 20s), 0);
  ASSERT_TRUE(disks_[0]->Fill(0));
  ASSERT_TRUE(cluster_->Start(0)) << "its reserve is there";
  EXPECT_EQ(cluster_->Cli({"get", "k", "--print-value-only"}).out, "v\n");
  cluster_->Kill(0);
  ASSERT_TRUE(disks_[0]->Fill(0));
  ASSERT_FALSE(cluster_->Start(0)) << "there is nothing left";
  ASSERT_EQ(cluster_->process(0).WaitForExit(20s), 1);
  const std::string said = cluster_->process(0).Stderr();
  EXPECT_NE(said.find("no space is left on the disk"), std::string::npos) << said;
  EXPECT_NE(said.find("free some and start again"), std::string::npos) << said;
  disks_[0]->Free();
  ASSERT_TRUE(cluster_->Start(0));
  EXPECT_EQ(cluster_->Cli({"get", "k", "--print-value-only"}).out, "v\n");
  EXPECT_EQ(cluster_->Cli({"put", "k", "w"}).exit_code, 0);
}

}  // namespace
}  // namespace raftkv::test
