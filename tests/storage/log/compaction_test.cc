// Does the log stay small, does its space come back, and is nothing lost when it is cut?
// (known bug 21)
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "lib/kv/request.h"
#include "lib/kv/revisions.h"
#include "storage/log/log_sizes.h"
#include "storage/snapshot/snapshots.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

TEST(LogSizes, KnowsWhereTheLogWouldHaveToBegin) {
  storage::LogSizes sizes;
  for (std::uint64_t i = 1; i <= 100; ++i) sizes.Append(Index(i), 100'000);
  EXPECT_EQ(sizes.total(), 10'000'000U);
  EXPECT_EQ(sizes.Beyond(10'000'000), Index());
  EXPECT_EQ(sizes.Beyond(9'999'999), Index(1));
  EXPECT_EQ(sizes.Beyond(1'000'000), Index(90));
  EXPECT_EQ(sizes.Beyond(0), Index(100));
  sizes.Compact(Index(90));
  EXPECT_EQ(sizes.total(), 1'000'000U);
  sizes.TruncateFrom(Index(96));
  EXPECT_EQ(sizes.total(), 500'000U);
  sizes.Append(Index(96), 7);
  EXPECT_EQ(sizes.total(), 500'007U);
  sizes.Compact(Index(96));
  EXPECT_EQ(sizes.total(), 0U);
  EXPECT_EQ(sizes.Beyond(0), Index());
}

TEST(LogSizes, SmallEntriesShareAMark) {
  storage::LogSizes sizes;
  for (std::uint64_t i = 1; i <= 10'000; ++i) sizes.Append(Index(i), 100);
  const Index beyond = sizes.Beyond(500'000);
  EXPECT_GE(beyond, Index(5000));
  EXPECT_LE(beyond, Index(5000 + 656)) << "within a mark of 64 KiB";
  sizes.TruncateFrom(Index(9'990));
  EXPECT_NEAR(static_cast<double>(sizes.total()), 998'900, 200);
  sizes.Compact(Index(100));
  EXPECT_NEAR(static_cast<double>(sizes.total()), 988'900, 400);
}

/// Entries 1..last of a formed member, applied and flushed; the store is open.
void Fill(StoreWorld& world, std::uint64_t last, std::size_t payload_bytes = 20) {
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  for (std::uint64_t at = 2; at <= last; ++at) {
    ASSERT_TRUE(world.WriteEntries(Index(at), Term(2), 1, payload_bytes).ok());
  }
  Result<std::vector<raft::Entry>> log = world.Read(Index(1), Index(last), 1 << 30);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_TRUE(world.Apply(*log).ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  ASSERT_TRUE(world.Open().ok());
  ASSERT_EQ(world.store->birth().raft.applied, Index(last));
}

/// Waits until the disk thread and the reader, which deletes files, have nothing to do.
Status Settle(StoreWorld& world, Index first) {
  node::LogWrite nothing;
  nothing.sync = true;
  if (Status written = world.Write(nothing); !written.ok()) return written;
  return world.Read(first, first, 1).status();
}

TEST(Compaction, ACutLogBeginsBehindItsBase) {
  StoreWorld world;
  Fill(world, 50);
  world.store->snapshots().Compact(Index(30));
  ASSERT_TRUE(Settle(world, Index(31)).ok());
  EXPECT_EQ(world.Read(Index(30), Index(40), kMiB).code(), Code::kUnavailable);
  EXPECT_EQ(world.Read(Index(31), Index(50), kMiB)->size(), 20U);
  world.store->snapshots().Compact(Index(20));  // late: it is cut already
  ASSERT_TRUE(world.WriteEntries(Index(51), Term(3), 5, 20, Index(50)).ok());
  world.Drop();

  ASSERT_TRUE(world.Open().ok());
  const raft::InitialState& raft = world.store->birth().raft;
  EXPECT_EQ(raft.base, (raft::LogBase{Index(30), Term(2)}));
  EXPECT_EQ(raft.term_runs,
            (std::vector<raft::TermRun>{{Term(2), Index(31)}, {Term(3), Index(51)}}));
  EXPECT_EQ(raft.last_index, Index(55));
  EXPECT_GE(raft.hard_state.commit, Index(30));
  EXPECT_EQ(raft.configurations.back().first, Index(1)) << "in force, though its entry is gone";
  EXPECT_TRUE(raft.configurations.back().second.IsVoter(world.store->birth().member));
  EXPECT_EQ(world.Read(Index(30), Index(40), kMiB).code(), Code::kUnavailable);
  EXPECT_EQ(world.Read(Index(31), Index(55), kMiB)->size(), 25U);
}

TEST(Compaction, TheWholeLogMayGo) {
  StoreWorld world;
  Fill(world, 50);
  world.store->snapshots().Compact(Index(50));
  world.Drop();
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.base, (raft::LogBase{Index(50), Term(2)}));
  EXPECT_EQ(world.store->birth().raft.last_index, Index(50));
  EXPECT_TRUE(world.store->birth().raft.term_runs.empty());
  ASSERT_TRUE(world.WriteEntries(Index(51), Term(2), 3, 20, Index(50)).ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.last_index, Index(53));
  EXPECT_EQ(world.Read(Index(51), Index(53), kMiB)->size(), 3U);
}

TEST(Compaction, TheConfigurationInForceAtTheBaseIsKept) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  std::vector<raft::Entry> entries = MakeEntries(Index(2), Term(1), 9, 20);
  for (const std::size_t at : {2, 5}) {
    entries[at].kind = raft::EntryKind::kConfiguration;
    entries[at].payload = TestConfiguration(ClusterId(77), NodeId(1000 + at));
  }
  node::LogWrite write;
  write.entries = entries;
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
  ASSERT_TRUE(world.Apply(*world.Read(Index(1), Index(10), kMiB)).ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  for (const std::uint64_t through : {5, 6, 9}) {
    SCOPED_TRACE(through);
    ASSERT_TRUE(world.Open().ok());
    world.store->snapshots().Compact(Index(through));
    world.Drop();
    ASSERT_TRUE(world.Open().ok());
    const auto& configurations = world.store->birth().raft.configurations;
    const std::size_t latest = configurations.size() - 1;
    EXPECT_EQ(configurations[latest].first, Index(7)) << "the last one";
    EXPECT_TRUE(configurations[latest].second.IsVoter(NodeId(1005)));
    if (through < 7) {
      EXPECT_EQ(configurations[latest - 1].first, Index(4));
      EXPECT_TRUE(configurations[latest - 1].second.IsVoter(NodeId(1002)));
    }
    world.Drop();
  }
}

TEST(Compaction, NeverPastWhatIsFlushed) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        StoreWorld world;
        Fill(world, 20);
        static_cast<void>(world.WriteEntries(Index(21), Term(2), 5));
        static_cast<void>(world.Apply(*world.Read(Index(21), Index(25), kMiB)));
        world.store->snapshots().Compact(Index(21));
      },
      "through <= flushed");
}

// What was applied and not flushed is gone after a crash: it must still be in the log.
TEST(Compaction, AStateMachineThatIsBehindTheBaseIsDamage) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::shared_ptr<CrashFs> early = world.fs->Copy();
  Fill(world, 20);
  world.store->snapshots().Compact(Index(10));
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::string folder = "/data/n1/kv-1";
  for (const std::string& name : world.fs->List(folder)) {
    ASSERT_TRUE(world.env->DeleteFile(folder + "/" + name).ok());
  }
  for (const std::string& name : early->List(folder)) {
    world.fs->SetContent(folder + "/" + name, early->Content(folder + "/" + name));
  }
  const Status refused = world.Open();
  EXPECT_EQ(refused.code(), Code::kCorruption);
  EXPECT_NE(
      refused.message().find("the log is compacted up to entry 10, but only entry 0 is applied"),
      std::string::npos)
      << refused.message();
}

std::uint64_t FolderBytes(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code gone;  // files come and go
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder, gone)) {
    const std::uintmax_t size = file.file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

/// Values that no compression makes small.
raft::Entry PutEntry(Index index, std::uint64_t key, Random& chance) {
  kv::RequestHeader header;
  header.session = 5;
  header.opened_at_ms = 1;
  header.sequence = index.value;
  header.acknowledged_below = index.value;
  std::string value;
  while (value.size() < 16'000) AppendBigEndian64(value, chance.Next());
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(1);
  entry.time_ms = 1000;
  entry.payload = kv::EncodeRequest(header, {kv::PutOp{"key" + std::to_string(key), value}});
  return entry;
}

raft::Entry CompactEntry(Index index, std::uint64_t revision) {
  return {index, Term(1), raft::EntryKind::kCommand, 1000, kv::EncodeCompact(revision)};
}

// Twenty times the limit is written, with one live kilobyte in a hundred, and the past is compacted
// as it comes: the disk has little more than the limit at any time.
TEST(Compaction, SpaceComesBack) {
  constexpr std::uint64_t kLimit = 4 * kMiB;
  const TempFolder folder;
  StoreWorld world;
  world.options.dir = folder / "n1";
  world.options.env = nullptr;
  world.options.log_keep_bytes = kLimit;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.Apply(*world.Read(Index(1), Index(1), kMiB)).ok());
  Random chance{1};
  std::uint64_t written = 0;
  std::uint64_t peak = 0;
  std::uint64_t revision = kv::kFirstRevision;
  Index last(1);
  Index base;
  int cuts = 0;
  while (written < 20 * kLimit) {
    node::LogWrite write;
    for (int i = 0; i < 7; ++i, ++revision) {
      ++last;
      write.entries.push_back(PutEntry(last, last.value % 10, chance));
      written += write.entries.back().Footprint();
    }
    ++last;
    write.entries.push_back(CompactEntry(last, revision));
    write.hard_state = raft::HardState{Term(1), kNobody, last};
    write.sync = true;
    ASSERT_TRUE(world.Write(write).ok());
    const Result<node::Applied> applied = world.Apply(write.entries);
    ASSERT_TRUE(applied.ok()) << applied.status().ToString();
    // As the node does it.
    if (world.store->snapshots().Beyond(kLimit + kLimit / 4) > base) {
      const Index cut = std::min(applied->durable, world.store->snapshots().Beyond(kLimit));
      if (cut > base) {
        world.store->snapshots().Compact(cut);
        ++cuts;
        base = cut;
      }
    }
    if (last.value % 64 < 8) peak = std::max(peak, FolderBytes(folder.path()));
  }
  ASSERT_TRUE(Settle(world, last).ok());
  const std::uint64_t after = FolderBytes(folder.path());
  RecordProperty("peak_bytes", std::to_string(peak));
  RecordProperty("bytes_after", std::to_string(after));
  EXPECT_GT(cuts, 10);
  EXPECT_LT(peak, 4 * kLimit) << "after " << written << " bytes";
  EXPECT_LT(after, 4 * kLimit);
  world.Drop();
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.base.index, base);
  EXPECT_EQ(world.store->birth().raft.last_index, last);
  EXPECT_GE(world.store->birth().raft.applied, base);
}

// The power goes at each operation of a cut, from the batch to the deletion of files.
TEST(Compaction, APowerCutAtAnyOperationLosesNothing) {
  constexpr std::uint64_t kLast = 40;
  StoreWorld prepared;
  prepared.options.log_keep_bytes = kMiB;  // the least buffer, so that there are files to delete
  Fill(prepared, kLast, 200'000);
  const std::vector<raft::Entry> log = *prepared.Read(Index(1), Index(kLast), 1 << 30);
  ASSERT_TRUE(prepared.CloseCleanly().ok());
  int cut = 0;
  int uncut = 0;
  int deleted = 0;
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    StoreWorld world(prepared.fs->Copy());
    world.options.log_keep_bytes = kMiB;
    ASSERT_TRUE(world.Open().ok());
    const std::size_t files = world.fs->List("/data/n1/log").size();
    world.fs->CrashAt(at);
    world.store->snapshots().Compact(Index(33));
    static_cast<void>(Settle(world, Index(34)));
    const bool crashed = world.fs->crashed();
    if (world.fs->List("/data/n1/log").size() < files) ++deleted;
    world.fs->Crash();
    world.Drop();
    world.fs->Reboot(1000 + at);
    world.options.machine_boot = "boot-2";
    const Status opened = world.Open();
    ASSERT_TRUE(opened.ok()) << opened.ToString();
    const raft::InitialState& raft = world.store->birth().raft;
    ASSERT_EQ(raft.last_index, Index(kLast));
    ASSERT_EQ(raft.applied, Index(kLast));
    ++(raft.base.index == Index() ? uncut : cut);
    ASSERT_TRUE(raft.base.index == Index() || raft.base == (raft::LogBase{Index(33), Term(2)}));
    const Index first = raft.base.index.Next();
    const auto rest = world.Read(first, Index(kLast), 1 << 30);
    ASSERT_TRUE(rest.ok()) << rest.status().ToString();
    ASSERT_TRUE(std::equal(rest->begin(), rest->end(), log.begin() + (first.value - 1), log.end()));
    ASSERT_EQ(raft.configurations.back().first, Index(1));
    ASSERT_TRUE(world.WriteEntries(Index(kLast + 1), Term(2), 2, 20, Index(kLast)).ok());
    if (!crashed) break;
  }
  EXPECT_GT(uncut, 0);
  EXPECT_GT(cut, 5);
  EXPECT_GT(deleted, 0);
}

}  // namespace
}  // namespace raftkv::test
