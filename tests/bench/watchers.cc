// What do a thousand watchers of one member cost those who write? Rounds without and with them take
// turns; a tenth of the watchers never read what they are sent.
// usage: bench_watchers [ROUNDS]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <raftkv/watch.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr int kWatchers = 1000;
constexpr int kSilent = 100;
constexpr int kOutstanding = 64;
constexpr auto kRound = 5s;

/// Keeps kOutstanding puts of 256 bytes open for kRound; how many a second were answered. Each goes
/// to one of kWatchers keys.
double PutsPerSecond(KV& kv) {
  std::mutex mutex;
  std::condition_variable ended;
  std::atomic<std::uint64_t> next{0};
  std::uint64_t done = 0;
  int open = kOutstanding;
  bool stop = false;
  const std::string value(256, 'v');
  std::function<void()> put = [&] {
    const std::string key = "watched/" + std::to_string(next++ % kWatchers);
    kv.PutAsync(key, value, {60s}, [&](const Result<WriteResult>& result) {
      std::unique_lock lock(mutex);
      if (result.ok()) ++done;
      if (stop) {
        if (--open == 0) ended.notify_one();
        return;
      }
      lock.unlock();
      put();
    });
  };
  const auto begun = steady_clock::now();
  for (int i = 0; i < kOutstanding; ++i) put();
  WaitFor(kRound, [] { return false; });
  std::unique_lock lock(mutex);
  stop = true;
  ended.wait(lock, [&] { return open == 0; });
  return static_cast<double>(done) /
         std::chrono::duration<double>(steady_clock::now() - begun).count();
}

/// Of a process, in MiB.
double ResidentMiB(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

/// kWatchers of one member: each follows one key, and one in ten is never asked for its events.
class Watchers {
 public:
  explicit Watchers(ProcessCluster& cluster) : client_(cluster.ConnectOnlyTo(0)) {
    for (int i = 0; i < kWatchers; ++i) {
      const bool silent = i % (kWatchers / kSilent) == 0;
      std::function<void(Result<WatchResponse>)> count =
          [this](const Result<WatchResponse>& response) {
            if (response.ok()) events_ += response->events.size();
          };
      watchers_.push_back(client_->kv().Watch(KeyRange::Single("watched/" + std::to_string(i)), {},
                                              silent ? nullptr : count));
    }
    WaitFor(60s, [this] {
      return std::all_of(watchers_.begin(), watchers_.end(),
                         [](const Watcher& watcher) { return watcher.begun(); });
    });
  }
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  std::unique_ptr<Client> client_;
  std::atomic<std::uint64_t> events_{0};
  std::vector<Watcher> watchers_;
};

int Main(int rounds) {
  ProcessCluster cluster({.steady = true});
  if (!cluster.StartAll()) {
    std::cerr << "watchers: the cluster does not start" << std::endl;
    return 1;
  }
  const auto writer = cluster.Connect();
  std::vector<double> alone;
  std::vector<double> watched;
  std::uint64_t events = 0;
  double resident = 0;
  static_cast<void>(PutsPerSecond(writer->kv()));  // warms up
  const double before = ResidentMiB(cluster.process(0).pid());
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(PutsPerSecond(writer->kv()));
    Watchers watchers(cluster);
    watched.push_back(PutsPerSecond(writer->kv()));
    events += watchers.events();
    resident = std::max(resident, ResidentMiB(cluster.process(0).pid()));
  }
  std::sort(alone.begin(), alone.end());
  std::sort(watched.begin(), watched.end());
  const double a = alone[alone.size() / 2];
  const double w = watched[watched.size() / 2];
  std::printf(
      R"({"watchers":%d,"silent":%d,"puts_per_s":%.0f,"puts_per_s_watched":%.0f,"ratio":%.3f,)"
      R"("events":%llu,"member_mib_before":%.0f,"member_mib_watched":%.0f})"
      "\n",
      kWatchers, kSilent, a, w, w / a, static_cast<unsigned long long>(events), before, resident);
  return 0;
}

}  // namespace
}  // namespace raftkv::test

int main(int argc, char** argv) {
  int rounds = 5;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::string_view(argv[1]).size(), rounds);
  return raftkv::test::Main(std::max(rounds, 1));
}
