// How are many seeds run, so that also a broken invariant, which ends its process, is told with its
// seed?
//
// Seeds run in forked processes that report through shared memory; one that dies is replaced by
// another one that goes on behind the seed that killed it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/sim/faults/plan.h"
#include "tests/sim/program/stats.h"

namespace raftkv::sim {

struct Failure {
  std::uint64_t seed = 0;
  std::string checker;
  std::string message;
};

struct RunPlan {
  std::uint64_t first_seed = 1;
  std::uint64_t seeds = 0;  ///< 0: as many as `max_seconds` allows
  double max_seconds = 0;   ///< 0: no bound
  int jobs = 1;
  Overrides overrides;
  /// A name of lib/base/mutants.h; empty: none.
  std::string mutant;
};

struct RunResult {
  Stats stats;
  /// The one with the lowest seed among those that were found.
  std::optional<Failure> failure;
};

/// Until a seed fails or all have run.
RunResult RunSeeds(const RunPlan& plan);

/// Chooses a mutant for this process; false: there is none of that name.
bool ChooseMutant(const std::string& name);

}  // namespace raftkv::sim
