// Does a folder whose key is changed always have exactly one key, wherever the change is cut short?
#include "storage/member/rekey.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "storage/cipher/file_cipher.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/key_files.h"

namespace raftkv::test {
namespace {

constexpr char kDir[] = "/data/n1";

struct Keys {
  std::string name;
  int before = 0;  ///< 0: none
  int after = 0;
};

std::string FileOf(int key) { return key == 0 ? "" : KeyFile(key); }

storage::RekeyOptions OptionsOf(StoreWorld& world, const Keys& keys) {
  storage::RekeyOptions options;
  options.dir = kDir;
  options.old_key_file = FileOf(keys.before);
  options.new_key_file = FileOf(keys.after);
  options.env = world.env.get();
  return options;
}

/// As a member leaves it that was killed: entries in the write-ahead log and in tables.
std::shared_ptr<CrashFs> MakeDisk(int key) {
  StoreWorld world;
  world.options.encryption_key_file = FileOf(key);
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.Form().ok());
  EXPECT_TRUE(world.WriteEntries(Index(2), Term(1), 20, 200).ok());
  EXPECT_TRUE(world.CloseCleanly().ok());
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.WriteEntries(Index(22), Term(1), 19, 200).ok());
  world.Drop();
  return world.fs->Copy();
}

/// Whether the folder opens with this key, with all that is in it.
testing::AssertionResult OpensWith(const std::shared_ptr<CrashFs>& fs, int key) {
  StoreWorld world(fs->Copy());
  world.options.encryption_key_file = FileOf(key);
  world.options.machine_boot = "boot-2";
  const Status opened = world.Open();
  if (!opened.ok()) return testing::AssertionFailure() << opened.message();
  const auto entries = world.Read(Index(2), Index(40), 1 << 20);
  if (!entries.ok() || *entries != MakeEntries(Index(2), Term(1), 39, 200)) {
    return testing::AssertionFailure() << "other entries";
  }
  return testing::AssertionSuccess();
}

class RekeyTest : public testing::TestWithParam<Keys> {};
INSTANTIATE_TEST_SUITE_P(All, RekeyTest,
                         testing::Values(Keys{"Encrypt", 0, 1}, Keys{"Decrypt", 1, 0},
                                         Keys{"Change", 1, 2}),
                         [](const auto& info) { return info.param.name; });

TEST_P(RekeyTest, EverythingHasTheNewKeyAfterwards) {
  const Keys& keys = GetParam();
  StoreWorld world(MakeDisk(keys.before));
  // A checkpoint that was being sent, and what an earlier run left, are of the old key.
  ASSERT_TRUE(world.env->CreateDir("/data/n1/snapshot-3").ok());
  world.fs->SetContent("/data/n1/snapshot-3/CURRENT", "something");
  ASSERT_TRUE(world.env->CreateDir("/data/n1/log.rekey").ok());
  world.fs->SetContent("/data/n1/log.rekey/CURRENT", "something");
  const Result<storage::Rekeyed> done = storage::Rekey(OptionsOf(world, keys));
  ASSERT_TRUE(done.ok()) << done.status().message();
  EXPECT_GT(done->files, 8u);
  EXPECT_GT(done->bytes, 8000u);
  for (const auto& [path, content] : world.fs->Everything()) {
    EXPECT_EQ(path.find("rekey"), std::string::npos) << path;
    EXPECT_EQ(path.find("snapshot"), std::string::npos) << path;
    if (content == "(folder)" || path.ends_with("LOCK")) continue;
    EXPECT_EQ(storage::FileCipher::IsEncrypted(content), keys.after != 0) << path;
  }
  EXPECT_TRUE(OpensWith(world.fs, keys.after));
  EXPECT_FALSE(OpensWith(world.fs, keys.before));
  // Who is not sure may run it again.
  const Result<storage::Rekeyed> again = storage::Rekey(OptionsOf(world, keys));
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->files, 0u);
}

/// What a cut leaves: one key, and where not, a line that says what to do, which helps.
void ExpectOneKey(const std::shared_ptr<CrashFs>& fs, const Keys& keys, int& before, int& between) {
  const auto with_old = OpensWith(fs, keys.before);
  const auto with_new = OpensWith(fs, keys.after);
  ASSERT_FALSE(with_old && with_new);
  if (with_old) ++before;
  if (!with_old && !with_new) {
    ++between;
    ASSERT_NE(std::string(with_old.message()).find("run the same `raftkv rekey` again"),
              std::string::npos)
        << with_old.message();
    ASSERT_NE(std::string(with_new.message()).find("run the same `raftkv rekey` again"),
              std::string::npos)
        << with_new.message();
  }
  StoreWorld again(fs);
  const Result<storage::Rekeyed> done = storage::Rekey(OptionsOf(again, keys));
  ASSERT_TRUE(done.ok()) << done.status().message();
  ASSERT_TRUE(OpensWith(fs, keys.after));
  for (const auto& [path, content] : fs->Everything()) {
    ASSERT_EQ(path.find("rekey"), std::string::npos) << path;
  }
}

TEST_P(RekeyTest, APowerCutAtAnyOperationLeavesOneKey) {
  const Keys& keys = GetParam();
  const std::shared_ptr<CrashFs> disk = MakeDisk(keys.before);
  int before = 0;
  int between = 0;
  int after = 0;
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    StoreWorld world(disk->Copy());
    world.fs->CrashAt(at);
    const bool done = storage::Rekey(OptionsOf(world, keys)).ok();
    ASSERT_NE(done, world.fs->crashed());
    world.fs->Crash();
    world.fs->Reboot(1000 + at);
    if (OpensWith(world.fs, keys.after)) ++after;
    ASSERT_NO_FATAL_FAILURE(ExpectOneKey(world.fs, keys, before, between));
    if (done) break;
  }
  EXPECT_GT(before, 20);
  EXPECT_GT(between, 10);
  EXPECT_GT(after, 0);
}

// A killed process leaves the page cache as it is.
TEST_P(RekeyTest, AKillAtAnyOperationLeavesOneKey) {
  const Keys& keys = GetParam();
  const std::shared_ptr<CrashFs> disk = MakeDisk(keys.before);
  int before = 0;
  int between = 0;
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    StoreWorld world(disk->Copy());
    world.fs->CrashAt(at);
    const bool done = storage::Rekey(OptionsOf(world, keys)).ok();
    ASSERT_NO_FATAL_FAILURE(ExpectOneKey(world.fs->Copy(), keys, before, between));
    if (done) break;
  }
  EXPECT_GT(before, 20);
  EXPECT_GT(between, 10);
}

// An open with the old key removes what a run left that did not get far.
TEST(Rekey, WhatWasLeftGoesAtTheNextOpen) {
  StoreWorld world(MakeDisk(1));
  world.fs->CrashAt(40);
  EXPECT_FALSE(storage::Rekey(OptionsOf(world, {"", 1, 2})).ok());
  StoreWorld after(world.fs->Copy());
  const auto left = [&] {
    const std::vector<std::string> names = after.fs->List(kDir);
    return std::count_if(names.begin(), names.end(),
                         [](const std::string& name) { return name.ends_with(".rekey"); });
  };
  EXPECT_GT(left(), 0);
  after.options.encryption_key_file = KeyFile(1);
  const Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened.message();
  EXPECT_EQ(left(), 0);
}

TEST(Rekey, WrongUseChangesNothing) {
  StoreWorld world(MakeDisk(1));
  const std::map<std::string, std::string> before = world.fs->Everything();
  struct Case {
    Keys keys;
    std::string dir;
    Code code;
    std::string words;
  };
  for (const Case& wrong :
       {Case{{"", 0, 0}, kDir, Code::kInvalidArgument, "--new-key-file"},
        Case{{"", 2, 3}, kDir, Code::kPermissionDenied, "is not the key"},
        Case{{"", 0, 2}, kDir, Code::kPermissionDenied, "is encrypted"},
        Case{{"", 1, 2}, "/no", Code::kInvalidArgument, "does not hold a raftkv member"}}) {
    storage::RekeyOptions options = OptionsOf(world, wrong.keys);
    options.dir = wrong.dir;
    const Result<storage::Rekeyed> refused = storage::Rekey(options);
    EXPECT_EQ(refused.code(), wrong.code) << wrong.words;
    EXPECT_NE(refused.status().message().find(wrong.words), std::string::npos)
        << refused.status().message();
    EXPECT_EQ(world.fs->Everything(), before);
  }
  // In use.
  StoreWorld user(world.fs);
  user.options.encryption_key_file = KeyFile(1);
  ASSERT_TRUE(user.Open().ok());
  EXPECT_EQ(storage::Rekey(OptionsOf(world, {"", 1, 2})).code(), Code::kUnavailable);
}

TEST(Rekey, APlaintextFolderIsNotTakenForOneOfAnotherKey) {
  StoreWorld world(MakeDisk(0));
  EXPECT_EQ(storage::Rekey(OptionsOf(world, {"", 1, 2})).code(), Code::kPermissionDenied);
  EXPECT_TRUE(OpensWith(world.fs, 0));
}

// What was begun with one key is not reported as done with another.
TEST(Rekey, AnEarlierRunIsFinishedForItsOwnKey) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(1);
  std::shared_ptr<CrashFs> begun = disk;
  for (std::uint64_t at = 1; !begun->Everything().contains("/data/n1/rekey"); ++at) {
    StoreWorld cut(disk->Copy());
    cut.fs->CrashAt(at);
    ASSERT_FALSE(storage::Rekey(OptionsOf(cut, {"", 1, 2})).ok());
    begun = cut.fs->Copy();
  }
  StoreWorld world(begun);
  const Result<storage::Rekeyed> other = storage::Rekey(OptionsOf(world, {"", 1, 3}));
  EXPECT_EQ(other.code(), Code::kPermissionDenied);
  EXPECT_NE(other.status().message().find("completed an interrupted key change"), std::string::npos)
      << other.status().message();
  EXPECT_TRUE(OpensWith(world.fs, 2));
}

}  // namespace
}  // namespace raftkv::test
