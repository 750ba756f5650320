#include "lib/node/snapshot_sender.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/check.h"

namespace raftkv::node {

namespace {

/// A member that lacks no more entries than this has caught up.
constexpr std::uint64_t kCaughtUp = 16;
/// It may come to lack twice what it lacked at first, and this many, before it is given up.
constexpr std::uint64_t kSlack = 1024;
/// After a snapshot could not be made; doubled with each failure, up to the maximum.
constexpr Duration kFirstPause = std::chrono::seconds(1);
constexpr Duration kLongestPause = std::chrono::seconds(30);

}  // namespace

SnapshotSender::SnapshotSender(const Options& options, Clock& clock, Snapshots& snapshots,
                               Transport& transport, Observer& observer, raft::Raft& core,
                               std::function<void()> wakeup)
    : options_(options),
      clock_(clock),
      snapshots_(snapshots),
      transport_(transport),
      observer_(observer),
      core_(core),
      wakeup_(std::move(wakeup)) {}

SnapshotSender::~SnapshotSender() = default;

/// What another leadership of this member has started ends here, before it can be continued in the
/// name of this one, or of another leader.
bool SnapshotSender::StillLeads() {
  const bool leads = core_.role() == raft::Role::kLeader;
  if (!leads || core_.term() != term_) {
    transfers_.clear();
    catching_up_.clear();
    make_pause_ = Duration::zero();
    make_not_before_ = MonoTime::min();
    term_ = core_.term();
  }
  return leads;
}

void SnapshotSender::Want(NodeId peer) {
  if (!StillLeads()) return;
  const auto [it, added] = transfers_.try_emplace(peer, options_.resend_after);
  if (!added) return;
  it->second.progress_at = clock_.Now();
  // One that is being sent to another member will do, if the log still reaches back to it.
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
  if (clock_.Now() < make_not_before_) {
    for (auto it = transfers_.begin(); it != transfers_.end();) {
      const NodeId id = (it++)->first;
      if (transfers_.at(id).snapshot.source == nullptr) Finish(id, false);
    }
    return;
  }
  making_ = core_.applied_index();
  snapshots_.Make([this, alive = std::weak_ptr<char>(alive_)](Result<Snapshots::Made> made) {
    if (!alive.expired()) OnMade(std::move(made));
  });
}

void SnapshotSender::OnMade(Result<Snapshots::Made> made) {
  making_.reset();
  if (!StillLeads()) return;
  // The core's log describes what was applied when it was made, if it still reaches back that far.
  const bool usable = made.ok() && made->applied >= core_.log().base().index &&
                      made->applied <= core_.applied_index() && made->applied > Index{};
  Shared shared;
  if (usable) {
    const auto meta = core_.DescribeSnapshot(made->applied);
    if (meta) shared = {std::make_shared<const raft::SnapshotMeta>(*meta), made->id, made->source};
  }
  if (shared.source != nullptr) {
    make_pause_ = Duration::zero();
  } else {
    make_pause_ = std::clamp(2 * make_pause_, kFirstPause, kLongestPause);
    make_not_before_ = clock_.Now() + make_pause_;
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
  transfer.throttled = clock_.Now() < may_send_at_;
  if (transfer.throttled) return;
  transfer.reading = true;
  const auto meta = transfer.snapshot.meta;
  const std::uint64_t offset = transfer.offset;
  transfer.snapshot.source->Read(offset, ChunkBytes(),
                                 [this, peer, meta, offset, alive = std::weak_ptr<char>(alive_)](
                                     Result<SnapshotSource::Part> part) {
                                   if (!alive.expired())
                                     OnPart(peer, meta, offset, std::move(part));
                                 });
}

void SnapshotSender::OnPart(NodeId peer, const std::shared_ptr<const raft::SnapshotMeta>& meta,
                            std::uint64_t offset, Result<SnapshotSource::Part> part) {
  if (!StillLeads()) return;
  const auto it = transfers_.find(peer);
  if (it == transfers_.end() || it->second.snapshot.meta != meta) return;
  Transfer& transfer = it->second;
  transfer.reading = false;
  if (!part.ok()) {
    Finish(peer, false);
    return;
  }
  if (transfer.offset != offset) {
    SendChunk(peer, transfer);  // it asked for another part in the meantime
    return;
  }
  transfer.sent_at = clock_.Now();
  if (options_.bytes_per_second > 0) {
    const double seconds =
        static_cast<double>(part->data.size()) / static_cast<double>(options_.bytes_per_second);
    may_send_at_ = std::max(may_send_at_, transfer.sent_at) +
                   std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
  observer_.CountSnapshotSent(part->data.size());
  RAFTKV_CHECK(term_ == core_.term(), term_.value, core_.term().value);
  transport_.Send(peer, SnapshotChunk{.term = term_,
                                      .snapshot = meta,
                                      .id = transfer.snapshot.id,
                                      .offset = offset,
                                      .data = part->data,
                                      .last = part->last});
}

void SnapshotSender::OnReply(NodeId peer, const SnapshotChunkReply& reply) {
  if (!StillLeads()) return;
  const auto it = transfers_.find(peer);
  if (it == transfers_.end() || it->second.snapshot.source == nullptr) return;
  Transfer& transfer = it->second;
  if (reply.snapshot != transfer.snapshot.meta->last || reply.id != transfer.snapshot.id) return;
  if (reply.term != term_) return;
  if (reply.installed) {
    Finish(peer, true);
    return;
  }
  // A duplicated or late answer names what was sent already; sending that once more does no harm,
  // but only another offset is progress.
  if (reply.next_offset == transfer.offset) return;
  if (reply.next_offset < transfer.offset && transfer.restarts++ >= options_.max_restarts) {
    Finish(peer, false);
    return;
  }
  transfer.progress_at = clock_.Now();
  if (transfer.resends == 0 && transfer.sent_at != kNever) {
    transfer.round_trip.Measured(transfer.progress_at - transfer.sent_at);
  }
  transfer.resends = 0;
  transfer.sent_at = kNever;
  transfer.offset = reply.next_offset;
  SendChunk(peer, transfer);
}

void SnapshotSender::Tick() {
  if (!StillLeads()) return;
  const MonoTime now = clock_.Now();
  FollowUp(now);
  std::vector<NodeId> ended;
  for (auto& [id, transfer] : transfers_) {
    const bool waits = transfer.throttled || (making_ && transfer.snapshot.source == nullptr);
    if (waits) transfer.progress_at = now;
    if (now - transfer.progress_at >= options_.give_up_after) {
      ended.push_back(id);
    } else if (transfer.throttled) {
      SendChunk(id, transfer);
    } else if (now >= ResendAt(transfer)) {
      transfer.sent_at = kNever;
      ++transfer.resends;
      transfer.round_trip.SentAgain(transfer.resends);
      SendChunk(id, transfer);
    }
  }
  for (const NodeId id : ended) Finish(id, false);
  // Members that are gone, or that caught up in another way.
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
  if (installed) {
    const Index at = meta->last.index;
    const std::uint64_t behind = core_.log().last_index().value - at.value;
    catching_up_[peer] = CatchUp{at, clock_.Now(), behind};
  }
  transfers_.erase(it);
  core_.SnapshotSent(peer, meta ? meta->last.index : Index{}, installed);
  wakeup_();
}

/// A member that has its snapshot catches up with the log that was written in the meantime. It must
/// not need another snapshot for that; but it must make progress, and not fall further and further
/// behind.
void SnapshotSender::FollowUp(MonoTime now) {
  for (auto it = catching_up_.begin(); it != catching_up_.end();) {
    CatchUp& catch_up = it->second;
    const auto found = core_.progress().find(it->first);
    const bool follows =
        found != core_.progress().end() && found->second.state != raft::ProgressState::kSnapshot;
    if (follows && found->second.match > catch_up.match) {
      catch_up.match = found->second.match;
      catch_up.progress_at = now;
    }
    const Index last = core_.log().last_index();
    const std::uint64_t behind = last - std::min(last, catch_up.match);
    const bool goes_on = follows && behind > kCaughtUp &&
                         behind <= 2 * catch_up.behind_at_first + kSlack &&
                         now - catch_up.progress_at < options_.give_up_after;
    it = goes_on ? std::next(it) : catching_up_.erase(it);
  }
}

/// kNever: no part is in flight.
MonoTime SnapshotSender::ResendAt(const Transfer& transfer) const {
  if (transfer.sent_at == kNever) return kNever;
  const Duration measured = transfer.round_trip.Timeout(transfer.resends);
  return transfer.sent_at + (options_.measure_round_trip ? measured : options_.resend_after);
}

/// Small enough that a slow transfer makes progress many times before it would be given up.
std::size_t SnapshotSender::ChunkBytes() const {
  if (options_.bytes_per_second == 0) return options_.chunk_bytes;
  return std::clamp<std::uint64_t>(options_.bytes_per_second / 8, 4 << 10, options_.chunk_bytes);
}

MonoTime SnapshotSender::NextDeadline() const {
  MonoTime next = kNever;
  for (const auto& [id, transfer] : transfers_) {
    if (transfer.throttled) next = std::min(next, may_send_at_);
    next = std::min(next, transfer.progress_at + options_.give_up_after);
    next = std::min(next, ResendAt(transfer));
  }
  return next;
}

std::optional<Index> SnapshotSender::KeepAfter() const {
  std::optional<Index> keep = making_;
  const auto hold = [&keep](Index index) { keep = std::min(keep.value_or(index), index); };
  for (const auto& [id, transfer] : transfers_) {
    if (transfer.snapshot.meta != nullptr) hold(transfer.snapshot.meta->last.index);
  }
  for (const auto& [id, catch_up] : catching_up_) hold(catch_up.match);
  return keep;
}

}  // namespace raftkv::node
