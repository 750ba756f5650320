// How do the members of a cluster agree on one log? (Raft paper; thesis for pre-vote and reads)
//
// Raft is a pure state machine: state + (message | time | local call) -> Ready. It knows no thread,
// clock, disk, socket or chance of its own, and never reads storage. It is owned by one thread.
//
// One file a role: election.cc, leader.cc, follower.cc, read_index.cc; raft.cc has what they share.
// raft_invariants.cc says what is always true.
#pragma once

#include <raftkv/status.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "lib/base/random.h"
#include "lib/base/time.h"
#include "lib/raft/progress.h"
#include "lib/raft/quorum.h"
#include "lib/raft/raft_log.h"
#include "lib/raft/ready.h"

namespace raftkv::raft {

struct Options {
  NodeId id;
  /// T: an election timeout is drawn from [T, 2T); a leader that has not heard of a quorum for T
  /// steps down, and who has heard the leader within T grants no vote.
  Duration election_timeout = std::chrono::milliseconds(300);
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  /// How long an idle leader waits before it tells followers of a new commit index by a message of
  /// its own; with traffic the next AppendEntries carries it.
  Duration commit_notice_delay = std::chrono::milliseconds(10);
  /// Entries in one AppendEntries, in bytes (one entry always fits).
  std::size_t max_append_bytes = 1 << 20;
  /// AppendEntries with entries under way to one follower.
  std::size_t max_inflight_messages = 64;
  std::size_t max_inflight_bytes = 16 << 20;
  /// Recent entries that are kept in memory though they are durable and applied.
  std::size_t max_buffer_bytes = 32 << 20;
  /// Proposals that are not committed yet; more are refused as Unavailable.
  std::size_t max_uncommitted_bytes = 64 << 20;
  /// Entries handed out to be applied at a time.
  std::size_t max_apply_bytes = 4 << 20;
  /// Reads that wait for a round, own and followers'; more are refused.
  std::size_t max_pending_reads = 64 * 1024;
};

/// What was found on disk at the start.
struct InitialState {
  HardState hard_state;
  /// The latest configuration in the log and the index of its entry (0: none, nobody can campaign).
  Configuration configuration;
  Index configuration_index;
  /// The whole log, as runs of equal term from the first entry on; empty: no entries.
  std::vector<TermRun> term_runs;
  Index last_index;
  /// What the state machine has, durably.
  Index applied;
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

  /// Moves time to `now` (never back) and does what has become due. Call it before any other input,
  /// so that the input meets the right time.
  void Tick(MonoTime now);
  /// When Tick() will have something to do, if nothing else happens before.
  [[nodiscard]] MonoTime NextDeadline() const;

  /// A message that came from the network. Anything may come: it is checked here.
  void Step(const Message& message);

  /// Leader: appends an entry. NotLeader, or Unavailable (uncommitted proposals are at their bound).
  Result<LogPosition> Propose(EntryKind kind, Bytes payload, std::uint64_t time_ms);

  /// Asks for an index from which a read is linearizable; the answer comes as a ReadState with
  /// `context`. A follower asks the leader. Unavailable: no leader known, or too many wait.
  Status RequestReadIndex(std::uint64_t context);

  /// The transport lost its connection *from* `peer`. If it leads, a pre-vote may start early.
  void PeerDisconnected(NodeId peer);
  /// Messages to `peer` were dropped on the way: probe again from what it acknowledged.
  void PeerUnreachable(NodeId peer);

  /// Answers a WantedEntries; fewer entries than asked for are fine, none means that they could not
  /// be read now (it is asked again later).
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
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] NodeId leader() const { return leader_; }
  [[nodiscard]] Term term() const { return term_; }
  [[nodiscard]] NodeId vote() const { return vote_; }
  [[nodiscard]] Index commit_index() const { return commit_index_; }
  [[nodiscard]] Index applied_index() const { return applied_index_; }
  [[nodiscard]] Index durable_index() const { return durable_index_; }
  [[nodiscard]] const RaftLog& log() const { return log_; }
  [[nodiscard]] const Configuration& configuration() const { return configurations_.back().second; }
  /// The leader's view of each other member; empty if this one does not lead.
  [[nodiscard]] const std::map<NodeId, Progress>& progress() const { return progress_; }
  /// Leader: an entry of the current term is committed, so reads can be served (§8).
  [[nodiscard]] bool committed_in_term() const;

 private:
  friend class RaftInvariants;  // raft_invariants.cc reads everything and changes nothing
PLACEHOLDER
};

}  // namespace raftkv::raft
