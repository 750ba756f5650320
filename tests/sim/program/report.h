// What is said of a run, and was it a run at all? A cluster that did nothing must not pass.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/program/stats.h"

namespace raftkv::sim {

/// Fewer seeds need not have seen every kind of fault.
inline constexpr std::uint64_t kSeedsForEveryFault = 300;
inline constexpr std::uint64_t kSeedsForRareFaults = 2000;

/// Simulated time, operations, faults and speed, as lines.
std::string Describe(const Stats& stats);

/// Empty, or why the run proves nothing: a kind of fault that never happened, too few operations
/// that were carried out.
std::string WhatIsMissing(const Stats& stats);

}  // namespace raftkv::sim
