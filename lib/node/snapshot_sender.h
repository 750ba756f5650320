// Which members are being sent a snapshot, and how far has each come? (the leader's side)
//
// One snapshot is made at a time and shared by all that want one; each member gets it in chunks,
// the next when it has the one before. Progress, not time as a whole, keeps a transfer alive. What
// a member needs of the log behind its snapshot is kept until it has caught up.
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
    /// To all members together; 0: as fast as they take it.
    std::uint64_t bytes_per_second = 0;
    /// An unanswered chunk is sent again after so long, or after the round trip that was measured.
    Duration resend_after = std::chrono::seconds(1);
    bool measure_round_trip = false;
    /// Without any progress for so long a transfer is given up; the core asks for it again.
    Duration give_up_after = std::chrono::seconds(10);
    /// So often a receiver may want to have again what it had; a new snapshot may be a better one.
    unsigned max_restarts = 3;
  };

  /// All are borrowed and outlive it; `wakeup` as in Node.
  SnapshotSender(const Options& options, Clock& clock, Snapshots& snapshots, Transport& transport,
                 Observer& observer, raft::Raft& core, std::function<void()> wakeup);
  ~SnapshotSender();

  /// The core wants `peer` to get a snapshot.
  void Want(NodeId peer);
  void OnReply(NodeId peer, const SnapshotChunkReply& reply);
  /// Sends again, and gives up, what is due; drops everything if this member is not the leader.
  void Tick();
  [[nodiscard]] MonoTime NextDeadline() const;
  /// What receivers need of the log, now or after their snapshot, begins behind this.
  [[nodiscard]] std::optional<Index> KeepAfter() const;

 private:
  struct Shared {
    std::shared_ptr<const raft::SnapshotMeta> meta;
    std::uint64_t id = 0;
    std::shared_ptr<SnapshotSource> source;
  };
  struct Transfer {
    Shared snapshot;  ///< no source: waits until it is made
    std::uint64_t offset = 0;
    bool reading = false;
    /// Its next chunk waits until it may be sent.
    bool throttled = false;
    unsigned restarts = 0;
    MonoTime sent_at = kNever;
    unsigned resends = 0;  ///< of this chunk
    RoundTrip round_trip;
    MonoTime progress_at{};
    explicit Transfer(Duration first) : round_trip(first) {}
  };
  /// Has its snapshot, and gets the log behind it.
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
  /// Of the leadership that all below belongs to, and goes with.
  Term term_;
  /// One is being made, and holds this at least.
  std::optional<Index> making_;
  /// After failures: each try costs a flush.
  MonoTime make_not_before_ = MonoTime::min();
  Duration make_pause_{};
  std::map<NodeId, Transfer> transfers_;
  std::map<NodeId, CatchUp> catching_up_;
  /// No chunk before that.
  MonoTime may_send_at_ = MonoTime::min();
  /// Callbacks that come after the end find it gone.
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::node
