// From which index is a read linearizable? (thesis §6.4, ReadIndex)
//
// The leader notes its commit index, then confirms by a round of heartbeats with a number of its
// own that it still led after the read came in. Reads that come while a round is under way share
// the next.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

Status Raft::RequestReadIndex(std::uint64_t context, bool lease) {
  if (role_ == Role::kLeader) {
    if (!AddRead({kNobody, context, lease})) {
      return Status(Code::kUnavailable, "too many reads wait for the leader; try again");
    }
    return Status::Ok();
  }
  if (leader_ == kNobody) return Status(Code::kUnavailable, "no leader is known; try again");
  Send(leader_, ReadIndex{term_, context, lease});
  return Status::Ok();
}

bool Raft::AddRead(PendingRead read) {
  if ((read.lease && HoldsLease()) || RAFTKV_MUTANT(kLocalReadAsLinearizable)) {
    AnswerRead(read, true, commit_index_);
    return true;
  }
  std::size_t waiting = pending_reads_.size();
  for (const ReadRound& round : read_rounds_) waiting += round.reads.size();
  if (waiting >= options_.max_pending_reads) return false;
  pending_reads_.push_back(read);
  replicate_pending_ = true;
  return true;
}

void Raft::StartReadRound() {
  // Before the first commit of its term a leader does not know what is committed (§8).
  if (pending_reads_.empty() || !read_rounds_.empty()) return;
  if (!committed_in_term() && !RAFTKV_MUTANT(kReadBeforeNoop)) return;
  ++read_round_;
  read_rounds_.push_back({read_round_, commit_index_, std::exchange(pending_reads_, {})});
  for (auto& [id, progress] : progress_) SendHeartbeat(id, progress);
  FinishReadRounds();  // a cluster of one needs nobody
}

std::uint64_t Raft::ConfirmedRound(std::uint64_t Progress::*last) const {
  return QuorumValue(configuration(), [this, last](NodeId id) {
    if (id == options_.id) return read_round_;
    const auto it = progress_.find(id);
    if (it == progress_.end() || it->second.suspect != 0) return std::uint64_t{0};
    const std::uint64_t round = it->second.*last;
    return RAFTKV_MUTANT(kReadOldAcks) && round != 0 ? round + 1 : round;
  });
}

void Raft::FinishReadRounds() {
  ExtendLease();
  if (!read_rounds_.empty()) {
    const std::uint64_t confirmed = ConfirmedRound(&Progress::acked_round);
    while (!read_rounds_.empty() && read_rounds_.front().round <= confirmed) {
      const ReadRound round = std::move(read_rounds_.front());
      read_rounds_.pop_front();
      for (const PendingRead& read : round.reads) AnswerRead(read, true, round.index);
    }
  }
  if (read_rounds_.empty() && !pending_reads_.empty()) replicate_pending_ = true;
}

void Raft::FailReads() {
  for (const ReadRound& round : std::exchange(read_rounds_, {})) {
    for (const PendingRead& read : round.reads) AnswerRead(read, false, {});
  }
  for (const PendingRead& read : std::exchange(pending_reads_, {})) AnswerRead(read, false, {});
}

void Raft::AnswerRead(const PendingRead& read, bool confirmed, Index index) {
  if (read.from == kNobody) {
    read_states_.push_back({read.context, confirmed, index});
  } else {
    Send(read.from, ReadIndexReply{term_, read.context, confirmed, index});
  }
}

void Raft::HandleReadIndex(NodeId from, const ReadIndex& request) {
  const bool may =
      request.term == term_ && role_ == Role::kLeader && configuration().Find(from) != nullptr;
  if (may && AddRead({from, request.context, request.lease})) return;
  Send(from, ReadIndexReply{term_, request.context, false, {}});
}

void Raft::HandleReadIndexReply(NodeId from, const ReadIndexReply& reply) {
  if (role_ != Role::kFollower || from != leader_) return;
  read_states_.push_back({reply.context, reply.confirmed, reply.index});
}

}  // namespace raftkv::raft
