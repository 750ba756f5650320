// Is a torn tail told from damage? (known bug 26) A synced write-ahead log is cut at each length
// and damaged at many places; whatever was acknowledged is there after the open, or it is refused.
#include <algorithm>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "storage/disk/log_file.h"
#include "storage/folder/record.h"
#include "storage/log/wal_scan.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/faults/fault_fs.h"
#include "tests/support/process/key_files.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

constexpr char kLogFolder[] = "/data/n1/log";
constexpr std::uint64_t kLastIndex = 40;
/// The record does not follow the log by itself.
constexpr Duration kNever = std::chrono::hours(24);

/// The only live write-ahead log: the one with content.
std::string WalPath(const CrashFs& fs) {
  std::string path;
  for (const std::string& name : fs.List(kLogFolder)) {
    if (name.ends_with(".log") && !fs.Content(kLogFolder + ("/" + name)).empty()) {
      path = kLogFolder + ("/" + name);
    }
  }
  return path;
}

/// A member with entries 1..40 in batches of a few, as a crash left it.
std::shared_ptr<CrashFs> MakeDisk(bool clean_close, std::size_t payload_bytes,
                                  const std::string& key_file = "") {
  StoreWorld world;
  world.options.encryption_key_file = key_file;
  world.options.record_idle = kNever;
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.Form().ok());
  // The record of this is written beside what follows, and must not tell of that.
  EXPECT_TRUE(WaitFor(std::chrono::seconds(30), [&] {
    const std::string content = world.fs->Content("/data/n1/record");
    if (!key_file.empty()) return true;
    const Result<storage::Record> record = storage::DecodeRecord(content);
    return record.ok() && record->term == Term(1);
  }));
  for (std::uint64_t first = 2; first <= kLastIndex; first += 3) {
    EXPECT_TRUE(world.WriteEntries(Index(first), Term(1), 3, payload_bytes).ok());
  }
  if (clean_close) {
    EXPECT_TRUE(world.CloseCleanly().ok());
  } else {
    world.Drop();
  }
  return world.fs->Copy();
}

struct Opened {
  Status status;
  std::uint64_t last_index = 0;
};

Opened OpenWith(const CrashFs& original, const std::string& wal, const std::string& content,
                const std::string& machine_boot, const std::string& key_file = "") {
  StoreWorld world(original.Copy());
  world.fs->SetContent(wal, content);
  world.options.machine_boot = machine_boot;
  world.options.encryption_key_file = key_file;
  Opened opened;
  opened.status = world.Open();
  if (!opened.status.ok()) return opened;
  opened.last_index = world.store->birth().raft.last_index.value;
  // What is there is a prefix, unharmed.
  if (opened.last_index > 1) {
    Result<std::vector<raft::Entry>> read = world.Read(Index(2), Index(opened.last_index), 1 << 30);
    EXPECT_TRUE(read.ok());
    const int count = static_cast<int>(opened.last_index) - 1;
    EXPECT_EQ(*read, MakeEntries(Index(2), Term(1), count, (*read)[0].payload.size()));
  }
  return opened;
}

/// Where the batches of the log begin, and its end.
std::vector<std::size_t> BatchEnds(const std::string& content) {
  std::vector<std::size_t> ends;
  std::uint64_t last = 0;
  for (std::size_t size = 1; size <= content.size(); ++size) {
    const storage::WalScan scan = storage::ScanWal({{"wal", content.substr(0, size)}});
    if (scan.state == storage::WalState::kWhole && scan.last_batch != last) {
      last = scan.last_batch;
      ends.push_back(size);
    }
  }
  return ends;
}

TEST(TornTail, ACutLogOpensWithAPrefixOfWholeBatches) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 20);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  const std::vector<std::size_t> ends = BatchEnds(content);
  ASSERT_GE(ends.size(), 14u);
  int opened_count = 0;
  for (std::size_t size = 0; size < content.size(); size += 7) {
    const Opened opened = OpenWith(*disk, wal, content.substr(0, size), "boot-1");
    if (!opened.status.ok()) {
      EXPECT_EQ(opened.status.code(), Code::kCorruption) << opened.status.ToString();
      continue;
    }
    ++opened_count;
    // Formation and boot are batches as well; each further whole batch has three entries.
    const auto whole = std::upper_bound(ends.begin(), ends.end(), size) - ends.begin();
    EXPECT_EQ(opened.last_index, 1 + 3 * static_cast<std::uint64_t>(whole - 2)) << size;
  }
  EXPECT_GT(opened_count, 50);
}

TEST(TornTail, AfterACleanCloseNothingMayBeMissing) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(true, 20);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  EXPECT_EQ(OpenWith(*disk, wal, content, "boot-1").last_index, kLastIndex);
  EXPECT_EQ(OpenWith(*disk, wal, content, "boot-2").last_index, kLastIndex);
  for (std::size_t size = 0; size < content.size(); size += 11) {
    for (const char* boot : {"boot-1", "boot-2"}) {
      const Opened opened = OpenWith(*disk, wal, content.substr(0, size), boot);
      EXPECT_EQ(opened.status.code(), Code::kCorruption) << size << " " << boot;
    }
  }
}

TEST(TornTail, AFlippedByteIsRefusedWhileTheMachineRuns) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 20);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  for (std::size_t at = 0; at < content.size(); at += 5) {
    for (const int mask : {0x01, 0x80}) {
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      const Opened opened = OpenWith(*disk, wal, damaged, "boot-1");
      EXPECT_EQ(opened.status.code(), Code::kCorruption) << at << " " << mask;
      EXPECT_NE(opened.status.message().find("damaged"), std::string::npos);
    }
  }
}

/// A lone member whose last write failed as `fault` says, and what it had acknowledged.
struct FailedWrite {
  std::shared_ptr<CrashFs> disk;
  std::uint64_t acknowledged = 0;
};

FailedWrite MakeFailedWrite(FaultFs::Fault fault) {
  StoreWorld world;
  const auto fs = std::make_shared<FaultFs>(world.fs);
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(fs);
  world.options.env = env.get();
  world.options.record_idle = kNever;
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.Form().ok());
  EXPECT_TRUE(world.WriteEntries(Index(2), Term(1), 3).ok());
  EXPECT_TRUE(world.WriteEntries(Index(5), Term(1), 3).ok());
  fs->Arm(fault, 1);
  EXPECT_FALSE(world.WriteEntries(Index(8), Term(1), 3).ok());
  world.Drop();
  return {world.fs->Copy(), 7};
}

TEST(TornTail, AfterAFailedSyncOfThisBootTheTailThatNobodyWasToldOfIsCutOff) {
  const FailedWrite failed = MakeFailedWrite(FaultFs::Fault::kSyncError);
  const std::string wal = WalPath(*failed.disk);
  const std::string content = failed.disk->Content(wal);
  const std::vector<std::size_t> ends = BatchEnds(content);
  ASSERT_GE(ends.size(), 3u);
  const std::size_t last_batch_at = ends[ends.size() - 2];
  for (std::size_t at = last_batch_at; at < content.size(); ++at) {
    std::string torn = content;
    torn[at] = static_cast<char>(torn[at] ^ 0x10);
    const Opened opened = OpenWith(*failed.disk, wal, torn, "boot-1");
    ASSERT_TRUE(opened.status.ok()) << at << ": " << opened.status.ToString();
    EXPECT_EQ(opened.last_index, failed.acknowledged) << at;
  }
}

TEST(TornTail, AfterAFailedSyncEachAcknowledgedBatchIsStillGuarded) {
  const FailedWrite failed = MakeFailedWrite(FaultFs::Fault::kSyncError);
  const std::string wal = WalPath(*failed.disk);
  const std::string content = failed.disk->Content(wal);
  const std::vector<std::size_t> ends = BatchEnds(content);
  const std::size_t last_batch_at = ends[ends.size() - 2];
  for (const char* boot : {"boot-1", "boot-2"}) {
    for (std::size_t at = 0; at < last_batch_at; at += 3) {
      // The batch that failed may be there, or not at all.
      for (const std::size_t size : {content.size(), last_batch_at}) {
        std::string damaged = content.substr(0, size);
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        const Opened opened = OpenWith(*failed.disk, wal, damaged, boot);
        EXPECT_EQ(opened.status.code(), Code::kCorruption) << at << " " << size << " " << boot;
      }
    }
  }
}

TEST(TornTail, AfterAFailedWriteTheMemberOpensWithAllThatWasAcknowledged) {
  const FailedWrite failed = MakeFailedWrite(FaultFs::Fault::kWriteError);
  const std::string wal = WalPath(*failed.disk);
  const std::string content = failed.disk->Content(wal);
  for (const std::string& tail : {std::string(), std::string(100, '\0'), std::string(100, 'x')}) {
    const Opened opened = OpenWith(*failed.disk, wal, content + tail, "boot-1");
    ASSERT_TRUE(opened.status.ok()) << opened.status.ToString();
    EXPECT_EQ(opened.last_index, failed.acknowledged);
  }
}

/// `content` without what a power cut could have kept from the disk: from `at` to the end of the
/// sector.
std::string LoseSector(std::string content, std::size_t at) {
  constexpr std::size_t kSector = 512;
  const std::size_t end = std::min((at / kSector + 1) * kSector, content.size());
  std::fill(content.begin() + static_cast<std::ptrdiff_t>(at),
            content.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  return content;
}

TEST(TornTail, AfterARebootOnlyTheLastBatchMayLackASector) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 200);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  const std::vector<std::size_t> ends = BatchEnds(content);
  const std::size_t last_batch_at = ends[ends.size() - 2];
  std::vector<std::size_t> places(ends.begin(), ends.end() - 1);
  for (std::size_t sector = 512; sector < content.size(); sector += 512) {
    // Not the one that it shares with the batch before it: no power cut takes what was there.
    const bool shared = sector < last_batch_at && last_batch_at < sector + 512;
    if (!shared) places.push_back(sector);
  }
  int cut = 0;
  for (const std::size_t at : places) {
    const Opened opened = OpenWith(*disk, wal, LoseSector(content, at), "boot-2");
    if (at < last_batch_at) {
      EXPECT_EQ(opened.status.code(), Code::kCorruption) << at << " of " << last_batch_at;
      continue;
    }
    ++cut;
    EXPECT_TRUE(opened.status.ok()) << at << " " << opened.status.ToString();
    EXPECT_EQ(opened.last_index, kLastIndex - 3);
  }
  EXPECT_GE(cut, 2);
}

// It may have been acknowledged, and the record does not tell: a power cut does not change bytes.
TEST(TornTail, AfterARebootAChangedByteIsDamageAlsoInTheLastBatch) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 200);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  const std::vector<std::size_t> ends = BatchEnds(content);
  const std::size_t last_batch_at = ends[ends.size() - 2];
  for (std::size_t at = 0; at < content.size(); at += at < last_batch_at ? 97 : 3) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ (at % 2 == 0 ? 0x10 : 0xff));
    const Opened opened = OpenWith(*disk, wal, damaged, "boot-2");
    ASSERT_EQ(opened.status.code(), Code::kCorruption) << at << " of " << content.size();
  }
}

// Zeros in the ciphertext are what was never written, not zeros in the plaintext.
TEST(TornTail, TheSameOfAnEncryptedLog) {
  const std::string key = KeyFile(1);
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 3000, key);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  for (std::size_t at = content.size() - 8500; at < content.size(); at += 97) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const Opened opened = OpenWith(*disk, wal, damaged, "boot-2", key);
    ASSERT_EQ(opened.status.code(), Code::kCorruption) << at << " of " << content.size();
  }
  for (std::size_t at = (content.size() / 512 - 15) * 512; at < content.size(); at += 512) {
    const Opened opened = OpenWith(*disk, wal, LoseSector(content, at), "boot-2", key);
    ASSERT_TRUE(opened.status.ok()) << at << ": " << opened.status.ToString();
    EXPECT_EQ(opened.last_index, kLastIndex - 3);
  }
}

// Nothing bears witness to the last batch but the record, which follows when the log is idle.
TEST(TornTail, OfAnIdleLogTheLastBatchIsGuardedAsAnyOther) {
  StoreWorld world;
  world.options.record_idle = std::chrono::milliseconds(1);
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  for (std::uint64_t first = 2; first <= 8; first += 3) {
    ASSERT_TRUE(world.WriteEntries(Index(first), Term(1), 3, 200).ok());
  }
  const std::string wal = WalPath(*world.fs);
  const std::string content = world.fs->Content(wal);
  const std::uint64_t last_batch = storage::ScanWal({{"wal", content}}).last_batch;
  ASSERT_TRUE(WaitFor(std::chrono::seconds(30), [&] {
    const Result<storage::Record> record =
        storage::DecodeRecord(world.fs->Content("/data/n1/record"));
    return record.ok() && record->batch_number == last_batch;
  }));
  world.Drop();
  const std::vector<std::size_t> ends = BatchEnds(content);
  const Opened opened =
      OpenWith(*world.fs, wal, LoseSector(content, ends[ends.size() - 2]), "boot-2");
  EXPECT_EQ(opened.status.code(), Code::kCorruption) << opened.status.ToString();
  EXPECT_NE(opened.status.message().find("was synced"), std::string::npos)
      << opened.status.message();
}

TEST(TornTail, AWriteThatWasCutOffLacksAWholeSectorOfItsOwn) {
  const std::string some(2000, 'x');
  const auto without = [&](std::size_t begin, std::size_t end) {
    std::string stored = some;
    std::fill(stored.begin() + static_cast<std::ptrdiff_t>(begin),
              stored.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    return stored;
  };
  EXPECT_FALSE(storage::LacksASector(some, 700, 1900));
  EXPECT_TRUE(storage::LacksASector(without(700, 1024), 700, 1900)) << "its part of the first";
  EXPECT_FALSE(storage::LacksASector(without(701, 1024), 700, 1900));
  EXPECT_TRUE(storage::LacksASector(without(1024, 1536), 700, 1900));
  EXPECT_FALSE(storage::LacksASector(without(1025, 1537), 700, 1900)) << "no sector is so";
  EXPECT_TRUE(storage::LacksASector(without(1536, 2000), 700, 1900)) << "its part of the last";
  EXPECT_FALSE(storage::LacksASector(without(1536, 1900), 700, 1900)) << "what follows is there";
  EXPECT_FALSE(storage::LacksASector(without(0, 700), 700, 1900)) << "not its own";
  EXPECT_FALSE(storage::LacksASector(some, 2000, 2100)) << "the file ends";
}

// Kinds 5 to 8 are those of recycled logs, which there are none of here. Where RocksDB is to skip
// what is broken, its reader stays at such a fragment for ever.
TEST(TornTail, AFragmentOfAKindThatIsNotWrittenIsBrokenAsAnyOther) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 20);
  const std::string wal = WalPath(*disk);
  const std::string record_path = "/data/n1/record";
  Result<storage::Record> record = storage::DecodeRecord(disk->Content(record_path));
  ASSERT_TRUE(record.ok());
  const std::shared_ptr<CrashFs> after_failure = disk->Copy();
  record->tail_may_be_torn = true;
  after_failure->SetContent(record_path, storage::EncodeRecord(*record));
  const std::string content = disk->Content(wal);
  std::vector<std::size_t> begins = BatchEnds(content);
  begins.pop_back();
  begins.insert(begins.begin(), 0);
  for (const std::size_t begin : begins) {
    for (int kind = 5; kind <= 9; ++kind) {
      std::string damaged = content;
      damaged[begin + 6] = static_cast<char>(kind);
      for (const char* boot : {"boot-1", "boot-2"}) {
        const Opened opened = OpenWith(*after_failure, wal, damaged, boot);
        EXPECT_EQ(opened.status.ok(), begin == begins.back()) << begin << " " << kind;
        EXPECT_EQ(OpenWith(*disk, wal, damaged, boot).status.code(), Code::kCorruption);
      }
    }
  }
}

// Write-back may lose any page of the batch that was not synced, with later pages intact.
TEST(TornTail, ALargeBatchWithAnyPageLostIsCutOffAfterAReboot) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 40000);
  const std::string wal = WalPath(*disk);
  const std::string content = disk->Content(wal);
  // Three entries of 40,000 bytes each are the last batch: it begins somewhere before this.
  const std::size_t inside = content.size() - 115000;
  for (std::size_t page = inside / 4096 + 1; (page + 1) * 4096 < content.size(); ++page) {
    std::string torn = content;
    std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(page * 4096), 4096, '\0');
    const Opened cut = OpenWith(*disk, wal, torn, "boot-2");
    ASSERT_TRUE(cut.status.ok()) << page << " " << cut.status.ToString();
    EXPECT_EQ(cut.last_index, kLastIndex - 3);
    EXPECT_EQ(OpenWith(*disk, wal, torn, "boot-1").status.code(), Code::kCorruption) << page;
  }
}

TEST(TornTail, ACutIsCarriedOutOnceAndTheMemberGoesOn) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 40000);
  const std::string wal = WalPath(*disk);
  std::string torn = disk->Content(wal);
  std::fill_n(torn.end() - 60000, 8192, '\0');
  StoreWorld world(disk->Copy());
  world.fs->SetContent(wal, torn);
  world.options.machine_boot = "boot-2";
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.WriteEntries(Index(kLastIndex - 2), Term(2), 5).ok());
  world.Drop();
  ASSERT_TRUE(world.Open().ok()) << "in the same boot now";
  EXPECT_EQ(world.store->birth().raft.last_index, Index(kLastIndex + 2));
}

// The next cut of the power may come while the last one's are dealt with.
TEST(TornTail, APowerCutWhileATailIsCutOffIsHarmless) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 5000);
  const std::string wal = WalPath(*disk);
  std::string torn = disk->Content(wal);
  std::fill_n(torn.end() - 9000, 8192, '\0');
  bool opened_whole = false;
  for (std::uint64_t at = 1; !opened_whole; ++at) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      StoreWorld world(disk->Copy());
      world.fs->SetContent(wal, torn);
      world.options.machine_boot = "boot-2";
      world.fs->CrashAt(at);
      opened_whole = world.Open().ok();
      world.fs->Crash();
      world.Drop();
      world.fs->Reboot(seed * 1000 + at);
      world.options.machine_boot = "boot-3";
      const Status opened = world.Open();
      ASSERT_TRUE(opened.ok()) << at << " " << seed << ": " << opened.ToString();
      ASSERT_EQ(world.store->birth().raft.last_index, Index(kLastIndex - 3));
    }
  }
}

TEST(TornTail, AMissingWriteAheadLogIsNoticed) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(true, 20);
  const std::string wal = WalPath(*disk);
  StoreWorld world(disk->Copy());
  ASSERT_TRUE(world.env->DeleteFile(wal).ok());
  const std::map<std::string, std::string> before = world.fs->Everything();
  EXPECT_EQ(world.Open().code(), Code::kCorruption);
  std::map<std::string, std::string> after = world.fs->Everything();
  EXPECT_EQ(before, after) << "a refusal changes nothing";
}

TEST(TornTail, ARecordAheadOfTheLogConvictsIt) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(false, 20);
  Result<storage::Record> record = storage::DecodeRecord(disk->Content("/data/n1/record"));
  ASSERT_TRUE(record.ok());
  const auto open_with = [&](const storage::Record& changed) {
    StoreWorld world(disk->Copy());
    world.fs->SetContent("/data/n1/record", storage::EncodeRecord(changed));
    return world.Open().code();
  };
  EXPECT_EQ(open_with(*record), Code::kOk);
  storage::Record changed = *record;
  changed.batch_number = 1000;
  EXPECT_EQ(open_with(changed), Code::kCorruption);
  changed = *record;
  changed.durable_index = Index(kLastIndex + 1);
  EXPECT_EQ(open_with(changed), Code::kCorruption);
  changed = *record;
  changed.term = Term(5);
  EXPECT_EQ(open_with(changed), Code::kCorruption);
  changed = *record;
  changed.vote = NodeId(8);
  EXPECT_EQ(open_with(changed), Code::kCorruption);
  changed = *record;
  ++changed.boot.counter;
  EXPECT_EQ(open_with(changed), Code::kCorruption);
  changed = *record;
  changed.member = NodeId(8);
  EXPECT_EQ(open_with(changed), Code::kCorruption);
}

}  // namespace
}  // namespace raftkv::test
