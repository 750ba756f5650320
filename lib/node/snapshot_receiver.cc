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
      wakeup_(std::move(wakeup)),
      log_end_then_(core.log().last_index()) {}

void SnapshotReceiver::OnChunk(NodeId from, const SnapshotChunk& chunk) {
  if (chunk.snapshot == nullptr || chunk.term < core_.term()) return;  // from a former leader
  if (incoming_ && (incoming_->writing || incoming_->offered)) return;
  // Two snapshots at the same index are different ones: their bytes may differ. With the same id
  // they do not, and another leader may continue where the previous one stopped.
  if (incoming_ && incoming_->id == chunk.id && *incoming_->snapshot == *chunk.snapshot) {
    incoming_->from = from;
    incoming_->term = chunk.term;
  } else {
    incoming_ =
        Incoming{.from = from, .term = chunk.term, .snapshot = chunk.snapshot, .id = chunk.id};
  }
  if (chunk.offset != incoming_->next_offset) {
    Answer(false);
    return;
  }
  incoming_->writing = true;
  may_have_left_ = false;
  const std::uint64_t end = chunk.offset + chunk.data.size();
  snapshots_.Receive(*incoming_->snapshot, chunk.id, chunk.offset, chunk.data, chunk.last,
                     [this, snapshot = incoming_->snapshot, end, last = chunk.last,
                      alive = std::weak_ptr<char>(alive_)](const Result<std::uint64_t>& next) {
                       if (!alive.expired()) OnWritten(snapshot, end, last, next);
                     });
}

void SnapshotReceiver::OnWritten(const std::shared_ptr<const raft::SnapshotMeta>& snapshot,
                                 std::uint64_t end, bool last, const Result<std::uint64_t>& next) {
  if (!incoming_ || incoming_->snapshot != snapshot) return;
  incoming_->writing = false;
  tick_();
  // Damaged in transit, or no space: from the start.
  incoming_->next_offset = next.ok() ? *next : 0;
  const bool whole = next.ok() && ((last && *next == end) || RAFTKV_MUTANT(kHalfSnapshot));
  if (!whole) {
    Answer(false);
    return;
  }
  if (core_.OfferSnapshot(incoming_->from, incoming_->term, *snapshot)) {
    incoming_->offered = true;  // it is answered when it is installed
  } else {
    OnRefused(snapshot->last.index);
  }
  wakeup_();
}

void SnapshotReceiver::OnRefused(Index at) {
  const bool has_it = core_.commit_index() >= at;
  Answer(has_it);
  incoming_.reset();
  if (has_it) return snapshots_.DropUnfinished();
  // The next leader may send the same files.
  may_have_left_ = true;
  log_end_then_ = core_.log().last_index();
}

void SnapshotReceiver::OnInstalled() {
  if (!incoming_ || !incoming_->offered) return;
  Answer(true);
  incoming_.reset();
}

void SnapshotReceiver::OnApplied(Index index) {
  if (incoming_ && (incoming_->writing || incoming_->offered)) return;
  const bool useless = incoming_ ? index >= incoming_->snapshot->last.index
                                 : may_have_left_ && index > log_end_then_;
  if (!useless) return;
  incoming_.reset();
  may_have_left_ = false;
  snapshots_.DropUnfinished();
}

void SnapshotReceiver::Answer(bool installed) {
  transport_.Send(incoming_->from, SnapshotChunkReply{.term = incoming_->term,
                                                      .snapshot = incoming_->snapshot->last,
                                                      .id = incoming_->id,
                                                      .next_offset = incoming_->next_offset,
                                                      .installed = installed});
}

}  // namespace raftkv::node
