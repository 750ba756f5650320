// Does the stand-in for Maelstrom find what is planted in the node (lib/base/mutants.h)?
//
// Each within three seeds, with a schedule that gives it its chance (docs/testing.md).
#include <chrono>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/maelstrom/maelstrom_run.h"

namespace raftkv::test::maelstrom {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSeeds = 3;

RunOptions Planted(const std::string& mutant) {
  RunOptions options;
  options.network.command = {RAFTKV_MAELSTROM_PLANTED, mutant, "maelstrom"};
  options.duration = 5s;
  options.patience = 20s;
  return options;
}

/// Whether a seed finds it; `problems` of the one that did.
bool Found(RunOptions options, std::string* problems, const char* found = "not linearizable") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    options.SetSeed(seed);
    *problems = RunMaelstrom(options).Problems();
    // A node that merely hangs, or dies, was not found out.
    if (problems->find(found) != std::string::npos) {
      std::cout << "seed " << seed << ": " << *problems << std::flush;
      return true;
    }
  }
  return false;
}

TEST(MaelstromPlanted, LocalReadsAreFound) {
  RunOptions options = Planted("kLocalReads");
  options.clients.a_node = 6;
  options.clients.rate = 60;
  options.network.latency = 50ms;
  std::string problems;
  ASSERT_TRUE(Found(options, &problems));
  EXPECT_NE(problems.find("not linearizable"), std::string::npos) << problems;
}

/// The node gives up sooner than its clients do, and sooner than a forwarded write takes.
TEST(MaelstromPlanted, ADefiniteErrorForAWriteThatIsCarriedOutLaterIsFound) {
  RunOptions options = Planted("kUnknownIsDefinite");
  options.network.command.insert(options.network.command.end(), {"--request-timeout", "300ms"});
  options.duration = 4s;
  options.network.latency = 50ms;
  std::string problems;
  ASSERT_TRUE(Found(options, &problems));
  EXPECT_NE(problems.find("not linearizable"), std::string::npos) << problems;
}

/// Few keys and many clients, so that two append to one list at the same time.
TEST(MaelstromPlanted, AnAppendToAListThatHasChangedIsFound) {
  RunOptions options = Planted("kAppendWithoutCompare");
  options.workload = "txn-list-append";
  options.clients.a_node = 6;
  options.clients.rate = 60;
  options.network.latency = 10ms;
  std::string problems;
  EXPECT_TRUE(Found(options, &problems, "not strictly serializable")) << problems;
}

/// A leader that is cut off goes on acknowledging; when it is back, that is lost.
TEST(MaelstromPlanted, ACommitWithoutAMajorityIsFound) {
  RunOptions options = Planted("kCommitWithoutMajority");
  options.duration = 8s;
  options.nemesis.kinds = {PartitionKind::kLeader};
  options.nemesis.partition_every = 2500ms;
  options.nemesis.partition_for = 1500ms;
  std::string problems;
  EXPECT_TRUE(Found(options, &problems));
}

TEST(MaelstromPlanted, AVoteThatIsForgottenByARestartIsFound) {
  RunOptions options = Planted("kVoteForgotten");
  options.duration = 1s;  // before the kills, which take as long as they need
  options.network.latency = 50ms;
  options.clients.a_node = 6;
  options.nemesis.voter_restarts = 4;
  std::string problems;
  EXPECT_TRUE(Found(options, &problems));
}

}  // namespace
}  // namespace raftkv::test::maelstrom
