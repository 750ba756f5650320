// What do a thousand watchers of one member cost those who write? Rounds without watchers, with
// watchers of keys that nobody writes, and with watchers that are sent each put, take turns. A
// tenth of the watchers never reads what it is sent. Members, watchers and writer share the
// machine. usage: bench_watchers [ROUNDS]
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
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
#include "tests/support/process/usage.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr int kWatchers = 1000;
constexpr int kSilent = 100;
constexpr int kOutstanding = 64;
constexpr auto kRound = 5s;

struct Round {
  double puts_per_s = 0;
  double members_us = 0;  ///< of CPU, a put
  double clients_us = 0;
};

/// Keeps kOutstanding puts of 256 bytes open for kRound; how many were answered. Each goes to one
/// of kWatchers keys.
std::uint64_t PutForARound(KV& kv) {
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
  for (int i = 0; i < kOutstanding; ++i) put();
  WaitFor(kRound, [] { return false; });
  std::unique_lock lock(mutex);
  stop = true;
  ended.wait(lock, [&] { return open == 0; });
  return done;
}

Round Measure(ProcessCluster& cluster, KV& kv) {
  const auto members = [&] {
    double seconds = 0;
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      seconds += CpuSeconds(cluster.process(i).pid());
    }
    return seconds;
  };
  const auto begun = steady_clock::now();
  const double members_before = members();
  const double clients_before = CpuSeconds(getpid());
  const auto puts = static_cast<double>(std::max<std::uint64_t>(PutForARound(kv), 1));
  const std::chrono::duration<double> took = steady_clock::now() - begun;
  return {puts / took.count(), (members() - members_before) / puts * 1e6,
          (CpuSeconds(getpid()) - clients_before) / puts * 1e6};
}

/// The one in the middle by puts.
Round Median(std::vector<Round> rounds) {
  std::sort(rounds.begin(), rounds.end(),
            [](const Round& a, const Round& b) { return a.puts_per_s < b.puts_per_s; });
  return rounds[rounds.size() / 2];
}

/// kWatchers of one member: each follows one key, and one in ten is never asked for its events.
class Watchers {
 public:
  Watchers(ProcessCluster& cluster, const std::string& prefix) : client_(cluster.ConnectOnlyTo(0)) {
    for (int i = 0; i < kWatchers; ++i) {
      const bool silent = i % (kWatchers / kSilent) == 0;
      std::function<void(Result<WatchResponse>)> count =
          [this](const Result<WatchResponse>& response) {
            if (response.ok()) events_ += response->events.size();
          };
      watchers_.push_back(client_->kv().Watch(KeyRange::Single(prefix + std::to_string(i)), {},
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
  static_cast<void>(PutForARound(writer->kv()));  // warms up
  const double mib_before = ResidentMiB(cluster.process(0).pid());
  double mib_watched = 0;
  std::vector<Round> alone;
  std::vector<Round> elsewhere;
  std::vector<Round> watched;
  std::uint64_t events = 0;
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(Measure(cluster, writer->kv()));
    {
      const Watchers watchers(cluster, "elsewhere/");
      elsewhere.push_back(Measure(cluster, writer->kv()));
    }
    const Watchers watchers(cluster, "watched/");
    watched.push_back(Measure(cluster, writer->kv()));
    events += watchers.events();
    mib_watched = std::max(mib_watched, ResidentMiB(cluster.process(0).pid()));
  }
  std::printf(R"({"watchers":%d,"silent":%d,"events":%llu,"member_mib":[%.0f,%.0f])", kWatchers,
              kSilent, static_cast<unsigned long long>(events), mib_before, mib_watched);
  const auto print = [&](const char* name, const std::vector<Round>& all) {
    const Round median = Median(all);
    std::printf(R"(,"%s":{"puts_per_s":%.0f,"ratio":%.3f,"members_us":%.1f,"clients_us":%.1f})",
                name, median.puts_per_s, median.puts_per_s / Median(alone).puts_per_s,
                median.members_us, median.clients_us);
  };
  print("none", alone);
  print("elsewhere", elsewhere);
  print("each_put", watched);
  std::puts("}");
  return 0;
}

}  // namespace
}  // namespace raftkv::test

int main(int argc, char** argv) {
  int rounds = 5;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::string_view(argv[1]).size(), rounds);
  return raftkv::test::Main(std::max(rounds, 1));
}
