// What becomes of a cluster when the disk of its leader does not answer, or fails?
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kElectionTimeout = 300ms;

/// Three members whose syncs hang, or fail, while a file is there.
class BadDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    ProcessClusterOptions options;
    for (int i = 0; i < 3; ++i) {
      const std::string name = std::to_string(i);
      options.member_environment.push_back({{"LD_PRELOAD", RAFTKV_DISK_SHIM},
                                            {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                            {"DISK_SHIM_HANG", switches_ / ("hang" + name)},
                                            {"DISK_SHIM_EIO", switches_ / ("eio" + name)}});
    }
    cluster_ = std::make_unique<ProcessCluster>(options);
    ASSERT_TRUE(cluster_->StartAll());
    ASSERT_EQ(cluster_->Cli({"put", "k", "v"}).exit_code, 0);
    const auto leader = cluster_->WaitForLeader(20s);
    ASSERT_TRUE(leader.has_value());
    bad_ = *leader;
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != bad_) others_.insert(i);
    }
  }
  [[nodiscard]] std::string Switch(const std::string& what) const {
    return switches_ / (what + std::to_string(bad_));
  }
  bool SaysHung() {
    const auto status = cluster_->Status(bad_);
    if (!status.ok()) return false;
    for (const std::string& error : status->node.errors) {
      if (error.find("does not respond") != std::string::npos) return true;
    }
    return false;
  }

  TempFolder switches_;
  std::unique_ptr<ProcessCluster> cluster_;
  std::size_t bad_ = 0;
  std::set<std::size_t> others_;
};

TEST_F(BadDisk, AHungOneHasAnotherLeaderSoonAndComesBack) {
  WriteFile(Switch("hang"), "");
  const auto began = Clock::now();
  std::thread writer([this] {
    // Whatever comes of it: it gives the leader something to sync.
    static_cast<void>(cluster_->ConnectOnlyTo(bad_)->kv().Put("k", "w", {.timeout = 2s}));
  });
  const bool led = WaitFor(10s, [&] {
    for (const std::size_t i : others_) {
      const auto status = cluster_->Status(i);
      if (status.ok() && status->node.role == Role::kLeader) return true;
    }
    return false;
  });
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  RecordProperty("another_leads_after_ms", static_cast<int>(took.count()));
  std::printf("another member leads after %lld ms; two election timeouts are %lld ms\n",
              static_cast<long long>(took.count()),
              static_cast<long long>((2 * kElectionTimeout).count()));
  writer.join();
  ASSERT_TRUE(led);
  EXPECT_TRUE(WaitFor(10s, [&] { return SaysHung(); }));
  EXPECT_TRUE(cluster_->process(bad_).WaitForStderr("does not respond", 5s));
  EXPECT_TRUE(WaitFor(10s, [&] { return cluster_->Cli({"put", "k", "x"}).exit_code == 0; }));

  std::filesystem::remove(Switch("hang"));
  EXPECT_TRUE(WaitFor(10s, [&] { return !SaysHung(); }));
  EXPECT_TRUE(cluster_->process(bad_).WaitForStderr("responds again", 5s));
  const auto statuses = cluster_->WaitUntilEqual(20s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const auto& status : statuses) EXPECT_EQ(status.content_hash, statuses[0].content_hash);
}

// Known bug 24.
TEST_F(BadDisk, OneThatFailsASyncStopsTheMemberWithOneClearLine) {
  WriteFile(Switch("eio"), "");
  EXPECT_TRUE(WaitFor(20s, [&] {
    return cluster_->Cli({"put", "k", "w"}).exit_code == 0;
  })) << "the others go on";
  ASSERT_EQ(cluster_->process(bad_).WaitForExit(20s), 1);
  const std::string said = cluster_->process(bad_).Stderr();
  EXPECT_NE(said.find("could not sync " + cluster_->data_dir(bad_).string() + "/log/"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("check the disk, then start it again"), std::string::npos) << said;

  std::filesystem::remove(Switch("eio"));
  ASSERT_TRUE(cluster_->Start(bad_));
  const auto statuses = cluster_->WaitUntilEqual(20s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const auto& status : statuses) EXPECT_EQ(status.content_hash, statuses[0].content_hash);
}

}  // namespace
}  // namespace raftkv::test
