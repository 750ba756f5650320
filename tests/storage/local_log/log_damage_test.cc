// Does a damaged raftkv::Log ever give wrong data? Every file is flipped at many places and cut to
// many lengths; the log is refused, or says Corruption, or has what was written.
#include <gtest/gtest.h>

#include "storage/log/wal_scan.h"
#include "tests/storage/local_log/log_world.h"

namespace raftkv::test {
namespace {

constexpr int kEntries = 300;
constexpr std::uint64_t kCut = 40;

/// A log in files and in the write-ahead log, with its beginning cut off, as a kill leaves it.
std::shared_ptr<CrashFs> MakeDisk(bool clean) {
  LogWorld world;
  world.options.write_buffer_bytes = 64 << 10;
  EXPECT_TRUE(world.Open().ok());
  for (int i = 0; i < kEntries; i += 3) {
    EXPECT_TRUE(world.log->AppendBatch(EntryTexts(i + 1, 3, 600)).ok());
  }
  EXPECT_TRUE(world.log->TrimPrefix(kCut).ok());
  std::shared_ptr<CrashFs> killed = world.CopyAsKilled();
  if (!clean) return killed;
  EXPECT_TRUE(world.log->Close().ok());
  return world.fs->Copy();
}

struct Outcome {
  bool whole = false;  ///< opened, with all of it
  bool told = false;   ///< refused, or read up to the damage and told of it there
  std::string wrong;
};

Outcome OpenDamaged(const CrashFs& disk, const std::string& path, const std::string& content) {
  LogWorld world(disk.Copy());
  world.options.write_buffer_bytes = 64 << 10;
  world.fs->SetContent(path, content);
  Outcome outcome;
  if (const Status opened = world.Open(); !opened.ok()) {
    outcome.told = true;
    return outcome;
  }
  const auto it = world.log->Iterate(kCut + 1);
  for (std::uint64_t index = kCut + 1;; ++index) {
    const Result<LogEntry> entry = it->Next();
    if (entry.code() == Code::kCorruption) {
      outcome.told = true;
      return outcome;
    }
    if (entry.code() == Code::kNotFound) {
      outcome.whole = index == kEntries + 1;
      if (!outcome.whole) outcome.wrong = "it ends before entry " + std::to_string(index);
      return outcome;
    }
    if (!entry.ok() || entry->index != index || entry->data != EntryText(index, 600)) {
      outcome.wrong = "entry " + std::to_string(index) + " " + entry.status().ToString();
      return outcome;
    }
  }
}

/// The files that hold the log: not RocksDB's own options, and none that is empty.
std::vector<std::string> FilesOf(const CrashFs& disk) {
  std::vector<std::string> files = {"/data/log/record"};
  for (const std::string& name : disk.List("/data/log/log")) {
    const std::string path = "/data/log/log/" + name;
    if (!name.starts_with("OPTIONS") && !disk.Content(path).empty()) files.push_back(path);
  }
  return files;
}

TEST(LogDamage, AFlippedByteAnywhereNeverGivesWrongData) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean=*/false);
  int told = 0;
  const std::vector<std::string> files = FilesOf(*disk);
  ASSERT_GT(files.size(), 4u);
  for (const std::string& path : files) {
    const std::string content = disk->Content(path);
    const std::size_t step = std::max<std::size_t>(content.size() / 60, 1);
    for (std::size_t at = 0; at < content.size(); at += step) {
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ (at % 2 == 0 ? 0x01 : 0x80));
      const Outcome outcome = OpenDamaged(*disk, path, damaged);
      EXPECT_EQ(outcome.wrong, "") << path << " at " << at;
      if (outcome.told) ++told;
    }
  }
  RecordProperty("told", told);
  EXPECT_GT(told, 100);
}

TEST(LogDamage, AfterACleanCloseNoFileMayBeShort) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean=*/true);
  for (const std::string& path : FilesOf(*disk)) {
    const std::string content = disk->Content(path);
    const std::size_t step = std::max<std::size_t>(content.size() / 25, 1);
    for (std::size_t size = 0; size < content.size(); size += step) {
      const Outcome outcome = OpenDamaged(*disk, path, content.substr(0, size));
      EXPECT_EQ(outcome.wrong, "") << path << " cut to " << size;
    }
  }
}

TEST(LogDamage, AMissingFileIsNoticed) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean=*/true);
  for (const std::string& path : FilesOf(*disk)) {
    if (path.ends_with("record")) continue;
    LogWorld world(disk->Copy());
    ASSERT_TRUE(world.env->DeleteFile(path).ok());
    const Status opened = world.Open();
    if (opened.ok()) {
      ASSERT_TRUE(world.All().ok()) << path;
      EXPECT_EQ(world.All()->size(), kEntries - kCut) << path;
    }
  }
}

TEST(LogDamage, TheMessageSaysWhatToDoWithALogOfItsOwn) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean=*/true);
  LogWorld world(disk);
  for (const std::string& name : disk->List("/data/log/log")) {
    if (name.ends_with(".log")) {
      ASSERT_TRUE(world.env->DeleteFile("/data/log/log/" + name).ok());
    }
  }
  const Status opened = world.Open();
  EXPECT_EQ(opened.code(), Code::kCorruption) << opened.ToString();
  EXPECT_NE(opened.message().find("restore this folder from a copy"), std::string::npos)
      << opened.message();
}

}  // namespace
}  // namespace raftkv::test
