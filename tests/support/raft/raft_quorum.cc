#include "tests/support/raft/raft_quorum.h"

#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace raftkv::test {

namespace {

bool HalfAgrees(const raft::Configuration& configuration, bool old_half,
                const raft::QuorumRule& rule, raft::Purpose purpose,
                const std::function<bool(NodeId)>& agrees) {
  std::size_t voters = 0;
  std::size_t yes = 0;
  std::map<std::string, std::pair<std::size_t, std::size_t>> zones;  // voters, yes
  for (const raft::Member& member : configuration.members) {
    if (old_half ? !member.old_voter : member.learner) continue;
    const std::size_t one = agrees(member.id) ? 1 : 0;
    voters += 1;
    yes += one;
    if (member.zone.empty()) continue;
    zones[member.zone].first += 1;
    zones[member.zone].second += one;
  }
  if (rule.kind == raft::QuorumKind::kFlexible) {
    return yes >= (purpose == raft::Purpose::kElection ? rule.election : rule.commit);
  }
  if (yes * 2 <= voters) return false;
  if (rule.kind == raft::QuorumKind::kMajority) return true;
  for (const auto& [zone, counts] : zones) {
    if (counts.second * 2 <= counts.first) return false;
  }
  return true;
}

}  // namespace

bool MakesQuorum(const raft::Configuration& configuration, raft::Purpose purpose,
                 const std::function<bool(NodeId)>& agrees) {
  const bool now = HalfAgrees(configuration, false, configuration.quorum, purpose, agrees);
  return now && (!configuration.joint ||
                 HalfAgrees(configuration, true, configuration.old_quorum, purpose, agrees));
}

}  // namespace raftkv::test
