// Does the file system of real data folders keep its promises: modes, locks, removal, and syncs of
// files that are gone?
#include "storage/disk/real_fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "tests/storage/disk/real_folder.h"

namespace raftkv::test {
namespace {

namespace fs = std::filesystem;
using storage::FolderLock;
using storage::RealEnv;

// Whoever can write beside a folder that is being removed must not have others removed in its
// place.
TEST(RemoveTree, RemovesNothingElsewhereWhateverTakesThePlaceOfTheFolder) {
  const RealFolder folder;
  const std::string outside = folder / "outside";
  fs::create_directory(outside);
  constexpr int kFiles = 20;
  for (int i = 0; i < kFiles; ++i) std::ofstream(outside + "/" + std::to_string(i)) << "kept";
  const std::string path = folder / "removed";
  const std::string aside = folder / "aside";
  const std::string link = folder / "link";
  fs::create_symlink(outside, link);
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) {
      if (rename(path.c_str(), aside.c_str()) != 0) continue;
      static_cast<void>(rename(link.c_str(), path.c_str()));
      static_cast<void>(rename(path.c_str(), link.c_str()));
      static_cast<void>(rename(aside.c_str(), path.c_str()));
    }
  });
  int left = kFiles;
  for (int round = 0; round < 1000 && left == kFiles; ++round) {
    std::error_code ignored;
    fs::create_directory(path, ignored);
    for (int i = 0; i < 3; ++i) std::ofstream(path + "/mine" + std::to_string(i)) << "gone";
    static_cast<void>(storage::RemoveTree(RealEnv(), path));
    left = 0;
    for (int i = 0; i < kFiles; ++i) left += fs::exists(outside + "/" + std::to_string(i)) ? 1 : 0;
  }
  over = true;
  other.join();
  EXPECT_EQ(left, kFiles) << "files that are not below the folder were removed";
}

/// A process that was started before anything is locked, and tries to when it is told.
class OtherProcess {
 public:
  explicit OtherProcess(const std::string& folder) {
    EXPECT_EQ(pipe2(ask_.data(), O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(answer_.data(), O_CLOEXEC), 0);
    child_ = fork();
    if (child_ != 0) return;
    char byte = 0;
    while (read(ask_[0], &byte, 1) == 1 && byte != 0) {
      // Let go of before the answer: the next to take it is whoever reads that.
      byte = static_cast<char>(FolderLock::Take(RealEnv(), folder).code());
      if (write(answer_[1], &byte, 1) != 1) break;
    }
    _exit(0);
  }
  ~OtherProcess() {
    const char over = 0;
    EXPECT_EQ(write(ask_[1], &over, 1), 1);
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    for (const int end : {ask_[0], ask_[1], answer_[0], answer_[1]}) close(end);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  /// What taking the lock says there.
  Code Try() {
    char byte = 1;
    EXPECT_EQ(write(ask_[1], &byte, 1), 1);
    EXPECT_EQ(read(answer_[0], &byte, 1), 1);
    return static_cast<Code>(byte);
  }

 private:
  std::array<int, 2> ask_{};
  std::array<int, 2> answer_{};
  pid_t child_ = -1;
};

mode_t ModeOf(const fs::path& path) {
  struct stat found {};
  EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

/// With another umask while it lives.
class WithUmask {
 public:
  explicit WithUmask(mode_t mask) : before_(umask(mask)) {}
  ~WithUmask() { umask(before_); }
  WithUmask(const WithUmask&) = delete;
  WithUmask& operator=(const WithUmask&) = delete;

 private:
  const mode_t before_;
};

TEST(FolderLocks, AFolderIsLockedByWhateverPath) {
  const RealFolder folder;
  fs::create_directories(folder / "a/b");
  fs::create_directory_symlink(folder / "a", folder / "link");
  const auto held = FolderLock::Take(RealEnv(), folder / "a");
  ASSERT_TRUE(held.ok()) << held.status().ToString();
  const std::string relative = fs::relative(folder / "a");
  for (const std::string& path : {folder / "a", folder / "./a", folder / "link", folder / "a/b/..",
                                  folder / "a/", relative, folder / "link/../link/./b/.."}) {
    EXPECT_EQ(FolderLock::Take(RealEnv(), path).code(), Code::kUnavailable) << path;
  }
}

TEST(FolderLocks, ALockIsNotLostWhenSomebodyClosesItsFile) {
  const RealFolder folder;
  OtherProcess other(folder.path());
  auto held = FolderLock::Take(RealEnv(), folder.path());
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(other.Try(), Code::kUnavailable);
  // As a host does that copies its own data folder.
  const RealFolder copy;
  fs::copy(folder.path(), copy.path(),
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  { const std::ifstream read(folder / "LOCK"); }
  close(open((folder / "LOCK").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(other.Try(), Code::kUnavailable);
  EXPECT_EQ(FolderLock::Take(RealEnv(), folder.path()).code(), Code::kUnavailable);
  EXPECT_TRUE(FolderLock::Take(RealEnv(), copy.path()).ok()) << "the copy is nobody's";
  held->reset();
  EXPECT_EQ(other.Try(), Code::kOk);
  EXPECT_TRUE(FolderLock::Take(RealEnv(), folder.path()).ok());
}

// Databases in it have LOCK files of their own; what fork left behind does not keep one.
TEST(FolderLocks, AChildOfAForkDoesNotKeepALockThatWasGivenUp) {
  const RealFolder folder;
  auto held = FolderLock::Take(RealEnv(), folder.path());
  ASSERT_TRUE(held.ok());
  const OtherProcess heir(folder / "elsewhere");  // forked with the lock's file open
  held->reset();
  EXPECT_TRUE(FolderLock::Take(RealEnv(), folder.path()).ok());
}

TEST(FolderLocks, ARefusedLockTellsOfTheOldProgramToo) {
  const RealFolder folder;
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe2(ready.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {  // locks as RocksDB does
    const int file = open((folder / "LOCK").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    const char byte = fcntl(file, F_SETLK, &whole) == 0 ? 1 : 0;
    if (write(ready[1], &byte, 1) == 1) pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 1);
  EXPECT_EQ(FolderLock::Take(RealEnv(), folder.path()).code(), Code::kUnavailable);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  EXPECT_TRUE(FolderLock::Take(RealEnv(), folder.path()).ok());
}

TEST(FolderLocks, ALockWhoseFolderOrFileWasTakenAwaySaysSo) {
  const RealFolder folder;
  for (const bool replaced : {false, true}) {
    for (const std::string name : {"", "/LOCK"}) {
      fs::create_directory(folder / "d");
      const auto held = FolderLock::Take(RealEnv(), folder / "d");
      ASSERT_TRUE(held.ok());
      EXPECT_TRUE((*held)->CheckInPlace().ok());
      fs::rename(folder / ("d" + name), folder / "away");
      if (replaced) fs::copy(folder / "away", folder / ("d" + name));
      const Status gone = (*held)->CheckInPlace();
      EXPECT_EQ(gone.code(), Code::kIOError) << name;
      EXPECT_NE(gone.message().find(replaced ? "replaced" : "removed"), std::string::npos)
          << gone.message();
      fs::remove_all(folder / "d");
      fs::remove_all(folder / "away");
    }
  }
}

TEST(PrivateFiles, AreTheirOwnersWhateverTheUmask) {
  const RealFolder folder;
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    const WithUmask umask(mask);
    const std::string dir = folder / ("d" + std::to_string(mask)) + "/below";
    ASSERT_TRUE(storage::MakeFolder(RealEnv(), dir).ok());
    EXPECT_EQ(ModeOf(dir), 0700U) << mask;
    EXPECT_EQ(ModeOf(fs::path(dir).parent_path()), 0700U) << mask;
    ASSERT_TRUE(storage::ReplaceFile(RealEnv(), dir, "file", "text").ok());
    EXPECT_EQ(ModeOf(dir + "/file"), 0600U) << mask;
    const auto lock = FolderLock::Take(RealEnv(), dir);
    ASSERT_TRUE(lock.ok());
    EXPECT_EQ(ModeOf(dir + "/LOCK"), 0600U) << mask;
    EXPECT_FALSE(storage::WiderModeOf(RealEnv(), dir).has_value());
    fs::permissions(dir, fs::perms(0750));
    EXPECT_TRUE(storage::WiderModeOf(RealEnv(), dir).has_value());
  }
}

TEST(PrivateFiles, WhatWasThereBeforeKeepsItsMode) {
  const RealFolder folder;
  std::ofstream(folder / "file") << "text";
  fs::permissions(folder / "file", fs::perms(0640));
  std::unique_ptr<rocksdb::WritableFile> file;
  ASSERT_TRUE(RealEnv().NewWritableFile(folder / "file", &file, rocksdb::EnvOptions()).ok());
  EXPECT_EQ(ModeOf(folder / "file"), 0640U);
  fs::create_directory(folder / "sub");
  fs::permissions(folder / "sub", fs::perms(0750));
  ASSERT_TRUE(storage::MakeFolder(RealEnv(), folder / "sub").ok());
  EXPECT_EQ(ModeOf(folder / "sub"), 0750U);
}

TEST(SyncOfAFile, FailsOnceTheFileIsNoLongerAtItsPath) {
  const RealFolder folder;
  enum class Way { kKept, kRemoved, kReplaced, kParentMoved };
  for (const Way way : {Way::kKept, Way::kRemoved, Way::kReplaced, Way::kParentMoved}) {
    const std::string dir = folder / "d";
    fs::create_directory(dir);
    std::unique_ptr<rocksdb::WritableFile> file;
    ASSERT_TRUE(RealEnv().NewWritableFile(dir + "/f", &file, rocksdb::EnvOptions()).ok());
    ASSERT_TRUE(file->Append("abc").ok());
    ASSERT_TRUE(file->Sync().ok());
    if (way == Way::kRemoved) fs::remove(dir + "/f");
    if (way == Way::kReplaced) {
      fs::copy(dir + "/f", dir + "/g");
      fs::rename(dir + "/g", dir + "/f");
    }
    if (way == Way::kParentMoved) fs::rename(dir, folder / "away");
    ASSERT_TRUE(file->Append("def").ok());
    EXPECT_EQ(file->Sync().ok(), way == Way::kKept) << static_cast<int>(way);
    EXPECT_EQ(file->Fsync().ok(), way == Way::kKept) << static_cast<int>(way);
    file.reset();
    fs::remove_all(dir);
  }
}

TEST(Removal, TakesLinksAndLeavesWhatTheyPointTo) {
  const RealFolder folder;
  fs::create_directories(folder / "precious/below");
  std::ofstream(folder / "precious/below/file") << "text";
  fs::create_directories(folder / "tree/sub");
  std::ofstream(folder / "tree/sub/own") << "text";
  fs::create_directory_symlink(folder / "precious", folder / "tree/sub/link");
  fs::create_symlink(folder / "precious/below/file", folder / "tree/filelink");
  fs::create_symlink(folder / "nowhere", folder / "tree/dangling");
  fs::create_directory_symlink(folder / "precious", folder / "toplink");
  for (const std::string name : {"tree", "toplink", "nothing"}) {
    const Status removed = storage::RemoveTree(RealEnv(), folder / name);
    EXPECT_TRUE(removed.ok()) << removed.ToString();
    EXPECT_FALSE(fs::exists(fs::symlink_status(folder / name))) << name;
  }
  EXPECT_TRUE(fs::exists(folder / "precious/below/file"));
}

TEST(Removal, OfWhatIsLeftOverInADataFolderTakesOnlyWhatIsOurs) {
  const RealFolder folder;
  fs::create_directories(folder / "precious");
  std::ofstream(folder / "precious/file") << "text";
  const std::string data = folder / "data";
  for (const std::string name : {"kv-1", "kv-2", "kv-old", "snapshot-3", "snapshot-of-me",
                                 "damaged-log", "damaged-again-kv-4", "damaged-by-rats"}) {
    fs::create_directories(data + "/" + name);
  }
  fs::create_directory_symlink(folder / "precious", data + "/kv-9");
  fs::create_directory_symlink(folder / "precious", data + "/damaged-kv-9");
  ASSERT_TRUE(storage::RemoveUnreferenced(RealEnv(), data, {"kv-1"}).ok());
  ASSERT_TRUE(storage::RemoveSetAside(RealEnv(), data).ok());
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(data)) left.push_back(entry.path().filename());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left,
            (std::vector<std::string>{"damaged-by-rats", "kv-1", "kv-old", "snapshot-of-me"}));
  EXPECT_TRUE(fs::exists(folder / "precious/file"));
}

}  // namespace
}  // namespace raftkv::test
