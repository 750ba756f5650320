// Is the backup of an encrypted member a secret as well, and does any change of it show?
#include <chrono>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/log.h>

#include "tests/support/process/key_files.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr char kMarker[] = "value-that-stands-nowhere-else";

class SealedBackup : public testing::Test {
 protected:
  void SetUp() override {
    ProcessClusterOptions options;
    options.members = 1;
    options.flags = {"--encryption-key-file", KeyFile(1)};
    cluster_ = std::make_unique<ProcessCluster>(options);
    ASSERT_TRUE(cluster_->StartAll());
    ASSERT_TRUE(cluster_->Connect()->kv().Put("key", kMarker).ok());
    file_ = cluster_->folder() / "sealed.tar.zst";
    const RunResult saved =
        cluster_->Cli({"snapshot", "save", file_, "--encryption-key-file", KeyFile(1)});
    ASSERT_EQ(saved.exit_code, 0) << saved.err;
  }

  RunResult StatusOf(const std::string& file, const std::string& key_file) {
    std::vector<std::string> command = {"snapshot", "status", file};
    if (!key_file.empty()) command.insert(command.end(), {"--encryption-key-file", key_file});
    return RunRaftkv(command);
  }

  std::unique_ptr<ProcessCluster> cluster_;
  std::string file_;
};

TEST_F(SealedBackup, OnlyItsKeyOpensIt) {
  EXPECT_EQ(StatusOf(file_, KeyFile(1)).exit_code, 0);
  for (const std::string& key : {std::string(), KeyFile(2)}) {
    const RunResult refused = StatusOf(file_, key);
    EXPECT_EQ(refused.exit_code, 6) << refused.err;
    EXPECT_EQ(refused.ErrorLines(), 1U) << refused.err;
  }
  EXPECT_NE(StatusOf(file_, "").err.find("--encryption-key-file"), std::string::npos);
}

TEST_F(SealedBackup, AnyChangeOfItShows) {
  const std::string content = ReadFile(file_);
  const std::string changed = cluster_->folder() / "changed";
  const std::size_t step = content.size() / 20;
  for (std::size_t at = 0; at < content.size(); at += step) {
    std::string flipped = content;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    WriteFile(changed, flipped);
    const auto read = ReadBackup(changed, {}, KeyFile(1));
    EXPECT_FALSE(read.ok()) << "byte " << at;
    WriteFile(changed, content.substr(0, at));
    EXPECT_FALSE(ReadBackup(changed, {}, KeyFile(1)).ok()) << "cut to " << at;
  }
}

TEST_F(SealedBackup, WhatIsRestoredFromItIsEncryptedToo) {
  const std::string dir = cluster_->folder() / "restored";
  const std::string address = FreeAddress();
  const RunResult restored =
      RunRaftkv({"snapshot", "restore", file_, "--data-dir", dir, "--name", "n1", "--cluster",
                 "n1=" + address, "--encryption-key-file", KeyFile(1)});
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    const std::string content = ReadFile(entry.path());
    EXPECT_EQ(content.find(kMarker), std::string::npos) << entry.path();
    EXPECT_EQ(content.find("raftkvrc"), std::string::npos) << entry.path();
  }
  NodeOptions options;
  options.name = "n1";
  options.data_dir = dir;
  options.listen = address;
  options.encryption_key_file = KeyFile(1);
  options.log_level = LogLevel::kOff;
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  ASSERT_TRUE((*node)->WaitForLeader(20s).ok());
  const auto got = (*node)->kv().Get("key");
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->value, kMarker);
  // Its own backups are sealed without being asked.
  const std::string own = cluster_->folder() / "own.tar.zst";
  ASSERT_TRUE((*node)->Backup(own, {}).ok());
  EXPECT_EQ(ReadBackup(own).code(), Code::kPermissionDenied);
  EXPECT_TRUE(ReadBackup(own, {}, KeyFile(1)).ok());
}

TEST(EncryptedLog, HoldsNoPlaintextAndOpensWithItsKeyOnly) {
  const TempFolder folder;
  LogOptions options;
  options.dir = folder.path() / "log";
  options.encryption_key_file = KeyFile(1);
  {
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    ASSERT_TRUE((*log)->Append(kMarker).ok());
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options.dir)) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(ReadFile(entry.path()).find(kMarker), std::string::npos) << entry.path();
  }
  LogOptions other = options;
  other.encryption_key_file = KeyFile(2);
  EXPECT_EQ(Log::Open(other).code(), Code::kPermissionDenied);
  other.encryption_key_file = "";
  EXPECT_EQ(Log::Open(other).code(), Code::kPermissionDenied);
  auto log = Log::Open(options);
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(*(*log)->Read(1), kMarker);
}

}  // namespace
}  // namespace raftkv::test
