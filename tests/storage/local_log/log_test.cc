// Does a raftkv::Log do what <raftkv/log.h> says, by itself?
#include <atomic>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "tests/storage/local_log/log_world.h"

namespace raftkv::test {
namespace {

TEST(Log, AnOrdinaryOpenWarnsOfNothing) {
  LogWorld world;
  world.options.write_buffer_bytes = 64 << 10;
  ASSERT_TRUE(world.Open().ok());
  for (std::uint64_t first = 1; first < 200; first += 4) {
    ASSERT_TRUE(world.log->AppendBatch(EntryTexts(first, 4, 1000)).ok());
  }
  LogWorld again(world.CopyAsKilled());
  again.options = world.options;
  std::mutex mutex;
  std::vector<std::string> warnings;
  again.options.on_warning = [&](std::string_view line) {
    const std::lock_guard lock(mutex);
    warnings.emplace_back(line);
  };
  ASSERT_TRUE(again.Open().ok());
  EXPECT_EQ(again.log->Seq(), world.log->Seq());
  again.log.reset();
  EXPECT_EQ(warnings, std::vector<std::string>());
}

using namespace std::chrono_literals;

TEST(Log, ANewLogIsEmptyAndBeginsAtOne) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.log->Head(), 1u);
  EXPECT_EQ(world.log->Seq(), 0u);
  EXPECT_EQ(world.log->Read(1).code(), Code::kNotFound);
  EXPECT_EQ(world.log->Iterate(1)->Next().code(), Code::kNotFound);
}

TEST(Log, WhatWasAppendedIsReadBackAlsoAfterAnOpen) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(*world.log->Append("one"), 1u);
  EXPECT_EQ(*world.log->AppendBatch({"two", "", std::string("f\0ur", 4)}), (LogRange{2, 4}));
  EXPECT_EQ(*world.log->AppendBatch({}), (LogRange{5, 4})) << "none";
  const std::vector<LogEntry> all = {{1, "one"}, {2, "two"}, {3, ""}, {4, std::string("f\0ur", 4)}};
  EXPECT_EQ(*world.All(), all);
  EXPECT_EQ(*world.log->Read(4), all[3].data);
  for (const bool clean : {true, false}) {
    if (clean) {
      ASSERT_TRUE(world.log->Close().ok());
    }
    LogWorld after(world.CopyAsKilled());
    ASSERT_TRUE(after.Open().ok());
    EXPECT_EQ(*after.All(), all);
    EXPECT_EQ(*after.log->Append("five"), 5u);
    if (clean) world.log.reset();
    ASSERT_TRUE(!clean || world.Open().ok());
  }
}

TEST(Log, BothEndsAreCut) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.log->AppendBatch(EntryTexts(1, 20)).ok());
  ASSERT_TRUE(world.log->TrimPrefix(5).ok());
  ASSERT_TRUE(world.log->TrimSuffix(16).ok());
  EXPECT_EQ(world.log->Head(), 6u);
  EXPECT_EQ(world.log->Seq(), 15u);
  EXPECT_EQ(world.log->Read(5).code(), Code::kCompacted);
  EXPECT_EQ(world.log->Read(16).code(), Code::kNotFound);
  EXPECT_EQ(world.log->Iterate(3)->Next().code(), Code::kCompacted);
  EXPECT_EQ(*world.log->Append("again"), 16u);
  EXPECT_TRUE(world.log->TrimPrefix(2).ok()) << "gone already";
  EXPECT_TRUE(world.log->TrimSuffix(18).ok()) << "nothing there";
  EXPECT_EQ(world.log->TrimPrefix(17).code(), Code::kInvalidArgument);
  EXPECT_EQ(world.log->TrimSuffix(5).code(), Code::kCompacted);
  EXPECT_EQ(world.log->TrimSuffix(0).code(), Code::kInvalidArgument);
  LogWorld after(world.CopyAsKilled());
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.log->Head(), 6u);
  EXPECT_EQ(*after.log->Read(15), EntryText(15));
  EXPECT_EQ(*after.log->Read(16), "again");
  ASSERT_TRUE(after.log->TrimPrefix(16).ok());
  EXPECT_EQ(after.log->Head(), 17u);
  EXPECT_EQ(after.log->Seq(), 16u);
  EXPECT_EQ(*after.log->Append("next"), 17u) << "an empty log does not begin anew";
}

TEST(Log, ATransactionIsCarriedOutInOrderAndAtOnce) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.log->AppendBatch(EntryTexts(1, 10)).ok());
  LogTxn txn = world.log->Begin();
  txn.TrimSuffix(8).Append("a").Append("b").TrimSuffix(9).AppendBatch({"c", "d"}).TrimPrefix(3);
  EXPECT_EQ(world.log->Seq(), 10u) << "nothing before the commit";
  EXPECT_EQ(*txn.Commit(), (LogRange{8, 10}));
  EXPECT_EQ(world.log->Head(), 4u);
  EXPECT_EQ(*world.log->Read(8), "a");
  EXPECT_EQ(*world.log->Read(9), "c");
  EXPECT_EQ(*world.log->Read(10), "d");
  EXPECT_EQ(*txn.Append("e").Commit(), (LogRange{11, 11})) << "used again";
  txn.Append("never");
  txn.Abort();
  EXPECT_EQ(*txn.Commit(), (LogRange{12, 11}));
  EXPECT_EQ(world.log->Seq(), 11u);
  EXPECT_EQ(*world.log->Begin().Append("x").Append("y").TrimPrefix(12).Commit(), (LogRange{13, 13}))
      << "its own entries may go as well";
}

TEST(Log, ATransactionMayCutWhatItAppended) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.log->AppendBatch({"a", "b"}).ok());
  EXPECT_EQ(*world.log->Begin().AppendBatch({"c", "d", "e"}).TrimSuffix(4).Commit(),
            (LogRange{3, 3}));
  EXPECT_EQ(*world.log->Begin().AppendBatch({"x", "y"}).TrimSuffix(3).Commit(), (LogRange{3, 2}));
  LogWorld after(world.CopyAsKilled());
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(*after.All(), (std::vector<LogEntry>{{1, "a"}, {2, "b"}}));
}

TEST(Log, ATransactionThatCannotBeCarriedOutDoesNothing) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.log->AppendBatch(EntryTexts(1, 5)).ok());
  ASSERT_TRUE(world.log->TrimPrefix(2).ok());
  EXPECT_EQ(world.log->Begin().Append("x").TrimSuffix(2).Commit().code(), Code::kCompacted);
  EXPECT_EQ(world.log->Begin().TrimSuffix(4).TrimPrefix(4).Commit().code(), Code::kInvalidArgument);
  EXPECT_EQ(world.log->Seq(), 5u);
  EXPECT_EQ(world.log->Head(), 3u);
  EXPECT_EQ(*world.log->Read(5), EntryText(5));
}

TEST(Log, NumbersHave64Bits) {
  LogWorld world;
  constexpr std::uint64_t kFirst = UINT64_MAX - 6;
  world.options.first_index = kFirst;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.log->Head(), kFirst);
  EXPECT_EQ(world.log->Seq(), kFirst - 1);
  EXPECT_EQ(world.log->AppendBatch(EntryTexts(0, 7)).code(), Code::kInvalidArgument);
  EXPECT_EQ(*world.log->AppendBatch(EntryTexts(0, 6)), (LogRange{kFirst, UINT64_MAX - 1}));
  EXPECT_EQ(world.log->Append("one too many").code(), Code::kInvalidArgument);
  EXPECT_EQ(*world.log->Read(UINT64_MAX - 1), EntryText(5));
  EXPECT_EQ(world.log->Iterate(UINT64_MAX)->Next().code(), Code::kNotFound);
  EXPECT_EQ(world.All()->size(), 6u);
  world.log.reset();
  world.options.first_index = 1;  // of a new log only
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.log->Head(), kFirst);
  ASSERT_TRUE(world.log->TrimPrefix(UINT64_MAX - 1).ok());
  EXPECT_EQ(world.log->Head(), UINT64_MAX);
  world.log.reset();
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.log->Seq(), UINT64_MAX - 1);
  EXPECT_EQ(world.log->Append("none left").code(), Code::kInvalidArgument);
}

TEST(Log, WrongUseIsRefusedAndChangesNothing) {
  LogWorld world;
  const auto refused = [&](const std::function<void(LogOptions&)>& change) {
    LogWorld other;
    change(other.options);
    const Status opened = other.Open();
    EXPECT_TRUE(other.fs->List("/data/log").empty());
    return opened.code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](LogOptions& o) { o.dir = ""; }));
  EXPECT_TRUE(refused([](LogOptions& o) { o.first_index = 0; }));
  EXPECT_TRUE(refused([](LogOptions& o) { o.first_index = UINT64_MAX; }));
  EXPECT_TRUE(refused([](LogOptions& o) { o.write_buffer_bytes = 1; }));
  EXPECT_TRUE(refused([](LogOptions& o) { o.max_write_bytes = 0; }));
  EXPECT_TRUE(refused([](LogOptions& o) { o.max_waiting_writes = 0; }));
  world.options.max_write_bytes = 10'000;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.log->Append(std::string(10'001, 'x')).code(), Code::kInvalidArgument);
  EXPECT_EQ(world.log->AppendBatch(EntryTexts(1, 100, 100)).code(), Code::kInvalidArgument);
  EXPECT_TRUE(world.log->AppendBatch(EntryTexts(1, 50, 100)).ok());
}

TEST(Log, TwoAtATimeAreRefused) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  const Result<std::unique_ptr<Log>> second = storage::OpenLocalLog(world.options, world.ground);
  EXPECT_EQ(second.code(), Code::kUnavailable);
  EXPECT_NE(second.status().message().find("in use"), std::string::npos);
  world.log.reset();
  EXPECT_TRUE(world.Open().ok());
}

TEST(Log, OnARealDiskTwoAtATimeAreRefusedToo) {
  const std::filesystem::path dir =
      std::filesystem::path(testing::TempDir()) / ("raftkv_log_" + std::to_string(getpid()));
  LogOptions options;
  options.dir = dir.string();
  {
    const auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    EXPECT_EQ(*(*log)->Append("one"), 1u);
    EXPECT_EQ(Log::Open(options).code(), Code::kUnavailable);
    EXPECT_EQ(*(*log)->Append("two"), 2u);
  }
  const auto log = Log::Open(options);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  EXPECT_EQ(*(*log)->Read(2), "two");
  ASSERT_TRUE((*log)->Close().ok());
  std::filesystem::remove_all(dir);
}

TEST(Log, AFolderOfSomethingElseIsRefused) {
  LogWorld world;
  ASSERT_TRUE(world.env->CreateDirIfMissing("/data").ok());
  ASSERT_TRUE(world.env->CreateDirIfMissing("/data/log").ok());
  world.fs->SetContent("/data/log/letter", "dear reader");
  EXPECT_EQ(world.Open().code(), Code::kInvalidArgument);
  EXPECT_EQ(world.fs->List("/data/log"), std::vector<std::string>{"letter"});
}

TEST(Log, AsynchronousCallsAreCarriedOutInOrderAndCallBackOnce) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  std::vector<std::promise<std::uint64_t>> numbers(100);
  for (auto& number : numbers) {
    world.log->AppendAsync("entry", {}, [&number](const Result<std::uint64_t>& index) {
      number.set_value(index.ok() ? *index : 0);
    });
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(numbers[i].get_future().get(), i + 1);
  }
  std::promise<LogRange> batch;
  world.log->AppendBatchAsync({"a", "b"}, {}, [&](auto range) { batch.set_value(*range); });
  EXPECT_EQ(batch.get_future().get(), (LogRange{101, 102}));
  std::promise<Status> prefix;
  world.log->TrimPrefixAsync(50, {}, [&](const Status& s) { prefix.set_value(s); });
  EXPECT_TRUE(prefix.get_future().get().ok());
  std::promise<Status> suffix;
  world.log->TrimSuffixAsync(50, {}, [&](const Status& s) { suffix.set_value(s); });
  EXPECT_EQ(suffix.get_future().get().code(), Code::kCompacted);
  std::promise<LogRange> txn;
  world.log->Begin().TrimSuffix(101).Append("c").CommitAsync(
      {}, [&](auto range) { txn.set_value(*range); });
  EXPECT_EQ(txn.get_future().get(), (LogRange{101, 101}));
}

TEST(Log, AnIteratorGoesOnAtTheEndAndWaitsIfItIsTold) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  const auto it = world.log->Iterate(1);
  EXPECT_EQ(it->Next().code(), Code::kNotFound);
  EXPECT_EQ(it->Next(1ms).code(), Code::kDeadlineExceeded);
  ASSERT_TRUE(world.log->Append("one").ok());
  EXPECT_EQ(it->Next()->data, "one");
  std::thread writer([&] { EXPECT_TRUE(world.log->Append("two").ok()); });
  EXPECT_EQ(*it->Next(30s), (LogEntry{2, "two"}));
  writer.join();
  const auto ahead = world.log->Iterate(5);
  ASSERT_TRUE(world.log->AppendBatch({"three", "four", "five"}).ok());
  EXPECT_EQ(*ahead->Next(), (LogEntry{5, "five"})) << "from behind the end";
  std::thread closer([&] { EXPECT_TRUE(world.log->Close().ok()); });
  EXPECT_EQ(ahead->Next(30s).code(), Code::kCancelled);
  closer.join();
  EXPECT_EQ(world.log->Append("late").code(), Code::kCancelled);
  EXPECT_EQ(world.log->Read(1).code(), Code::kCancelled);
  EXPECT_EQ(ahead->Next().code(), Code::kCancelled);
  EXPECT_EQ(world.log->Seq(), 5u);
  EXPECT_TRUE(world.log->Close().ok()) << "closed already";
}

TEST(Log, ConcurrentAppendsAreEachThereWhenTheyAreAcknowledged) {
  LogWorld world;
  ASSERT_TRUE(world.Open().ok());
  constexpr int kThreads = 8;
  constexpr int kAppends = 200;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      std::uint64_t last = 0;
      for (int i = 0; i < kAppends; ++i) {
        const Result<std::uint64_t> index = world.log->Append(EntryText(i, 100));
        if (!index.ok() || *index <= last || *world.log->Read(*index) != EntryText(i, 100)) ++wrong;
        if (index.ok()) last = *index;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(world.log->Seq(), 1u * kThreads * kAppends);
}

TEST(Log, ReadersSeeASoundLogWhileItGrowsAndIsCutAtBothEnds) {
  LogWorld world;
  world.options.write_buffer_bytes = 64 << 10;
  world.options.sync = false;
  ASSERT_TRUE(world.Open().ok());
  // Whatever an entry was replaced by, it tells its number first.
  const auto told = [](const LogEntry& entry) {
    return entry.data.starts_with(EntryText(entry.index, 0));
  };
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<std::uint64_t> seen{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto it = world.log->Iterate(world.log->Head());
        std::uint64_t next = 0;
        while (!stop) {
          const Result<LogEntry> entry = it->Next(1ms);
          if (!entry.ok()) {
            const Code code = entry.code();
            if (code != Code::kDeadlineExceeded && code != Code::kCompacted) ++wrong;
            break;
          }
          if (!told(*entry) || (next != 0 && entry->index != next)) ++wrong;
          next = entry->index + 1;
          ++seen;
        }
      }
    });
  }
  for (int round = 0; round < 400; ++round) {
    const std::uint64_t seq = world.log->Seq();
    ASSERT_TRUE(world.log->AppendBatch(EntryTexts(seq + 1, 20, 200)).ok());
    if (round % 3 == 0) {
      LogTxn txn = world.log->Begin();
      ASSERT_TRUE(txn.TrimSuffix(seq + 11).AppendBatch(EntryTexts(seq + 11, 5)).Commit().ok());
    }
    if (round % 5 == 0) {
      ASSERT_TRUE(world.log->TrimSuffix(world.log->Seq() - 2).ok());
    }
    if (round % 7 == 0 && seq > 100) {
      ASSERT_TRUE(world.log->TrimPrefix(seq - 50).ok());
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(seen, 0u);
  const Result<std::vector<LogEntry>> all = world.All();
  ASSERT_TRUE(all.ok());
  for (const LogEntry& entry : *all) EXPECT_TRUE(told(entry)) << entry.index;
}

// Compaction in issue 4: space really comes back.
TEST(Log, CuttingGivesSpaceBack) {
  LogWorld world;
  world.options.write_buffer_bytes = 256 << 10;
  world.options.sync = false;
  ASSERT_TRUE(world.Open().ok());
  constexpr std::size_t kLimit = 1 << 20;
  constexpr std::size_t kEntry = 1000;
  std::size_t peak = 0;
  for (std::size_t written = 0; written < 20 * kLimit; written += 50 * kEntry) {
    const std::uint64_t seq = world.log->Seq();
    ASSERT_TRUE(world.log->AppendBatch(EntryTexts(seq + 1, 50, kEntry)).ok());
    const std::uint64_t keep = kLimit / kEntry;
    if (seq > keep) {
      ASSERT_TRUE(world.log->TrimPrefix(seq - keep).ok());
    }
    std::size_t size = 0;
    for (const auto& [path, content] : world.fs->Everything()) size += content.size();
    peak = std::max(peak, size);
  }
  RecordProperty("peak_bytes", static_cast<int>(peak));
  EXPECT_LT(peak, 4 * kLimit);
  EXPECT_EQ(world.All()->size(), world.log->Seq() - world.log->Head() + 1);
}

}  // namespace
}  // namespace raftkv::test
