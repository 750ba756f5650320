#include "lib/raft/raft_invariants.h"

#include <algorithm>

namespace raftkv::raft {

/// A friend of Raft that may read everything, and changes nothing.
class RaftInvariants {
 public:
  explicit RaftInvariants(const Raft& raft) : r_(raft) {}

  std::string Check() const {
    for (const std::string& broken : {Log(), Durability(), Roles(), Leader(), Applying()}) {
      if (!broken.empty()) return broken;
    }
    return {};
  }

 private:
  static std::string Say(bool holds, const char* rule) { return holds ? "" : rule; }
  template <class... More>
  static std::string Say(bool holds, const char* rule, bool next, const char* next_rule,
                         More... more) {
    return holds ? Say(next, next_rule, more...) : rule;
  }

  std::string Log() const {
    const RaftLog& log = r_.log_;
    return Say(log.last_term() <= r_.term_, "the log has an entry of a term beyond the current",
               r_.commit_index_ <= log.last_index(), "commit lies beyond the log",
               log.buffer_first() <= log.last_index().Next(), "the buffer has a gap to the end",
               r_.applied_index_.Next() >= log.first_index(), "applied lies before the log's start",
               !r_.configurations_.empty(), "no configuration at all",
               r_.configurations_.back().first <= log.last_index(),
               "a configuration is in force whose entry is not in the log");
  }

  /// What counts as durable was passed to the disk, and everything that is not durable has a copy
  /// in memory.
  std::string Durability() const {
    return Say(r_.durable_index_ <= r_.handed_to_disk_, "durable beyond what the disk was given",
               r_.handed_to_disk_ <= r_.log_.last_index(), "the disk was given what is not there",
               r_.durable_index_.Next() >= r_.log_.buffer_first(),
               "an entry that is not durable left the memory", r_.durable_term_ <= r_.term_,
               "the durable term is ahead", !r_.write_ || r_.write_->last <= r_.handed_to_disk_,
               "a write beyond its handing out");
  }

  std::string Roles() const {
    const bool leads = r_.role_ == Role::kLeader;
    const bool candidate = r_.role_ == Role::kCandidate;
    return Say(!leads || r_.leader_ == r_.options_.id, "a leader that does not know it leads",
               leads || r_.leader_ != r_.options_.id, "follows itself",
               !(leads || candidate) || r_.vote_ == r_.options_.id, "leads without its own vote",
               // §5.2 with durable-before-promised: what made it the leader survives a crash.
               !leads || (r_.durable_term_ == r_.term_ && r_.durable_vote_ == r_.options_.id),
               "leads on a vote that is not durable",
               r_.suspect_ == 0 || r_.role_ == Role::kFollower, "a suspect store stands or leads",
               !r_.installing_ || r_.role_ == Role::kFollower, "leads while it installs",
               leads == r_.leading_.has_value(),
               "what only a leader has outlives it, or is missing",
               !leads || r_.space_ == Space::kEnough || r_.leading_->hand_over_at != kNever,
               "leads without space and looks for nobody",
               !r_.votes_.count(r_.options_.id) || r_.durable_term_ == r_.term_,
               "counts its own vote before it is durable",
               !r_.stood_at_ || (!leads && r_.vote_ == r_.options_.id),
               "stands in its term without its own vote, or leads already",
               !candidate || r_.stood_at_, "a candidate that does not stand",
               !leads || r_.leading_->read_rounds.size() <= Raft::kMaxReadRounds,
               "too many read rounds under way");
  }

  std::string Leader() const {
    if (r_.role_ != Role::kLeader) return {};
    for (const auto& [id, progress] : r_.leading_->progress) {
      const std::string broken =
          Say(id != r_.options_.id, "tracks itself", progress.match < progress.next,
              "next is not beyond match", progress.next <= r_.log_.last_index().Next(),
              "next lies beyond the log", progress.match <= r_.log_.last_index(),
              "match lies beyond the log", progress.acked_round <= r_.read_round_,
              "a read round acknowledged before it began",
              progress.promised_round <= progress.acked_round,
              "a promise of a round that was not acknowledged",
              progress.inflights.messages() <= r_.options_.max_inflight_messages,
              "too many messages under way",
              progress.state != ProgressState::kSnapshot || progress.inflights.messages() == 0,
              "entries are under way to a member that gets a snapshot",
              progress.refill_at == Index{} || progress.suspect != 0,
              "a member that is not suspect is being refilled");
      if (!broken.empty()) return broken;
    }
    // §5.3, §5.4.2: nothing that can be committed is left uncommitted.
    const Index quorum = r_.QuorumMatch();
    return Say(r_.log_.last_term() == r_.term_, "a leader without an entry of its term",
               r_.log_.TermAt(quorum) != r_.term_ || quorum <= r_.commit_index_,
               "a quorum has durably what is of the leader's own term and not committed",
               !r_.transferring() || r_.leading_->transfer_deadline != kNever,
               "a handing over without an end", !r_.HoldsLease() || !r_.leading_->timeout_now_sent,
               "a lease after TimeoutNow");
  }

  std::string Applying() const {
    return Say(r_.applied_index_ <= r_.commit_index_, "applied what is not committed",
               r_.handed_to_apply_ >= r_.applied_index_, "applied what was not handed out",
               r_.handed_to_apply_ <= r_.commit_index_, "handed out what is not committed",
               // The state machine must never be ahead of this member's own log after a crash.
               r_.handed_to_apply_ <= r_.durable_index_, "handed out what is not durable here");
  }

  const Raft& r_;
};

StateBefore Capture(const Raft& raft) {
  return {raft.term(),         raft.vote(),          raft.role(),
          raft.commit_index(), raft.applied_index(), raft.log().last_index(),
          raft.log().runs()};
}

std::string CheckInvariants(const Raft& raft) { return RaftInvariants(raft).Check(); }

std::string CheckTransition(const StateBefore& before, const Raft& after) {
  if (after.term() < before.term) return "the term went back";
  if (after.term() == before.term && before.vote != kNobody && after.vote() != before.vote) {
    return "a vote was changed within a term";  // §5.2
  }
  if (after.commit_index() < before.commit) return "commit went back";
  if (after.applied_index() < before.applied) return "applied went back";
  // Figure 3, Leader Append-Only.
  const bool still_leads =
      before.role == Role::kLeader && after.role() == Role::kLeader && after.term() == before.term;
  if (still_leads && after.log().last_index() < before.last) return "a leader cut its log";
  // Committed entries keep their terms, on every member, forever.
  for (const TermRun& run : before.runs) {
    if (run.first > before.commit) break;
    if (run.first < after.log().base().index) continue;
    if (after.log().TermAt(run.first) != run.term) return "a committed entry changed";
  }
  return {};
}

}  // namespace raftkv::raft
