// What does a node need from the outside? Ports: in production with threads, RocksDB and Cap'n
// Proto behind them, in the simulator with virtual time, network and disks.
//
// lib/node is pumped by one thread, the loop. Every callback passed to a port runs on the loop,
// later, never inside the call that took it, at most once, and not after the node was stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/once_function.h"
#include "lib/base/time.h"
#include "lib/kv/change_set.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/revisions.h"
#include "lib/kv/watch.h"
#include "lib/raft/message.h"
#include "lib/raft/types.h"

namespace raftkv::node {

template <class T>
using Done = OnceFunction<void(Result<T>)>;
using DoneStatus = OnceFunction<void(Status)>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime Now() = 0;
  /// ms since 1970; may jump.
  virtual std::uint64_t WallTimeMs() = 0;
};

/// What is known about this member's disk besides the results of calls.
struct DiskHealth {
  raft::Space space = raft::Space::kEnough;
  /// Not ok: something could not be written or synced, so nothing may be promised any more.
  Status failure;
};

/// One atomic write of the log database.
struct LogWrite {
  std::optional<raft::HardState> hard_state;
  /// Replaces everything from entries.front().index on.
  std::vector<raft::Entry> entries;
  /// The store is no longer suspect.
  bool refilled = false;
  bool sync = false;
};

/// The log, and what must survive with it. At most one Write is in progress at a time.
class LogStore {
 public:
  virtual ~LogStore() = default;
  /// Ok: the write is in the database and, with sync, durable. Any failure is final (an fsync is
  /// never retried): the node stops. A write that does not fit on the disk waits; that is not a
  /// failure.
  virtual void Write(LogWrite write, DoneStatus done) = 0;
  /// Entries first..last, as many as fit `max_bytes`, at least one.
  virtual void Read(Index first, Index last, std::size_t max_bytes,
                    Done<std::vector<raft::Entry>> done) = 0;
};

struct Applied {
  Index index;
  std::uint64_t replicated_time_ms = 0;
  /// One per entry, in order: an encoded kv Response, empty for entries that are not commands.
  std::vector<Bytes> responses;
  /// What the state machine still has after a crash, without the log: that much of the log may be
  /// compacted.
  Index durable = {};
  /// What was changed, for those that watch: all of it, by revision.
  std::vector<kv::ChangesPtr> changes = {};
  /// After these entries.
  kv::Revisions revisions = {};
  /// The setting: how much memory the newest changes may take.
  std::uint64_t event_bytes = 32 << 20;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// At most one Apply is in progress at a time. Any failure stops the node.
  virtual void Apply(std::vector<raft::Entry> entries, Done<Applied> done) = 0;
  /// Answers an encoded ReadRequest (checked already) from what is applied; the response has at
  /// most about `max_bytes`.
  /// `clock_ms`: the cluster clock as it is known here.
  virtual void Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
                    Done<Bytes> done) = 0;
  /// Of what was applied last; at any time.
  [[nodiscard]] virtual kv::LeaseStatus leases() const = 0;
  /// Reads events from the log, up to revision `last`, which is applied (lib/kv/watch.h).
  virtual void ReadEvents(kv::WatchOp op, std::uint64_t last, Done<kv::WatchLogPage> done) = 0;
  /// Of what was applied last.
  [[nodiscard]] virtual kv::Revisions revisions() const = 0;
  /// What the leader is to propose to compact at `now_ms`, in replicated time; 0: nothing.
  /// `space_is_short`: whatever can go. At any time.
  [[nodiscard]] virtual std::uint64_t CompactDue(std::uint64_t now_ms,
                                                 bool space_is_short) const = 0;
};

/// How current a read must be.
struct ReadPolicy {
  Consistency consistency = Consistency::kLinearizable;
  /// kBounded: everything committed this long ago must be visible.
  Duration max_staleness{};
};

/// The outcome of a request that was submitted at a member.
struct SubmitOutcome {
  /// Ok: `response` is set. Otherwise: was it applied? NotLeader, Unavailable, InvalidArgument: no.
  /// UnknownOutcome: perhaps.
  Status status;
  Bytes response;
};
using SubmitDone = OnceFunction<void(SubmitOutcome)>;

/// A request that is forwarded to the leader, and its answer. `id` is chosen by the sender: where
/// messages may be lost, both may arrive more than once under it (forwards.h, forward_answers.h).
/// Elsewhere they must not: two copies may have different outcomes, and only one is seen.
struct ForwardSubmit {
  std::uint64_t id = 0;
  Bytes request;
};
struct ForwardSubmitReply {
  std::uint64_t id = 0;
  SubmitOutcome outcome;
};

/// To the leader: an invited member sent a hello here; with an address: the member `id` answers
/// there, and not at its configured address.
struct ForwardJoin {
  std::string name;
  NodeId id;
  std::string zone;
  std::string address = {};
};

/// A part of a snapshot (§7). The receiver takes them in order and answers with the offset it wants
/// next, so a lost part is sent again, and a transfer continues where it was interrupted.
struct SnapshotChunk {
  Term term;  ///< of the leader that sends it
  std::shared_ptr<const raft::SnapshotMeta> snapshot;
  std::uint64_t id = 0;  ///< see Snapshots::Made
  std::uint64_t offset = 0;
  Bytes data;
  bool last = false;
};
struct SnapshotChunkReply {
  Term term;
  raft::LogBase snapshot;  ///< which one
  std::uint64_t id = 0;
  std::uint64_t next_offset = 0;
  /// It is installed, or its receiver has all of it in another way.
  bool installed = false;
};

/// One open of a member's data folder: at each open the counter is incremented and the nonce drawn
/// (docs/architecture.md, identity and formation).
struct Boot {
  std::uint64_t counter = 0;
  std::uint64_t nonce = 0;
  friend bool operator==(const Boot&, const Boot&) = default;
};

/// The boot of another member that counts here.
struct PeerBoot {
  /// Nonce 0, which no boot has: different members saw two boots with this counter, so its disk was
  /// copied or rolled back, and none of its boots counts (docs/raft-notes.md).
  Boot boot;
  /// As in raft::Member when it was confirmed: a higher one in the configuration allows a lower
  /// boot, once.
  std::uint64_t incarnation = 1;
  [[nodiscard]] bool twins() const { return boot.counter != 0 && boot.nonce == 0; }
  friend bool operator==(const PeerBoot&, const PeerBoot&) = default;
};

/// The boot of each other member that counts at the sender. Harmless if lost, duplicated or late.
struct KnownBoots {
  std::map<NodeId, PeerBoot> boots;
};

using PeerMessage = std::variant<raft::Message, ForwardSubmit, ForwardSubmitReply, ForwardJoin,
                                 SnapshotChunk, SnapshotChunkReply, KnownBoots>;

/// A snapshot that can be read while it is held: the state machine at one index, as bytes.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  /// Up to `max_bytes` from `offset`, and whether that is the end.
  struct Part {
    Bytes data;
    bool last = false;
  };
  virtual void Read(std::uint64_t offset, std::size_t max_bytes, Done<Part> done) = 0;
};

/// Makes, receives and installs snapshots of the state machine, and compacts the log that they
/// replace. A member without this port keeps its whole log.
class Snapshots {
 public:
  virtual ~Snapshots() = default;
  struct Made {
    Index applied;  ///< what it holds; the core knows term and configuration
    /// Identifies its bytes: those of two snapshots at the same index may differ, and then so do
    /// their ids.
    std::uint64_t id = 0;
    std::shared_ptr<SnapshotSource> source;
  };
  /// Of what is applied now. Failures are returned, and retried later.
  virtual void Make(Done<Made> done) = 0;
  /// Adds `data` to what has been received of the snapshot `id`; offset 0 starts over, and what is
  /// there of another one is used or dropped. Answers with the offset wanted next, which may be
  /// further on, after data that is present already. With `last`: Ok only if the snapshot is
  /// complete and durable, unless another offset is still wanted.
  virtual void Receive(const raft::SnapshotMeta& snapshot, std::uint64_t id, std::uint64_t offset,
                       Bytes data, bool last, Done<std::uint64_t> done) = 0;
  /// One atomic, synced write: the received snapshot becomes the state machine, the log after it is
  /// empty, and whatever else `write` has. No Write or Apply is in progress at that time. Answers
  /// with the replicated time of the new state. Any failure is final.
  virtual void Install(const raft::SnapshotMeta& snapshot, LogWrite write,
                       Done<std::uint64_t> done) = 0;
  /// No snapshot is expected: what was received of one, perhaps before the last restart, may be
  /// removed in the background.
  virtual void DropUnfinished() = 0;
  /// The log may be compacted up to `through` in the background.
  virtual void Compact(Index through) = 0;
  /// The last entry to compact so that the log has at most `bytes`; 0: none.
  virtual Index Beyond(std::uint64_t bytes) = 0;
};

/// Messages to other members: each may be lost, duplicated or reordered. Sending never blocks; a
/// full queue or a missing connection drops the message and reports PeerUnreachable.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(NodeId to, PeerMessage message) = 0;
  /// The members to stay connected to (without this one), each with its name and address.
  struct Peer {
    NodeId id;  ///< kNobody while the cluster is forming
    std::string name;
    std::string address;
    /// Other possible addresses: tried in turn while it does not respond at `address`.
    std::vector<std::string> also = {};
    /// As in raft::Member: when it increases, the peer has to answer a new hello.
    std::uint64_t incarnation = 1;
  };
  /// Connections from members that are no longer in the list are closed: they send another hello,
  /// and learn why.
  virtual void SetPeers(std::vector<Peer> peers) = 0;
};

/// Identity, formation and the known boots of the other members; small and rarely written.
class MetaStore {
 public:
  virtual ~MetaStore() = default;
  /// Makes this member one of a formed cluster: the cluster id, the first log entry (index 1, term
  /// 1, kind configuration, with `payload`) and the hard state (term 1, no vote, commit 1), atomic
  /// and synced.
  virtual void SaveFormation(ClusterId cluster, Bytes payload, DoneStatus done) = 0;
  /// Synced.
  virtual void SavePeerBoot(NodeId peer, PeerBoot boot, DoneStatus done) = 0;
};

/// Where the time of a request is spent, in the order of a write's stages.
enum class Stage : std::uint8_t {
  kLogSync,    ///< one synced write of the log database
  kReplicate,  ///< from proposal to commit
  kApply,      ///< from commit to applied
  kPropose,    ///< from proposal to the answer
  kReadIndex,  ///< from a linearizable read's arrival until it may be served
};

/// Takes measurements; called on the loop, must be cheap.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void Observe(Stage stage, Duration took) = 0;
  virtual void CountProposal(Code outcome) = 0;
  virtual void CountLogSync(std::size_t entries, std::size_t bytes) = 0;
  virtual void CountElection() = 0;
  /// Bytes of a snapshot sent to another member, including retransmissions.
  virtual void CountSnapshotSent(std::size_t bytes) = 0;
  virtual void CountSnapshotReceived(std::size_t bytes) = 0;
};

enum class LogSeverity : std::uint8_t { kDebug, kInfo, kWarn, kError };
using LogSink = std::function<void(LogSeverity, const std::string&)>;

}  // namespace raftkv::node
