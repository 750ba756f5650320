// Which configuration follows from a change, and when must it be a joint one? (Raft paper §6)
//
// A change of who votes, or of the quorum rule, goes through a joint configuration, any number of
// members at once; what only concerns learners, invitations and addresses is in force by itself.
// Pure functions: when a change may be made at all is the leader's matter (leader.cc).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

/// All of it comes into force together.
struct MembershipChange {
  /// A member that is reached somewhere else from now on, or whose next start counts even if it
  /// seems to be an older one, or both.
  struct Move {
    NodeId id{};
    std::string address{};  ///< empty: where it was
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

/// How long the list of dead ids may become.
inline constexpr std::size_t kMaxRemoved = 4096;

/// The configuration to append; joint if voters or the rule change. InvalidArgument (it makes no
/// sense: an id twice, a name or address that another has, a removed id, a member promoted that is
/// no learner, unsafe quorums, no voter left, too many) or NotFound (no such member) with the
/// reason. `now` must not be joint.
Result<Configuration> PlanChange(const Configuration& now, const MembershipChange& change);

/// What follows once a joint configuration is committed.
Configuration LeaveJoint(const Configuration& joint);

}  // namespace raftkv::raft
