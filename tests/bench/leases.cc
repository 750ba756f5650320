// What do many leases cost a cluster that is idle, and those who write when many end together?
// usage: bench_leases [IDLE [ENDING]]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/usage.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr auto kIdle = 20s;

/// Calls `start(i, done)` for all i < `count`, at most 256 at a time; how many did not succeed.
int ForAll(int count, const std::function<void(int, std::function<void(bool)>)>& start) {
  constexpr int kAtOnce = 256;
  std::mutex mutex;
  std::condition_variable changed;
  int open = 0;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return open < kAtOnce; });
      ++open;
    }
    start(i, [&](bool ok) {
      const std::lock_guard lock(mutex);
      --open;
      if (!ok) ++failed;
      changed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return open == 0; });
  return failed;
}

double MembersCpu(ProcessCluster& cluster) {
  double seconds = 0;
  for (std::size_t member = 0; member < cluster.size(); ++member) {
    seconds += CpuSeconds(cluster.process(member).pid());
  }
  return seconds;
}

/// Per second of a cluster that nobody asks for anything, in percent of one core.
double IdlePercent(ProcessCluster& cluster) {
  // What was written before is flushed and compacted by then.
  WaitFor(15s, [] { return false; });
  const double before = MembersCpu(cluster);
  WaitFor(kIdle, [] { return false; });
  return (MembersCpu(cluster) - before) / std::chrono::duration<double>(kIdle).count() * 100;
}

int Grant(KV& kv, int count, milliseconds ttl, const std::string& prefix) {
  return ForAll(count, [&](int i, const std::function<void(bool)>& done) {
    kv.GrantLeaseAsync(ttl, 0, {60s}, [&kv, &prefix, i, done](const Result<LeaseInfo>& lease) {
      if (!lease.ok() || prefix.empty()) return done(lease.ok());
      WriteOptions options;
      options.timeout = 60s;
      options.lease = lease->id;
      kv.PutAsync(prefix + std::to_string(i), "v", options,
                  [done](const Result<WriteResult>& put) { done(put.ok()); });
    });
  });
}

/// The longest of the puts that one client makes, one after the other, until `over` holds.
Milliseconds LongestPut(KV& kv, const std::function<bool()>& over) {
  Milliseconds longest{};
  auto looked = steady_clock::now();
  while (true) {
    const auto begun = steady_clock::now();
    if (!kv.Put("other", "v", {60s}).ok()) return 60s;
    const auto now = steady_clock::now();
    longest = std::max<Milliseconds>(longest, now - begun);
    if (now - looked < 100ms) continue;
    looked = now;
    if (over()) return longest;
  }
}

std::uint64_t KeysBelow(KV& kv, const std::string& prefix) {
  ScanOptions options;
  options.timeout = 60s;
  options.count_only = true;
  options.consistency = Consistency::kLocal;
  const auto found = kv.Scan(KeyRange::Prefix(prefix), options);
  return found.ok() ? found->count : UINT64_MAX;
}

int Main(int idle, int ending) {
  ProcessCluster cluster({.steady = true});
  if (!cluster.StartAll()) {
    std::cerr << "leases: the cluster does not start" << std::endl;
    return 1;
  }
  const auto client = cluster.Connect();
  KV& kv = client->kv();
  const double without = IdlePercent(cluster);
  if (Grant(kv, idle, 24h, "") != 0) return 1;
  const double with = IdlePercent(cluster);

  // All of them are granted within their time to live, and end within the time that it took.
  const auto begun = steady_clock::now();
  if (Grant(kv, ending, 20s, "leased/") != 0) return 1;
  const Milliseconds granted = steady_clock::now() - begun;
  const auto quiet_until = steady_clock::now() + 5s;
  const Milliseconds quiet = LongestPut(kv, [&] { return steady_clock::now() >= quiet_until; });
  const Milliseconds at_the_end = LongestPut(kv, [&] { return KeysBelow(kv, "leased/") == 0; });
  const Milliseconds all = steady_clock::now() - begun;
  std::printf(R"({"idle_leases":%d,"idle_cpu_percent_without":%.2f,"idle_cpu_percent":%.2f,)"
              R"("ending":%d,"granted_ms":%.0f,"gone_ms":%.0f,"longest_put_ms_before":%.1f,)"
              R"("longest_put_ms":%.1f})"
              "\n",
              idle, without, with, ending, granted.count(), all.count(), quiet.count(),
              at_the_end.count());
  return 0;
}

}  // namespace
}  // namespace raftkv::test

int main(int argc, char** argv) {
  int numbers[] = {100'000, 10'000};
  for (int i = 1; i < argc && i < 3; ++i) {
    std::from_chars(argv[i], argv[i] + std::string_view(argv[i]).size(), numbers[i - 1]);
  }
  return raftkv::test::Main(std::max(numbers[0], 1), std::max(numbers[1], 1));
}
