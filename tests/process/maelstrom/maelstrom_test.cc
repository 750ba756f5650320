// Do real nodes keep what they promise on a network that is slow, cut and has its nodes killed?
//
// `raftkv maelstrom` under the project's stand-in for Maelstrom, in short; ./dev maelstrom has the
// long runs (docs/testing.md). Only wrong answers, a broken protocol and dead nodes fail these.
#include <chrono>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/maelstrom/maelstrom_run.h"

namespace raftkv::test::maelstrom {
namespace {

using namespace std::chrono_literals;

RunOptions Real(const std::string& workload, std::size_t nodes, Milliseconds latency) {
  RunOptions options;
  options.workload = workload;
  options.network.command = {RAFTKV_BINARY, "maelstrom"};
  options.network.nodes = nodes;
  options.network.latency = latency;
  options.duration = 5s;
  options.nemesis.partition_every = 2500ms;
  options.nemesis.partition_for = 1500ms;
  options.SetSeed(nodes + static_cast<std::uint64_t>(latency.count()));
  return options;
}

void ExpectNoViolation(const RunOptions& options) {
  const RunReport report = RunMaelstrom(options);
  EXPECT_EQ(report.Problems(), "");
  EXPECT_GT(report.counts.ok, 0U);
  EXPECT_GT(report.messages, 0U) << "the nodes did not talk over the simulated network";
  std::cout << report.counts.requests << " requests, " << report.ok_percent() << " % ok, half in "
            << report.LatencyMs(0.5) << " ms\n";
}

TEST(Maelstrom, LinKvOfThreeNodesAtOnce) { ExpectNoViolation(Real("lin-kv", 3, 0ms)); }

TEST(Maelstrom, LinKvOfThreeNodesTenMillisecondsApart) {
  ExpectNoViolation(Real("lin-kv", 3, 10ms));
}

TEST(Maelstrom, LinKvOfThreeNodesAHundredMillisecondsApart) {
  ExpectNoViolation(Real("lin-kv", 3, 100ms));
}

TEST(Maelstrom, LinKvOfFiveNodes) { ExpectNoViolation(Real("lin-kv", 5, 10ms)); }

TEST(Maelstrom, LinKvWithKillsAndDoubledMessages) {
  RunOptions options = Real("lin-kv", 3, 10ms);
  options.duration = 7s;
  options.nemesis.partition_every = 5s;
  options.nemesis.partition_for = 2s;
  options.nemesis.restart_every = 2s;
  options.network.doubled_percent = 10;
  ExpectNoViolation(options);
}

class MaelstromTxn : public testing::TestWithParam<const char*> {};

TEST_P(MaelstromTxn, WithPartitions) { ExpectNoViolation(Real(GetParam(), 3, 10ms)); }

TEST_P(MaelstromTxn, WithKillsAndDoubledMessages) {
  RunOptions options = Real(GetParam(), 3, 10ms);
  options.duration = 7s;
  options.nemesis.partition_every = 5s;
  options.nemesis.partition_for = 2s;
  options.nemesis.restart_every = 2s;
  options.network.doubled_percent = 10;
  ExpectNoViolation(options);
}

std::string NameOf(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Each, MaelstromTxn, testing::Values("txn-rw-register", "txn-list-append"),
                         NameOf);

/// The schedule that finds the planted vote that is forgotten.
TEST(Maelstrom, LinKvWithVotersKilledAtElections) {
  RunOptions options = Real("lin-kv", 3, 50ms);
  options.duration = 1s;  // before the kills
  options.nemesis.partition_every = 0ms;
  options.nemesis.voter_restarts = 1;
  ExpectNoViolation(options);
}

class MaelstromWorkload : public testing::TestWithParam<const char*> {};

TEST_P(MaelstromWorkload, HasNoViolation) {
  RunOptions options = Real(GetParam(), 3, 10ms);
  options.duration = 3s;
  ExpectNoViolation(options);
}

INSTANTIATE_TEST_SUITE_P(Each, MaelstromWorkload,
                         testing::Values("echo", "g-counter", "pn-counter", "unique-ids"), NameOf);

}  // namespace
}  // namespace raftkv::test::maelstrom
