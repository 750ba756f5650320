// Do these members make a quorum? The checks' own answer, by counting.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "lib/raft/types.h"

namespace raftkv::sim {

/// One half of a configuration; `has_vote` says who counts in it.
inline bool HalfDecides(const raft::Configuration& configuration, const raft::QuorumRule& rule,
                        std::uint32_t flexible,
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
    if (zone == nullptr && rule.kind == raft::QuorumKind::kFlexible) return yes >= flexible;
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

inline bool Decides(const raft::Configuration& configuration, bool election,
                    const std::function<bool(NodeId)>& has) {
  const auto is_new = [](const raft::Member& member) { return !member.learner; };
  const auto is_old = [](const raft::Member& member) { return member.old_voter; };
  const auto size = [&](const raft::QuorumRule& rule) {
    return election ? rule.election : rule.commit;
  };
  const raft::QuorumRule& rule = configuration.quorum;
  if (!HalfDecides(configuration, rule, size(rule), is_new, has)) return false;
  const raft::QuorumRule& old_rule = configuration.old_quorum;
  return !configuration.joint || HalfDecides(configuration, old_rule, size(old_rule), is_old, has);
}

inline bool Commits(const raft::Configuration& configuration,
                    const std::function<bool(NodeId)>& has) {
  return Decides(configuration, false, has);
}
inline bool Elects(const raft::Configuration& configuration,
                   const std::function<bool(NodeId)>& has) {
  return Decides(configuration, true, has);
}

}  // namespace raftkv::sim
