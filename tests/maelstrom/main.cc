// raftkv_maelstrom: long runs of the stand-in for Maelstrom (./dev maelstrom, docs/testing.md).
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "tests/support/maelstrom/maelstrom_run.h"

namespace raftkv::test::maelstrom {
namespace {

using namespace std::chrono_literals;

struct Arguments {
  std::string program = RAFTKV_BINARY;
  std::vector<std::string> parts = {"lin-kv",       "restarts", "workloads",
                                    "availability", "distance", "throughput"};
  std::vector<std::size_t> nodes = {3, 5};
  std::vector<int> latencies_ms = {0, 10, 100};
  std::uint64_t seeds = 10;
  std::uint64_t first_seed = 1;
  int seconds = 60;
  double rate = 30;
  std::size_t clients = 3;
};

/// What all runs came to.
struct Sum {
  int runs = 0;
  int bad = 0;
  Counts counts;

  void Add(const RunReport& report) {
    ++runs;
    bad += report.problems.empty() ? 0 : 1;
    counts.requests += report.counts.requests;
    counts.ok += report.counts.ok;
    counts.refused += report.counts.refused;
    counts.failed += report.counts.failed;
    counts.unknown += report.counts.unknown;
  }
};

double Percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string OneDecimal(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

std::string Fractions(const Counts& counts) {
  char text[160];
  std::snprintf(text, sizeof(text),
                "%7llu requests: %5.1f %% ok, %4.1f %% refused, %4.1f %% failed, %4.1f %% unknown",
                static_cast<unsigned long long>(counts.requests),
                Percent(counts.ok, counts.requests), Percent(counts.refused, counts.requests),
                Percent(counts.failed, counts.requests), Percent(counts.unknown, counts.requests));
  return text;
}

/// Two election timeouts as late as they are drawn (twice the 500 ms that are the default of
/// `raftkv maelstrom`), and ten latencies.
Milliseconds SilenceBound(Milliseconds latency) { return 2 * 1000ms + 10 * latency; }

RunOptions With(const Arguments& arguments, const std::string& workload, std::size_t nodes,
                int latency_ms, std::uint64_t seed) {
  RunOptions options;
  options.workload = workload;
  options.duration = arguments.seconds * 1000ms;
  options.network.command = {arguments.program, "maelstrom"};
  options.network.nodes = nodes;
  options.network.latency = latency_ms * 1ms;
  options.clients.rate = arguments.rate;
  options.clients.a_node = arguments.clients;
  options.nemesis.partition_every = 5s;
  options.nemesis.partition_for = 3s;
  options.SetSeed(seed);
  return options;
}

class Program {
 public:
  explicit Program(const Arguments& arguments) : arguments_(arguments) {}

  int Run() {
    for (const std::string& part : arguments_.parts) {
      if (part == "lin-kv") Grid();
      if (part == "restarts") Restarts();
      if (part == "workloads") Workloads();
      if (part == "availability") Availability();
      if (part == "distance") Distance();
      if (part == "throughput") Throughput();
    }
    std::printf("\n%d runs, %d with a violation; %s\n", sum_.runs, sum_.bad,
                Fractions(sum_.counts).c_str());
    for (const auto& [goal, met] : goals_) {
      std::printf("%-7s %s\n", met ? "met" : "NOT met", goal.c_str());
    }
    return sum_.bad == 0 ? 0 : 1;
  }

 private:
  RunReport One(const char* part, const RunOptions& options, std::uint64_t seed) {
    const RunReport report = RunMaelstrom(options);
    sum_.Add(report);
    std::printf("%-12s %-15s %zu nodes %3lld ms seed %-3llu %s, p50 %.0f ms, p99 %.0f ms%s\n", part,
                options.workload.c_str(), options.network.nodes,
                static_cast<long long>(options.network.latency.count()),
                static_cast<unsigned long long>(seed), Fractions(report.counts).c_str(),
                report.LatencyMs(0.5), report.LatencyMs(0.99),
                report.problems.empty() ? "" : "  VIOLATION");
    for (const std::string& problem : report.problems) std::printf("%s\n", problem.c_str());
    std::fflush(stdout);
    return report;
  }

  template <class Action>
  void EachSeed(std::uint64_t most, const Action& action) const {
    const std::uint64_t count = std::min(most, arguments_.seeds);
    for (std::uint64_t i = 0; i < count; ++i) action(arguments_.first_seed + i);
  }

  template <class Action>
  void EachCluster(const Action& action) const {
    for (const std::size_t nodes : arguments_.nodes) {
      for (const int latency_ms : arguments_.latencies_ms) action(nodes, latency_ms);
    }
  }

  void Grid() {
    EachCluster([this](std::size_t nodes, int latency_ms) {
      EachSeed(arguments_.seeds, [&](std::uint64_t seed) {
        One("lin-kv", With(arguments_, "lin-kv", nodes, latency_ms, seed), seed);
      });
    });
  }

  void Restarts() {
    constexpr std::uint64_t kSeeds = 3;
    EachCluster([this](std::size_t nodes, int latency_ms) {
      EachSeed(kSeeds, [&](std::uint64_t seed) {
        RunOptions options = With(arguments_, "lin-kv", nodes, latency_ms, seed);
        options.nemesis.partition_every = 10s;
        options.nemesis.restart_every = 3s;
        options.network.doubled_percent = 5;
        One("restarts", options, seed);
      });
    });
  }

  void Workloads() {
    constexpr std::uint64_t kSeeds = 3;
    for (const char* workload :
         {"txn-rw-register", "txn-list-append", "echo", "g-counter", "pn-counter", "unique-ids"}) {
      EachSeed(kSeeds, [&](std::uint64_t seed) {
        const int latency_ms = arguments_.latencies_ms[seed % arguments_.latencies_ms.size()];
        One("workloads", With(arguments_, workload, arguments_.nodes.front(), latency_ms, seed),
            seed);
      });
    }
  }

  /// A partition of 5 s every 10 s.
  void Availability() {
    constexpr std::uint64_t kSeeds = 3;
    EachCluster([this](std::size_t nodes, int latency_ms) {
      const Milliseconds bound = SilenceBound(latency_ms * 1ms);
      double least_ok = 100;
      Milliseconds longest{0};
      int late = 0;
      int partitions = 0;
      EachSeed(kSeeds, [&](std::uint64_t seed) {
        RunOptions options = With(arguments_, "lin-kv", nodes, latency_ms, seed);
        options.nemesis.partition_every = 10s;
        options.nemesis.partition_for = 5s;
        const RunReport report = One("availability", options, seed);
        least_ok = std::min(least_ok, report.ok_percent());
        for (const Silence& each : report.silences) {
          if (each.partition < bound) continue;  // cut short by the end of the run
          ++partitions;
          const Milliseconds silence = each.silence.value_or(each.partition);
          longest = std::max(longest, silence);
          late += silence > bound ? 1 : 0;
          std::printf("  %-8s: answers on the side of the majority after %lld ms%s\n",
                      Name(each.kind), static_cast<long long>(silence.count()),
                      each.silence ? "" : " still none");
        }
      });
      const std::string cluster =
          std::to_string(nodes) + " nodes, " + std::to_string(latency_ms) + " ms: ";
      goals_.emplace_back(cluster + "the majority answers within " + std::to_string(bound.count()) +
                              " ms (at most " + std::to_string(longest.count()) + " ms, " +
                              std::to_string(late) + " of " + std::to_string(partitions) +
                              " partitions late)",
                          late == 0 && partitions > 0);
      goals_.emplace_back(cluster + "60 % ok with a partition of 5 s every 10 s (at least " +
                              std::to_string(static_cast<int>(least_ok)) + " %)",
                          least_ok >= 60);
    });
  }

  /// Without faults: reads at each node. Under partitions: what could be answered.
  void Distance() {
    constexpr std::uint64_t kSeeds = 3;
    constexpr double kGoal = 95;
    EachCluster([this](std::size_t nodes, int latency_ms) {
      const std::string cluster =
          std::to_string(nodes) + " nodes, " + std::to_string(latency_ms) + " ms: ";
      double worst = 100;
      Answered answerable;
      EachSeed(kSeeds, [&](std::uint64_t seed) {
        RunOptions options = With(arguments_, "lin-kv", nodes, latency_ms, seed);
        const RunReport cut = One("distance", options, seed);
        answerable.requests += cut.answerable.requests;
        answerable.answered += cut.answerable.answered;
        options.nemesis = {};
        const RunReport quiet = One("no faults", options, seed);
        for (const Answered& reads : quiet.reads) worst = std::min(worst, reads.percent());
      });
      goals_.emplace_back(cluster + "95 % of the reads at each node are answered without faults (" +
                              OneDecimal(worst) + " % at the worst)",
                          worst >= kGoal);
      goals_.emplace_back(cluster + "95 % of what could be is answered under partitions (" +
                              OneDecimal(answerable.percent()) + " % of " +
                              std::to_string(answerable.requests) + ")",
                          answerable.percent() >= kGoal);
    });
  }

  void Throughput() {
    constexpr std::uint64_t kRequests = 10'000;
    RunOptions options = With(arguments_, "lin-kv", 3, 0, 1);
    options.duration = 120s;
    options.clients.a_node = 50;
    options.clients.nodes = 1;
    options.clients.rate = 0;
    options.clients.most_requests = kRequests;
    options.nemesis = {};
    const RunReport report = One("throughput", options, 1);
    goals_.emplace_back(
        "10000 requests of 50 clients of one node of three at no latency in 10 s (" +
            std::to_string(report.seconds) + " s)",
        report.counts.requests == kRequests && report.seconds < 10);
  }

  const Arguments& arguments_;
  Sum sum_;
  std::vector<std::pair<std::string, bool>> goals_;
};

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Runs clusters of real `raftkv maelstrom` nodes under faults, and judges them.");
  app.add_option("--program", arguments.program, "the raftkv program")->capture_default_str();
  app.add_option("--only", arguments.parts,
                 "some of: lin-kv restarts workloads availability distance throughput")
      ->delimiter(',')
      ->check(CLI::IsMember(arguments.parts));
  app.add_option("--nodes", arguments.nodes, "clusters of so many nodes")->delimiter(',');
  app.add_option("--latency", arguments.latencies_ms, "one way, in milliseconds")->delimiter(',');
  app.add_option("--seeds", arguments.seeds, "runs of each kind")->capture_default_str();
  app.add_option("--first-seed", arguments.first_seed, "where to begin")->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "of each run")->capture_default_str();
  app.add_option("--rate", arguments.rate, "requests a second to each node")->capture_default_str();
  app.add_option("--clients", arguments.clients, "of each node")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Program(arguments).Run();
}

}  // namespace
}  // namespace raftkv::test::maelstrom

int main(int argc, char** argv) { return raftkv::test::maelstrom::Main(argc, argv); }
