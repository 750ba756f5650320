#include "tests/sim/program/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace raftkv::sim {

namespace {

constexpr double kNanos = 1e9;
/// Of operations that were carried out, a simulated second.
constexpr double kLeastTraffic = 3;

void Add(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void Add(std::string& out, const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out += line;
}

unsigned long long N(std::uint64_t value) { return value; }

std::uint64_t CarriedOut(const Stats& stats) {
  std::uint64_t sum = 0;
  for (const auto& outcomes : stats.operations) sum += outcomes[0];
  return sum;
}

std::uint64_t Begun(const Stats& stats) {
  std::uint64_t sum = 0;
  for (const auto& outcomes : stats.operations) {
    for (const std::uint64_t times : outcomes) sum += times;
  }
  return sum;
}

std::uint64_t SumOfFaults(const Stats& stats) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Fault::kSnapshot); ++i) {
    const auto fault = static_cast<Fault>(i);
    // Those of single messages would drown the others.
    if (fault == Fault::kLoss || fault == Fault::kDuplicate || fault == Fault::kReorder) continue;
    if (fault == Fault::kHelloLost) continue;
    sum += stats.faults[i];
  }
  return sum;
}

}  // namespace

std::string Describe(const Stats& stats) {
  std::string out;
  const double seconds = static_cast<double>(stats.virtual_ns) / kNanos;
  const double cpu = static_cast<double>(stats.cpu_ns) / kNanos;
  Add(out, "%llu seeds, %.0f simulated seconds, %.1f members in the mean\n", N(stats.seeds),
      seconds,
      static_cast<double>(stats.node_ns) /
          static_cast<double>(std::max<std::uint64_t>(1, stats.virtual_ns)));
  Add(out, "%.1f s of CPU: %.0f simulated seconds a second\n", cpu, cpu > 0 ? seconds / cpu : 0);
  Add(out, "%llu events, %llu messages, %llu elections, %llu committed entries\n", N(stats.events),
      N(stats.messages), N(stats.elections), N(stats.entries));
  Add(out, "%llu histories were too hard to judge\n", N(stats.gave_up));
  Add(out, "\n%-14s %10s %10s %10s\n", "operations", "ok", "failed", "unknown");
  for (std::size_t i = 0; i < Stats::kOpKinds; ++i) {
    const auto& outcomes = stats.operations[i];
    Add(out, "%-14s %10llu %10llu %10llu\n", OpName(static_cast<OpKind>(i)), N(outcomes[0]),
        N(outcomes[1]), N(outcomes[2]));
  }
  Add(out, "a simulated second %.1f were begun, %.1f carried out\n",
      seconds > 0 ? static_cast<double>(Begun(stats)) / seconds : 0,
      seconds > 0 ? static_cast<double>(CarriedOut(stats)) / seconds : 0);
  Add(out, "\n%-34s %10s\n", "faults", "times");
  for (std::size_t i = 0; i < kFaultKinds; ++i) {
    Add(out, "%-34s %10llu\n", FaultName(static_cast<Fault>(i)), N(stats.faults[i]));
  }
  Add(out, "%.2f a simulated second, without those of single messages\n",
      seconds > 0 ? static_cast<double>(SumOfFaults(stats)) / seconds : 0);
  Add(out, "\n%-34s %10s\n", "watchers", "times");
  for (std::size_t i = 0; i < Stats::kWatchCounts; ++i) {
    Add(out, "%-34s %10llu\n", WatchCountName(static_cast<WatchCount>(i)), N(stats.watches[i]));
  }
  return out;
}

std::string WhatIsMissing(const Stats& stats) {
  const double seconds = static_cast<double>(stats.virtual_ns) / kNanos;
  if (static_cast<double>(CarriedOut(stats)) < kLeastTraffic * seconds) {
    return "too few operations were carried out: a cluster that does nothing proves nothing";
  }
  if (stats.seeds < kSeedsForEveryFault) return {};
  for (std::size_t i = 0; i < kFaultKinds; ++i) {
    const auto fault = static_cast<Fault>(i);
    const bool rare = fault == Fault::kResumed || fault == Fault::kBootsLost;
    if (rare && stats.seeds < kSeedsForRareFaults) continue;
    if (stats.faults[i] == 0) {
      return std::string("this never happened: ") + FaultName(static_cast<Fault>(i));
    }
  }
  for (std::size_t i = 0; i < Stats::kWatchCounts; ++i) {
    if (stats.watches[i] != 0) continue;
    return std::string("watchers never saw this: ") + WatchCountName(static_cast<WatchCount>(i));
  }
  return {};
}

}  // namespace raftkv::sim
