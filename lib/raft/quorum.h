// Do these members form a quorum, and do the quorums that must intersect have a member in common?
//
//   majority   §5.2, §5.3
//   zones      a majority of all voters, and of the voters of each named zone
//   flexible   any q_c commit, any q_e elect, with q_c + q_e > n (what is committed is seen by the
//              next leader) and 2 q_e > n (a term has one leader: a Raft term is not unique to its
//              proposer, as a ballot of Paxos is)
//   joint      both halves, each by its own rule (§6)
//
// Elections and pre-votes need an election quorum; commit, ReadIndex, lease and check-quorum a
// commit quorum.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

enum class VoteResult : std::uint8_t { kPending, kWon, kLost };
enum class Purpose : std::uint8_t { kElection, kCommit };

/// The state of a vote: `vote_of` gives for a voter 1 yes, -1 no, 0 unknown. Lost: even if all
/// unknown ones said yes it would not be a quorum.
VoteResult CountVotes(const Configuration& configuration, Purpose purpose,
                      const std::function<int(NodeId)>& vote_of);

/// The highest index that a commit quorum has, given each voter's match index.
Index QuorumIndex(const Configuration& configuration, const std::function<Index(NodeId)>& match_of);

/// The same for any counter, for example read rounds: the highest value that a commit quorum has
/// reached.
std::uint64_t QuorumValue(const Configuration& configuration,
                          const std::function<std::uint64_t(NodeId)>& value_of);

/// Ok if, in the configuration (in both halves of a joint one), every commit quorum intersects
/// every election quorum and any two election quorums intersect. InvalidArgument says which do not,
/// or that there is no quorum at all.
Status CheckQuorums(const Configuration& configuration);

}  // namespace raftkv::raft
