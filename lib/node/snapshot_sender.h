// Which members are being sent a snapshot, and how far has each come? (the leader's side)
//
// One snapshot is made at a time and shared by all receivers; each gets it in parts, the next one
// when it has the previous one. Progress, not total time, keeps a transfer alive. The log after a
// receiver's snapshot is kept until that member has caught up.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "lib/node/ports.h"
#include "lib/node/round_trip.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

class SnapshotSender {
 public:
  struct Options {
    std::size_t chunk_bytes = 1 << 20;
    /// To all members together; 0: as fast as they accept it.
    std::uint64_t bytes_per_second = 0;
    /// An unanswered part is sent again after this long, or after the measured round trip.
    Duration resend_after = std::chrono::seconds(1);
    bool measure_round_trip = false;
    /// A transfer without any progress for this long is given up; the core requests it again.
    Duration give_up_after = std::chrono::seconds(10);
    /// How often a receiver may request again what it had; a new snapshot may serve it better.
    unsigned max_restarts = 3;
  };

  /// All are borrowed and outlive it; `wakeup` as in Node.
  SnapshotSender(const Options& options, Clock& clock, Snapshots& snapshots, Transport& transport,
                 Observer& observer, raft::Raft& core, std::function<void()> wakeup);
  ~SnapshotSender();

  /// The core wants a snapshot sent to `peer`.
  void Want(NodeId peer);
  void OnReply(NodeId peer, const SnapshotChunkReply& reply);
  /// Repeats or gives up whatever is due; drops everything if this member is not the leader.
  void Tick();
  [[nodiscard]] MonoTime NextDeadline() const;
  /// Receivers need the log after this index, now or after their snapshot.
  [[nodiscard]] std::optional<Index> KeepAfter() const;

 private:
  struct Shared {
    std::shared_ptr<const raft::SnapshotMeta> meta;
    std::uint64_t id = 0;
    std::shared_ptr<SnapshotSource> source;
  };
  struct Transfer {
    Shared snapshot;  ///< no source: waiting until it is made
    std::uint64_t offset = 0;
    bool reading = false;
    /// Its next part waits until it may be sent.
    bool throttled = false;
    unsigned restarts = 0;
    MonoTime sent_at = kNever;
    unsigned resends = 0;  ///< of this part
    RoundTrip round_trip;
    MonoTime progress_at{};
    explicit Transfer(Duration first) : round_trip(first) {}
  };
  /// Has its snapshot, and receives the log after it.
  struct CatchUp {
    Index match;
    MonoTime progress_at{};
    std::uint64_t behind_at_first = 0;
  };

  bool StillLeads();
  void Make();
  void OnMade(Result<Snapshots::Made> made);
  void SendChunk(NodeId peer, Transfer& transfer);
  void OnPart(NodeId peer, const std::shared_ptr<const raft::SnapshotMeta>& meta,
              std::uint64_t offset, Result<SnapshotSource::Part> part);
  void Finish(NodeId peer, bool installed);
  [[nodiscard]] MonoTime ResendAt(const Transfer& transfer) const;
  void FollowUp(MonoTime now);
  [[nodiscard]] std::size_t ChunkBytes() const;

  const Options options_;
  Clock& clock_;
  Snapshots& snapshots_;
  Transport& transport_;
  Observer& observer_;
  raft::Raft& core_;
  const std::function<void()> wakeup_;
  /// The term of the leadership that everything below belongs to, and ends with.
  Term term_;
  /// One is being made, and will have at least this.
  std::optional<Index> making_;
  /// After failures: each attempt costs a flush.
  MonoTime make_not_before_ = MonoTime::min();
  Duration make_pause_{};
  std::map<NodeId, Transfer> transfers_;
  std::map<NodeId, CatchUp> catching_up_;
  /// No part before that.
  MonoTime may_send_at_ = MonoTime::min();
  /// Expired for callbacks that run after the destructor.
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::node
