// Is a backup whole or refused, and is it the state of one moment?
#include <zstd.h>

#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "storage/backup/archive.h"
#include "storage/backup/archive_trailer.h"
#include "storage/backup/backup_manifest.h"
#include "storage/backup/backup_reader.h"
#include "storage/disk/files.h"
#include "tests/storage/backup/backup_world.h"

namespace raftkv::test {
namespace {

class TextSink final : public storage::ByteSink {
 public:
  Status Write(std::string_view bytes) override {
    text.append(bytes);
    return Status::Ok();
  }
  Status Finish() override { return Status::Ok(); }
  std::string text;
};

class TextSource final : public storage::ByteSource {
 public:
  explicit TextSource(std::string_view text) : left_(text) {}
  Result<std::size_t> Read(char* to, std::size_t size) override {
    const std::size_t read = left_.copy(to, size);
    left_.remove_prefix(read);
    return read;
  }

 private:
  std::string_view left_;
};

using Files = std::vector<std::pair<std::string, std::string>>;

std::string Archive(const Files& files) {
  TextSink sink;
  auto writer = storage::ArchiveWriter::Open(sink, 1'000'000);
  EXPECT_TRUE(writer.ok());
  for (const auto& [name, content] : files) {
    EXPECT_TRUE((*writer)->BeginFile(name, content.size()).ok());
    EXPECT_TRUE((*writer)->Write(content).ok());
  }
  EXPECT_TRUE((*writer)->Finish().ok());
  EXPECT_EQ((*writer)->bytes(), sink.text.size());
  return sink.text;
}

Result<Files> ReadArchive(std::string_view text) {
  TextSource source(text);
  auto reader = storage::ArchiveReader::Open(source);
  if (!reader.ok()) return reader.status();
  Files files;
  while (true) {
    const auto file = (*reader)->NextFile();
    if (!file.ok()) return file.status();
    if (!file->has_value()) return files;
    std::string content((*file)->size, '\0');
    for (std::size_t at = 0; at < content.size();) {
      const auto read = (*reader)->Read(content.data() + at, content.size() - at);
      if (!read.ok()) return read.status();
      if (*read == 0) return Status(Code::kCorruption, "short");
      at += *read;
    }
    files.emplace_back((*file)->name, content);
  }
}

TEST(Archive, WhatIsWrittenIsReadBack) {
  Random chance{1};
  std::string large;
  while (large.size() < 5'000'001) AppendBigEndian64(large, chance.Next());
  const Files files = {{"empty", ""}, {"kv/a", "hello"}, {"kv/large", large}, {"b", "x"}};
  const auto read = ReadArchive(Archive(files));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, files);
  EXPECT_TRUE(ReadArchive(Archive({})).ok());
}

// Each is taken into memory at once by whoever reads it.
TEST(Archive, IsFramesOfZstdOfBoundedSizeAndSmallerThanItsFiles) {
  const std::string text(5'000'001, 'x');
  const std::string whole = Archive({{"kv/a", "hello"}, {"kv/text", text}});
  EXPECT_LT(whole.size(), text.size() / 10);
  std::string tar;
  std::string_view left = whole;
  while (left.size() > storage::kTrailerBytes) {
    const std::size_t frame = ZSTD_findFrameCompressedSize(left.data(), left.size());
    ASSERT_EQ(ZSTD_isError(frame), 0U) << ZSTD_getErrorName(frame);
    const auto size = ZSTD_getFrameContentSize(left.data(), left.size());
    ASSERT_LE(size, 1U << 20);
    std::string content(size, '\0');
    ASSERT_EQ(ZSTD_decompress(content.data(), size, left.data(), frame), size);
    tar += content;
    left.remove_prefix(frame);
  }
  EXPECT_EQ(left.size(), storage::kTrailerBytes);
  EXPECT_EQ(tar.size() % 512, 0U);
  EXPECT_NE(tar.find("hello"), std::string::npos);
  EXPECT_NE(tar.find(text), std::string::npos);
}

TEST(Archive, CutOffAnywhereItIsRefused) {
  const std::string whole = Archive({{"kv/a", "hello"}, {"kv/b", std::string(3'000, 'x')}});
  ASSERT_TRUE(ReadArchive(whole).ok());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto read = ReadArchive(std::string_view(whole).substr(0, length));
    EXPECT_EQ(read.code(), Code::kCorruption) << length << ": " << read.status().ToString();
  }
  EXPECT_EQ(ReadArchive(whole + "x").code(), Code::kCorruption);
  EXPECT_EQ(ReadArchive(whole + whole).code(), Code::kCorruption);
}

TEST(Archive, WithAnyByteChangedItIsRefused) {
  const std::string whole = Archive({{"kv/a", "hello"}, {"kv/b", std::string(3'000, 'x')}});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80'}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      const Code code = ReadArchive(changed).code();
      // A changed version is none that this program knows.
      EXPECT_TRUE(code == Code::kCorruption || code == Code::kVersionMismatch) << at;
    }
  }
}

// It is read in many pieces; libarchive stops before the last ones.
TEST(Archive, ALargeOneIsRefusedAsWell) {
  Random chance{2};
  std::string large;
  while (large.size() < 3'000'000) AppendBigEndian64(large, chance.Next());
  const std::string whole = Archive({{"kv/large", large}});
  const auto refuse = [](const std::string& archive, std::size_t at) {
    const Code code = ReadArchive(archive).code();
    EXPECT_TRUE(code == Code::kCorruption || code == Code::kVersionMismatch) << at;
  };
  for (std::size_t back = 1; back < 200; ++back) {
    std::string changed = whole;
    changed[whole.size() - back] = static_cast<char>(changed[whole.size() - back] ^ 1);
    refuse(changed, whole.size() - back);
    refuse(whole.substr(0, whole.size() - back), whole.size() - back);
  }
  for (int i = 0; i < 100; ++i) {
    const std::size_t at = chance.Below(whole.size());
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 16);
    refuse(changed, at);
    refuse(whole.substr(0, at), at);
  }
}

TEST(Backup, HoldsTheStateOfOneMomentThoughWritesGoOn) {
  StoreWorld world;
  FillForBackup(world, 50);
  const auto hash = kv::HashContent(*world.store->engine());
  ASSERT_TRUE(hash.ok());
  const auto feed = BeginBackup(world);
  ASSERT_NE(feed, nullptr);
  ApplyAll(world, {RequestEntry(Index(53), 52, {kv::PutOp{"later", "x"}}),
                   RequestEntry(Index(54), 53, {kv::DeleteOp{kv::Range::Single("key7")}})});
  const auto written = storage::WriteBackup(*world.env, kBackupFile, *feed, "", {});
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  const auto read = storage::ReadBackupFile(*world.env, kBackupFile, "", nullptr, {});
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  for (const BackupInfo& info : {*written, *read}) {
    EXPECT_EQ(info.index, 52U);
    EXPECT_EQ(info.term, 2U);
    EXPECT_EQ(info.keys, 51U);
    EXPECT_EQ(info.content_hash, hash->hash);
    EXPECT_EQ(info.cluster_id, 77U);
    EXPECT_EQ(info.member, "n1");
    EXPECT_EQ(info.members.size(), 1U);
    EXPECT_EQ(info.file_bytes, world.fs->Content(kBackupFile).size());
  }
  EXPECT_EQ(written->backup_id, read->backup_id);
}

// A checkpoint that an earlier run left serves other members, but not a backup: it is old.
TEST(Backup, IsOfNowThoughASnapshotWasLeft) {
  StoreWorld world;
  FillForBackup(world, 5);
  auto left = world.MakeSnapshot();
  ASSERT_TRUE(left.ok());
  const auto after_a_kill = world.fs->Copy();
  StoreWorld again(after_a_kill);
  ASSERT_TRUE(again.Open().ok());
  std::vector<raft::Entry> entries = {RequestEntry(Index(8), 7, {kv::PutOp{"later", "x"}})};
  ApplyAll(again, entries);
  const auto feed = BeginBackup(again);
  ASSERT_NE(feed, nullptr);
  EXPECT_EQ(feed->head().index, Index(8));
}

TEST(Backup, LeavesNothingOfItsCheckpoint) {
  StoreWorld world;
  FillForBackup(world, 5);
  const auto folders = world.fs->List("/data/n1");
  auto feed = BeginBackup(world);
  ASSERT_NE(feed, nullptr);
  EXPECT_NE(world.fs->List("/data/n1"), folders);
  feed.reset();
  ASSERT_TRUE(world.CloseCleanly().ok());
  EXPECT_EQ(world.fs->List("/data/n1"), folders);
}

// The name is there with all of it, or not at all; an older file stays until then.
TEST(Backup, APowerCutLeavesTheOldFileOrTheNewOne) {
  StoreWorld world;
  FillForBackup(world, 5);
  const std::string old = "an older backup";
  for (std::uint64_t operation = 1;; ++operation) {
    auto feed = BeginBackup(world);
    ASSERT_NE(feed, nullptr);
    // On a disk of its own, so that the store lives on.
    auto disk = std::make_shared<CrashFs>(operation);
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
    ASSERT_TRUE(storage::MakeFolder(*env, "/backups").ok());
    disk->SetContent("/backups/b", old);
    disk->CrashAt(operation);
    const auto written = storage::WriteBackup(*env, "/backups/b", *feed, "", {});
    const bool crashed = disk->crashed();
    disk->Reboot(operation);
    const std::string content = disk->Content("/backups/b");
    const auto read = storage::ReadBackupFile(*env, "/backups/b", "", nullptr, {});
    EXPECT_TRUE(content == old || read.ok()) << operation << ": " << read.status().ToString();
    if (written.ok()) {
      EXPECT_TRUE(read.ok()) << operation;
    }
    if (!crashed) break;
    ASSERT_LT(operation, 1000U);
  }
}

TEST(Backup, StoppedByItsCallerItLeavesNothing) {
  StoreWorld world;
  FillForBackup(world, 5);
  const auto feed = BeginBackup(world);
  ASSERT_NE(feed, nullptr);
  const auto before = world.fs->List("/data");
  const auto written =
      storage::WriteBackup(*world.env, kBackupFile, *feed, "",
                           [](const BackupProgress& p) { return p.done_bytes == 0; });
  EXPECT_EQ(written.code(), Code::kCancelled);
  EXPECT_EQ(world.fs->List("/data"), before);
}

/// The files of a good backup, to make bad ones of.
class HostileBackup : public testing::Test {
 protected:
  HostileBackup() {
    MakeSmallBackup(world_);
    auto files = ReadArchive(world_.fs->Content(kBackupFile));
    EXPECT_TRUE(files.ok()) << files.status().ToString();
    if (files.ok()) files_ = *files;
    manifest_ = files_.empty() ? "" : files_.front().second;
  }
  Status Read(const Files& files) {
    world_.fs->SetContent("/data/hostile", Archive(files));
    return storage::ReadBackupFile(*world_.env, "/data/hostile", "", nullptr, {}).status();
  }
  Status ReadWith(const std::string& from, const std::string& to) {
    Files files = files_;
    const std::size_t at = manifest_.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    files.front().second = std::string(manifest_).replace(at, from.size(), to);
    return Read(files);
  }

  StoreWorld world_;
  Files files_;
  std::string manifest_;
};

TEST_F(HostileBackup, NamesThatLeadElsewhereAreRefused) {
  ASSERT_TRUE(Read(files_).ok());
  const std::string name = "\"CURRENT\"";
  for (const std::string bad : {"\"../CURRENT\"", "\"/etc/x\"", "\"a/b\"", "\"..\"", "\".hidden\"",
                                "\"\"", "\"a\\u0000b\"", "7"}) {
    EXPECT_EQ(ReadWith(name, bad).code(), Code::kCorruption) << bad;
  }
  EXPECT_EQ(ReadWith(name, "\"" + files_.at(1).first.substr(3) + "\"").code(), Code::kCorruption)
      << "a name twice";
}

TEST_F(HostileBackup, ManifestsThatMakeNoSenseAreRefused) {
  EXPECT_EQ(ReadWith("\"version\": 2", "\"version\": 3").code(), Code::kVersionMismatch);
  EXPECT_EQ(ReadWith("\"version\": 2", "\"version\": 1").code(), Code::kOk) << "it can be restored";
  EXPECT_EQ(ReadWith("\"version\": 2", "\"version\": -1").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("\"raftkv backup\"", "\"a backup\"").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("\"size\": ", "\"size\": 9").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("\"size\": ", "\"size\": 99999999999999").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("\"xxh3\": ", "\"xxh3\": 1").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("\"index\"", "\"no index\"").code(), Code::kCorruption);
  EXPECT_EQ(ReadWith("{", std::string(100'000, '[')).code(), Code::kCorruption);
}

TEST_F(HostileBackup, FilesThatAreNotItsOwnAreRefused) {
  Files more = files_;
  more.emplace_back("kv/more", "x");
  EXPECT_EQ(Read(more).code(), Code::kCorruption);
  Files less = files_;
  less.pop_back();
  EXPECT_EQ(Read(less).code(), Code::kCorruption) << "its content is missing";
  Files other = files_;
  std::swap(other.at(1), other.at(2));
  EXPECT_EQ(Read(other).code(), Code::kCorruption);
  EXPECT_EQ(Read({}).code(), Code::kCorruption);
  EXPECT_EQ(Read({{"README", "hello"}}).code(), Code::kCorruption);
  const Status two_lines = Read({{"a\nb\x1b[2J", "hello"}});
  EXPECT_EQ(two_lines.code(), Code::kCorruption);
  EXPECT_NE(two_lines.message().find(R"('a\x0ab\x1b[2J')"), std::string::npos)
      << two_lines.message();
  // What ordinary tools write has no trailer.
  const std::string whole = Archive(files_);
  world_.fs->SetContent("/data/hostile", whole.substr(0, whole.size() - storage::kTrailerBytes));
  EXPECT_EQ(storage::ReadBackupFile(*world_.env, "/data/hostile", "", nullptr, {}).code(),
            Code::kCorruption);
  EXPECT_EQ(storage::ReadBackupFile(*world_.env, "/data/none", "", nullptr, {}).code(),
            Code::kIOError);
  EXPECT_EQ(storage::ReadBackupFile(*world_.env, "/data", "", nullptr, {}).code(), Code::kIOError);
}

}  // namespace
}  // namespace raftkv::test
