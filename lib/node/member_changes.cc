// How does an operator change the membership, by name? (part of Member)
#include <utility>

#include "lib/node/member.h"
#include "lib/node/node.h"

namespace raftkv::node {

Result<NodeId> Member::IdOf(const std::string& name) const {
  for (const raft::Member& member : members()) {
    if (member.name == name) return member.id;
  }
  for (const raft::Invitation& invitation : invited()) {
    if (invitation.name != name) continue;
    return Status(
        Code::kUnavailable,
        "'" + name + "' was added and has not joined yet; start it with 'raftkv serve --join'");
  }
  return Status(Code::kNotFound,
                "the cluster has no member '" + name + "'; 'raftkv member list' shows its members");
}

void Member::AddMember(const std::string& name, const std::string& address, bool voter,
                       MonoTime deadline, DoneStatus done) {
  if (Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  raft::MembershipChange change;
  change.invite.push_back({name, address, voter});
  node_->ChangeMembership(change, deadline, std::move(done));
}

void Member::PromoteMember(const std::string& name, MonoTime deadline, DoneStatus done) {
  if (Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  const Result<NodeId> id = IdOf(name);
  if (!id.ok()) return done(id.status());
  raft::MembershipChange change;
  change.promote.push_back(*id);
  node_->ChangeMembership(change, deadline, std::move(done));
}

void Member::RemoveMember(const std::string& name, MonoTime deadline, DoneStatus done) {
  if (Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  raft::MembershipChange change;
  if (const Result<NodeId> id = IdOf(name); id.ok()) {
    change.remove.push_back(*id);
  } else if (id.code() == Code::kUnavailable) {
    change.uninvite.push_back(name);
  } else {
    return done(id.status());
  }
  node_->ChangeMembership(change, deadline, std::move(done));
}

void Member::UpdateMember(const std::string& name, const std::string& address, bool reset_boot,
                          MonoTime deadline, DoneStatus done) {
  if (Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  raft::MembershipChange change;
  for (const raft::Invitation& invitation : invited()) {
    if (invitation.name != name || address.empty() || reset_boot) continue;
    // Who has not joined yet is invited to another address.
    change.uninvite.push_back(name);
    change.invite.push_back({name, address, invitation.voter});
    return node_->ChangeMembership(change, deadline, std::move(done));
  }
  const Result<NodeId> id = IdOf(name);
  if (!id.ok()) return done(id.status());
  change.move.push_back({.id = *id, .address = address, .reset_boot = reset_boot});
  node_->ChangeMembership(change, deadline, std::move(done));
}

void Member::MoveLeader(const std::string& name, MonoTime deadline, DoneStatus done) {
  if (Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  NodeId to;
  if (!name.empty()) {
    const Result<NodeId> id = IdOf(name);
    if (!id.ok()) return done(id.status());
    to = *id;
  }
  node_->TransferLeadership(to, deadline, std::move(done));
}

}  // namespace raftkv::node
