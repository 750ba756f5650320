#include "lib/raft/quorum.h"

#include <algorithm>

namespace raftkv::raft {

VoteResult CountVotes(const Configuration& configuration,
                      const std::function<int(NodeId)>& vote_of) {
  std::size_t voters = 0;
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (const Member& member : configuration.members) {
    if (member.learner) continue;
    ++voters;
    const int vote = vote_of(member.id);
    granted += vote > 0;
    refused += vote < 0;
  }
  const std::size_t quorum = voters / 2 + 1;
  if (voters == 0) return VoteResult::kLost;
  if (granted >= quorum) return VoteResult::kWon;
  if (voters - refused < quorum) return VoteResult::kLost;
  return VoteResult::kPending;
}

std::uint64_t QuorumValue(const Configuration& configuration,
                          const std::function<std::uint64_t(NodeId)>& value_of) {
  std::vector<std::uint64_t> values;
  for (const Member& member : configuration.members) {
    if (!member.learner) values.push_back(value_of(member.id));
  }
  if (values.empty()) return 0;
  // With n voters in ascending order a majority has at least the value at (n - 1) / 2.
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

Index QuorumIndex(const Configuration& configuration,
                  const std::function<Index(NodeId)>& match_of) {
  return Index(QuorumValue(configuration, [&](NodeId id) { return match_of(id).value; }));
}

}  // namespace raftkv::raft
