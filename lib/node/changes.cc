// How is a change of the members, or of the leader, answered? (part of Node)
#include <utility>

#include "lib/base/check.h"
#include "lib/node/node.h"

namespace raftkv::node {

void Node::ChangeMembership(const raft::MembershipChange& change, MonoTime deadline,
                            DoneStatus done) {
  if (!failure_.ok()) {
    done({Code::kUnavailable, failure_.message()});
    return;
  }
  Tick();
  const auto position = core_.ChangeMembership(change, StampMs());
  if (!position.ok()) {
    done(position.status());
    return;
  }
  changes_.push_back({*position, deadline, std::move(done)});
  wakeup_();
}

void Node::Join(const ForwardJoin& join) {
  if (!failure_.ok()) return;
  if (core_.role() != raft::Role::kLeader) {
    if (core_.leader() != kNobody) ports_.transport.Send(core_.leader(), join);
    return;
  }
  if (core_.configuration().Find(join.id) != nullptr) return;  // it sends a hello to every member
  for (const raft::Invitation& invited : core_.configuration().invited) {
    if (invited.name != join.name) continue;
    raft::MembershipChange change;
    raft::Member member{.id = join.id,
                        .name = join.name,
                        .address = invited.address,
                        .zone = join.zone,
                        .learner = true,
                        .promote = invited.voter};
    change.add.push_back(std::move(member));
    Tick();
    // Whatever the outcome: the new member sends hellos until it is known.
    (void)core_.ChangeMembership(change, StampMs());
    wakeup_();
    return;
  }
}

bool Node::Readdress(const raft::MembershipChange& change) {
  if (!failure_.ok()) return false;
  Tick();
  const bool made = core_.ChangeMembership(change, StampMs()).ok();
  wakeup_();
  return made;
}

void Node::TransferLeadership(NodeId to, MonoTime deadline, DoneStatus done) {
  if (!failure_.ok()) {
    done({Code::kUnavailable, failure_.message()});
    return;
  }
  if (transfer_) {
    done({Code::kUnavailable, "a leadership transfer is already in progress"});
    return;
  }
  Tick();
  if (const Status refused = core_.TransferLeadership(to); !refused.ok()) {
    done(refused);
    return;
  }
  transfer_ = Transfer{deadline, std::move(done)};
  wakeup_();
}

/// After every pump, and before what is lost with the leadership: answers what has ended.
void Node::EndChanges() {
  const Index committed = core_.commit_index();
  const bool settled = core_.configuration_index() <= committed && !core_.configuration().joint;
  while (!changes_.empty() && settled && changes_.front().position.index <= committed) {
    const raft::LogPosition at = changes_.front().position;
    const bool ours =
        core_.log().TermAt(at.index) == at.term || at.index < core_.log().base().index;
    RAFTKV_CHECK(ours || core_.role() != raft::Role::kLeader, at.index.value);
    if (!ours) break;  // a new leader's entry took its place; it fails like this leader's proposals
    Change change = std::move(changes_.front());
    changes_.pop_front();
    change.done(Status::Ok());
  }
  if (!transfer_) return;
  if (core_.role() != raft::Role::kLeader && core_.leader() != kNobody) {
    std::exchange(transfer_, std::nullopt)->done(Status::Ok());
  } else if (core_.role() == raft::Role::kLeader && !core_.transferring()) {
    std::exchange(transfer_, std::nullopt)
        ->done({Code::kUnavailable, "the other member did not take the leadership in time"});
  }
}

void Node::FailChanges(const Status& why) {
  for (Change& change : std::exchange(changes_, {})) change.done(why);
  if (transfer_ && !failure_.ok()) std::exchange(transfer_, std::nullopt)->done(why);
}

void Node::SweepChanges(MonoTime now) {
  while (!changes_.empty() && changes_.front().deadline <= now) {
    Change change = std::move(changes_.front());
    changes_.pop_front();
    change.done({Code::kUnknownOutcome,
                 "the change was not committed in time, but may still be: check the member list"});
  }
  if (transfer_ && transfer_->deadline <= now) {
    std::exchange(transfer_, std::nullopt)
        ->done({Code::kUnknownOutcome, "no other member has taken the leadership yet"});
  }
}

}  // namespace raftkv::node
