// Is a real data folder opened once at a time, whatever it is called, by whoever opens it?
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/log.h>

#include "storage/member/open.h"
#include "storage/member/rekey.h"
#include "tests/storage/disk/real_folder.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> OtherNames(const RealFolder& folder) {
  fs::create_directory_symlink(folder / "d", folder / "link");
  fs::create_directories(folder / "x");
  return {folder / "d",    folder / "./d",    folder / "d/",
          folder / "link", folder / "x/../d", fs::relative(folder / "d")};
}

TEST(FolderPaths, AMemberOpensOnce) {
  const RealFolder folder;
  TestLoop loop;
  storage::StoreOptions options;
  options.dir = folder / "d";
  options.name = "n1";
  options.executor = loop.executor();
  std::ofstream(folder / "key") << std::string(64, 'a');
  fs::permissions(folder / "key", fs::perms(0600));
  auto store = storage::Open(options);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  for (const std::string& name : OtherNames(folder)) {
    options.dir = name;
    EXPECT_EQ(storage::Open(options).code(), Code::kUnavailable) << name;
    storage::RekeyOptions rekey;
    rekey.dir = name;
    rekey.new_key_file = folder / "key";
    EXPECT_EQ(storage::Rekey(rekey).code(), Code::kUnavailable) << name;
  }
  EXPECT_TRUE((*store)->Close().ok());
  EXPECT_TRUE(storage::Open(options).ok());
}

TEST(FolderPaths, ALogOpensOnce) {
  const RealFolder folder;
  LogOptions options;
  options.dir = folder / "d";
  auto log = Log::Open(options);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_TRUE((*log)->Append("a").ok());
  for (const std::string& name : OtherNames(folder)) {
    options.dir = name;
    EXPECT_EQ(Log::Open(options).code(), Code::kUnavailable) << name;
  }
  // A copy, LOCK included, takes nothing away from the one that is open.
  fs::copy(folder / "d", folder / "copy", fs::copy_options::recursive);
  EXPECT_EQ(Log::Open(options).code(), Code::kUnavailable);
  ASSERT_TRUE((*log)->Append("b").ok());
  ASSERT_TRUE((*log)->Close().ok());
  log->reset();
  auto again = Log::Open(options);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ((*again)->Seq(), 2U);
}

// Nothing that is acknowledged goes into a folder that is gone.
TEST(FolderPaths, ALogWhoseFolderIsGoneAcknowledgesNothing) {
  for (const bool replaced : {false, true}) {
    const RealFolder folder;
    LogOptions options;
    options.dir = folder / "d";
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok());
    ASSERT_TRUE((*log)->Append("a").ok());
    fs::rename(folder / "d", folder / "away");
    if (replaced) fs::copy(folder / "away", folder / "d", fs::copy_options::recursive);
    const auto lost = (*log)->Append("b");
    EXPECT_FALSE(lost.ok());
    EXPECT_NE(lost.status().message().find(replaced ? "replaced" : "removed"), std::string::npos)
        << lost.status().ToString();
    EXPECT_FALSE((*log)->Append("c").ok()) << "that is final";
    EXPECT_FALSE((*log)->Close().ok());
  }
}

TEST(FolderPaths, AWiderModeIsWarnedOf) {
  const RealFolder folder;
  for (const bool wide : {false, true}) {
    LogOptions options;
    options.dir = folder / "d";
    int warnings = 0;
    options.on_warning = [&](std::string_view line) {
      warnings += line.find("chmod 700") != std::string_view::npos ? 1 : 0;
    };
    fs::create_directories(options.dir);
    fs::permissions(options.dir, wide ? fs::perms(0755) : fs::perms(0700));
    ASSERT_TRUE(Log::Open(options).ok());
    EXPECT_EQ(warnings, wide ? 1 : 0);
    for (const auto& entry : fs::recursive_directory_iterator(options.dir)) {
      const auto mode = entry.status().permissions() & fs::perms::mask;
      EXPECT_EQ(mode, entry.is_directory() ? fs::perms(0700) : fs::perms(0600)) << entry.path();
    }
  }
}

}  // namespace
}  // namespace raftkv::test
