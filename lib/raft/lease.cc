// When may a leader answer a read without asking the others? (thesis §6.4.1)
//
// With leases on, a member that has heard a leader promises to grant no vote for a full election
// timeout T by its own clock, and so does a member that has just started. A round of heartbeats
// that was sent at time s and promised by a commit quorum therefore rules out another leader until
// s + T, less what the clocks may drift: with a rate error of e on either side until s + T (1 - e)
// / (1 + e). Each acknowledgement says what is promised, so that members with different options may
// cost the lease, but not its safety. The promise has one exception, an election that the leader
// itself asked for (TimeoutNow): after sending one, the leader has no lease for the rest of its
// term.
#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/raft.h"

namespace raftkv::raft {

namespace {

/// Rounds that may be unacknowledged: a leader without a quorum steps down long before.
constexpr std::size_t kMaxLeaseRounds = 64;

}  // namespace

bool Raft::PromisedNotToVote() const {
  if (!options_.lease_reads) return false;
  // A member that was always alone cannot have promised anything. One that was left alone may have
  // made a promise to the leader that removed itself. And one whose log begins with another member
  // that was alone was added by that one, and may have made a promise before it had that entry on
  // disk.
  const bool alone = configuration().members.size() == 1 &&
                     configuration().members.front().id == options_.id &&
                     configuration().removed.empty();
  return now_ < no_votes_before_ && !alone;
}

Duration Raft::LeaseDuration() const {
  const auto timeout = options_.election_timeout;
  if (RAFTKV_MUTANT(kLeaseTooLong)) return timeout;
  const int error = static_cast<int>(options_.clock_error_percent);
  RAFTKV_CHECK(error < 50, error);
  return timeout * (100 - error) / (100 + error);
}

bool Raft::HoldsLease() const {
  if (!options_.lease_reads || !committed_in_term()) return false;
  const bool given_up =
      (transferring() || leadership().timeout_now_sent) && !RAFTKV_MUTANT(kLeaseDuringTransfer);
  return !given_up && now_ < leadership().lease_until;
}

Duration Raft::Promise() const {
  return options_.lease_reads ? options_.election_timeout : Duration::zero();
}

void Raft::StartLeaseRound() {
  if (!options_.lease_reads) return;
  ++read_round_;
  RAFTKV_CHECK(leadership().lease_rounds.empty() ||
               leadership().lease_rounds.back().first < read_round_);
  leadership().lease_rounds.emplace_back(read_round_, now_);
  if (leadership().lease_rounds.size() > kMaxLeaseRounds) leadership().lease_rounds.pop_front();
  FinishReadRounds();  // a cluster of one asks no one
}

void Raft::ExtendLease() {
  Leadership& leading = leadership();
  if (leading.lease_rounds.empty()) return;
  const std::uint64_t confirmed_round = ConfirmedRound(&Progress::promised_round);
  while (!leading.lease_rounds.empty() && leading.lease_rounds.front().first <= confirmed_round) {
    leading.lease_until =
        std::max(leading.lease_until, leading.lease_rounds.front().second + LeaseDuration());
    leading.lease_rounds.pop_front();
  }
  RAFTKV_CHECK(leading.lease_until <= now_ + options_.election_timeout);
}

}  // namespace raftkv::raft
