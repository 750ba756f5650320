// Does the disk of the power cut tests forget exactly what it may forget?
#include "tests/support/faults/crash_fs.h"

#include <set>

#include <gtest/gtest.h>
#include <rocksdb/env.h>

namespace raftkv::test {
namespace {

class CrashFsTest : public testing::Test {
 protected:
  std::unique_ptr<rocksdb::WritableFile> Create(const std::string& path) {
    std::unique_ptr<rocksdb::WritableFile> file;
    EXPECT_TRUE(env_->NewWritableFile(path, &file, rocksdb::EnvOptions()).ok());
    return file;
  }
  void SyncRoot() {
    std::unique_ptr<rocksdb::Directory> root;
    ASSERT_TRUE(env_->NewDirectory("/", &root).ok());
    ASSERT_TRUE(root->Fsync().ok());
  }

  std::shared_ptr<CrashFs> fs_ = std::make_shared<CrashFs>();
  std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(fs_);
};

TEST_F(CrashFsTest, SyncedBytesAndNamesStay) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto file = Create("/f");
    ASSERT_TRUE(file->Append("synced").ok());
    ASSERT_TRUE(file->Sync().ok());
    SyncRoot();
    ASSERT_TRUE(file->Append(" and not").ok());
    fs_->Crash();
    fs_->Reboot(seed);
    EXPECT_EQ(fs_->Content("/f").substr(0, 6), "synced");
    EXPECT_FALSE(file->Append("from before").ok()) << "an old handle";
  }
}

TEST_F(CrashFsTest, UnsyncedBytesAndNamesMayGo) {
  std::set<std::string> seen;
  bool gone = false;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    fs_ = std::make_shared<CrashFs>();
    env_ = rocksdb::NewCompositeEnv(fs_);
    auto file = Create("/f");
    ASSERT_TRUE(file->Append(std::string(4096 * 3, 'x')).ok());
    fs_->Crash();
    fs_->Reboot(seed);
    if (fs_->List("/").empty()) {
      gone = true;
    } else {
      seen.insert(fs_->Content("/f"));
    }
  }
  EXPECT_TRUE(gone);
  EXPECT_TRUE(seen.contains(""));
  EXPECT_TRUE(seen.contains(std::string(4096 * 3, 'x')));
  EXPECT_TRUE(
      seen.contains(std::string(4096, 'x') + std::string(4096, '\0') + std::string(4096, 'x')))
      << "a page in the middle";
}

TEST_F(CrashFsTest, ARenameHappensWholeOrNotAtAll) {
  int renamed = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    fs_ = std::make_shared<CrashFs>();
    env_ = rocksdb::NewCompositeEnv(fs_);
    fs_->SetContent("/f", "old");
    ASSERT_TRUE(rocksdb::WriteStringToFile(env_.get(), "new", "/f.tmp", true).ok());
    ASSERT_TRUE(env_->RenameFile("/f.tmp", "/f").ok());
    fs_->Crash();
    fs_->Reboot(seed);
    const std::string content = fs_->Content("/f");
    EXPECT_TRUE(content == "old" || content == "new") << content;
    if (content == "new") ++renamed;
  }
  EXPECT_GT(renamed, 3);
  EXPECT_LT(renamed, 37);
}

TEST_F(CrashFsTest, ThePowerGoesAtTheChosenOperation) {
  auto file = Create("/f");
  fs_->CrashAt(3);
  EXPECT_TRUE(file->Append("1").ok());
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_FALSE(fs_->crashed());
  EXPECT_FALSE(file->Append("3").ok());
  EXPECT_TRUE(fs_->crashed());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(env_->FileExists("/f").ok());
}

TEST_F(CrashFsTest, ALinkIsASecondNameOfTheFile) {
  auto file = Create("/f");
  ASSERT_TRUE(file->Append("synced").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(env_->LinkFile("/f", "/g").ok());
  EXPECT_FALSE(env_->LinkFile("/f", "/g").ok()) << "it is there already";
  EXPECT_TRUE(env_->LinkFile("/none", "/h").IsNotFound());
  SyncRoot();
  ASSERT_TRUE(env_->DeleteFile("/f").ok());
  SyncRoot();
  fs_->Crash();
  fs_->Reboot(1);
  EXPECT_EQ(fs_->List("/"), std::vector<std::string>{"g"});
  EXPECT_EQ(fs_->Content("/g"), "synced");
}

TEST_F(CrashFsTest, TheSameOperationsAndSeedGiveTheSameDisk) {
  std::set<std::map<std::string, std::string>> disks;
  for (int run = 0; run < 3; ++run) {
    CrashFs fs(7);
    const std::shared_ptr<CrashFs> shared(&fs, [](CrashFs*) {});
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(shared);
    std::unique_ptr<rocksdb::WritableFile> file;
    ASSERT_TRUE(env->NewWritableFile("/f", &file, rocksdb::EnvOptions()).ok());
    ASSERT_TRUE(env->CreateDir("/d").ok());
    ASSERT_TRUE(file->Append(std::string(50000, 'x')).ok());
    fs.Crash();
    fs.Reboot(99);
    disks.insert(fs.Everything());
  }
  EXPECT_EQ(disks.size(), 1u);
}

}  // namespace
}  // namespace raftkv::test
