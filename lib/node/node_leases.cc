// When does the leader end leases? (part of Node)
//
// Only the leader proposes it, as an entry of its own, which is never forwarded. Which leases are
// over is decided where the entry is applied, by the clock that it carries: what is proposed twice,
// or late, ends nothing that is not over. While there are leases an otherwise idle leader also
// enters the time now and then, so that a restart of all members does not set the clock back by
// more than that.
#include <algorithm>
#include <chrono>

#include "lib/base/mutants.h"
#include "lib/kv/request.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

/// How far the clock may be beyond what entries say, where there are leases.
constexpr std::uint64_t kClockNoteMs = 10'000;

}  // namespace

/// By the cluster clock; kNoDeadline: never.
std::uint64_t Node::LeasesDueMs() const {
  const kv::LeaseStatus leases = ports_.machine.leases();
  if (leases.count == 0) return kv::kNoDeadline;
  if (RAFTKV_MUTANT(kExpireUnchecked)) return leases.clock_ms + 1;
  return std::min(leases.next_deadline_ms, leases.clock_ms + kClockNoteMs);
}

MonoTime Node::LeaseDeadline() const {
  // Whatever makes it take proposals again, or is applied, wakes the node up by itself.
  if (core_.role() != raft::Role::kLeader || !core_.TakesProposals()) return kNever;
  if (core_.applied_index() < expire_at_) return kNever;
  const std::uint64_t due_ms = LeasesDueMs();
  if (due_ms == kv::kNoDeadline) return kNever;
  // The clock may be slower than time, and never is faster.
  const std::uint64_t left_ms = due_ms - std::min(due_ms, core_.clock_ms());
  return std::max(next_lease_look_, core_.now() + std::chrono::milliseconds(left_ms));
}

void Node::MaybeEndLeases(MonoTime now) {
  if (now < LeaseDeadline() || core_.clock_ms() < LeasesDueMs()) return;
  next_lease_look_ = now + config_.raft.heartbeat_interval;
  if (core_.SpaceForWrites() == raft::Space::kNone) return;
  const auto position = core_.Propose(raft::EntryKind::kCommand, kv::EncodeExpire(), StampMs());
  // A failure is a leadership that has just ended, or too much work under way.
  if (!position.ok()) return;
  expire_at_ = position->index;
  next_lease_look_ = now;
}

}  // namespace raftkv::node
