// What does raftkv::Log cost beside what it is made of? One round of each, one after the other:
// batches of 1,000 entries with sync against RocksDB doing the same, and one synced append against
// a bare write and fdatasync to a growing file.
//
// usage: bench_log DIR ENTRIES APPENDS     (DIR must exist; what is made in it is removed)
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <rocksdb/db.h>

#include <raftkv/log.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/random.h"

namespace {

using std::chrono::steady_clock;

constexpr std::size_t kEntryBytes = 256;
constexpr std::uint64_t kBatch = 1000;
constexpr std::size_t kPoolBytes = 4 << 20;
/// The two kinds of synced append take turns of so many.
constexpr int kTurn = 50;

const std::string& Pool() {
  static const std::string pool = [] {
    raftkv::Random chance(1);
    std::string bytes;
    while (bytes.size() < kPoolBytes + kEntryBytes) {
      raftkv::AppendBigEndian64(bytes, chance.Next());
    }
    return bytes;
  }();
  return pool;
}

std::string_view EntryOf(std::uint64_t i) {
  return std::string_view(Pool()).substr(i * 97 % kPoolBytes, kEntryBytes);
}

double Seconds(steady_clock::duration took) { return std::chrono::duration<double>(took).count(); }

std::unique_ptr<raftkv::Log> OpenLog(const std::string& folder) {
  raftkv::LogOptions options;
  options.dir = folder;
  auto log = raftkv::Log::Open(options);
  RAFTKV_CHECK(log.ok(), log.status().ToString());
  return std::move(*log);
}

/// Entries a second.
double BatchesToLog(const std::string& folder, std::uint64_t entries) {
  const auto log = OpenLog(folder);
  const auto begin = steady_clock::now();
  for (std::uint64_t i = 0; i < entries; i += kBatch) {
    std::vector<std::string> batch;
    batch.reserve(kBatch);
    for (std::uint64_t j = i; j < i + kBatch; ++j) batch.emplace_back(EntryOf(j));
    const auto range = log->AppendBatch(std::move(batch));
    RAFTKV_CHECK(range.ok(), range.status().ToString());
  }
  return static_cast<double>(entries) / Seconds(steady_clock::now() - begin);
}

/// The same by RocksDB alone: a key of 8 bytes an entry, no compression, else its defaults.
double BatchesToRocksdb(const std::string& folder, std::uint64_t entries) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  rocksdb::DB* opened = nullptr;
  RAFTKV_CHECK(rocksdb::DB::Open(options, folder, &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  const auto begin = steady_clock::now();
  for (std::uint64_t i = 0; i < entries; i += kBatch) {
    rocksdb::WriteBatch batch;
    for (std::uint64_t j = i; j < i + kBatch; ++j) {
      std::string key;
      raftkv::AppendBigEndian64(key, j);
      const std::string_view entry = EntryOf(j);
      RAFTKV_CHECK(batch.Put(key, rocksdb::Slice(entry.data(), entry.size())).ok());
    }
    RAFTKV_CHECK(db->Write(synced, &batch).ok());
  }
  return static_cast<double>(entries) / Seconds(steady_clock::now() - begin);
}

double MedianUs(std::vector<double>& seconds) {
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2] * 1e6;
}

struct Appends {
  double log_us = 0;
  double bare_us = 0;
};

/// The median of each, in turns.
Appends SyncedAppends(const std::string& folder, int count) {
  const auto log = OpenLog(folder + "/log");
  const int file =
      open((folder + "/file").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  RAFTKV_CHECK(file >= 0);
  std::vector<double> of_log;
  std::vector<double> bare;
  for (int i = 0; i < count; ++i) {
    for (int j = 0; j < kTurn; ++j) {
      const auto begin = steady_clock::now();
      const std::string_view entry = EntryOf(j);
      RAFTKV_CHECK(write(file, entry.data(), entry.size()) == static_cast<ssize_t>(entry.size()));
      RAFTKV_CHECK(fdatasync(file) == 0);
      bare.push_back(Seconds(steady_clock::now() - begin));
    }
    for (int j = 0; j < kTurn; ++j) {
      const auto begin = steady_clock::now();
      RAFTKV_CHECK(log->Append(std::string(EntryOf(j))).ok());
      of_log.push_back(Seconds(steady_clock::now() - begin));
    }
  }
  close(file);
  return {MedianUs(of_log), MedianUs(bare)};
}

template <class T>
T NumberOf(const char* text) {
  T number = 0;
  std::from_chars(text, text + std::string_view(text).size(), number);
  return number;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t entries = argc == 4 ? NumberOf<std::uint64_t>(argv[2]) / kBatch * kBatch : 0;
  const int appends = argc == 4 ? NumberOf<int>(argv[3]) : 0;
  if (entries == 0 || appends <= 0) {
    std::cerr << "usage: bench_log DIR ENTRIES APPENDS" << std::endl;
    return 128;
  }
  static_cast<void>(Pool());
  const std::string folder = argv[1] + std::string("/bench_log");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/appends");
  const double rocksdb = BatchesToRocksdb(folder + "/rocksdb", entries);
  const double log = BatchesToLog(folder + "/batches", entries);
  const Appends single = SyncedAppends(folder + "/appends", (appends + kTurn - 1) / kTurn);
  std::filesystem::remove_all(folder);
  std::printf(R"({"log_entries_per_s":%.0f,"rocksdb_entries_per_s":%.0f,)"
              R"("append_p50_us":%.1f,"bare_p50_us":%.1f})"
              "\n",
              log, rocksdb, single.log_us, single.bare_us);
  return 0;
}
