// Does a member whose disk was damaged come back without lying about what it has? (known bugs 25,
// 26; the leader's side of it: transcript suspect_refill)
//
// Every file is damaged at many places. Whatever comes up is as it was, or says that it is suspect
// and has the beginning of its log, with its own term and vote; nothing that is read is wrong.
#include <algorithm>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "lib/kv/request.h"
#include "storage/folder/record.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

constexpr std::uint64_t kFlushed = 20;
constexpr std::uint64_t kLast = 40;
const Term kTerm{3};
const NodeId kVotedFor{9};

std::string KeyOf(std::uint64_t index) { return "key" + std::to_string(index); }
/// Too long, and too little alike, for all of them to be in one block of a table.
std::string ValueOf(std::uint64_t index) {
  Random chance(index);
  std::string value = "value " + std::to_string(index) + " ";
  while (value.size() < 2000) AppendBigEndian64(value, chance.Next());
  return value;
}

raft::Entry PutEntry(std::uint64_t index) {
  kv::RequestHeader header;
  header.session = 5;
  header.opened_at_ms = 1;
  header.sequence = index;
  header.acknowledged_below = index;
  raft::Entry entry;
  entry.index = Index(index);
  entry.term = kTerm;
  entry.time_ms = 1000;
  entry.payload = kv::EncodeRequest(header, {kv::PutOp{KeyOf(index), ValueOf(index)}});
  return entry;
}

void WritePuts(StoreWorld& world, std::uint64_t first, std::uint64_t last, Index commit) {
  for (std::uint64_t index = first; index <= last; index += 3) {
    node::LogWrite write;
    write.hard_state = raft::HardState{kTerm, kVotedFor, commit};
    for (std::uint64_t i = index; i <= std::min(index + 2, last); ++i) {
      write.entries.push_back(PutEntry(i));
    }
    write.sync = true;
    ASSERT_TRUE(world.Write(write).ok());
  }
}

/// A member of three, with entries 1 to 40 of which 20 are applied and flushed; the log is partly
/// in tables and partly in the write-ahead log.
std::shared_ptr<CrashFs> MakeDisk(bool clean_close, bool alone = false) {
  StoreWorld world;
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(
      world.Form(ClusterId(77), alone ? std::vector<NodeId>{} : std::vector{NodeId(8), kVotedFor})
          .ok());
  EXPECT_TRUE(world.Apply(*world.Read(Index(1), Index(1), 1 << 20)).ok());
  WritePuts(world, 2, 30, Index(1));
  std::vector<raft::Entry> entries;
  for (std::uint64_t i = 2; i <= kFlushed; ++i) entries.push_back(PutEntry(i));
  EXPECT_TRUE(world.Apply(std::move(entries)).ok());
  // Puts everything that there is into tables.
  EXPECT_TRUE(world.CloseCleanly().ok());
  EXPECT_TRUE(world.Open().ok());
  WritePuts(world, 31, kLast, Index(kFlushed));
  if (clean_close) {
    EXPECT_TRUE(world.CloseCleanly().ok());
  } else {
    world.Drop();
  }
  return world.fs->Copy();
}

/// What a member that came up has is right, as far as it goes.
void CheckContent(StoreWorld& world, const std::string& where) {
  const node::Birth& birth = world.store->birth();
  const raft::InitialState& raft = birth.raft;
  EXPECT_EQ(raft.hard_state.term, kTerm) << where;
  EXPECT_EQ(raft.hard_state.vote, kVotedFor) << where;
  const Index first = std::max(raft.base.index.Next(), Index(2));
  if (raft.suspect == 0) {
    EXPECT_EQ(raft.last_index, Index(kLast)) << where;
    EXPECT_GE(raft.applied, Index(kFlushed)) << where;
  }
  if (raft.last_index >= first) {
    const auto entries = world.Read(first, raft.last_index, 1 << 30);
    ASSERT_TRUE(entries.ok()) << where << " " << entries.status().ToString();
    ASSERT_EQ(entries->size(), raft.last_index - first + 1) << where;
    for (const raft::Entry& entry : *entries) {
      EXPECT_EQ(entry, PutEntry(entry.index.value)) << where;
    }
  }
  std::uint64_t keys = 0;
  const Status scanned = world.store->engine()
                             ->NewView(kv::ReadTier::kAll)
                             ->Scan("d", "e", [&](std::string_view key, std::string_view value) {
                               ++keys;
                               const std::uint64_t index = std::stoull(std::string(key.substr(4)));
                               EXPECT_TRUE(value.ends_with(ValueOf(index))) << where << " " << key;
                               return true;
                             });
  if (scanned.ok()) {
    EXPECT_EQ(keys, raft.applied.value == 0 ? 0 : raft.applied.value - 1) << where;
  } else {
    EXPECT_EQ(scanned.code(), Code::kCorruption) << where << " " << scanned.ToString();
  }
}

/// Opens `disk` after `spoil`; returns whether it is suspect.
bool OpenSpoilt(const CrashFs& disk, const std::function<void(StoreWorld&)>& spoil,
                const std::string& where) {
  StoreWorld world(disk.Copy());
  spoil(world);
  const Status opened = world.Open();
  EXPECT_TRUE(opened.ok()) << where << " " << opened.ToString();
  if (!opened.ok()) return false;
  const bool suspect = world.store->birth().raft.suspect != 0;
  EXPECT_EQ(world.store->damage().empty(), !suspect) << where;
  CheckContent(world, where);
  if (!suspect) return false;
  // It stays so, and has lost nothing more.
  const Index last = world.store->birth().raft.last_index;
  world.Drop();
  EXPECT_TRUE(world.Open().ok()) << where;
  EXPECT_NE(world.store->birth().raft.suspect, 0U) << where;
  EXPECT_EQ(world.store->birth().raft.last_index, last) << where;
  CheckContent(world, where + " again");
  return true;
}

std::vector<std::string> FilesOf(const CrashFs& disk) {
  std::vector<std::string> files;
  for (const auto& [path, content] : disk.Everything()) {
    if (content != "(folder)" && !content.empty() && !path.ends_with("LOCK")) {
      files.push_back(path);
    }
  }
  return files;
}

TEST(Damage, AFlippedByteAnywhereIsMendedOrMakesTheMemberSuspect) {
  for (const bool clean : {false, true}) {
    const std::shared_ptr<CrashFs> disk = MakeDisk(clean);
    std::map<std::string, int> suspects;
    int whole = 0;
    for (const std::string& path : FilesOf(*disk)) {
      const std::string content = disk->Content(path);
      const std::size_t step = std::max<std::size_t>(1, content.size() / 12);
      for (std::size_t at = 0; at < content.size(); at += step) {
        const bool suspect = OpenSpoilt(
            *disk,
            [&](StoreWorld& world) {
              std::string damaged = content;
              damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
              world.fs->SetContent(path, damaged);
            },
            path + " at " + std::to_string(at));
        if (suspect) {
          ++suspects[path.substr(0, path.rfind('/'))];
        } else {
          ++whole;
        }
      }
    }
    EXPECT_GT(suspects["/data/n1/log"], 10);
    EXPECT_GT(suspects["/data/n1/kv-1"], 5);
    EXPECT_EQ(suspects["/data/n1"], 0) << "the record has two copies";
    EXPECT_GT(whole, 15) << "names, unused files, and what is only found when it is read";
  }
}

TEST(Damage, AFileThatIsMissingOrCutShortMakesTheMemberSuspect) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean_close=*/true);
  int suspects = 0;
  for (const std::string& path : FilesOf(*disk)) {
    if (path.ends_with("/record")) continue;
    const std::string content = disk->Content(path);
    suspects += OpenSpoilt(
        *disk, [&](StoreWorld& world) { ASSERT_TRUE(world.env->DeleteFile(path).ok()); },
        path + " deleted");
    for (const std::size_t left : {std::size_t{0}, content.size() / 2, content.size() - 1}) {
      suspects += OpenSpoilt(
          *disk, [&](StoreWorld& world) { world.fs->SetContent(path, content.substr(0, left)); },
          path + " cut to " + std::to_string(left));
    }
  }
  EXPECT_GT(suspects, 15);
}

TEST(Damage, WithoutItsLogAMemberStillKnowsForWhomItVoted) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean_close=*/false);
  StoreWorld world(disk->Copy());
  for (const std::string& name : world.fs->List("/data/n1/log")) {
    ASSERT_TRUE(world.env->DeleteFile("/data/n1/log/" + name).ok());
  }
  ASSERT_TRUE(world.Open().ok());
  const raft::InitialState& raft = world.store->birth().raft;
  EXPECT_NE(raft.suspect, 0U);
  EXPECT_EQ(raft.hard_state.term, kTerm);
  EXPECT_EQ(raft.hard_state.vote, kVotedFor);
  EXPECT_EQ(raft.last_index, Index(0));
  EXPECT_EQ(world.store->birth().cluster, ClusterId(77));
}

TEST(Damage, AVoteStandsInTheRecordBeforeAnybodyHearsOfIt) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form(ClusterId(77), {NodeId(8)}).ok());
  node::LogWrite vote;
  vote.hard_state = raft::HardState{Term(7), NodeId(8), Index(1)};
  vote.sync = true;
  ASSERT_TRUE(world.Write(vote).ok());
  const Result<storage::Record> record =
      storage::DecodeRecord(world.fs->Content("/data/n1/record"));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->term, Term(7));
  EXPECT_EQ(record->vote, NodeId(8));
  EXPECT_TRUE(record->has_peers);
}

TEST(Damage, WhereNobodyHasACopyTheFolderIsRefusedAndLosesNothingMore) {
  const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean_close=*/true, /*alone=*/true);
  int refusals = 0;
  for (const std::string& path : FilesOf(*disk)) {
    if (!path.ends_with("CURRENT")) continue;
    StoreWorld world(disk->Copy());
    world.fs->SetContent(path, "");
    const Status refused = world.Open();
    EXPECT_EQ(refused.code(), Code::kCorruption) << path;
    EXPECT_NE(refused.message().find("restore a backup"), std::string::npos) << refused.message();
    // Whoever can mend the file has everything again.
    world.fs->SetContent(path, disk->Content(path));
    ASSERT_TRUE(world.Open().ok()) << path;
    EXPECT_EQ(world.store->birth().raft.suspect, 0U);
    CheckContent(world, path);
    ++refusals;
  }
  EXPECT_EQ(refusals, 2);
}

/// Damages an entry of the write-ahead log; entries before it stay.
void SpoilLog(StoreWorld& world) {
  std::string wal;
  for (const std::string& name : world.fs->List("/data/n1/log")) {
    const std::string path = "/data/n1/log/" + name;
    if (name.ends_with(".log") && !world.fs->Content(path).empty()) wal = path;
  }
  std::string content = world.fs->Content(wal);
  ASSERT_FALSE(content.empty());
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  world.fs->SetContent(wal, content);
}

void SpoilKv(StoreWorld& world) { world.fs->SetContent("/data/n1/kv-1/CURRENT", ""); }

TEST(Damage, TheBeginningOfTheLogIsKeptAndTheStateMachineWithIt) {
  StoreWorld world(MakeDisk(/*clean_close=*/false));
  SpoilLog(world);
  ASSERT_TRUE(world.Open().ok());
  const raft::InitialState& raft = world.store->birth().raft;
  EXPECT_GE(raft.last_index, Index(30));
  EXPECT_LT(raft.last_index, Index(kLast));
  EXPECT_EQ(raft.applied, Index(kFlushed));
  ASSERT_EQ(world.store->damage().size(), 1U);
  EXPECT_NE(world.store->damage()[0].find("neither votes nor counts"), std::string::npos);
}

TEST(Damage, WhatWasDamagedIsSetAsideUntilTheMemberIsRefilled) {
  StoreWorld world(MakeDisk(/*clean_close=*/false));
  SpoilKv(world);
  ASSERT_TRUE(world.Open().ok());
  EXPECT_FALSE(world.fs->List("/data/n1/damaged-log").empty());
  EXPECT_FALSE(world.fs->List("/data/n1/damaged-kv-1").empty());
  world.Drop();
  // Damaged once more: what was set aside first has more.
  ASSERT_TRUE(world.env->DeleteFile("/data/n1/kv-2/CURRENT").ok());
  ASSERT_TRUE(world.Open().ok());
  EXPECT_FALSE(world.fs->List("/data/n1/damaged-log").empty());
  EXPECT_TRUE(world.env->FileExists("/data/n1/damaged-again-log").IsNotFound());

  node::LogWrite refilled;
  refilled.hard_state = raft::HardState{kTerm, kVotedFor, Index(0)};
  refilled.entries = {world.store->birth().raft.last_index == Index(0) ? PutEntry(1) : PutEntry(2)};
  refilled.refilled = true;
  refilled.sync = true;
  EXPECT_FALSE(world.store->damage().empty());
  ASSERT_TRUE(world.Write(refilled).ok());
  EXPECT_TRUE(world.store->damage().empty());
  ASSERT_TRUE(world.CloseCleanly().ok());
  EXPECT_TRUE(world.env->FileExists("/data/n1/damaged-log").IsNotFound());
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.suspect, 0U);
}

TEST(Damage, ARepairThatIsCutShortAnywhereIsDoneAgain) {
  for (const auto& spoil : {SpoilLog, SpoilKv}) {
    const std::shared_ptr<CrashFs> disk = MakeDisk(/*clean_close=*/false);
    int cuts = 0;
    for (std::uint64_t operation = 1;; operation += 3) {
      StoreWorld world(disk->Copy());
      spoil(world);
      world.fs->CrashAt(operation);
      const Status opened = world.Open();
      const bool crashed = world.fs->crashed();
      const bool in_background = world.fs->crashed_in_background();
      world.Drop();
      if (!crashed) break;
      if (!in_background) {
        EXPECT_FALSE(opened.ok()) << operation;
      }
      ++cuts;
      world.fs->Reboot(operation);
      // The same boot of the machine: damage is not taken for a torn tail.
      const std::string where = "power cut at " + std::to_string(operation);
      const Status again = world.Open();
      ASSERT_TRUE(again.ok()) << where << " " << again.ToString();
      EXPECT_NE(world.store->birth().raft.suspect, 0U) << where;
      CheckContent(world, where);
    }
    EXPECT_GT(cuts, 30);
  }
}

/// The path of a table of the key-value database.
std::string TableOf(const CrashFs& disk, const std::string& folder) {
  for (const std::string& name : disk.List(folder)) {
    if (name.ends_with(".sst")) return folder + "/" + name;
  }
  return "";
}

void FlipInTable(CrashFs& disk, const std::string& path) {
  std::string content = disk.Content(path);
  ASSERT_GT(content.size(), 20'000U) << path;
  // Behind what is read at the open.
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 4);
  disk.SetContent(path, content);
}

struct Watched {
  explicit Watched(StoreWorld& world) {
    world.options.on_damage = [this](const Status& what) { told.push_back(what.ToString()); };
  }
  std::vector<std::string> told;
};

TEST(Damage, TheScrubberFindsWhatNobodyReads) {
  StoreWorld world(MakeDisk(/*clean_close=*/true));
  Watched watched(world);
  world.options.scrub_bytes_per_second = 100 << 20;
  world.options.scrub_pause = std::chrono::milliseconds(1);
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.suspect, 0U);
  ASSERT_TRUE(world.loop.RunUntil([&] { return !watched.told.empty(); }));
  EXPECT_NE(watched.told[0].find(".sst"), std::string::npos) << watched.told[0];
  EXPECT_EQ(world.store->damage().size(), 1U);
  EXPECT_GE(world.store->scrub_counts().damaged, 1U);
  world.store->Abandon();
  world.Drop();
  world.options.scrub_bytes_per_second = 0;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_NE(world.store->birth().raft.suspect, 0U);
  EXPECT_EQ(world.store->birth().raft.applied, Index(0)) << "of a damaged state nothing is kept";
  CheckContent(world, "after the scrub");
}

TEST(Damage, TheScrubberGoesOverASoundDiskAgainAndAgain) {
  StoreWorld world(MakeDisk(/*clean_close=*/true));
  Watched watched(world);
  world.options.scrub_bytes_per_second = 100 << 20;
  world.options.scrub_pause = std::chrono::milliseconds(1);
  ASSERT_TRUE(world.Open().ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (world.store->scrub_counts().passes < 3 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GE(world.store->scrub_counts().passes, 3U);
  EXPECT_GT(world.store->scrub_counts().bytes, 0U);
  EXPECT_TRUE(watched.told.empty());
  EXPECT_TRUE(world.store->damage().empty());
}

Bytes ReadOf(const std::string& key) {
  kv::ReadOp op;
  op.range = kv::Range::Single(key);
  return kv::EncodeReadRequest({op});
}

/// Runs the loop until it has nothing left that was posted before.
void Drain(StoreWorld& world) {
  bool drained = false;
  world.loop.Post([&] { drained = true; });
  ASSERT_TRUE(world.loop.RunUntil([&] { return drained; }));
}

/// Reads one key after the other, until a read fails or the store tells of damage; the code of the
/// one that failed.
Code ReadAll(StoreWorld& world, const Watched& watched) {
  for (std::uint64_t i = 2; i <= kFlushed && watched.told.empty(); ++i) {
    const auto answer = std::make_shared<std::optional<Result<Bytes>>>();
    world.store->machine().Read(ReadOf(KeyOf(i)), 1 << 20, /*clock_ms=*/0,
                                [answer](Result<Bytes> read) { *answer = std::move(read); });
    EXPECT_TRUE(world.loop.RunUntil([&] { return answer->has_value() || !watched.told.empty(); }));
    if (answer->has_value() && !(*answer)->ok()) return (*answer)->code();
  }
  return Code::kOk;
}

TEST(Damage, AReadThatFindsItIsNotAnsweredAndTheMemberStartsAnew) {
  StoreWorld world(MakeDisk(/*clean_close=*/true));
  Watched watched(world);
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(ReadAll(world, watched), Code::kOk);
  Drain(world);
  EXPECT_EQ(watched.told.size(), 1U) << "told once";
}

// Until the owner has heard of it other calls meet the same damage: their failure would end a
// member that is about to be mended.
TEST(Damage, WhatItMakesFailIsNotAnsweredWhereTheMemberStartsAnew) {
  StoreWorld world(MakeDisk(/*clean_close=*/true));
  Watched watched(world);
  world.options.log_keep_entries = 1;  // small tables
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  // Each flush makes a table, until RocksDB takes the damaged one into a compaction: then it
  // refuses writes.
  bool failed = false;
  std::uint64_t next = kFlushed + 1;
  for (int round = 0; round < 1000 && watched.told.empty(); ++round) {
    std::vector<raft::Entry> entries;
    while (entries.size() < 64) entries.push_back(PutEntry(next++));
    bool over = false;
    world.store->machine().Apply(std::move(entries), [&](const Result<node::Applied>& applied) {
      over = true;
      failed |= !applied.ok();
    });
    ASSERT_TRUE(world.loop.RunUntil([&] { return over || !watched.told.empty(); }));
  }
  Drain(world);
  EXPECT_EQ(watched.told.size(), 1U);
  EXPECT_FALSE(failed);
}

TEST(Damage, AReadOfALoneMemberSaysThatItIsDamaged) {
  StoreWorld world(MakeDisk(/*clean_close=*/true, /*alone=*/true));
  Watched watched(world);
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(ReadAll(world, watched), Code::kCorruption);
  EXPECT_TRUE(watched.told.empty());
  ASSERT_EQ(world.store->damage().size(), 1U);
  // The rest can still be used, and it starts again.
  world.Drop();
  EXPECT_TRUE(world.Open().ok());
}

TEST(Damage, WhatAMemberFoundAloneIsMendedOnceItHasPeers) {
  StoreWorld world(MakeDisk(/*clean_close=*/true, /*alone=*/true));
  Watched watched(world);
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  ASSERT_EQ(ReadAll(world, watched), Code::kCorruption);
  raft::Entry grown;
  grown.index = Index(kLast + 1);
  grown.term = kTerm;
  grown.kind = raft::EntryKind::kConfiguration;
  grown.payload = TestConfiguration(ClusterId(77), world.store->birth().member, {NodeId(8)});
  node::LogWrite write;
  write.hard_state = raft::HardState{kTerm, kVotedFor, Index(kFlushed)};
  write.entries = {grown};
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
  EXPECT_EQ(ReadAll(world, watched), Code::kOk);
  EXPECT_FALSE(watched.told.empty());
}

TEST(Damage, NoSnapshotIsMadeOfADamagedTable) {
  StoreWorld world(MakeDisk(/*clean_close=*/true));
  Watched watched(world);
  FlipInTable(*world.fs, TableOf(*world.fs, "/data/n1/kv-1"));
  ASSERT_TRUE(world.Open().ok());
  bool made = false;
  world.store->snapshots().Make([&](const Result<node::Snapshots::Made>&) { made = true; });
  EXPECT_TRUE(world.loop.RunUntil([&] { return made || !watched.told.empty(); }));
  EXPECT_FALSE(made);
}

}  // namespace
}  // namespace raftkv::test
