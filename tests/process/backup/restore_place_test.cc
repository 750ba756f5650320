// Into which folders can a backup be restored: mounted volumes, links, folders that are not the
// user's, and those that an earlier restore left behind?
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/mounts.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::uint64_t kDiskBytes = 64 << 20;

class RestorePlace : public ::testing::Test {
 protected:
  RestorePlace() : cluster_(Options()) {
    EXPECT_EQ(MakeMountsPrivate(), "");
    EXPECT_TRUE(cluster_.StartAll());
    EXPECT_EQ(cluster_.Cli({"put", "a", "b"}).exit_code, 0);
    file_ = (cluster_.folder() / "b.tar.zst").string();
    EXPECT_EQ(cluster_.Cli({"snapshot", "save", file_}).exit_code, 0);
    struct stat found {};
    EXPECT_EQ(stat(file_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
    EXPECT_EQ(cluster_.Terminate(0, 30s), 0);
    fs::remove_all(cluster_.data_dir(0));
  }
  static ProcessClusterOptions Options() {
    ProcessClusterOptions options;
    options.members = 1;
    options.flags = {"--disk-reserve", "1MiB"};
    return options;
  }
  [[nodiscard]] RunResult RestoreTo(const std::string& dir) const {
    return RunRaftkv({"snapshot", "restore", file_, "--data-dir", dir, "--name", "n1", "--cluster",
                      "n1=" + cluster_.address(0)});
  }
  /// The member at its place has what the backup holds.
  void ExpectRestored() {
    ASSERT_TRUE(cluster_.StartAll());
    EXPECT_EQ(cluster_.Cli({"get", "a", "--print-value-only"}).out, "b\n");
    cluster_.Kill(0);
  }

  ProcessCluster cluster_;
  std::string file_;
};

TEST_F(RestorePlace, AnEmptyMountPoint) {
  const SmallDisk disk(cluster_.data_dir(0), kDiskBytes);
  ASSERT_EQ(disk.problem(), "");
  fs::create_directory(cluster_.data_dir(0) / "lost+found");
  const RunResult restored = RestoreTo(cluster_.data_dir(0));
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  ExpectRestored();
}

TEST_F(RestorePlace, AVolumeWhoseParentCannotBeWritten) {
  const fs::path parent = cluster_.folder() / "parent";
  const SmallDisk above(parent, kDiskBytes);
  ASSERT_EQ(above.problem(), "");
  const SmallDisk disk(parent / "volume", kDiskBytes);
  ASSERT_EQ(disk.problem(), "");
  ASSERT_EQ(mount(nullptr, parent.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  const RunResult restored = RestoreTo(parent / "volume");
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_TRUE(fs::exists(parent / "volume" / "record"));
  EXPECT_FALSE(fs::exists(parent / "volume" / "restoring"));
  EXPECT_EQ(RestoreTo(parent / "volume").exit_code, 6) << "it holds a member";
}

TEST_F(RestorePlace, ALinkToAnEmptyFolder) {
  fs::create_directory(cluster_.folder() / "real");
  fs::create_directory_symlink(cluster_.folder() / "real", cluster_.data_dir(0));
  const RunResult restored = RestoreTo(cluster_.data_dir(0));
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_TRUE(fs::is_symlink(cluster_.data_dir(0)));
  EXPECT_TRUE(fs::exists(cluster_.folder() / "real/record"));
  ExpectRestored();
}

TEST_F(RestorePlace, TheWorkingDirectory) {
  fs::create_directory(cluster_.data_dir(0));
  const fs::path before = fs::current_path();
  fs::current_path(cluster_.data_dir(0));
  const RunResult restored = RestoreTo(".");
  fs::current_path(before);
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  ExpectRestored();
}

TEST_F(RestorePlace, WhatACutShortRestoreLeftIsNoMemberAndCanBeRestoredAgain) {
  const fs::path dir = cluster_.data_dir(0);
  fs::create_directories(dir / "kv-1");
  fs::create_directories(dir / "log");
  WriteFile(dir / "kv-1/000009.sst", "half of it");
  WriteFile(dir / "LOCK", "");
  WriteFile(dir / "restoring", "raftkv restore 1\n");
  const std::vector<std::string> command = cluster_.Command(0);
  const RunResult refused = RunRaftkv({command.begin() + 1, command.end()});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.err.find("was interrupted"), std::string::npos) << refused.err;
  const RunResult restored = RestoreTo(dir);
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_FALSE(fs::exists(dir / "kv-1/000009.sst"));
  ExpectRestored();
}

TEST_F(RestorePlace, WhatIsNotOursIsNeverRemoved) {
  const fs::path dir = cluster_.data_dir(0);
  const fs::path precious = cluster_.folder() / "precious";
  fs::create_directory(precious);
  WriteFile(precious / "file", "text");
  // As an older version left it, or somebody planted it.
  fs::create_directory_symlink(precious, dir.string() + ".restoring");
  fs::create_directory(dir);
  WriteFile(dir / "restoring", "raftkv restore 1\n");
  WriteFile(dir / "thesis.tex", "text");
  EXPECT_EQ(RestoreTo(dir).exit_code, 6);
  EXPECT_TRUE(fs::exists(dir / "thesis.tex"));
  fs::remove(dir / "thesis.tex");
  fs::create_directory_symlink(precious, dir / "kv-1");
  fs::create_directory_symlink(precious, dir / "log");
  const RunResult restored = RestoreTo(dir);
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_EQ(ReadFile(precious / "file"), "text");
  EXPECT_FALSE(fs::is_symlink(dir / "kv-1"));
  ExpectRestored();
}

}  // namespace
}  // namespace raftkv::test
