// Does the stand-in for Maelstrom find nodes that are wrong, and nothing wrong with right ones?
//
// The nodes here are raftkv_maelstrom_fake, which knows a way to be wrong for each thing that is
// looked at.
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/maelstrom/maelstrom_run.h"

namespace raftkv::test::maelstrom {
namespace {

using namespace std::chrono_literals;

RunOptions WithFake(const std::string& workload, const std::string& fault) {
  RunOptions options;
  options.workload = workload;
  options.network.command = {RAFTKV_MAELSTROM_FAKE};
  if (!fault.empty())
    options.network.command.insert(options.network.command.end(), {"--fault", fault});
  // As many requests as it takes, in whatever time.
  options.duration = 60s;
  options.clients.rate = 0;
  options.clients.most_requests = 600;
  options.network.latency = 4ms;
  options.SetSeed(1);
  return options;
}

struct Wrong {
  const char* fault;
  const char* workload;
  const char* found;  ///< part of what is told
};

class MaelstromFinds : public testing::TestWithParam<Wrong> {};

TEST_P(MaelstromFinds, AWrongNode) {
  RunOptions options = WithFake(GetParam().workload, GetParam().fault);
  // What speaks early does so before its init, however long its process takes to start.
  if (GetParam().fault == std::string("early")) options.network.latest_init = 20s;
  const RunReport report = RunMaelstrom(options);
  EXPECT_NE(report.Problems().find(GetParam().found), std::string::npos)
      << "the problems that were found:\n"
      << report.Problems();
}

INSTANTIATE_TEST_SUITE_P(
    Each, MaelstromFinds,
    testing::Values(
        Wrong{"stale", "lin-kv", "not linearizable"}, Wrong{"loses", "lin-kv", "not linearizable"},
        Wrong{"definite", "lin-kv", "not linearizable"},
        Wrong{"changes", "lin-kv", "not linearizable"},
        Wrong{"swaps", "lin-kv", "not linearizable"}, Wrong{"blames", "lin-kv", "the answer to"},
        Wrong{"loses", "txn-rw-register", "not linearizable"},
        Wrong{"halves", "txn-rw-register", "not linearizable"},
        Wrong{"definite", "txn-rw-register", "not linearizable"},
        Wrong{"loses", "txn-list-append", "not strictly serializable"},
        Wrong{"halves", "txn-list-append", "not strictly serializable"},
        Wrong{"definite", "txn-list-append", "not strictly serializable"},
        Wrong{"twice", "lin-kv", "what was not asked, or again"},
        Wrong{"stray", "lin-kv", "what was not asked, or again"},
        Wrong{"noise", "lin-kv", "printed what is no message"},
        Wrong{"early", "lin-kv", "before its init"},
        Wrong{"impostor", "lin-kv", "spoke for another"},
        Wrong{"dies", "lin-kv", "ended by itself with exit code 3"},
        Wrong{"fails", "lin-kv", "ended with exit code 1"},
        Wrong{"litters", "lin-kv", "left litter in the temporary folder"},
        Wrong{"deaf", "echo", "was echoed as"}, Wrong{"repeats", "unique-ids", "given twice"},
        Wrong{"miscounts", "g-counter", "in the end"},
        Wrong{"miscounts", "pn-counter", "in the end"},
        Wrong{"definite", "pn-counter", "in the end"}),
    [](const auto& info) {
      std::string name = std::string(info.param.fault) + "_" + info.param.workload;
      for (char& c : name) c = c == '-' ? '_' : c;
      return name;
    });

TEST(MaelstromHarness, FindsNodesThatForgetWhenTheyAreKilled) {
  RunOptions options = WithFake("lin-kv", "forgets");
  options.duration = 1500ms;
  options.clients.most_requests = 0;
  options.nemesis.restart_every = 150ms;
  EXPECT_NE(RunMaelstrom(options).Problems().find("not linearizable"), std::string::npos);
}

TEST(MaelstromHarness, FindsNodesThatNeverAnswer) {
  RunOptions options = WithFake("echo", "silent");
  options.duration = 200ms;
  options.patience = 1s;
  options.clients.timeout = 50ms;
  EXPECT_NE(RunMaelstrom(options).Problems().find("no request at all"), std::string::npos);
}

class MaelstromPasses : public testing::TestWithParam<const char*> {};

TEST_P(MaelstromPasses, ARightNode) {
  const RunReport report = RunMaelstrom(WithFake(GetParam(), ""));
  EXPECT_EQ(report.Problems(), "");
  EXPECT_EQ(report.counts.ok + report.counts.refused, report.counts.requests);
}

INSTANTIATE_TEST_SUITE_P(Each, MaelstromPasses,
                         testing::Values("echo", "lin-kv", "txn-rw-register", "txn-list-append",
                                         "g-counter", "pn-counter", "unique-ids"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(MaelstromHarness, PassesRightNodesWithPartitionsAndKills) {
  RunOptions options = WithFake("lin-kv", "");
  options.duration = 3s;
  options.clients.most_requests = 0;
  options.clients.timeout = 100ms;
  options.nemesis.partition_every = 400ms;
  options.nemesis.partition_for = 200ms;
  options.nemesis.restart_every = 250ms;
  const RunReport report = RunMaelstrom(options);
  EXPECT_EQ(report.Problems(), "");
  EXPECT_GT(report.counts.ok, 0U);
  EXPECT_GT(report.counts.unknown, 0U) << "no request was ever in doubt";
}

}  // namespace
}  // namespace raftkv::test::maelstrom
