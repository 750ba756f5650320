// Does the simulator hold, does it repeat itself, and does it find the bugs that are planted?
#include <cstdio>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "lib/base/mutants.h"
#include "tests/sim/program/report.h"
#include "tests/sim/program/runner.h"
#include "tests/sim/program/seed_files.h"
#include "tests/sim/program/shrink.h"
#include "tests/sim/world.h"

namespace raftkv::sim {
namespace {

/// So many seeds in each case, so that ctest can run cases side by side.
constexpr std::uint64_t kSeedsInCase = 100;

TEST(Simulator, TheSameSeedGivesTheSameTrace) {
  std::set<std::uint64_t> hashes;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    const TraceSink sink{nullptr, true, false};
    const Outcome first = RunSeed(seed, {}, sink);
    const Outcome second = RunSeed(seed, {}, sink);
    EXPECT_TRUE(first.ok) << first.checker << ": " << first.message;
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    // A trace is written or not: the run is the same.
    EXPECT_EQ(RunSeed(seed, {}, {}).stats.events, first.stats.events) << "seed " << seed;
    hashes.insert(first.trace_hash);
  }
  EXPECT_EQ(hashes.size(), 5u);
}

class Seeds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Seeds, Pass) {
  RunPlan plan;
  plan.first_seed = GetParam();
  plan.seeds = kSeedsInCase;
  const RunResult result = RunSeeds(plan);
  ASSERT_FALSE(result.failure.has_value())
      << "seed " << result.failure->seed << ": " << result.failure->checker << ": "
      << result.failure->message << "\nreplay it with: ./dev sim --seed " << result.failure->seed;
  EXPECT_EQ(result.stats.seeds, kSeedsInCase);
  EXPECT_EQ(WhatIsMissing(result.stats), "");
}

INSTANTIATE_TEST_SUITE_P(Hundreds, Seeds, testing::Values(1, 101, 201, 301, 401));

TEST(Simulator, RegressionSeedsPass) {
  const auto seeds = ReadSeeds("regressions.txt", false);
  EXPECT_FALSE(seeds.empty());
  for (const KeptSeed& kept : seeds) {
    RunPlan plan;
    plan.first_seed = kept.seed;
    plan.seeds = 1;
    const RunResult result = RunSeeds(plan);
    EXPECT_FALSE(result.failure.has_value())
        << "seed " << kept.seed << " (" << kept.text << "): " << result.failure->message;
  }
}

TEST(Simulator, EachMutantHasItsSeed) {
  std::set<std::string> named;
  for (const KeptSeed& kept : ReadSeeds("mutant_seeds.txt", true)) {
    EXPECT_TRUE(ChooseMutant(kept.name)) << kept.name;
    EXPECT_TRUE(named.insert(kept.name).second) << kept.name << " stands there twice";
  }
  ChooseMutant({});
#define RAFTKV_SIM_NAMED(name, row, what) EXPECT_EQ(named.count(#name), 1u) << #name;
  RAFTKV_FOR_EACH_MUTANT(RAFTKV_SIM_NAMED)
#undef RAFTKV_SIM_NAMED
}

TEST(Simulator, EachMutantIsKilledByItsSeed) {
  for (const KeptSeed& kept : ReadSeeds("mutant_seeds.txt", true)) {
    ASSERT_NE(kept.seed, 0u) << kept.name << " has no seed that kills it";
    RunPlan plan;
    plan.first_seed = kept.seed;
    plan.seeds = 1;
    plan.mutant = kept.name;
    const RunResult result = RunSeeds(plan);
    ASSERT_TRUE(result.failure.has_value()) << kept.name << " lives on, seed " << kept.seed;
    EXPECT_EQ(result.failure->checker, kept.text) << kept.name << ": " << result.failure->message;
  }
}

TEST(Simulator, AFailureIsShrunkToWhatItNeeds) {
  const std::string mutant = "kNoSpaceCarriedOut";
  for (const KeptSeed& kept : ReadSeeds("mutant_seeds.txt", true)) {
    if (kept.name != mutant) continue;
    const auto story = Shrink(kept.seed, {}, mutant, [](const std::string&) {});
    ASSERT_TRUE(story.has_value());
    EXPECT_EQ(story->failure.checker, kept.text);
    EXPECT_LE(story->faults, 5u) << Describe(*story);
    EXPECT_LE(10 * story->operations, story->operations_before) << Describe(*story);
    // Its transcript ends where it failed, and tells nothing of messages.
    ASSERT_TRUE(ChooseMutant(mutant));
    std::FILE* const transcript = std::tmpfile();
    EXPECT_FALSE(RunSeed(kept.seed, story->overrides, {transcript, false, true}).ok);
    ChooseMutant({});
    std::string text(static_cast<std::size_t>(std::ftell(transcript)), 0);
    std::rewind(transcript);
    ASSERT_EQ(std::fread(text.data(), 1, text.size(), transcript), text.size());
    std::fclose(transcript);
    EXPECT_NE(text.find("FAILED " + kept.text), std::string::npos);
    EXPECT_EQ(text.find("AppendEntries"), std::string::npos);
  }
  EXPECT_FALSE(Shrink(1, {}, {}, [](const std::string&) {}).has_value());
}

/// A simulator that finds nothing wrong with a run in which nothing happened would prove nothing.
TEST(Simulator, ADeadClusterDoesNotPass) {
  Stats stats;
  stats.seeds = 1;
  stats.virtual_ns = 10'000'000'000;
  EXPECT_NE(WhatIsMissing(stats), "");
  stats.operations[0][0] = 1000;
  EXPECT_EQ(WhatIsMissing(stats), "");
  stats.seeds = kSeedsForEveryFault;
  EXPECT_NE(WhatIsMissing(stats), "");
}

}  // namespace
}  // namespace raftkv::sim
