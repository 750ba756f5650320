// How do the members of a cluster agree on one log? (Raft paper; thesis for pre-vote and reads)
//
// Raft is a pure state machine: state + (message | time | local call) -> Ready. It has no thread,
// clock, disk, socket or randomness of its own, and never reads storage. It is owned by one thread.
//
// One file per role or subject: election.cc, follower.cc, leader.cc, read_index.cc and lease.cc,
// change.cc (membership), transfer.cc, snapshot.cc, own_disk.cc; raft.cc has what they share and
// ready.cc what goes out. raft_invariants.cc says what is always true.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/random.h"
#include "lib/base/time.h"
#include "lib/raft/cluster_clock.h"
#include "lib/raft/eligibility.h"
#include "lib/raft/membership.h"
#include "lib/raft/pace.h"
#include "lib/raft/progress.h"
#include "lib/raft/quorum.h"
#include "lib/raft/raft_log.h"
#include "lib/raft/ready.h"

namespace raftkv::raft {

struct Options {
  NodeId id;
  /// T: an election timeout is drawn from [T, 2T); a leader that has not heard of a quorum for T
  /// steps down, and a member that has heard the leader within T grants no vote.
  Duration election_timeout = std::chrono::milliseconds(300);
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  /// How long an idle leader waits before it sends a new commit index in a message of its own; with
  /// traffic the next AppendEntries carries it.
  Duration commit_notice_delay = std::chrono::milliseconds(10);
  /// While two AppendEntries are in flight to a follower, proposals gather for this long, or until
  /// one is answered: a follower writes one batch at a time, so more messages would only
  /// cost more. 0: never wait.
  Duration gather_delay = Duration::zero();
  /// Entries in one AppendEntries, in bytes (one entry always fits).
  std::size_t max_append_bytes = 1 << 20;
  /// AppendEntries with entries in flight to one follower.
  std::size_t max_inflight_messages = 64;
  std::size_t max_inflight_bytes = 16 << 20;
  /// Recent entries kept in memory although they are committed and durable.
  std::size_t max_buffer_bytes = 32 << 20;
  /// Proposals that are not committed yet; more are refused as Unavailable.
  std::size_t max_uncommitted_bytes = 64 << 20;
  /// Entries returned to be applied at a time.
  std::size_t max_apply_bytes = 4 << 20;
  /// Reads that wait for a round, this member's and its followers'; more are refused.
  std::size_t max_pending_reads = 64 * 1024;
  /// A learner may be promoted when it lacks at most this many entries.
  std::uint64_t caught_up_entries = 1024;
  /// As leader, answer reads on a lease; otherwise, grant no vote within T of hearing the leader.
  /// May differ between members: only what is promised counts (lease.cc).
  bool lease_reads = false;
  /// A write of the log, or a batch being applied, that has been in progress for this long, and for
  /// much longer than usual here, may never end.
  Duration hang_timeout = std::chrono::milliseconds(500);
  /// Entries in one write of the log, in bytes (one entry always fits).
  std::size_t max_write_bytes = 4 << 20;
  /// Largest drift of any member's clock.
  unsigned clock_error_percent = 10;
};

/// What was found on disk at the start.
struct InitialState {
  HardState hard_state;
  /// The configurations in the log with the index of their entry, ascending, and before them the
  /// one in force at the base. Never empty; index 0: none yet, nobody can campaign.
  std::vector<std::pair<Index, Configuration>> configurations{{}};
  /// Where the log was compacted to, and the rest as runs of equal term; empty: no entries.
  LogBase base;
  std::vector<TermRun> term_runs;
  Index last_index;
  /// What the state machine has durably applied; not before the base.
  Index applied;
  /// Not 0: something that was durable here may be lost (but not term and vote); the value is the
  /// nonce of this open. The member neither votes nor counts until the leader has refilled it.
  std::uint64_t suspect = 0;
};

/// Where a proposal stands in the log.
struct LogPosition {
  Index index;
  Term term;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

class Raft {
 public:
  Raft(const Options& options, InitialState initial, Random random, MonoTime now);

  // --- Inputs. Each may change what the next TakeReady() returns.

  /// Advances the time to `now` (never back) and does what has become due. Call it before any other
  /// input, so that the input is processed at the right time.
  void Tick(MonoTime now);
  /// The wall clock, for the time stamp of a new leader's first entry. Ordering never depends on
  /// it.
  void SetWallTime(std::uint64_t time_ms) { wall_time_ms_ = time_ms; }
  /// The cluster clock of what is applied: this member's does not stay behind it.
  void RaiseClock(std::uint64_t clock_ms) { clock_.AtLeast(clock_ms); }
  /// When Tick() will next have something to do, if nothing else happens before.
  [[nodiscard]] MonoTime NextDeadline() const;

  /// A message from the network. It may be anything: it is checked here.
  void Step(const Message& message);

  /// Leader: appends an entry. NotLeader, or Unavailable (too many
  /// uncommitted proposals).
  Result<LogPosition> Propose(EntryKind kind, Bytes payload, std::uint64_t time_ms);

  /// Asks for an index from which a read is linearizable; the answer comes as a ReadState with
  /// `context`. A follower asks the leader. Unavailable: no leader known, or too many are waiting.
  /// With `lease`, a leader that holds a lease answers without asking the others.
  Status RequestReadIndex(std::uint64_t context, bool lease = false);

  /// Leader: appends the configuration that follows from `change` (and later, by itself, the one
  /// that ends a joint configuration). NotLeader; Unavailable: not now (another change is in
  /// progress, a learner is behind, the live members would not be a quorum); InvalidArgument,
  /// NotFound: see PlanChange.
  Result<LogPosition> ChangeMembership(const MembershipChange& change, std::uint64_t time_ms);

  /// Leader: takes no proposals until `to` (kNobody: the best candidate) leads or an election
  /// timeout has passed. NotLeader; InvalidArgument: not a voter, or this member; Unavailable: no
  /// member can take over.
  Status TransferLeadership(NodeId to);

  /// What this member's own disk has space for.
  void SetSpace(Space space);
  /// Before Tick(), if that is late: this member did not run for a while, because its process or
  /// its machine was stopped, or is busy. What arrived in the meantime is still to be passed in, so
  /// nothing is concluded from the silence: a follower waits for its leader again, and a leader
  /// confirms that it still leads before it takes proposals. Leases follow the clock all the same.
  void Resume(MonoTime now);

  /// A snapshot from the leader `from` of `term` is complete, verified and durable. True: a Ready
  /// will say to install it. False: it is not needed and can be discarded.
  bool OfferSnapshot(NodeId from, Term term, SnapshotMeta snapshot);
  /// A wanted snapshot, of the state at `index`, was sent to `peer` and installed there, or not.
  void SnapshotSent(NodeId peer, Index index, bool installed);
  /// The metadata of a snapshot of the state machine at `index`, which is applied; nothing if the
  /// log does not reach back to it.
  [[nodiscard]] std::optional<SnapshotMeta> DescribeSnapshot(Index index) const;
  /// Forgets the entries up to `through`, which are durably applied and no longer needed. The
  /// caller compacts the stored log.
  void Compact(Index through);

  /// The transport lost its connection *from* `peer`. If it leads, a pre-vote may start early.
  void PeerDisconnected(NodeId peer);
  /// Messages to `peer` were dropped: probe again from what it acknowledged.
  void PeerUnreachable(NodeId peer);

  /// Answers a WantedEntries. Fewer entries than requested are fine; none means that they could not
  /// be read now (they are requested again later).
  void ProvideEntries(const WantedEntries& wanted, std::vector<Entry> entries);

  /// Starts an election now, as if the timeout had passed.
  void Campaign();

  // --- Outputs.

  [[nodiscard]] bool HasReady(Disk disk) const;
  /// What to do now; with Disk::kBusy without 2 and 3 (see ready.h).
  Ready TakeReady(Disk disk);
  /// The write of the last Ready that had one is durable.
  void Persisted();
  /// Everything up to `index` is applied.
  void Applied(Index index);

  // --- State, for the node, status and tests.

  [[nodiscard]] NodeId id() const { return options_.id; }
  /// As it was passed in last.
  [[nodiscard]] MonoTime now() const { return now_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] NodeId leader() const { return leader_; }
  [[nodiscard]] Term term() const { return term_; }
  [[nodiscard]] NodeId vote() const { return vote_; }
  [[nodiscard]] Index commit_index() const { return commit_index_; }
  [[nodiscard]] Index applied_index() const { return applied_index_; }
  [[nodiscard]] Index durable_index() const { return durable_index_; }
  [[nodiscard]] const RaftLog& log() const { return log_; }
  /// The configuration in force: the latest in the log, committed or not (§6).
  [[nodiscard]] const Configuration& configuration() const { return configurations_.back().second; }
  [[nodiscard]] Index configuration_index() const { return configurations_.back().first; }
  /// The latest one that remains whatever becomes of a change in progress.
  [[nodiscard]] const Configuration& committed_configuration() const;
  /// The latest one that is applied.
  [[nodiscard]] const Configuration& applied_configuration() const {
    return configurations_.front().second;
  }
  /// What new entries are stamped with; of a follower: what its leader said last, in ms.
  [[nodiscard]] std::uint64_t clock_ms() const { return clock_.ms(); }
  /// Increases whenever another configuration takes effect.
  [[nodiscard]] std::uint64_t configuration_version() const { return configuration_version_; }
  [[nodiscard]] bool suspect() const { return suspect_ != 0; }
  /// Leader: a leadership transfer is in progress.
  [[nodiscard]] bool transferring() const {
    return leading_ && leading_->transfer_target != kNobody;
  }
  [[nodiscard]] Space space() const { return space_; }
  /// A write of the log has been in progress for so long that it may never end.
  [[nodiscard]] bool disk_hangs() const { return disk_hangs_; }
  /// So has a batch that is being applied.
  [[nodiscard]] bool apply_stalls() const { return apply_stalls_; }
  /// How long the writes of the log, and the batches applied, take.
  [[nodiscard]] const Pace& writes() const { return writes_; }
  [[nodiscard]] const Pace& applies() const { return applies_; }
  /// Leader: proposals are not refused for the moment (see TransferLeadership and Resume).
  [[nodiscard]] bool TakesProposals() const {
    return leading_ && !transferring() && !leading_->paused_until;
  }
  /// What election timeouts are drawn from, including what was learned of this member's disk.
  [[nodiscard]] Duration election_timeout() const { return ElectionTimeout(); }
  /// How long this member's last election took, from campaigning to leading.
  [[nodiscard]] Duration election_took() const { return election_took_; }
  /// Leader: what there is space for here and, as far as known, on a commit quorum.
  [[nodiscard]] Space SpaceForWrites() const;
  /// A snapshot is waiting to be installed, or is being installed.
  [[nodiscard]] bool installing() const { return installing_.has_value(); }
  /// Leader: reads may be answered from what is committed now without asking the others.
  [[nodiscard]] bool HoldsLease() const;
  /// The leader's view of each other member; empty if this member is not the leader.
  [[nodiscard]] const std::map<NodeId, Progress>& progress() const;
  /// Leader: an entry of the current term is committed, so reads can be served (§8).
  [[nodiscard]] bool committed_in_term() const;

 private:
  friend class RaftInvariants;  // raft_invariants.cc reads everything and changes nothing

  // --- raft.cc
  void CountTime();
  void EnterTerm(Term term);
  void BecomeFollower(Term term, NodeId leader);
  void Append(Entry entry);
  void TruncateFrom(Index first);
  void SetConfiguration(Index index, Configuration configuration);
  void OnOtherConfiguration();
  void AdvanceCommit(Index index);
  void ForgetConfigurationsBefore(Index index);
  void Send(NodeId to, Body body);
  void SendAfterPersist(NodeId to, Body body);
  [[nodiscard]] AppendEntriesReply Answer(bool success, Index index) const;
  /// Of a member that this leader tracks; null if there is none, or this member is not the leader.
  [[nodiscard]] Progress* FindProgress(NodeId id);
  [[nodiscard]] const Progress* FindProgress(NodeId id) const;
  [[nodiscard]] Traits TraitsOf(NodeId id) const;
  [[nodiscard]] bool MayHaveVote() const;

  // --- ready.cc
  [[nodiscard]] bool NeedsWrite() const;
  void TakeWrite(Ready& ready);
  std::vector<Message> TakeMessagesAfterPersist();
  void TakeCommitted(Ready& ready);
  [[nodiscard]] bool HasCommittedToApply() const;
  [[nodiscard]] Index ApplicableIndex() const;
  void EvictFromBuffer();

  // --- election.cc
  void ResetElectionTimer();
  [[nodiscard]] Duration ElectionTimeout() const;
  [[nodiscard]] bool CanCampaign() const;
  [[nodiscard]] bool StandsInTerm() const;
  [[nodiscard]] bool HeardLeaderRecently() const;
  void StartPreVote();
  void StandBack();
  void StartElection(bool transfer);
  void AskForVotes(RequestVote request);
  [[nodiscard]] VoteResult Count(const std::map<NodeId, bool>& votes) const;
  void CountPreVotes();
  void CountElection();
  void HandleRequestVote(NodeId from, const RequestVote& request);
  void HandleRequestVoteReply(NodeId from, const RequestVoteReply& reply);

  // --- follower.cc
  void HandleAppendEntries(NodeId from, const AppendEntries& request);
  [[nodiscard]] bool IsWellFormed(const AppendEntries& request) const;
  void HearLeader();
  bool AppendFromLeader(const AppendEntries& request);
  void Refuse(NodeId from, const AppendEntries& request);

  // --- leader.cc
  void BecomeLeader();
  void StopLeading();
  void TrackMembers();
  void HandleAppendEntriesReply(NodeId from, const AppendEntriesReply& reply);
  void HandleRefusal(Progress& progress, const AppendEntriesReply& reply);
  [[nodiscard]] Index QuorumMatch() const;
  void MaybeCommit();
  void Replicate();
  void SendEntries(NodeId to, Progress& progress);
  [[nodiscard]] bool Gathers(const Progress& progress) const;
  void SendAppend(NodeId to, Progress& progress, std::vector<Entry> entries);
  void SendHeartbeat(NodeId to, Progress& progress) { SendAppend(to, progress, {}); }
  void BroadcastHeartbeat();
  void SendCommitNotices();
  [[nodiscard]] bool IsLive(NodeId id) const;
  [[nodiscard]] MonoTime QuorumHeard() const;
  void CheckQuorum();
  void NoteAnswerAfterPause();
  void NoteSuspicion(Progress& progress, std::uint64_t suspect);
  void CheckRefill(Progress& progress);

  // --- change.cc
  [[nodiscard]] Status MayChange(const Configuration& next) const;
  [[nodiscard]] Status IsCaughtUp(NodeId id) const;
  void AppendConfiguration(const Configuration& next, std::uint64_t time_ms);
  void ContinueChange();
  void PromoteWhoCaughtUp();

  // --- transfer.cc
  [[nodiscard]] NodeId BestSuccessor() const;
  void MaybeSendTimeoutNow();
  void HandOverAndStepDown();
  void HandleTimeoutNow(NodeId from);

  // --- own_disk.cc
  [[nodiscard]] Space SpaceOf(NodeId id) const;
  void MaybeHandOverForSpace();
  [[nodiscard]] MonoTime OwnWorkHangsAt() const;
  void WatchOwnWork();
  [[nodiscard]] bool IsFaster(NodeId id) const;
  void MaybeLeaveToTheFaster();

  // --- lease.cc
  void StartLeaseRound();
  void ExtendLease();
  /// What this member promises the leader that it hears.
  [[nodiscard]] Duration Promise() const;
  [[nodiscard]] Duration LeaseDuration() const;
  [[nodiscard]] bool PromisedNotToVote() const;

  // --- snapshot.cc
  void WantSnapshot(NodeId to, Progress& progress);
  [[nodiscard]] bool MayInstall() const;
  void FinishInstall();

  // --- read_index.cc
  struct Leadership;
  struct PendingRead {
    NodeId from{};  ///< kNobody: a local call
    std::uint64_t context = 0;
    bool lease = false;
  };
  struct ReadRound {
    std::uint64_t round = 0;
    MonoTime sent_at{};
    Index index{};
    std::vector<PendingRead> reads{};
  };
  /// Read rounds in flight at a time.
  static constexpr std::size_t kMaxReadRounds = 16;
  [[nodiscard]] std::uint64_t ConfirmedRound(std::uint64_t Progress::*last) const;
  bool AddRead(PendingRead read);
  void StartReadRound();
  void FinishReadRounds();
  void FailReads(const Leadership& ended);
  void AnswerRead(const PendingRead& read, bool confirmed, Index index);
  void HandleReadIndex(NodeId from, const ReadIndex& request);
  void HandleReadIndexReply(NodeId from, const ReadIndexReply& reply);

  // --- Constant after construction.
  const Options options_;

  // --- Persistent state on all servers (Figure 2), as it is in memory.
  Term term_;
  NodeId vote_;
  RaftLog log_;

  // --- Volatile state on all servers (Figure 2).
  Index commit_index_;
  Index applied_index_;

  // --- Volatile state on leaders (Figure 2), and everything else that belongs to a leadership. Set
  // exactly while this member leads, and dropped as a whole when it steps down.
  struct Leadership {
    /// The leader itself is not in it.
    std::map<NodeId, Progress> progress{};
    bool replicate_pending = true;
    std::size_t uncommitted_bytes = 0;
    MonoTime heartbeat_deadline = kNever;
    MonoTime check_quorum_deadline = kNever;
    /// When it was resumed, until a quorum has answered since.
    std::optional<MonoTime> paused_until{};
    MonoTime commit_notice_deadline = kNever;
    MonoTime gather_deadline = kNever;
    /// The latest configuration is not committed, is joint, or has no vote for this leader.
    bool change_under_way = true;

    // Reads.
    std::deque<ReadRound> read_rounds{};       ///< sent, not confirmed
    std::vector<PendingRead> pending_reads{};  ///< waiting for the next round
    Duration read_round_took{};                ///< of the last confirmed one
    MonoTime read_round_deadline = kNever;     ///< when the next may be sent
    /// With leases: rounds that are not acknowledged, and when they were sent.
    std::deque<std::pair<std::uint64_t, MonoTime>> lease_rounds{};
    MonoTime lease_until = MonoTime::min();

    // Leadership transfer.
    NodeId transfer_target{};
    MonoTime transfer_deadline = kNever;
    /// In this term another member may campaign at any time: no more leases.
    bool timeout_now_sent = false;
    /// Since when other members are known to be faster with what hangs here.
    std::optional<MonoTime> outrun_since{};
    /// When a leader without space next looks for a member that has some.
    MonoTime hand_over_at = kNever;
  };
  std::optional<Leadership> leading_;
  [[nodiscard]] Leadership& leadership();
  [[nodiscard]] const Leadership& leadership() const;

  // --- The part of the persistent state that is durable. A write is in progress while `write_` is
  // set.
  struct Write {
    HardState hard_state{};
    Index last{};
    bool snapshot = false;
    bool refilled = false;
  };
  Term durable_term_;
  NodeId durable_vote_;
  Index durable_index_;
  Index handed_to_disk_;
  HardState hard_state_on_disk_;  ///< as last returned in a Ready
  std::optional<Write> write_;

  // --- Roles and elections.
  Role role_ = Role::kFollower;
  NodeId leader_;
  /// (index of the entry, configuration in force from it on); never empty, ascending. The first is
  /// the latest that is applied.
  std::vector<std::pair<Index, Configuration>> configurations_;
  std::uint64_t configuration_version_ = 1;
  std::map<NodeId, bool> pre_votes_;  ///< for the next term
  /// When this member campaigned in its term; unset: it did not, or the election is decided.
  std::optional<MonoTime> stood_at_;
  std::map<NodeId, bool> votes_;  ///< for its own term
  Duration election_took_{};
  Random random_;
  MonoTime now_;
  std::uint64_t wall_time_ms_ = 0;
  ClusterClock clock_;
  /// When this follower last heard the current leader; unset: never, or its connection closed.
  std::optional<MonoTime> leader_heard_;
  /// After a pause, until the leader was heard.
  bool resumed_ = false;
  MonoTime election_deadline_ = kNever;
  /// With leases: until then this member grants no vote, whatever else happens.
  MonoTime no_votes_before_ = MonoTime::min();

  // --- Its own disk.
  Space space_ = Space::kEnough;
  Pace writes_;
  bool disk_hangs_ = false;
  Pace applies_;
  bool apply_stalls_ = false;

  // --- A store that has lost something, or is being replaced.
  std::uint64_t suspect_ = 0;
  /// No longer suspect, but that is not durable yet.
  bool refilled_ = false;
  struct Install {
    NodeId from{};
    Term term{};
    SnapshotMeta snapshot{};
  };
  std::optional<Install> installing_;

  /// The last number of a heartbeat round. It outlives the leadership: no number is used twice.
  std::uint64_t read_round_ = 0;

  // --- Outputs not taken yet.
  SoftState soft_state_taken_;
  std::vector<Message> messages_;
  std::vector<Message> messages_after_persist_;
  std::vector<ReadState> read_states_;
  std::vector<WantedEntries> wanted_entries_;
  std::vector<NodeId> wanted_snapshots_;

  // --- Applying: one batch is returned at a time.
  Index handed_to_apply_;
  bool apply_wants_entries_ = false;
  std::vector<Entry> fetched_to_apply_;
};

}  // namespace raftkv::raft
