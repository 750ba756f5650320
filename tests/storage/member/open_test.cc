// Is a data folder that must not be used refused with one clear line, and left as it was?
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <mutex>

#include <gtest/gtest.h>

#include "storage/folder/record.h"
#include "storage/log/log_format.h"
#include "storage/log/log_handles.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

constexpr char kRecordPath[] = "/data/n1/record";

TEST(Open, AFolderInUseIsRefused) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  StoreWorld second(world.fs);
  const Status refused = second.Open();
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  EXPECT_NE(refused.message().find("data folder /data/n1 is in use by another process"),
            std::string::npos)
      << refused.message();
  world.Drop();
  EXPECT_TRUE(second.Open().ok());
}

TEST(Open, AFolderOfAnotherMemberIsRefused) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::map<std::string, std::string> before = world.fs->Everything();
  world.options.name = "n2";
  const Status refused = world.Open();
  EXPECT_EQ(refused.code(), Code::kPermissionDenied);
  EXPECT_NE(refused.message().find("belongs to member 'n1', not 'n2'"), std::string::npos);
  EXPECT_EQ(world.fs->Everything(), before);
}

TEST(Open, AFolderWithOtherThingsIsRefused) {
  StoreWorld world;
  ASSERT_TRUE(world.env->CreateDir("/data").ok());
  ASSERT_TRUE(world.env->CreateDir("/data/n1").ok());
  world.fs->SetContent("/data/n1/thesis.tex", "precious");
  const std::map<std::string, std::string> before = world.fs->Everything();
  const Status refused = world.Open();
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.message().find("thesis.tex"), std::string::npos);
  EXPECT_EQ(world.fs->Everything(), before);
}

TEST(Open, AFileInsteadOfAFolderIsRefused) {
  StoreWorld world;
  ASSERT_TRUE(world.env->CreateDir("/data").ok());
  world.fs->SetContent("/data/n1", "a file");
  EXPECT_EQ(world.Open().code(), Code::kInvalidArgument);
}

TEST(Open, ANewerRecordIsRefused) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  std::string record = world.fs->Content(kRecordPath);
  record[11] = 2;  // the last byte of its version
  record[record.size() / 2 + 11] = 2;
  world.fs->SetContent(kRecordPath, record);
  const std::map<std::string, std::string> before = world.fs->Everything();
  const Status refused = world.Open();
  EXPECT_EQ(refused.code(), Code::kVersionMismatch);
  EXPECT_NE(refused.message().find("format version 2"), std::string::npos);
  EXPECT_EQ(world.fs->Everything(), before);
}

TEST(Open, AFolderOfTheFormatBeforeIsRefusedWithTheWayToCarryItOver) {
  for (const std::uint32_t version : {1, 3}) {
    StoreWorld world;
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.CloseCleanly().ok());
    storage::LogDbOptions log;
    log.folder = "/data/n1/log";
    log.env = world.env.get();
    auto handles = storage::OpenLogHandles(log, {});
    ASSERT_TRUE(handles.ok());
    // Into a table: what stands in the write-ahead log has to be numbered.
    rocksdb::WriteOptions unlogged;
    unlogged.disableWAL = true;
    ASSERT_TRUE((*handles)
                    ->db()
                    .Put(unlogged, (*handles)->state(), std::string(storage::kFormatVersionKey),
                         storage::EncodeFormatVersion(version))
                    .ok());
    ASSERT_TRUE((*handles)->db().Flush({}, (*handles)->state()).ok());
    ASSERT_TRUE((*handles)->Close().ok());
    const Status refused = world.Open();
    EXPECT_EQ(refused.code(), Code::kVersionMismatch) << refused.ToString();
    const bool says_how = refused.message().find("snapshot restore") != std::string::npos;
    EXPECT_EQ(says_how, version == 1) << refused.message();
  }
}

TEST(Open, OneCopyOfTheRecordIsEnough) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::string record = world.fs->Content(kRecordPath);
  const Result<storage::Record> original = storage::DecodeRecord(record);
  ASSERT_TRUE(original.ok());
  const std::size_t copy = record.size() / 2;
  for (std::size_t at = 0; at < record.size(); ++at) {
    std::string damaged = record;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x04);
    const Result<storage::Record> decoded = storage::DecodeRecord(damaged);
    ASSERT_TRUE(decoded.ok()) << at << " " << decoded.status().ToString();
    EXPECT_EQ(*decoded, *original) << at;
    if (at >= copy) continue;
    damaged[at + copy] = static_cast<char>(damaged[at + copy] ^ 0x04);
    world.fs->SetContent(kRecordPath, damaged);
    const Status refused = world.Open();
    // A version that nobody knows is not told from a newer one.
    EXPECT_TRUE(refused.code() == Code::kCorruption || refused.code() == Code::kVersionMismatch)
        << at << " " << refused.ToString();
  }
}

TEST(Open, ARecordThatIsCutShortIsReadFromItsFirstCopy) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::string record = world.fs->Content(kRecordPath);
  for (std::size_t size = 0; size < record.size(); ++size) {
    const Result<storage::Record> decoded = storage::DecodeRecord(record.substr(0, size));
    EXPECT_EQ(decoded.ok(), size >= record.size() / 2) << size;
  }
}

TEST(Open, WithoutANameOrAFolderItSaysSo) {
  StoreWorld world;
  world.options.name = "";
  EXPECT_EQ(world.Open().code(), Code::kInvalidArgument);
  world.options.name = "n1";
  world.options.dir = "";
  EXPECT_EQ(world.Open().code(), Code::kInvalidArgument);
}

TEST(Open, UnreferencedKvFoldersGoButForTheLastThatWasReceived) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  for (const std::string folder : {"/data/n1/kv-7", "/data/n1/kv-8"}) {
    ASSERT_TRUE(world.env->CreateDir(folder).ok());
    world.fs->SetContent(folder + "/000001.sst", "left over");
  }
  ASSERT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.env->FileExists("/data/n1/kv-7").IsNotFound());
  EXPECT_TRUE(world.env->FileExists("/data/n1/kv-8").ok()) << "a snapshot that was under way";
  EXPECT_TRUE(world.env->FileExists("/data/n1/kv-1").ok());
}

TEST(Open, RocksdbSpeaksThroughTheSinkOnly) {
  StoreWorld world;
  std::mutex mutex;
  int lines = 0;
  world.options.log_sink = [&](node::LogSeverity, const std::string& line) {
    const std::lock_guard lock(mutex);
    ++lines;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  };
  ASSERT_TRUE(world.Open().ok());
  for (const char* folder : {"/data/n1/log", "/data/n1/kv-1"}) {
    const std::vector<std::string> names = world.fs->List(folder);
    EXPECT_EQ(std::count(names.begin(), names.end(), "LOG"), 0) << folder;
  }
  world.Drop();
  EXPECT_GT(lines, 10);
}

// On the real file system, with relative parents that do not exist and the real boot id.
TEST(Open, WorksOnARealDisk) {
  const std::filesystem::path base =
      std::filesystem::temp_directory_path() / ("raftkv-open-test-" + std::to_string(::getpid()));
  TestLoop loop;
  storage::StoreOptions options;
  options.dir = (base / "a" / "b").string() + "/";
  options.name = "n1";
  options.executor = loop.executor();
  for (std::uint64_t boot = 1; boot <= 2; ++boot) {
    Result<std::unique_ptr<storage::Store>> store = storage::Open(options);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    EXPECT_EQ((*store)->birth().boot.counter, boot);
    Result<std::unique_ptr<storage::Store>> second = storage::Open(options);
    EXPECT_EQ(second.code(), Code::kUnavailable) << second.status().ToString();
    EXPECT_TRUE((*store)->Close().ok());
  }
  std::filesystem::remove_all(base);
}

}  // namespace
}  // namespace raftkv::test
