// How little of a run is needed for it to fail?
//
// Leaves out kinds of faults, single faults and single operations as long as the same check fails.
// Each step of a run draws from a stream of its own, so what remains stays much as it was.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/sim/faults/plan.h"
#include "tests/sim/program/runner.h"

namespace raftkv::sim {

struct Story {
  Overrides overrides;
  Failure failure;
  std::uint64_t runs = 0;
  // What there was, and what is left of it.
  std::uint64_t faults_before = 0;
  std::uint64_t operations_before = 0;
  std::uint64_t faults = 0;
  std::uint64_t operations = 0;
};

/// Nothing: the seed does not fail. `told` gets a line now and then.
std::optional<Story> Shrink(std::uint64_t seed, const Overrides& overrides,
                            const std::string& mutant,
                            const std::function<void(const std::string&)>& told);

/// One line.
std::string Describe(const Story& story);

}  // namespace raftkv::sim
