#include "lib/node/snapshot_receiver.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::node {

SnapshotReceiver::SnapshotReceiver(Snapshots& snapshots, Transport& transport, raft::Raft& core,
                                   std::function<MonoTime()> tick, std::function<void()> wakeup)
    : snapshots_(snapshots),
      transport_(transport),
      core_(core),
      tick_(std::move(tick)),
      wakeup_(std::move(wakeup)) {}

void SnapshotReceiver::OnChunk(NodeId from, const SnapshotChunk& chunk) {
  if (chunk.snapshot == nullptr || chunk.term < core_.term()) return;  // of a former leader
  if (incoming_ && (incoming_->writing || incoming_->offered)) return;
  const bool same = incoming_ && incoming_->snapshot->last == chunk.snapshot->last;
  if (same) {
    // Another leader may go on with the same one only from the start: its bytes may differ.
    if (incoming_->from != from) incoming_->next_offset = 0;
    incoming_->from = from;
    incoming_->term = chunk.term;
  } else {
    incoming_ = Incoming{from, chunk.term, chunk.snapshot, 0, false, false};
  }
  if (chunk.offset != incoming_->next_offset) {
    Answer(false);
    return;
  }
  incoming_->writing = true;
  const std::uint64_t next = chunk.offset + chunk.data.size();
  snapshots_.Receive(*incoming_->snapshot, chunk.offset, chunk.data, chunk.last,
                     [this, snapshot = incoming_->snapshot, next, last = chunk.last,
                      alive = std::weak_ptr<char>(alive_)](const Status& status) {
                       if (!alive.expired()) OnWritten(snapshot, next, last, status);
                     });
}

void SnapshotReceiver::OnWritten(const std::shared_ptr<const raft::SnapshotMeta>& snapshot,
                                 std::uint64_t next, bool last, const Status& status) {
  if (!incoming_ || incoming_->snapshot != snapshot) return;
  incoming_->writing = false;
  tick_();
  if (!status.ok()) {
    incoming_->next_offset = 0;  // damaged on the way, or no room: from the start
    Answer(false);
    return;
  }
  incoming_->next_offset = next;
  if (!last && !RAFTKV_MUTANT(kHalfSnapshot)) {
    Answer(false);
    return;
  }
  if (core_.OfferSnapshot(incoming_->from, incoming_->term, *snapshot)) {
    incoming_->offered = true;  // the answer comes when it is installed
  } else {
    Answer(core_.commit_index() >= snapshot->last.index);
    incoming_.reset();
  }
  wakeup_();
}

void SnapshotReceiver::OnInstalled() {
  if (!incoming_ || !incoming_->offered) return;
  Answer(true);
  incoming_.reset();
}

void SnapshotReceiver::Answer(bool installed) {
  transport_.Send(incoming_->from, SnapshotChunkReply{incoming_->term, incoming_->snapshot->last,
                                                      incoming_->next_offset, installed});
}

}  // namespace raftkv::node
