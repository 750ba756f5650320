// For how long can a client not write when the leader is killed? The longest time between two
// acknowledgements of one client that puts one key after the other, around each SIGKILL.
// usage: bench_failover [RUNS]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "lib/base/random.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

// Puts one key after the other and remembers the longest wait.
class Writer {
 public:
  explicit Writer(ProcessCluster& cluster)
      : client_(cluster.Connect()), thread_([this] { Run(); }) {}
  ~Writer() {
    stop_ = true;
    thread_.join();
  }

  void Forget() {
    const std::lock_guard lock(mutex_);
    longest_ = {};
    acknowledged_ = 0;
  }
  Milliseconds longest() {
    const std::lock_guard lock(mutex_);
    return longest_;
  }
  std::uint64_t acknowledged() {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }

 private:
  void Run() {
    auto last = steady_clock::now();
    for (std::uint64_t i = 0; !stop_; ++i) {
      const auto result = client_->kv().Put("key", std::to_string(i), {30s});
      if (!result.ok()) {
        std::cerr << "failover: " << result.status().ToString() << std::endl;
        continue;
      }
      const auto now = steady_clock::now();
      const std::lock_guard lock(mutex_);
      longest_ = std::max<Milliseconds>(longest_, now - last);
      ++acknowledged_;
      last = now;
    }
  }

  std::unique_ptr<Client> client_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  Milliseconds longest_{};
  std::uint64_t acknowledged_ = 0;
  std::thread thread_;
};

// Nothing if the cluster did not come back.
std::optional<Milliseconds> KillTheLeaderOnce(ProcessCluster& cluster, Writer& writer,
                                              Random& chance) {
  const auto leader = cluster.WaitForLeader(30s);
  if (!leader) return std::nullopt;
  // Any time between two heartbeats.
  WaitFor(std::chrono::milliseconds(500 + chance.Below(200)), [] { return false; });
  writer.Forget();
  if (!WaitFor(10s, [&] { return writer.acknowledged() > 5; })) return std::nullopt;
  cluster.Kill(*leader);
  const std::uint64_t at_kill = writer.acknowledged();
  // One of these may have been acknowledged by the old leader just before.
  if (!WaitFor(30s, [&] { return writer.acknowledged() > at_kill + 20; })) return std::nullopt;
  const Milliseconds outage = writer.longest();
  if (!cluster.Start(*leader)) return std::nullopt;
  return outage;
}

int Main(int runs) {
  ProcessCluster cluster;
  if (!cluster.StartAll()) {
    std::cerr << "failover: the cluster does not start" << std::endl;
    return 1;
  }
  Writer writer(cluster);
  Random chance(std::chrono::system_clock::now().time_since_epoch().count());
  Milliseconds worst{};
  for (int run = 0; run < runs; ++run) {
    const auto outage = KillTheLeaderOnce(cluster, writer, chance);
    if (!outage) {
      std::cerr << "failover: no writes after the kill" << std::endl;
      return 1;
    }
    worst = std::max(worst, *outage);
    std::printf("%s%.0f", run == 0 ? R"({"outages_ms":[)" : ",", outage->count());
  }
  std::printf("],\"worst_ms\":%.0f}\n", worst.count());
  return 0;
}

}  // namespace
}  // namespace raftkv::test

int main(int argc, char** argv) {
  int runs = 10;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::string_view(argv[1]).size(), runs);
  return raftkv::test::Main(std::max(runs, 1));
}
