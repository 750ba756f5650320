// Is a record of the write-ahead log read as RocksDB wrote it, and is one refused that the log
// never wrote, before RocksDB can see it?
#include "storage/log/wal_batch.h"

#include <string>

#include <gtest/gtest.h>
#include <rocksdb/write_batch.h>

#include "storage/disk/crc32c.h"
#include "storage/log/wal_scan.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

using storage::BatchMark;
using storage::DecodeWalBatch;

constexpr BatchMark kMark{.number = 7, .last_index = Index(40)};
constexpr std::uint64_t kMaxSequence = (std::uint64_t{1} << 56) - 1;

std::string LittleEndian(std::uint64_t number, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
  return out;
}

std::string Text(const std::string& bytes) {
  return std::string(1, static_cast<char>(bytes.size())) + bytes;
}

std::string MarkPut(const BatchMark& mark, char family) {
  return std::string({5, family}) + Text(std::string(storage::kBatchKey)) +
         Text(storage::EncodeBatchMark(mark));
}

std::string RecordOf(std::uint64_t sequence, std::uint32_t count, const std::string& operations) {
  return LittleEndian(sequence, 8) + LittleEndian(count, 4) + operations;
}

/// With the mark in front.
std::string RecordWith(std::uint32_t count, const std::string& operations) {
  return RecordOf(100, count, MarkPut(kMark, 2) + operations);
}

Code CodeOf(const std::string& record) { return DecodeWalBatch(record).code(); }

TEST(WalBatch, WhatTheLogWritesIsRead) {
  const std::string operations = std::string({5, 1}) + Text("k") + Text("v") + std::string({4, 2}) +
                                 Text("k") + std::string({14, 1}) + Text("k") + Text("l");
  const auto batch = DecodeWalBatch(RecordWith(4, operations));
  ASSERT_TRUE(batch.ok()) << batch.status().ToString();
  EXPECT_EQ(batch->mark, kMark);
  EXPECT_EQ(batch->first_sequence, 100U);
  EXPECT_EQ(batch->last_sequence, 103U);
  EXPECT_EQ(storage::BatchMarkOf(RecordWith(4, operations)), kMark);
}

TEST(WalBatch, RocksdbsOwnEmptyOneHasNoMark) {
  const rocksdb::WriteBatch empty;
  const auto batch = DecodeWalBatch(empty.Data());
  ASSERT_TRUE(batch.ok()) << batch.status().ToString();
  EXPECT_FALSE(batch->mark.has_value());
  EXPECT_FALSE(storage::BatchMarkOf(empty.Data()).has_value());
}

TEST(WalBatch, OnlyTheOperationsOfTheLogAreTaken) {
  for (int tag = 0; tag < 256; ++tag) {
    const bool known = tag == 4 || tag == 5 || tag == 14;
    bool taken = false;
    // With whatever may stand behind a tag.
    for (const char* const rest : {"", "k", "kv"}) {
      std::string operation(1, static_cast<char>(tag));
      operation += '\1';
      for (const char* c = rest; *c != '\0'; ++c) operation += Text(std::string(1, *c));
      taken = taken || CodeOf(RecordWith(2, operation)) == Code::kOk;
    }
    EXPECT_EQ(taken, known) << tag;
  }
}

TEST(WalBatch, APartOfOneIsRefused) {
  const std::string record = RecordWith(2, std::string({5, 1}) + Text("key") + Text("value"));
  ASSERT_EQ(CodeOf(record), Code::kOk);
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_EQ(CodeOf(record.substr(0, size)), Code::kCorruption) << size;
  }
  EXPECT_EQ(CodeOf(record + '\5'), Code::kCorruption);
}

TEST(WalBatch, ItsNumbersHaveToBeRight) {
  EXPECT_EQ(CodeOf(RecordOf(1, 1, MarkPut(kMark, 2))), Code::kOk);
  EXPECT_EQ(CodeOf(RecordOf(1, 0, MarkPut(kMark, 2))), Code::kCorruption);
  EXPECT_EQ(CodeOf(RecordOf(1, 2, MarkPut(kMark, 2))), Code::kCorruption);
  EXPECT_EQ(CodeOf(RecordOf(1, 1, "")), Code::kCorruption);
  EXPECT_EQ(CodeOf(RecordOf(kMaxSequence - 1, 1, MarkPut(kMark, 2))), Code::kOk);
  EXPECT_EQ(CodeOf(RecordOf(kMaxSequence, 1, MarkPut(kMark, 2))), Code::kCorruption);
  EXPECT_EQ(CodeOf(RecordOf(~0ULL, 1, MarkPut(kMark, 2))), Code::kCorruption);
  const std::string huge_length = std::string({5, 1}) + "\xff\xff\xff\xff\x0f" + "key";
  EXPECT_EQ(CodeOf(RecordWith(2, huge_length)), Code::kCorruption);
  const std::string endless_length = std::string({5, 1}) + std::string(12, '\xff');
  EXPECT_EQ(CodeOf(RecordWith(2, endless_length)), Code::kCorruption);
}

TEST(WalBatch, TheFirstOperationIsTheMark) {
  const std::string put = std::string({5, 1}) + Text("k") + Text("v");
  EXPECT_EQ(CodeOf(RecordOf(1, 1, put)), Code::kCorruption);
  EXPECT_EQ(CodeOf(RecordOf(1, 2, put + MarkPut(kMark, 2))), Code::kCorruption);
  const std::string damaged = std::string({5, 2}) + Text("batch") + Text("7");
  EXPECT_EQ(CodeOf(RecordOf(1, 1, damaged)), Code::kCorruption);
  EXPECT_FALSE(storage::BatchMarkOf(RecordOf(1, 1, damaged)).has_value());
}

/// In a fragment, as it stands in a write-ahead log.
std::string FragmentOf(const std::string& record) {
  const std::string checked = '\1' + record;
  return LittleEndian(storage::MaskedCrc32c(checked), 4) + LittleEndian(record.size(), 2) + checked;
}

/// A member's disk with a small log, and what has to be known to add a record to it.
struct LogOnDisk {
  std::shared_ptr<CrashFs> fs;
  std::string path;
  std::string content;
  std::uint64_t last_batch = 0;
  char state_family = 0;
};

constexpr std::uint64_t kLastIndex = 7;

LogOnDisk MakeLog() {
  constexpr char kFolder[] = "/data/n1/log/";
  StoreWorld world;
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.Form().ok());
  for (std::uint64_t first = 2; first < kLastIndex; first += 3) {
    EXPECT_TRUE(world.WriteEntries(Index(first), Term(1), 3).ok());
  }
  world.Drop();
  LogOnDisk log;
  log.fs = world.fs->Copy();
  for (const std::string& name : log.fs->List("/data/n1/log")) {
    if (!name.ends_with(".log") || log.fs->Content(kFolder + name).empty()) continue;
    log.path = kFolder + name;
    log.content = log.fs->Content(log.path);
  }
  const storage::WalScan scan = storage::ScanWal({{"wal", log.content}});
  EXPECT_EQ(scan.state, storage::WalState::kWhole) << scan.where;
  log.last_batch = scan.last_batch;
  // The first operation of the first record: behind both headers and the tag.
  constexpr std::size_t kFamilyAt = 7 + 12 + 1;
  if (log.content.size() > kFamilyAt) log.state_family = log.content[kFamilyAt];
  return log;
}

Status OpenWith(const LogOnDisk& log, const std::string& record, const std::string& boot) {
  StoreWorld world(log.fs->Copy());
  world.fs->SetContent(log.path, log.content + FragmentOf(record));
  world.options.machine_boot = boot;
  const Status opened = world.Open();
  const Index last = opened.ok() ? world.store->birth().raft.last_index : Index(kLastIndex);
  EXPECT_EQ(last, Index(kLastIndex));
  return opened;
}

// RocksDB would end the process at each of them.
TEST(WalBatch, ARecordThatTheLogNeverWroteIsDamage) {
  const LogOnDisk log = MakeLog();
  ASSERT_NE(log.last_batch, 0U);
  const std::string put =
      MarkPut({.number = log.last_batch + 1, .last_index = Index(kLastIndex)}, log.state_family);
  constexpr std::uint64_t kLater = 1 << 20;
  const std::string begin_prepare(1, '\x09');
  const std::string unnamed_entity({'\x15', '\0', '\3', 'x', 'y', 'z', '\0'});
  for (const char* const boot : {"boot-1", "boot-2"}) {
    const Status control = OpenWith(log, RecordOf(kLater, 1, put), boot);
    EXPECT_TRUE(control.ok()) << control.ToString();
    for (const std::string& record :
         {RecordOf(kLater, 1, begin_prepare), RecordOf(kLater, 2, put + begin_prepare),
          RecordOf(kLater, 1, put + begin_prepare), RecordOf(kLater, 0, begin_prepare),
          RecordOf(kLater, 2, put + unnamed_entity), RecordOf(~0ULL, 1, put),
          RecordOf(kMaxSequence + 1, 1, put), RecordOf(0, 1, put), RecordOf(1, 1, put)}) {
      const Status opened = OpenWith(log, record, boot);
      EXPECT_EQ(opened.code(), Code::kCorruption) << opened.ToString();
      EXPECT_NE(opened.message().find("a record "), std::string::npos) << opened.ToString();
    }
  }
}

}  // namespace
}  // namespace raftkv::test
