// Is there one order of all operations that explains every answer, and in which each takes effect
// between its call and its return?
//
// Wing and Gong's search with Lowe's improvements. Keys that no operation joins are checked apart;
// batches and reads of several keys join theirs. linearizability_search.h says how the search is
// kept small, and why nothing is lost by it.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/linearizability/history.h"

namespace raftkv::test {

enum class Verdict : std::uint8_t {
  kLinearizable,
  kNotLinearizable,
  /// The search did not end within its budget: neither a pass nor a violation. Count and report it.
  kGaveUp,
};

struct CheckResult {
  Verdict verdict = Verdict::kLinearizable;
  /// Of a violation or of giving up: a few lines for a reader.
  std::string explanation;
  /// What the search took.
  std::uint64_t steps = 0;
};

/// Some hundred nanoseconds and up to some hundred bytes a step.
inline constexpr std::uint64_t kDefaultStepBudget = 1'000'000;

/// All keys are absent before the first event.
CheckResult CheckLinearizability(const History& history,
                                 std::uint64_t step_budget = kDefaultStepBudget);

}  // namespace raftkv::test
