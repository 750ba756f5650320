#include "lib/node/snapshot_sender.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/check.h"

namespace raftkv::node {

SnapshotSender::SnapshotSender(const Options& options, Clock& clock, Snapshots& snapshots,
                               Transport& transport, raft::Raft& core, std::function<void()> wakeup)
    : options_(options),
      clock_(clock),
      snapshots_(snapshots),
      transport_(transport),
      core_(core),
      wakeup_(std::move(wakeup)) {}

SnapshotSender::~SnapshotSender() = default;

void SnapshotSender::Want(NodeId peer) {
  const auto [it, added] = transfers_.try_emplace(peer);
  if (!added) return;
  it->second.progress_at = clock_.Now();
  // One that is under way to another member serves as well, if the log still reaches back to it.
  for (const auto& [id, other] : transfers_) {
    if (other.snapshot.source == nullptr) continue;
    if (other.snapshot.meta->last.index < core_.log().base().index) continue;
    it->second.snapshot = other.snapshot;
    SendChunk(peer, it->second);
    return;
  }
  Make();
}

void SnapshotSender::Make() {
  if (making_) return;
  making_ = true;
  snapshots_.Make([this, alive = std::weak_ptr<char>(alive_)](Result<Snapshots::Made> made) {
    if (!alive.expired()) OnMade(std::move(made));
  });
}

void SnapshotSender::OnMade(Result<Snapshots::Made> made) {
  making_ = false;
  // What was applied when it was made is described by the core's log, if that still reaches there.
  const bool usable = made.ok() && made->applied >= core_.log().base().index &&
                      made->applied <= core_.applied_index() && made->applied > Index{};
  Shared shared;
  if (usable) {
    const auto meta = core_.DescribeSnapshot(made->applied);
    if (meta) shared = {std::make_shared<const raft::SnapshotMeta>(*meta), made->source};
  }
  std::vector<NodeId> waiting;
  for (const auto& [id, transfer] : transfers_) {
    if (transfer.snapshot.source == nullptr) waiting.push_back(id);
  }
  for (const NodeId id : waiting) {
    if (shared.source == nullptr) {
      Finish(id, false);
      continue;
    }
    Transfer& transfer = transfers_.at(id);
    transfer.snapshot = shared;
    transfer.progress_at = clock_.Now();
    SendChunk(id, transfer);
  }
}

void SnapshotSender::SendChunk(NodeId peer, Transfer& transfer) {
  if (transfer.reading) return;
  transfer.reading = true;
  const auto meta = transfer.snapshot.meta;
  const std::uint64_t offset = transfer.offset;
  transfer.snapshot.source->Read(offset, options_.chunk_bytes,
                                 [this, peer, meta, offset, alive = std::weak_ptr<char>(alive_)](
                                     Result<SnapshotSource::Part> part) {
                                   if (!alive.expired())
                                     OnPart(peer, meta, offset, std::move(part));
                                 });
}

void SnapshotSender::OnPart(NodeId peer, const std::shared_ptr<const raft::SnapshotMeta>& meta,
                            std::uint64_t offset, Result<SnapshotSource::Part> part) {
  const auto it = transfers_.find(peer);
  if (it == transfers_.end() || it->second.snapshot.meta != meta) return;
  Transfer& transfer = it->second;
  transfer.reading = false;
  if (!part.ok()) {
    Finish(peer, false);
    return;
  }
  if (transfer.offset != offset) {
    SendChunk(peer, transfer);  // it wanted another one meanwhile
    return;
  }
  transfer.sent_at = clock_.Now();
  transport_.Send(peer, SnapshotChunk{core_.term(), meta, offset, part->data, part->last});
}

void SnapshotSender::OnReply(NodeId peer, const SnapshotChunkReply& reply) {
  const auto it = transfers_.find(peer);
  if (it == transfers_.end() || it->second.snapshot.source == nullptr) return;
  Transfer& transfer = it->second;
  if (reply.snapshot != transfer.snapshot.meta->last || reply.term != core_.term()) return;
  if (reply.installed) {
    Finish(peer, true);
    return;
  }
  // A doubled or late answer names what was sent already; sending it once more does no harm, but
  // only another offset is progress.
  if (reply.next_offset == transfer.offset) return;
  transfer.progress_at = clock_.Now();
  transfer.offset = reply.next_offset;
  SendChunk(peer, transfer);
}

void SnapshotSender::Tick() {
  if (core_.role() != raft::Role::kLeader) {
    transfers_.clear();
    return;
  }
  const MonoTime now = clock_.Now();
  std::vector<NodeId> ended;
  for (auto& [id, transfer] : transfers_) {
    if (now - transfer.progress_at >= options_.give_up_after) {
      ended.push_back(id);
    } else if (transfer.sent_at != kNever && now - transfer.sent_at >= options_.resend_after) {
      transfer.sent_at = kNever;
      SendChunk(id, transfer);
    }
  }
  for (const NodeId id : ended) Finish(id, false);
  // Members that are not any more, or that got on by other ways.
  std::erase_if(transfers_, [this](const auto& item) {
    const auto progress = core_.progress().find(item.first);
    return progress == core_.progress().end() ||
           progress->second.state != raft::ProgressState::kSnapshot;
  });
}

void SnapshotSender::Finish(NodeId peer, bool installed) {
  const auto it = transfers_.find(peer);
  RAFTKV_CHECK(it != transfers_.end());
  const auto meta = it->second.snapshot.meta;
  transfers_.erase(it);
  core_.SnapshotSent(peer, meta ? meta->last.index : Index{}, installed);
  wakeup_();
}

MonoTime SnapshotSender::NextDeadline() const {
  MonoTime next = kNever;
  for (const auto& [id, transfer] : transfers_) {
    next = std::min(next, transfer.progress_at + options_.give_up_after);
    if (transfer.sent_at != kNever) next = std::min(next, transfer.sent_at + options_.resend_after);
  }
  return next;
}

std::optional<Index> SnapshotSender::KeepAfter() const {
  std::optional<Index> keep;
  for (const auto& [id, transfer] : transfers_) {
    if (transfer.snapshot.meta == nullptr) continue;
    const Index index = transfer.snapshot.meta->last.index;
    if (!keep || index < *keep) keep = index;
  }
  return keep;
}

}  // namespace raftkv::node
