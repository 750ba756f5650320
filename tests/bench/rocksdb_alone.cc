// What does RocksDB alone reach here, doing what a put of raftkv has to do at least? The measure
// for the throughput goal: library defaults but a synced WAL, one column family, 64 threads of
// single puts, random keys of 1 million, 256 random bytes.
//
// usage: bench_rocksdb_alone DIR SECONDS     (DIR must not exist; it is left behind)
#include <sys/resource.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <rocksdb/db.h>

#include "cmd/histogram.h"
#include "lib/base/random.h"

namespace {

using std::chrono::steady_clock;

constexpr int kThreads = 64;
constexpr std::uint64_t kKeys = 1'000'000;
constexpr std::size_t kValueBytes = 256;
constexpr std::size_t kPoolBytes = 4 << 20;

std::string RandomPool() {
  raftkv::Random chance(1);
  std::string pool;
  while (pool.size() < kPoolBytes + kValueBytes) {
    const std::uint64_t bits = chance.Next();
    for (int shift = 0; shift < 64; shift += 8) pool.push_back(static_cast<char>(bits >> shift));
  }
  return pool;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void PutUntil(steady_clock::time_point end, rocksdb::DB& db, const std::string& pool,
              std::uint64_t seed, raftkv::cmd::Histogram& histogram, std::atomic<bool>& failed) {
  raftkv::Random chance(seed);
  rocksdb::WriteOptions options;
  options.sync = true;
  auto start = steady_clock::now();
  while (start < end && !failed) {
    char key[32];
    const int length = std::snprintf(key, sizeof(key), "bench/%010llu",
                                     static_cast<unsigned long long>(chance.Below(kKeys)));
    const rocksdb::Slice value(pool.data() + chance.Below(kPoolBytes), kValueBytes);
    const auto status = db.Put(options, {key, static_cast<std::size_t>(length)}, value);
    if (!status.ok()) {
      std::cerr << "rocksdb_alone: " << status.ToString() << std::endl;
      failed = true;
    }
    const auto now = steady_clock::now();
    histogram.Record(static_cast<std::uint64_t>((now - start).count()));
    start = now;
  }
}

}  // namespace

int main(int argc, char** argv) {
  int seconds = 0;
  if (argc == 3) std::from_chars(argv[2], argv[2] + std::string_view(argv[2]).size(), seconds);
  if (seconds <= 0) {
    std::cerr << "usage: bench_rocksdb_alone DIR SECONDS" << std::endl;
    return 128;
  }
  rocksdb::Options options;
  options.create_if_missing = true;
  options.error_if_exists = true;
  rocksdb::DB* opened = nullptr;
  const auto status = rocksdb::DB::Open(options, argv[1], &opened);
  if (!status.ok()) {
    std::cerr << "rocksdb_alone: " << status.ToString() << std::endl;
    return 1;
  }
  const std::unique_ptr<rocksdb::DB> db(opened);
  const std::string pool = RandomPool();
  const auto histogram = std::make_unique<raftkv::cmd::Histogram>();
  std::atomic<bool> failed{false};
  const double cpu_before = CpuSeconds();
  const auto start = steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      PutUntil(start + std::chrono::seconds(seconds), *db, pool, 100 + i, *histogram, failed);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = std::chrono::duration<double>(steady_clock::now() - start).count();
  std::printf(R"({"ops_per_s":%.0f,"p50_ms":%.3f,"p99_ms":%.3f,"cpu_s":%.2f,"seconds":%.2f})"
              "\n",
              static_cast<double>(histogram->count()) / took,
              static_cast<double>(histogram->Quantile(0.5)) / 1e6,
              static_cast<double>(histogram->Quantile(0.99)) / 1e6, CpuSeconds() - cpu_before,
              took);
  return failed ? 1 : 0;
}
