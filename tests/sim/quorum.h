// Do these members make a commit quorum? The checks' own answer, by counting.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "lib/raft/types.h"

namespace raftkv::sim {

/// One half of a configuration; `has_vote` says who counts in it.
inline bool HalfCommits(const raft::Configuration& configuration, const raft::QuorumRule& rule,
                        const std::function<bool(const raft::Member&)>& has_vote,
                        const std::function<bool(NodeId)>& has) {
  const auto majority = [&](const std::string* zone) {
    std::size_t all = 0;
    std::size_t yes = 0;
    for (const raft::Member& member : configuration.members) {
      if (!has_vote(member) || (zone != nullptr && member.zone != *zone)) continue;
      ++all;
      if (has(member.id)) ++yes;
    }
    if (zone == nullptr && rule.kind == raft::QuorumKind::kFlexible) return yes >= rule.commit;
    return 2 * yes > all;
  };
  if (!majority(nullptr)) return false;
  if (rule.kind != raft::QuorumKind::kZones) return true;
  std::set<std::string> zones;
  for (const raft::Member& member : configuration.members) {
    if (has_vote(member) && !member.zone.empty()) zones.insert(member.zone);
  }
  for (const std::string& zone : zones) {
    if (!majority(&zone)) return false;
  }
  return true;
}

inline bool Commits(const raft::Configuration& configuration,
                    const std::function<bool(NodeId)>& has) {
  const auto is_new = [](const raft::Member& member) { return !member.learner && !member.leaves; };
  const auto is_old = [](const raft::Member& member) { return member.old_voter; };
  if (!HalfCommits(configuration, configuration.quorum, is_new, has)) return false;
  return !configuration.joint || HalfCommits(configuration, configuration.old_quorum, is_old, has);
}

}  // namespace raftkv::sim
