// How are the core's effects carried out, and how does a request find its answer?
//
// A Node owns the consensus core of a member whose cluster has formed, and works through the ports.
// It is pumped by the loop thread and uses no other. The journey of a write through it:
//
//   Submit -> core.Propose -> Pump: messages to followers, in parallel with LogStore::Write
//          -> Persisted, acknowledgements -> committed -> StateMachine::Apply -> the caller's
//          answer
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/node.h>

#include "lib/node/forward_answers.h"
#include "lib/node/forwards.h"
#include "lib/node/ports.h"
#include "lib/node/read_queue.h"
#include "lib/node/snapshot_receiver.h"
#include "lib/node/snapshot_sender.h"
#include "lib/node/watch_hub.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

struct NodeConfig {
  raft::Options raft;
  Limits limits;
  std::uint64_t seed = 1;
  /// Where the read contexts and forward ids of this open start: random, so that an answer to an
  /// earlier open of the same member cannot be mistaken for one of ours.
  std::uint64_t context_base = 0;
  /// Bytes of requests that wait here; more are refused.
  std::size_t max_pending_bytes = 64 << 20;
  /// Size limit of a read's answer.
  std::size_t max_answer_bytes = 4 << 20;
  /// With snapshots: how many applied entries, and at most how many bytes of them, stay in the log
  /// for followers that lag a little.
  std::uint64_t log_keep_entries = 100'000;
  std::uint64_t log_keep_bytes = 256 << 20;
  SnapshotSender::Options snapshots;
  WatchHubOptions watches;
  /// The transport may lose messages silently: what must not wait for a timeout is sent again after
  /// a measured round trip.
  bool messages_may_be_lost = false;
};

struct NodePorts {
  Clock& clock;
  LogStore& log;
  StateMachine& machine;
  Transport& transport;
  Observer& observer;
  LogSink log_sink;
  Snapshots* snapshots = nullptr;  ///< null: the log is never compacted
};

class Node {
 public:
  Node(const NodeConfig& config, raft::InitialState initial, std::uint64_t replicated_time_ms,
       NodePorts ports, std::function<void()> wakeup);

  void Pump();
  [[nodiscard]] MonoTime NextDeadline() const;

  void Receive(NodeId peer, PeerMessage message);
  void PeerDisconnected(NodeId peer);
  void PeerUnreachable(NodeId peer);

  void Submit(Bytes request, MonoTime deadline, SubmitDone done);
  void Read(Bytes request, ReadPolicy policy, MonoTime deadline, Done<Bytes> done);
  /// The replicated time that a new session begins at. Unavailable: no leader confirmed it in time.
  void OpenSession(MonoTime deadline, Done<std::uint64_t> done);
  /// A page of a watch (`request`: encoded kv WatchRequest, not checked yet): answered once there
  /// are events, at the latest at `deadline` (node_watch.cc).
  void Watch(const Bytes& request, MonoTime deadline, Done<Bytes> done);
  /// Unavailable: less is applied here than this member once had. Then it answers only what the
  /// leader confirms.
  [[nodiscard]] Status MayAnswerAlone() const;

  // --- The disk (node_disk.cc).
  void OnDisk(const DiskHealth& health);
  [[nodiscard]] bool disk_hangs() const { return core_.disk_hangs(); }
  /// What is wrong with the disk at present, one line each.
  [[nodiscard]] std::vector<std::string> DiskErrors() const;

  // --- Membership (changes.cc).
  /// Leader: done once the change is committed and the joint phase, if any, is over. NotLeader,
  /// Unavailable, InvalidArgument, NotFound: nothing changed. UnknownOutcome: the change may have
  /// been made.
  void ChangeMembership(const raft::MembershipChange& change, MonoTime deadline, DoneStatus done);
  /// An invited member sent a hello: adds it, or tells the leader.
  void Join(const ForwardJoin& join);
  /// Leader, of `change.move`: false if it cannot be made now.
  bool Readdress(const raft::MembershipChange& change);
  /// Leader: transfers the leadership to `to` (kNobody: the best candidate). Done when another
  /// member leads, or the transfer failed.
  void TransferLeadership(NodeId to, MonoTime deadline, DoneStatus done);

  [[nodiscard]] const raft::Raft& core() const { return core_; }
  [[nodiscard]] std::uint64_t replicated_time_ms() const { return replicated_time_ms_; }
  /// Not ok: stopped for good.
  [[nodiscard]] const Status& failure() const { return failure_; }

  /// Ends everything that waits: writes with UnknownOutcome where they may have been carried out.
  void Stop(const Status& why);

 private:
  /// Session and sequence number: what identifies a request for exactly-once semantics.
  using RequestKey = std::pair<std::uint64_t, std::uint64_t>;

  /// A proposal of this leader that is not applied yet.
  struct Proposal {
    raft::LogPosition position;
    RequestKey key;
    std::size_t bytes = 0;
    MonoTime proposed_at;
    MonoTime committed_at;
    SubmitDone done;
    unsigned copies = 0;  ///< of the request that wait for the same answer
  };
  static constexpr unsigned kMaxCopies = 64;
  /// A request that waits for a leader to be known.
  struct Held {
    Bytes request;
    RequestKey key;
    MonoTime deadline;
    SubmitDone done;
  };

  /// A membership change of this leader that is not committed yet.
  struct Change {
    raft::LogPosition position;
    MonoTime deadline;
    DoneStatus done;
  };
  /// A leadership transfer is in progress.
  struct Transfer {
    MonoTime deadline;
    DoneStatus done;
  };

  void Dispatch(Held held);
  void DispatchHeld();
  void WarnOfShortTimeout();
  bool JoinProposal(const RequestKey& key, SubmitDone& done);
  [[nodiscard]] bool IsFreshEnough(const ReadPolicy& policy) const;
  void Confirm(ReadQueue& queue, std::size_t bytes, MonoTime deadline, DoneStatus done);
  void Propose(Bytes request, const RequestKey& key, SubmitDone done);
  void ForwardToLeader(Held held);
  void ReceiveForward(NodeId peer, ForwardSubmit forward);

  void NoteOwnWork(MonoTime now);
  [[nodiscard]] Status MayPropose(const Bytes& request) const;

  void CarryOut(raft::Ready ready);
  void OnSoftState(const raft::SoftState& state);
  void Write(raft::Ready& ready);
  void OnWritten(const Status& status);
  void Apply(std::vector<raft::Entry> entries);
  void OnApplied(Index first, Result<Applied> result);
  void OnInstalled(const Result<std::uint64_t>& replicated_time_ms);
  void ServeReads();
  [[nodiscard]] WatchHub::Ports WatchPorts();
  void MaybeCompact(Index durable);
  void MaybeCompactHistory(MonoTime now);
  [[nodiscard]] MonoTime HistoryDeadline() const;
  void MaybeEndLeases(MonoTime now);
  [[nodiscard]] MonoTime LeaseDeadline() const;
  [[nodiscard]] std::uint64_t LeasesDueMs() const;
  [[nodiscard]] Index WhereToCut(Index through) const;
  void Fetch(const raft::WantedEntries& wanted);
  void EndChanges();
  void FailChanges(const Status& why);
  void SweepChanges(MonoTime now);
  void SendAll(std::vector<raft::Message> messages);

  void FailProposals(const Status& why);
  void Sweep();
  [[nodiscard]] bool HasRoom(std::size_t bytes) const;
  void Release(std::size_t bytes);
  [[nodiscard]] ReadQueue::AskAgain AskAgain() const;
  MonoTime Tick();
  [[nodiscard]] std::uint64_t StampMs();

  // --- Constant after construction.
  const NodeConfig config_;
  NodePorts ports_;
  const std::function<void()> wakeup_;

  // --- The core, and what is in progress for it.
  raft::Raft core_;
  bool write_under_way_ = false;
  /// As last logged.
  bool disk_hung_ = false;
  bool apply_stalled_ = false;
  std::vector<raft::Message> after_persist_;
  Status failure_;

  // --- The past that users may read (node_history.cc).
  MonoTime next_history_look_{};

  // --- Leases that are over (node_leases.cc).
  /// The entry that ends some: the next one is proposed when this one is applied.
  Index expire_at_;
  MonoTime next_lease_look_{};

  // --- Requests.
  std::deque<Proposal> proposals_;        ///< ascending by index
  std::map<RequestKey, Index> proposed_;  ///< of each of them
  Forwards forwards_;
  ForwardAnswers forward_answers_;
  std::deque<Held> held_;
  ReadQueue reads_;
  ReadQueue lease_reads_;
  WatchHub watches_;
  /// This member once had everything up to here: it was committed at the start, or when it was
  /// refilled.
  Index once_applied_;
  std::deque<Change> changes_;
  std::optional<Transfer> transfer_;
  /// Null without the port.
  std::unique_ptr<SnapshotSender> snapshot_sender_;
  std::unique_ptr<SnapshotReceiver> snapshot_receiver_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t replicated_time_ms_ = 0;
  MonoTime replicated_time_at_;  ///< when that became known here
  MonoTime next_sweep_;
};

}  // namespace raftkv::node
