// Do these members make a quorum? (majority; §5.2, §5.3)
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lib/raft/types.h"

namespace raftkv::raft {

enum class VoteResult : std::uint8_t { kPending, kWon, kLost };

/// How an election stands: `vote_of` gives for a voter 1 granted, -1 refused, 0 unknown.
VoteResult CountVotes(const Configuration& configuration,
                      const std::function<int(NodeId)>& vote_of);

/// The highest index that a commit quorum of the voters has, given each voter's match index.
Index QuorumIndex(const Configuration& configuration, const std::function<Index(NodeId)>& match_of);

/// The same for any counter, for example read rounds: the highest value that a quorum has reached.
std::uint64_t QuorumValue(const Configuration& configuration,
                          const std::function<std::uint64_t(NodeId)>& value_of);

}  // namespace raftkv::raft
