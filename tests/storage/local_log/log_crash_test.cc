// Is a raftkv::Log whole after a power cut at any instant? (known bugs 22, 26, 48) The power goes
// at every operation of a script of appends, batches, transactions and cuts, synced and not; what
// is found is the log as it was after one of the writes, none of which was acknowledged with sync
// later.
#include <algorithm>
#include <functional>
#include <utility>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/storage/local_log/log_world.h"
#include "tests/support/faults/torn_manifest.h"

namespace raftkv::test {
namespace {

/// A log in memory, to compare.
struct Model {
  std::uint64_t head = 1;
  std::vector<std::string> entries;

  [[nodiscard]] std::uint64_t seq() const { return head + entries.size() - 1; }
  void Append(std::string entry) { entries.push_back(std::move(entry)); }
  void TrimPrefix(std::uint64_t through) {
    if (through < head) return;
    entries.erase(entries.begin(),
                  entries.begin() + static_cast<std::ptrdiff_t>(through + 1 - head));
    head = through + 1;
  }
  void TrimSuffix(std::uint64_t from) {
    if (from <= seq()) entries.resize(from - head);
  }
  friend bool operator==(const Model&, const Model&) = default;
};

/// What a run is like.
struct Kind {
  bool synced = true;        ///< all writes are; else one of three is
  bool ground_syncs = true;  ///< false: no sync happens, whatever is promised
};

/// One life of a log, ended by a power cut, and what is found after it.
class CrashedLog {
 public:
  CrashedLog(std::uint64_t seed, Kind kind)
      : chance_(seed), kind_(kind), world_(std::make_shared<CrashFs>(seed)) {
    world_.options.write_buffer_bytes = 64 << 10;  // files come and go
    world_.ground.sync = kind.ground_syncs;
  }

  /// Writes until the power goes at operation `at`, or all is written; false then.
  bool Live(std::uint64_t at) {
    world_.fs->CrashAt(at);
    if (world_.Open().ok()) {
      for (int step = 0; step < 12 && WriteOne(step); ++step) {
      }
    }
    const bool crashed = world_.fs->crashed();
    world_.fs->Crash();
    world_.log.reset();
    return crashed;
  }

  /// Empty: what is there was promised, and what was promised is there.
  std::string Check(std::uint64_t seed) {
    world_.fs->Reboot(seed);
    world_.ground.machine_boot = "boot-2";
    world_.ground.sync = true;
    if (Status opened = world_.Open(); !opened.ok()) return opened.ToString();
    Result<std::vector<LogEntry>> all = world_.All();
    if (!all.ok()) return all.status().ToString();
    Model found;
    found.head = world_.log->Head();
    for (LogEntry& entry : *all) found.Append(std::move(entry.data));
    if (found.seq() != world_.log->Seq()) return "an iterator that ends elsewhere";
    const auto begin = states_.begin() + static_cast<std::ptrdiff_t>(durable_);
    if (std::find(begin, states_.end(), found) == states_.end()) {
      return "entries " + std::to_string(found.head) + " to " + std::to_string(found.seq()) +
             ", promised were " + std::to_string(begin->head) + " to " +
             std::to_string(begin->seq());
    }
    return GoesOn(std::move(found));
  }

  [[nodiscard]] int torn() const { return world_.torn; }

 private:
  /// One random write; false once one failed.
  bool WriteOne(int step) {
    Model next = states_.back();
    LogTxn txn = world_.log->Begin();
    const std::uint64_t kind = chance_.Below(10);
    const auto append = [&](std::uint64_t count) {
      for (std::uint64_t i = 0; i < count; ++i) {
        std::string text = EntryText(next.seq() + 1, 20 + chance_.Below(12000));
        text += std::to_string(step);
        next.Append(text);
        txn.Append(std::move(text));
      }
    };
    const auto suffix = [&] {
      const std::uint64_t from = next.seq() + 1 - chance_.Below(next.entries.size() + 1);
      next.TrimSuffix(from);
      txn.TrimSuffix(from);
    };
    const auto prefix = [&] {
      const std::uint64_t through = next.head - 1 + chance_.Below(next.entries.size() + 1);
      next.TrimPrefix(through);
      txn.TrimPrefix(through);
    };
    if (kind < 4) {
      append(1);
    } else if (kind < 6) {
      append(2 + chance_.Below(10));
    } else if (kind == 6) {
      suffix();
    } else if (kind == 7) {
      prefix();
    } else {
      append(chance_.Below(3));
      suffix();
      append(1 + chance_.Below(4));
      prefix();
    }
    LogWriteOptions options;
    options.sync = kind_.synced || chance_.Below(3) == 0;
    states_.push_back(std::move(next));
    if (!txn.Commit(options).ok()) return false;
    const bool synced = *options.sync || kind == 7 || kind > 7;
    if (synced) durable_ = states_.size() - 1;
    return true;
  }

  /// The log takes writes, and has them at the next open.
  std::string GoesOn(Model found) {
    const Result<std::uint64_t> index = world_.log->Append("after");
    if (!index.ok() || *index != found.seq() + 1) return "no append after it";
    LogWorld next(world_.CopyAsKilled());
    next.ground.machine_boot = "boot-2";
    if (Status opened = next.Open(); !opened.ok()) return "then: " + opened.ToString();
    const Result<std::string> read = next.log->Read(*index);
    return read.ok() && *read == "after" ? "" : "an entry of after it is gone";
  }

  Random chance_;
  const Kind kind_;
  LogWorld world_;
  std::vector<Model> states_ = {Model{}};
  std::size_t durable_ = 0;  ///< states_ from here on may be found
};

/// Cuts at each `step`-th operation until a run ends without one; how many of them lost something.
int CountLosses(std::uint64_t seed, std::uint64_t step, Kind kind, int& torn, int& cuts,
                std::string& first) {
  int losses = 0;
  for (std::uint64_t at = 1;; at += step) {
    CrashedLog log(seed, kind);
    if (!log.Live(at)) return losses;
    ++cuts;
    const std::string lost = log.Check(1000 * seed + at);
    torn += log.torn();
    if (lost.empty()) continue;
    ++losses;
    if (first.empty())
      first = "seed " + std::to_string(seed) + " at " + std::to_string(at) + ": " + lost;
  }
}

class LogPowerCut : public testing::TestWithParam<std::uint64_t> {};

TEST_P(LogPowerCut, AtEveryOperationNothingSyncedIsLostAndAllIsWhole) {
  int torn = 0;
  int cuts = 0;
  std::string first;
  EXPECT_EQ(CountLosses(GetParam(), 1, {.synced = true}, torn, cuts, first), 0) << first;
  RecordProperty("torn", torn);
  RecordProperty("cuts", cuts);
  EXPECT_GT(cuts, 60);
}

TEST_P(LogPowerCut, OfUnsyncedWritesOnlyTheLastAreLost) {
  int torn = 0;
  int cuts = 0;
  std::string first;
  EXPECT_EQ(CountLosses(GetParam(), 1, {.synced = false}, torn, cuts, first), 0) << first;
  RecordProperty("torn", torn);
  RecordProperty("cuts", cuts);
  EXPECT_GT(cuts, 60);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LogPowerCut, testing::Values(1, 2, 3, 4));

/// The write-ahead log that has something in it.
std::string WalOf(const CrashFs& fs) {
  std::string found;
  for (const std::string& name : fs.List("/data/log/log")) {
    const std::string path = "/data/log/log/" + name;
    if (name.ends_with(".log") && !fs.Content(path).empty()) found = path;
  }
  return found;
}

// Write-back may take any page of what is unsynced, with whole writes behind it.
TEST(LogPowerCut, WhatIsWholeBehindABrokenUnsyncedWriteGoesWithIt) {
  constexpr std::size_t kBytes = 100'000;
  constexpr int kWrites = 8;
  for (const bool synced_behind : {false, true}) {
    LogWorld world;
    ASSERT_TRUE(world.Open().ok());
    std::vector<std::size_t> ends;
    for (int i = 1; i <= kWrites; ++i) {
      const bool sync = i == 1 || (synced_behind && i == 6);
      ASSERT_TRUE(world.log->Append(EntryText(i, kBytes), {.sync = sync}).ok());
      ends.push_back(world.fs->Content(WalOf(*world.fs)).size());
    }
    for (int broken = 2; broken <= kWrites; ++broken) {
      LogWorld after(world.CopyAsKilled());
      after.ground.machine_boot = "boot-2";
      std::string content = after.fs->Content(WalOf(*after.fs));
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(ends[broken - 2]) + 30'000, 4096,
                  '\0');
      after.fs->SetContent(WalOf(*after.fs), content);
      const Status opened = after.Open();
      if (synced_behind && broken <= 6) {
        // Write 7 bears witness to the sync of 6, and so of all before it.
        EXPECT_EQ(opened.code(), Code::kCorruption) << broken;
        continue;
      }
      ASSERT_TRUE(opened.ok()) << broken << " " << opened.ToString();
      EXPECT_EQ(after.torn, 1);
      EXPECT_EQ(after.log->Seq(), broken - 1u);
      EXPECT_EQ(after.All()->size(), broken - 1u);
      EXPECT_EQ(*after.log->Append("on"), static_cast<std::uint64_t>(broken));
      LogWorld again(after.CopyAsKilled());
      again.ground.machine_boot = "boot-2";
      ASSERT_TRUE(again.Open().ok());
      EXPECT_EQ(*again.log->Read(broken), "on");
    }
  }
}

// RocksDB begins a file where its buffer is full, whether the one before was synced or not.
TEST(LogPowerCut, MayShortenAFileAndTearTheNextOne) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  std::vector<std::size_t> ends;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(world.log->Append(EntryText(i, 6000), {.sync = i == 1}).ok());
    ends.push_back(world.fs->Content(WalOf(*world.fs)).size());
  }
  const std::string path = WalOf(*world.fs);
  const std::string content = world.fs->Content(path);
  const std::string number = std::to_string(std::stoul(path.substr(path.rfind('/') + 1)) + 1);
  const std::string next =
      path.substr(0, path.rfind('/') + 1) + std::string(6 - number.size(), '0') + number + ".log";
  const std::string third = content.substr(ends[1], ends[2] - ends[1]);
  std::string broken = third;
  std::fill(broken.begin() + 4096, broken.end(), '\0');
  const std::string nothing(third.size(), '\0');
  for (const std::string& after_it : {third, broken, third.substr(0, 4096), nothing}) {
    for (const std::size_t kept : {ends[0] + 3, ends[0] + 4096, ends[1] - 1}) {
      for (const bool rebooted : {true, false}) {
        LogWorld after(world.CopyAsKilled());
        after.fs->SetContent(path, content.substr(0, kept));
        after.fs->SetContent(next, after_it);
        if (rebooted) after.ground.machine_boot = "boot-2";
        const Status opened = after.Open();
        if (!rebooted) {
          EXPECT_EQ(opened.code(), Code::kCorruption) << "a kill does not leave that";
          continue;
        }
        ASSERT_TRUE(opened.ok()) << opened.ToString();
        EXPECT_EQ(after.torn, 1);
        EXPECT_EQ(after.log->Seq(), 1u);
        EXPECT_EQ(*after.log->Append("on"), 2u);
        LogWorld again(after.CopyAsKilled());
        ASSERT_TRUE(again.Open().ok());
        EXPECT_EQ(*again.log->Read(2), "on");
      }
    }
  }
}

TEST(LogPowerCut, MayTearTheLastRecordOfTheListOfTables) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.log->Append("one").ok());
  const std::string path = ManifestPath(*world.fs, "/data/log/log");
  for (const bool rebooted : {true, false}) {
    LogWorld after(world.CopyAsKilled());
    after.fs->SetContent(path, WithTornRecord(after.fs->Content(path)));
    if (rebooted) after.ground.machine_boot = "boot-2";
    const Status opened = after.Open();
    EXPECT_EQ(opened.code(), rebooted ? Code::kOk : Code::kCorruption) << opened.ToString();
    EXPECT_EQ(after.torn, rebooted ? 1 : 0) << "it is told";
    if (!opened.ok()) continue;
    EXPECT_EQ(*after.log->Read(1), "one");
  }
}

// Else it would not be seen that a sync is missing.
TEST(LogPowerCut, WithoutSyncTheSameTestFails) {
  int torn = 0;
  int cuts = 0;
  std::string first;
  const int losses = CountLosses(1, 3, {.synced = true, .ground_syncs = false}, torn, cuts, first);
  EXPECT_GT(losses, 0) << "of " << cuts;
}

}  // namespace
}  // namespace raftkv::test
