// From which index is a read linearizable? (thesis §6.4, ReadIndex)
//
// The leader notes its commit index, then confirms with a numbered round of heartbeats that it
// still led after the read arrived. Reads that arrive soon after one another share a round. Where a
// round trip is long several rounds overlap, since a read that had to wait for one round and then
// for its own would take longer than a write.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// The gap between two overlapping rounds: part of a round trip, with a minimum that keeps rounds
/// few on a fast network.
constexpr int kRoundsInATrip = 8;
constexpr Duration kLeastGap = std::chrono::milliseconds(1);

}  // namespace

Status Raft::RequestReadIndex(std::uint64_t context, bool lease) {
  if (role_ == Role::kLeader) {
    if (!AddRead({.from = kNobody, .context = context, .lease = lease})) {
      return Status(Code::kUnavailable, "too many reads are waiting for the leader; try again");
    }
    return Status::Ok();
  }
  if (leader_ == kNobody) return Status(Code::kUnavailable, "no leader is known; try again");
  Send(leader_, ReadIndex{.term = term_, .context = context, .lease = lease});
  return Status::Ok();
}

bool Raft::AddRead(PendingRead read) {
  if ((read.lease && HoldsLease()) || RAFTKV_MUTANT(kLocalReadAsLinearizable)) {
    AnswerRead(read, true, commit_index_);
    return true;
  }
  Leadership& leading = leadership();
  std::size_t waiting = leading.pending_reads.size();
  for (const ReadRound& round : leading.read_rounds) waiting += round.reads.size();
  if (waiting >= options_.max_pending_reads) return false;
  RAFTKV_CHECK(read.from != options_.id, read.from.value);
  leading.pending_reads.push_back(read);
  leading.replicate_pending = true;
  return true;
}

void Raft::StartReadRound() {
  // Before the first commit of its term a leader does not know what is committed (§8).
  Leadership& leading = leadership();
  if (leading.pending_reads.empty()) return;
  if (!committed_in_term() && !RAFTKV_MUTANT(kReadBeforeNoop)) return;
  if (!leading.read_rounds.empty()) {
    if (leading.read_rounds.size() >= kMaxReadRounds) return;
    const Duration trip = leading.read_round_took == Duration::zero() ? options_.election_timeout
                                                                      : leading.read_round_took;
    const Duration gap = std::max(kLeastGap, trip / kRoundsInATrip);
    const MonoTime next = leading.read_rounds.back().sent_at + gap;
    if (now_ < next) {
      leading.read_round_deadline = next;
      return;
    }
  }
  ++read_round_;
  RAFTKV_CHECK(leading.read_rounds.empty() || leading.read_rounds.back().round < read_round_);
  leading.read_rounds.push_back({.round = read_round_,
                                 .sent_at = now_,
                                 .index = commit_index_,
                                 .reads = std::exchange(leading.pending_reads, {})});
  for (auto& [id, progress] : leading.progress) SendHeartbeat(id, progress);
  FinishReadRounds();  // a cluster of one asks no one
}

std::uint64_t Raft::ConfirmedRound(std::uint64_t Progress::*last) const {
  return QuorumValue(configuration(), [this, last](NodeId id) {
    if (id == options_.id) return read_round_;
    const Progress* const progress = FindProgress(id);
    if (progress == nullptr || progress->suspect != 0) return std::uint64_t{0};
    const std::uint64_t round = progress->*last;
    return RAFTKV_MUTANT(kReadOldAcks) && round != 0 ? round + 1 : round;
  });
}

void Raft::FinishReadRounds() {
  ExtendLease();
  Leadership& leading = leadership();
  if (!leading.read_rounds.empty()) {
    const std::uint64_t confirmed = ConfirmedRound(&Progress::acked_round);
    while (!leading.read_rounds.empty() && leading.read_rounds.front().round <= confirmed) {
      const ReadRound round = std::move(leading.read_rounds.front());
      leading.read_rounds.pop_front();
      leading.read_round_took = now_ - round.sent_at;
      for (const PendingRead& read : round.reads) AnswerRead(read, true, round.index);
    }
  }
  if (leading.read_rounds.empty() && !leading.pending_reads.empty()) {
    leading.replicate_pending = true;
  }
}

void Raft::FailReads(const Leadership& ended) {
  for (const ReadRound& round : ended.read_rounds) {
    for (const PendingRead& read : round.reads) AnswerRead(read, false, Index{});
  }
  for (const PendingRead& read : ended.pending_reads) AnswerRead(read, false, Index{});
}

void Raft::AnswerRead(const PendingRead& read, bool confirmed, Index index) {
  RAFTKV_CHECK(index <= commit_index_, index.value, commit_index_.value);
  RAFTKV_CHECK(!confirmed || role_ == Role::kLeader);
  if (read.from == kNobody) {
    read_states_.push_back({.context = read.context, .confirmed = confirmed, .read_index = index});
  } else {
    Send(read.from,
         ReadIndexReply{
             .term = term_, .context = read.context, .confirmed = confirmed, .index = index});
  }
}

void Raft::HandleReadIndex(NodeId from, const ReadIndex& request) {
  const bool may =
      request.term == term_ && role_ == Role::kLeader && configuration().Find(from) != nullptr;
  if (may && AddRead({.from = from, .context = request.context, .lease = request.lease})) return;
  Send(from, ReadIndexReply{.term = term_, .context = request.context});
}

void Raft::HandleReadIndexReply(NodeId from, const ReadIndexReply& reply) {
  if (role_ != Role::kFollower || from != leader_) return;
  read_states_.push_back(
      {.context = reply.context, .confirmed = reply.confirmed, .read_index = reply.index});
}

}  // namespace raftkv::raft
