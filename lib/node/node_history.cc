// When does the leader let the past of the keys go? (part of Node)
//
// Only the leader proposes it, as an entry of its own, which is never forwarded: so all members
// come to the same bound. What is proposed twice, or late, changes nothing. An idle cluster whose
// past is gone already writes nothing.
#include <algorithm>
#include <chrono>

#include "lib/kv/request.h"
#include "lib/kv/revisions.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

/// Each compact is an entry, and a write of the manifest at each member.
constexpr Duration kHistoryInterval = std::chrono::seconds(2);

}  // namespace

MonoTime Node::HistoryDeadline() const {
  // Whatever makes it take proposals again wakes the node up by itself.
  if (core_.role() != raft::Role::kLeader || !core_.TakesProposals()) return kNever;
  const kv::Revisions revisions = ports_.machine.revisions();
  const bool has_past = revisions.revision > std::max(revisions.compacted, kv::kFirstRevision);
  return has_past ? next_history_look_ : kNever;
}

void Node::MaybeCompactHistory(MonoTime now) {
  if (now < HistoryDeadline()) return;
  next_history_look_ = now + kHistoryInterval;
  const raft::Space space = core_.SpaceForWrites();
  if (space == raft::Space::kNone) return;
  const std::uint64_t due = ports_.machine.CompactDue(StampMs(), space != raft::Space::kEnough);
  if (due == 0) return;
  // A failure is a leadership that has just ended: the next leader looks by itself.
  static_cast<void>(
      core_.Propose(raft::EntryKind::kCommand, kv::EncodeCompact(due), StampMs()).ok());
}

}  // namespace raftkv::node
