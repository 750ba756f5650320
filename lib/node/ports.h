// What does a node need of the world? Ports: production has threads, RocksDB and Cap'n Proto behind
// them, the simulator virtual time, network and disks.
//
// lib/node is pumped by one thread, the loop. Every callback that is handed to a port runs on the
// loop, later, never inside the call that took it, at most once, and not after the node was
// stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/time.h"
#include "lib/raft/message.h"
#include "lib/raft/types.h"

namespace raftkv::node {

template <class T>
using Done = std::function<void(Result<T>)>;
using DoneStatus = std::function<void(Status)>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime Now() = 0;
  /// ms since 1970; may jump.
  virtual std::uint64_t WallTimeMs() = 0;
};

/// One atomic write of the log database.
struct LogWrite {
  std::optional<raft::HardState> hard_state;
  /// Replaces everything from entries.front().index on.
  std::vector<raft::Entry> entries;
  bool sync = false;
};

/// The log and what must survive beside it. At most one Write is under way at a time.
class LogStore {
 public:
  virtual ~LogStore() = default;
  /// Ok: the write is in the database and, with sync, durable. Any failure is final (an fsync is
  /// never retried): the node stops.
  virtual void Write(LogWrite write, DoneStatus done) = 0;
  /// Entries first..last, as many as fit `max_bytes`, at least one.
  virtual void Read(Index first, Index last, std::size_t max_bytes,
                    Done<std::vector<raft::Entry>> done) = 0;
};

struct Applied {
  Index index;
  std::uint64_t replicated_time_ms = 0;
  /// One an entry, in order: an encoded kv Response, empty for entries that are no commands.
  std::vector<Bytes> responses;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// At most one Apply is under way at a time. Any failure stops the node.
  virtual void Apply(std::vector<raft::Entry> entries, Done<Applied> done) = 0;
  /// Answers an encoded ReadRequest (checked already) from what is applied; the response is of at
  /// most about `max_bytes`.
  virtual void Read(Bytes request, std::size_t max_bytes, Done<Bytes> done) = 0;
};

/// What comes of a request that was submitted at a member.
struct SubmitOutcome {
  /// Ok: `response` is there. Otherwise: was it carried out? NotLeader, Unavailable,
  /// InvalidArgument: no. UnknownOutcome: perhaps.
  Status status;
  Bytes response;
};

/// A request that is handed on to the leader, and its answer. `id` is the sender's own. Other than
/// the rest it must not be doubled: two copies may come to different ends, and only one is heard.
struct ForwardSubmit {
  std::uint64_t id = 0;
  Bytes request;
};
struct ForwardSubmitReply {
  std::uint64_t id = 0;
  SubmitOutcome outcome;
};
using PeerMessage = std::variant<raft::Message, ForwardSubmit, ForwardSubmitReply>;

/// Messages to other members: each may be lost, doubled or overtaken. Sending never blocks; a full
/// queue or a missing connection drops the message and reports PeerUnreachable to the receiver
/// side.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(NodeId to, PeerMessage message) = 0;
  /// Whom to stay connected to (without this member itself), each under its name and address.
  struct Peer {
    NodeId id;  ///< nobody while the cluster is forming
    std::string name;
    std::string address;
  };
  virtual void SetPeers(std::vector<Peer> peers) = 0;
};

/// One open of a member's data folder: raised and drawn at each open (DESIGN: identity).
struct Boot {
  std::uint64_t counter = 0;
  std::uint64_t nonce = 0;
  friend bool operator==(const Boot&, const Boot&) = default;
};

/// Identity, formation and what is known of the other members' boots; small and rarely written.
class MetaStore {
 public:
  virtual ~MetaStore() = default;
  /// Makes this member one of a formed cluster: the cluster id, the first log entry (index 1, term
  /// 1, kind configuration, with `payload`) and the hard state (term 1, no vote, commit 1), atomic
  /// and synced.
  virtual void SaveFormation(ClusterId cluster, Bytes payload, DoneStatus done) = 0;
  /// Synced.
  virtual void SavePeerBoot(NodeId peer, Boot boot, DoneStatus done) = 0;
};

/// Where the time of a write goes, in the order of its journey.
enum class Stage : std::uint8_t {
  kLogSync,    ///< one synced write of the log database
  kReplicate,  ///< from proposal to commit
  kApply,      ///< from commit to applied
  kPropose,    ///< from proposal to the answer, whole
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
};

enum class LogSeverity : std::uint8_t { kDebug, kInfo, kWarn, kError };
using LogSink = std::function<void(LogSeverity, const std::string&)>;

}  // namespace raftkv::node
