// Which configuration follows from a change, and when must it be a joint one? (Raft paper §6)
//
// A change of who votes, or of the quorum rule, goes through a joint configuration, any number of
// members at once; what concerns only learners, invitations and addresses takes effect directly.
// Pure functions: when a change may be made at all is up to the leader (change.cc).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

/// All of it takes effect together.
struct MembershipChange {
  /// A member that has a new address, or whose next boot counts even if it appears to be an older
  /// one, or both.
  struct Move {
    NodeId id{};
    std::string address{};  ///< empty: unchanged
    bool reset_boot = false;
  };

  std::vector<Invitation> invite;
  std::vector<std::string> uninvite;
  /// New members with their ids, learners or voters; one whose name was invited uses up the
  /// invitation.
  std::vector<Member> add;
  std::vector<NodeId> promote;  ///< learner -> voter
  std::vector<NodeId> demote;   ///< voter -> learner
  std::vector<NodeId> remove;
  std::vector<Move> move;
  std::optional<QuorumRule> quorum;

  [[nodiscard]] bool Empty() const {
    return invite.empty() && uninvite.empty() && add.empty() && promote.empty() && demote.empty() &&
           remove.empty() && move.empty() && !quorum;
  }
};

/// Limit of the list of removed ids.
inline constexpr std::size_t kMaxRemoved = 4096;

/// The configuration to append; joint if voters or the rule change. InvalidArgument (an id twice, a
/// name or address that another has, a removed id, a promoted member that is not a learner, unsafe
/// quorums, no voter left, too many) or NotFound (no such member) with the reason. `now` must not
/// be joint.
Result<Configuration> PlanChange(const Configuration& now, const MembershipChange& change);

/// What follows once a joint configuration is committed.
Configuration LeaveJoint(const Configuration& joint);

}  // namespace raftkv::raft
