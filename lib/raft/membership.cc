#include "lib/raft/membership.h"

#include <algorithm>
#include <set>

#include "lib/base/address.h"
#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/configuration.h"
#include "lib/raft/quorum.h"

namespace raftkv::raft {

namespace {

/// DNS names are shorter, and a configuration stays small.
constexpr std::size_t kMaxAddressBytes = 512;

Status Wrong(const std::string& what) { return {Code::kInvalidArgument, what}; }

std::string IdText(NodeId id) { return "the id " + std::to_string(id.value); }

bool IsRemoved(const Configuration& configuration, NodeId id) {
  return std::binary_search(configuration.removed.begin(), configuration.removed.end(), id);
}

void AddRemoved(Configuration& configuration, NodeId id) {
  std::vector<NodeId>& removed = configuration.removed;
  const auto at = std::lower_bound(removed.begin(), removed.end(), id);
  RAFTKV_CHECK(at == removed.end() || *at != id, id.value);
  removed.insert(at, id);
  RAFTKV_CHECK(IsRemoved(configuration, id), id.value);
}

/// Only the transport knows what an address is; it appears in log lines.
Status CheckMemberAddress(const std::string& address) {
  if (address.empty()) return Wrong("a member has no address; give it one");
  if (address.size() > kMaxAddressBytes) {
    return Wrong("the address of a member is longer than " + std::to_string(kMaxAddressBytes) +
                 " bytes; choose a shorter one");
  }
  const bool printable = std::none_of(address.begin(), address.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
  });
  if (printable) return Status::Ok();
  return Wrong("the address of a member has a control character; choose one without");
}

/// One change, carried out on a copy. Until Finish, `learner` and `leaves` of the copy describe the
/// result, and the original configuration says who votes now.
class Plan {
 public:
  Plan(const Configuration& now, const MembershipChange& change)
      : now_(now), change_(change), next_(now) {}

  Result<Configuration> Make() {
    if (now_.joint) {
      return Wrong(
          "the previous change is still in progress (the configuration is joint); wait for it");
    }
    for (const auto step : {&Plan::Uninvite, &Plan::Remove, &Plan::Promote, &Plan::Demote,
                            &Plan::Move, &Plan::Add, &Plan::Invite}) {
      if (Status status = (this->*step)(); !status.ok()) return status;
    }
    if (change_.quorum) next_.quorum = *change_.quorum;
    if (next_ == now_) return Wrong("the change has no effect; everything is as requested already");
    return Finish();
  }

 private:
  Status Uninvite() {
    for (const std::string& name : change_.uninvite) {
      if (!DropInvitation(name)) {
        return {Code::kNotFound, "there is no invitation for " + Quoted(name) +
                                     "; the member list shows who is invited"};
      }
    }
    return Status::Ok();
  }

  Status Remove() {
    for (const NodeId id : change_.remove) {
      if (Status status = Take(id); !status.ok()) return status;
      if (WasVoter(id)) {
        // Its vote is needed to leave the joint configuration.
        Member& member = Next(id);
        member.learner = true;
        member.leaves = true;
      } else {
        next_.members.erase(next_.members.begin() + (&Next(id) - next_.members.data()));
        AddRemoved(next_, id);
      }
    }
    return Status::Ok();
  }

  Status Promote() {
    for (const NodeId id : change_.promote) {
      if (Status status = Take(id); !status.ok()) return status;
      Member& member = Next(id);
      if (!member.learner) {
        return Wrong(Quoted(member.name) + " already has a vote; only a learner can be promoted");
      }
      member.learner = false;
      member.promote = false;
    }
    return Status::Ok();
  }

  Status Demote() {
    for (const NodeId id : change_.demote) {
      if (Status status = Take(id); !status.ok()) return status;
      Member& member = Next(id);
      if (member.learner) {
        return Wrong(Quoted(member.name) + " is already a learner; only a voter can be demoted");
      }
      member.learner = true;
    }
    return Status::Ok();
  }

  /// All at once: two members may have swapped addresses.
  Status Move() {
    for (const MembershipChange::Move& move : change_.move) {
      if (Status status = Take(move.id); !status.ok()) return status;
      Member& member = Next(move.id);
      if (move.reset_boot) ++member.incarnation;
      if (move.address.empty() && move.reset_boot) continue;
      if (Status status = CheckMemberAddress(move.address); !status.ok()) return status;
      member.address = move.address;
    }
    for (const MembershipChange::Move& move : change_.move) {
      if (move.address.empty()) continue;
      for (const Member& other : next_.members) {
        if (other.id == move.id || other.address != move.address) continue;
        return Wrong("the address " + Quoted(move.address) + " is taken by " + Quoted(other.name));
      }
      for (const Invitation& other : next_.invited) {
        if (other.address != move.address) continue;
        return Wrong("the address " + Quoted(move.address) + " is taken by " + Quoted(other.name));
      }
    }
    return Status::Ok();
  }

  Status Add() {
    for (const Member& member : change_.add) {
      if (Status status = CheckNewId(member.id); !status.ok()) return status;
      if (member.old_voter || member.leaves) {
        return Wrong("a new member belongs to no old half; leave old_voter and leaves unset");
      }
      if (member.promote && !member.learner) {
        return Wrong("a new member is a voter and is to be promoted; choose one of the two");
      }
      DropInvitation(member.name);
      if (Status status = CheckNew(member.name, member.address); !status.ok()) return status;
      const auto at = std::find_if(next_.members.begin(), next_.members.end(),
                                   [&](const Member& other) { return other.id > member.id; });
      next_.members.insert(at, member);
    }
    return Status::Ok();
  }

  Status Invite() {
    for (const Invitation& invitation : change_.invite) {
      const Status status = CheckNew(invitation.name, invitation.address);
      if (!status.ok()) return status;
      next_.invited.push_back(invitation);
    }
    return Status::Ok();
  }

  Result<Configuration> Finish() {
    std::size_t leaving = 0;
    bool joint = next_.quorum != now_.quorum;
    for (Member& member : next_.members) {
      member.old_voter = WasVoter(member.id);
      leaving += member.leaves;
      joint = joint || member.old_voter == member.learner;
    }
    if (Status status = CheckLimits(leaving); !status.ok()) return status;
    next_.joint = true;
    next_.old_quorum = now_.quorum;
    if (Status status = CheckQuorums(next_); !status.ok()) {
      return Wrong("the change would leave unsafe quorums: " + status.message());
    }
    if (!joint || RAFTKV_MUTANT(kNoJoint)) next_ = LeaveJoint(next_);
    const Status sound = CheckConfiguration(next_);
    RAFTKV_CHECK(sound.ok(), sound.message());
    return next_;
  }

  Status CheckLimits(std::size_t leaving) const {
    // Each invitation counts as a member, so that accepting one never fails for lack of room.
    const std::size_t members = next_.members.size() + next_.invited.size();
    if (members > kMaxMembers) {
      return Wrong("there would be " + std::to_string(members) +
                   " members, with those invited and those that are leaving, and at most " +
                   std::to_string(kMaxMembers) + " are possible; remove or uninvite some first");
    }
    if (next_.removed.size() + leaving > kMaxRemoved) {
      return Wrong("more than " + std::to_string(kMaxRemoved) +
                   " members would have been removed in the life of this cluster, and each is "
                   "remembered; move the data to a new cluster");
    }
    return Status::Ok();
  }

  /// Each member is named once in a change, and exists.
  Status Take(NodeId id) {
    const Member* member = now_.Find(id);
    if (member == nullptr) {
      const bool removed = IsRemoved(now_, id);
      return {Code::kNotFound,
              removed ? "the member with " + IdText(id) + " was removed already"
                      : "no member has " + IdText(id) + "; see the list of members for their ids"};
    }
    if (taken_.insert(id).second) return Status::Ok();
    return Wrong(Quoted(member->name) + " appears twice in the change; name each member once");
  }

  Status CheckNewId(NodeId id) {
    if (id == kNobody) return Wrong("a new member has the id 0, which is nobody's; draw another");
    if (IsRemoved(now_, id)) {
      return Wrong(IdText(id) +
                   " is that of a removed member and never comes back; start the new "
                   "member with an empty data folder, which gives it another id");
    }
    const Member* member = now_.Find(id);
    if (member != nullptr) {
      return Wrong(IdText(id) + " is that of " + Quoted(member->name) +
                   " already; add a member with an id of its own");
    }
    if (taken_.insert(id).second) return Status::Ok();
    return Wrong(IdText(id) + " appears twice in the change; name each member once");
  }

  /// Name and address are not taken by another member or invitation. Those of a voter that this
  /// change removes are not free yet: it still takes part while the configuration is joint.
  Status CheckNew(const std::string& name, const std::string& address) const {
    if (Status bad = CheckMemberName("the name of a new member", name); !bad.ok()) return bad;
    if (Status bad = CheckMemberAddress(address); !bad.ok()) return bad;
    for (const Member& other : next_.members) {
      if (Status bad = CheckOther(name, address, other.name, other.address, other.leaves);
          !bad.ok()) {
        return bad;
      }
    }
    for (const Invitation& other : next_.invited) {
      if (Status bad = CheckOther(name, address, other.name, other.address, false); !bad.ok()) {
        return bad;
      }
    }
    return Status::Ok();
  }

  static Status CheckOther(const std::string& name, const std::string& address,
                           const std::string& other_name, const std::string& other_address,
                           bool leaves) {
    if (name != other_name && address != other_address) return Status::Ok();
    const std::string what = name == other_name ? "the name " + Quoted(name) + " is taken"
                                                : "the address " + Quoted(address) +
                                                      " is taken by " + Quoted(other_name);
    if (!leaves) return Wrong(what + "; choose another, or remove or uninvite its holder first");
    return Wrong(what + " until the removal is over; remove it in a change of its own first");
  }

  bool DropInvitation(const std::string& name) {
    const auto at = std::find_if(next_.invited.begin(), next_.invited.end(),
                                 [&](const Invitation& other) { return other.name == name; });
    if (at == next_.invited.end()) return false;
    next_.invited.erase(at);
    return true;
  }

  [[nodiscard]] bool WasVoter(NodeId id) const {
    const Member* member = now_.Find(id);
    return member != nullptr && !member->learner;
  }

  Member& Next(NodeId id) {
    const auto at = std::find_if(next_.members.begin(), next_.members.end(),
                                 [&](const Member& member) { return member.id == id; });
    RAFTKV_CHECK(at != next_.members.end(), id.value);
    return *at;
  }

  const Configuration& now_;
  const MembershipChange& change_;
  Configuration next_;
  std::set<NodeId> taken_;
};

}  // namespace

Result<Configuration> PlanChange(const Configuration& now, const MembershipChange& change) {
  return Plan(now, change).Make();
}

Configuration LeaveJoint(const Configuration& joint) {
  RAFTKV_CHECK(joint.joint);
  Configuration next = joint;
  next.joint = false;
  next.old_quorum = QuorumRule{};
  next.members.clear();
  for (const Member& member : joint.members) {
    if (member.leaves) {
      AddRemoved(next, member.id);
      continue;
    }
    next.members.push_back(member);
    next.members.back().old_voter = false;
  }
  RAFTKV_CHECK(!next.members.empty());
  RAFTKV_CHECK(next.removed.size() >= joint.removed.size());
  RAFTKV_CHECK(next.cluster == joint.cluster);
  return next;
}

}  // namespace raftkv::raft
