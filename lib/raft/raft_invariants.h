// What is always true of one member's state, and of a step from one state to the next?
//
// Called after every step in tests and simulation; reading it is a way to learn the algorithm.
#pragma once

#include <string>
#include <vector>

#include "lib/raft/raft.h"

namespace raftkv::raft {

/// What a step may only move forward.
struct StateBefore {
  Term term;
  NodeId vote;
  Role role = Role::kFollower;
  Index commit;
  Index applied;
  Index last;
  std::vector<TermRun> runs;
};

[[nodiscard]] StateBefore Capture(const Raft& raft);

/// Empty, or one line that says what is broken.
[[nodiscard]] std::string CheckInvariants(const Raft& raft);
[[nodiscard]] std::string CheckTransition(const StateBefore& before, const Raft& after);

}  // namespace raftkv::raft
