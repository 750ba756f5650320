// Which known bug is planted in this build?
//
// The simulator must be shown to find bugs, so each known one that can live in the simulated code
// is a switch at the place where it would sit:
//
//   if (RAFTKV_MUTANT(kCommitOfEarlierTerm)) ...wrong... else ...right...
//
// Only the simulator and the planted node for Maelstrom (tests/maelstrom) are compiled with
// RAFTKV_MUTANTS; in every other build the switch is the constant false and the bug is not there at
// all. docs/testing.md lists them.
#pragma once

#ifdef RAFTKV_MUTANTS

#include <string_view>
#include <vector>

namespace raftkv {

// One a line: name, row of the table of known bugs in docs/testing.md, what it does.
#define RAFTKV_FOR_EACH_MUTANT(X)                                                        \
  X(kVoteBeforePersist, 1, "a vote is answered before it is durable")                    \
  X(kLeaderCountsUnsynced, 2, "the leader counts its own entry before its sync")         \
  X(kAckBeforePersist, 2, "a follower acknowledges before its sync")                     \
  X(kAckBeyondPiece, 2, "a follower acknowledges what the next pieces will write")       \
  X(kCommitOfEarlierTerm, 3, "an entry of an earlier term is committed by counting")     \
  X(kCommitBeyondMatch, 4, "a follower takes over leaderCommit as it is")                \
  X(kShortAppendTruncates, 5, "a late, short AppendEntries cuts the log")                \
  X(kCompactedIsConflict, 6, "a compacted entry is taken for a conflict")                \
  X(kReadBeforeNoop, 7, "a read index is given before the first commit of the term")     \
  X(kReadOldAcks, 8, "acknowledgements of earlier rounds confirm a read")                \
  X(kLocalReadAsLinearizable, 9, "a leader answers reads without asking anybody")        \
  X(kLeaseTooLong, 10, "a lease does not allow for clock errors")                        \
  X(kClockErrorAboveBound, 10, "clocks err by more than leases allow for")               \
  X(kLeaseWithoutPromise, 10, "a lease counts on members that promised nothing")         \
  X(kLeaseDuringTransfer, 11, "a lease outlives TimeoutNow")                             \
  X(kAppliedIndexApart, 12, "the applied index is written after the data")               \
  X(kRetryAppliedTwice, 13, "a retried request is applied again")                        \
  X(kExpiredSessionReopens, 14, "a request of an expired session is carried out")        \
  X(kSnapshotWithoutConfiguration, 15, "an installed snapshot leaves the configuration") \
  X(kInstallKeepsConfiguration, 16, "an install keeps an uncommitted configuration")     \
  X(kInstallKeepsTail, 17, "an install keeps a conflicting tail")                        \
  X(kProposalsStranded, 18, "who lost the leadership leaves proposals waiting")          \
  X(kRestoreKeepsKeys, 19, "a restored state keeps keys that were deleted")              \
  X(kHalfSnapshot, 20, "a snapshot is installed once its first part is there")           \
  X(kCompactBeyondApplied, 21, "the log is cut before the snapshot is durable")          \
  X(kFullDropsWrite, 23, "a write that does not fit is dropped and taken for done")      \
  X(kSyncErrorIgnored, 24, "a failed sync is taken for a good one")                      \
  X(kReadErrorIsEnd, 25, "a read error is taken for the end of the log")                 \
  X(kDamageIsTornTail, 26, "damage is cut away like a torn tail")                        \
  X(kNoSpaceCarriedOut, 27, "a write is refused for lack of space and carried out")      \
  X(kHungDiskLeads, 24, "a leader whose disk hangs goes on leading")                     \
  X(kWipedDiskVotes, 28, "a wiped disk votes under its old name")                        \
  X(kConfigurationOnCommit, 29, "a configuration is in force only when it is applied")   \
  X(kConfigurationNotRolledBack, 29, "a truncated configuration stays in force")         \
  X(kTwoChangesInFlight, 31, "a second membership change while one is under way")        \
  X(kNoJoint, 31, "many members change at once without a joint configuration")           \
  X(kNoPreVote, 32, "elections without a pre-vote and without leader stickiness")        \
  X(kRemovedLeaderCounts, 33, "a leader that is no voter counts itself")                 \
  X(kLearnerCounts, 34, "learners count for commit")                                     \
  X(kDoubledVotes, 35, "each granted vote message counts")                               \
  X(kVotesOfOldTerms, 35, "votes of an earlier term count")                              \
  X(kLongerLogWins, 36, "only lengths of logs are compared")                             \
  X(kGapInMessage, 37, "a message leaves out an entry")                                  \
  X(kStepDownIsFailure, 38, "lost leadership is reported as a definite failure")         \
  X(kElectionQuorumTooSmall, 42, "a flexible election quorum below a majority")          \
  X(kSuspectCounts, 43, "a suspect member counts before it is refilled")                 \
  X(kVoteWhileLeased, 44, "a restarted voter votes while a lease may be held")           \
  X(kApplyBeforeDurable, 45, "entries are applied before they are durable here")         \
  X(kDoubledFirstRequest, 46, "a session opens whenever its id is unknown")              \
  X(kRolledBackDiskVotes, 47, "a rolled-back disk takes part")                           \
  X(kNoSync, 48, "nothing is synced")                                                    \
  X(kRevisionOfEntry, 49, "calls that share an entry share a revision")                  \
  X(kEventsAtBoundDropped, 50, "a compaction drops the events at its bound")             \
  X(kRingSkipsTrimmed, 50, "what has just left the ring is not read from the log")       \
  X(kCompactedWhileRead, 50, "what goes while the log of events is read is not missed")  \
  X(kInstallSkipsEvents, 50, "who waits over an install gets what comes after it")       \
  X(kRingOutlivesInstall, 50, "the ring of events is kept over an install")              \
  X(kProgressOvertakes, 51, "a watcher in line is told the progress of its member")      \
  X(kProgressOfMember, 51, "a progress notice has the revision of the member")           \
  X(kResumeRepeatsRevision, 52, "a watch that resumes in a revision gets it all again")  \
  X(kPageEndsRevision, 52, "a page that is full counts as the end of its revision")      \
  X(kRevisionSplitByPage, 52, "a revision is told in parts where a page ends")           \
  X(kFutureWatchGetsOlder, 53, "a watch from a future revision begins now")              \
  X(kFutureWatchNotWoken, 53, "a watch misses the very revision that it waits for")      \
  X(kResumesAtMembersNow, 53, "a watch resumes behind, at the revision of its member")   \
  X(kWatchBeginsBehind, 53, "a watch begins where its member is, without a barrier")     \
  X(kCountsOfFormerLife, 54, "a key that is created again keeps its counts")             \
  X(kRangeDeleteKeepsCounts, 55, "the cache of counts misses range deletes")             \
  X(kClockFollowsWallClock, 56, "the cluster clock jumps with a wall clock")             \
  X(kLeasesRenewedByElection, 56, "a new leader gives every lease its whole time again") \
  X(kExpireUnchecked, 57, "an expiry ends a lease without a look at its deadline")       \
  X(kRenewalNotWritten, 58, "a keep-alive is answered, and forgotten by a restart")      \
  X(kOverwriteStaysAttached, 59, "a key stays with a lease that it was taken from")      \
  X(kLeasesNotLoaded, 60, "a state that is opened comes without its leases")             \
  X(kLimitBeforeFilter, 61, "the limit of a range is taken before its filters")          \
  X(kCountAfterLimit, 61, "a limited range counts only what it shows")                   \
  X(kReversePageRepeats, 61, "a further page of a reverse scan repeats a key")           \
  X(kReversePageSkips, 61, "a further page of a reverse scan skips keys")                \
  X(kMultiGetOfTwoStates, 62, "the rest of a multi-get is read from a newer state")      \
  X(kPastShowsDeleted, 62, "a read at a revision shows what was deleted before")         \
  X(kPastAtBoundDropped, 63, "a compaction drops what a read at its bound sees")         \
  X(kBoundNotPersisted, 64, "a compact is applied and its bound not written")            \
  X(kTxnMissesOwnWrites, 65, "reads in a transaction miss its own writes")               \
  X(kTxnRefusedByHalves, 65, "a refused transaction keeps the writes before")            \
  X(kCompareOfMissingValue, 65, "a missing key is compared as if it had no bytes")       \
  X(kTxnRetryEvaluates, 66, "a retried transaction looks at its compares again")         \
  X(kReadAskedAnew, 67, "a read's question takes the place of one that is under way")    \
  X(kVoteForgotten, 1, "a restarted member forgets its term and whom it voted for")      \
  X(kCommitWithoutMajority, 2, "a leader commits what only it has")

// In code that is not simulated, `raftkv maelstrom`.
#define RAFTKV_FOR_EACH_MAELSTROM_MUTANT(X)                                    \
  X(kLocalReads, 9, "any node answers reads from what it has itself")          \
  X(kUnknownIsDefinite, 38, "a write of unknown fate is answered by error 11") \
  X(kAppendWithoutCompare, 73, "an append does not look whether its list has changed")

enum class Mutant {
  kNone,
#define RAFTKV_MUTANT_NAME(name, row, what) name,
  RAFTKV_FOR_EACH_MUTANT(RAFTKV_MUTANT_NAME) RAFTKV_FOR_EACH_MAELSTROM_MUTANT(RAFTKV_MUTANT_NAME)
#undef RAFTKV_MUTANT_NAME
};

/// Chosen before a simulation begins; not changed while one runs.
inline Mutant active_mutant = Mutant::kNone;

}  // namespace raftkv

#define RAFTKV_MUTANT(name) (::raftkv::active_mutant == ::raftkv::Mutant::name)

#else

#define RAFTKV_MUTANT(name) false

#endif
