// raftkv_sim: a cluster on virtual time with faults, decided by one integer (docs/testing.md).
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "lib/base/mutants.h"
#include "tests/sim/program/report.h"
#include "tests/sim/program/runner.h"
#include "tests/sim/program/shrink.h"
#include "tests/sim/world.h"

namespace raftkv::sim {
namespace {

struct Arguments {
  std::uint64_t seed = 0;
  bool one_seed = false;
  std::uint64_t seeds = 500;
  std::uint64_t first_seed = 1;
  double hours = 0;
  bool mutants = false;
  std::string mutant;
  int jobs = 1;
  int nodes = 0;

  [[nodiscard]] Overrides ToOverrides() const {
    Overrides overrides;
    overrides.nodes = nodes;
    return overrides;
  }
};

std::string Replay(const Arguments& arguments, std::uint64_t seed) {
  std::string command = "./dev sim --seed " + std::to_string(seed);
  if (!arguments.mutant.empty()) command += " --mutant " + arguments.mutant;
  if (arguments.nodes != 0) command += " --nodes " + std::to_string(arguments.nodes);
  return command;
}

/// The trace so far is what tells why.
extern "C" void FlushTrace(int) { std::fflush(stdout); }

int RunOne(const Arguments& arguments) {
  std::signal(SIGABRT, FlushTrace);
  ChooseMutant(arguments.mutant);
  const Outcome outcome = RunSeed(arguments.seed, arguments.ToOverrides(), {stdout, false, false});
  std::fflush(stdout);
  std::fprintf(stderr, "%s", Describe(outcome.stats).c_str());
  if (outcome.ok) return 0;
  std::fprintf(stderr, "\nseed %llu failed: %s: %s\n",
               static_cast<unsigned long long>(arguments.seed), outcome.checker.c_str(),
               outcome.message.c_str());
  return 1;
}

int RunMany(const Arguments& arguments) {
  RunPlan plan;
  plan.first_seed = arguments.first_seed;
  plan.seeds = arguments.hours > 0 ? 0 : arguments.seeds;
  plan.max_seconds = arguments.hours * 3600;
  plan.jobs = arguments.jobs;
  plan.overrides = arguments.ToOverrides();
  plan.mutant = arguments.mutant;
  const RunResult result = RunSeeds(plan);
  std::printf("%s", Describe(result.stats).c_str());
  if (result.failure) {
    std::printf("\nseed %llu failed: %s: %s\nreplay it with: %s\n",
                static_cast<unsigned long long>(result.failure->seed),
                result.failure->checker.c_str(), result.failure->message.c_str(),
                Replay(arguments, result.failure->seed).c_str());
    return 1;
  }
  const std::string missing = WhatIsMissing(result.stats);
  if (!missing.empty()) std::printf("\nfailed: %s\n", missing.c_str());
  return missing.empty() ? 0 : 1;
}

/// The smallest run that was found to fail in the same way.
int RunShrink(const Arguments& arguments) {
  std::signal(SIGABRT, FlushTrace);
  const auto told = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  const auto story = Shrink(arguments.seed, arguments.ToOverrides(), arguments.mutant, told);
  if (!story) {
    std::fprintf(stderr, "raftkv_sim: seed %llu does not fail\n",
                 static_cast<unsigned long long>(arguments.seed));
    return 1;
  }
  ChooseMutant(arguments.mutant);
  RunSeed(arguments.seed, story->overrides, {stdout, false, true});
  std::printf("\n%s\n", Describe(*story).c_str());
  return 0;
}

struct MutantRow {
  const char* name;
  int row;
  const char* what;
};

/// One line a mutant, as tests/sim/mutant_seeds.txt has them.
int RunMutants(const Arguments& arguments) {
  static constexpr MutantRow kMutants[] = {
#define RAFTKV_SIM_MUTANT(name, row, what) {#name, row, what},
      RAFTKV_FOR_EACH_MUTANT(RAFTKV_SIM_MUTANT)
#undef RAFTKV_SIM_MUTANT
  };
  int alive = 0;
  for (const MutantRow& mutant : kMutants) {
    RunPlan plan;
    plan.first_seed = arguments.first_seed;
    plan.seeds = arguments.seeds;
    plan.mutant = mutant.name;
    const RunResult result = RunSeeds(plan);
    if (result.failure) {
      std::printf("%s %llu %s\n", mutant.name,
                  static_cast<unsigned long long>(result.failure->seed),
                  result.failure->checker.c_str());
    } else {
      ++alive;
      std::printf("# %s (row %d) is alive after %llu seeds: %s\n", mutant.name, mutant.row,
                  static_cast<unsigned long long>(arguments.seeds), mutant.what);
    }
    std::fflush(stdout);
  }
  return alive == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Runs clusters on virtual time with faults; each integer is one run.");
  const auto* seed = app.add_option("--seed", arguments.seed, "replay one, with its trace");
  const auto* seeds = app.add_option("--seeds", arguments.seeds, "how many");
  app.add_option("--first-seed", arguments.first_seed, "where to begin");
  app.add_option("--hours", arguments.hours, "run on for so long");
  app.add_option("--jobs", arguments.jobs, "processes")->check(CLI::Range(1, 64));
  app.add_option("--nodes", arguments.nodes, "members, instead of what the seed draws")
      ->check(CLI::Range(1, 7));
  const auto* shrink =
      app.add_option("--shrink", arguments.seed,
                     "leave out of this seed what its failure does not need, and tell "
                     "what remains");
  app.add_flag("--mutants", arguments.mutants,
               "for each known bug the first of 2000 seeds that finds it");
  app.add_option("--mutant", arguments.mutant, "plant this bug of lib/base/mutants.h");
  CLI11_PARSE(app, argc, argv);
  if (!arguments.mutant.empty() && !ChooseMutant(arguments.mutant)) {
    std::fprintf(stderr, "raftkv_sim: no mutant '%s'; lib/base/mutants.h lists them\n",
                 arguments.mutant.c_str());
    return 128;
  }
  if (shrink->count() > 0) return RunShrink(arguments);
  if (seed->count() > 0) return RunOne(arguments);
  if (arguments.mutants && seeds->count() == 0) arguments.seeds = 2000;
  return arguments.mutants ? RunMutants(arguments) : RunMany(arguments);
}

}  // namespace
}  // namespace raftkv::sim

int main(int argc, char** argv) { return raftkv::sim::Main(argc, argv); }
