#include "storage/kv/kv_state_machine.h"

#include <utility>

#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kMaxQueuedApplies = 16;
/// About 300 small puts, or a millisecond.
constexpr std::size_t kQuickApplyBytes = 96 << 10;
constexpr std::size_t kMaxQueuedKvReads = 4096;
constexpr std::size_t kReaders = 2;

}  // namespace

Result<std::unique_ptr<KvStateMachine>> KvStateMachine::Open(std::shared_ptr<KvEngine> engine,
                                                             const KvStateMachineOptions& options,
                                                             Completions completions,
                                                             Worker& upkeep) {
  Result<std::unique_ptr<kv::Store>> store = kv::Store::Open(*engine, options.kv);
  if (!store.ok()) return store.status();
  return std::unique_ptr<KvStateMachine>(new KvStateMachine(
      options, std::move(engine), std::move(*store), std::move(completions), upkeep));
}

KvStateMachine::KvStateMachine(const KvStateMachineOptions& options,
                               std::shared_ptr<KvEngine> engine, std::unique_ptr<kv::Store> store,
                               Completions completions, Worker& upkeep)
    : options_(options),
      applied_at_open_(store->applied()),
      replicated_time_at_open_ms_(store->replicated_time_ms()),
      completions_(std::move(completions)),
      upkeep_(upkeep),
      engine_(std::move(engine)),
      store_(std::move(store)),
      apply_("raftkv-apply", kMaxQueuedApplies),
      readers_("raftkv-kvread", kMaxQueuedKvReads, kReaders) {
  NoteState(/*past_bytes=*/0);
}

void KvStateMachine::NoteState(std::uint64_t past_bytes) {
  const kv::Revisions revisions = store_->revisions();
  revision_ = revisions.revision;
  compacted_ = revisions.compacted;
  {
    const MutexLock lock(leases_mutex_);
    leases_ = store_->leases();
  }
  {
    const MutexLock lock(retention_mutex_);
    retention_.Note(*store_, past_bytes);
  }
  if (revisions.compacted <= raised_ || raising_->exchange(true)) return;
  // If it fails, or cannot be posted, what is compacted is refused all the same, and only its space
  // comes back later.
  const bool posted =
      upkeep_.Post([engine = this->engine(), lowest = revisions.compacted, raising = raising_] {
        static_cast<void>(engine->RaiseLowestRevision(lowest));
        raising->store(false);
      });
  if (posted) {
    raised_ = revisions.compacted;
  } else {
    raising_->store(false);
  }
}

std::shared_ptr<KvEngine> KvStateMachine::engine() const {
  const MutexLock lock(engine_mutex_);
  return engine_;
}

std::shared_ptr<KvEngine> KvStateMachine::Replace(std::shared_ptr<KvEngine> engine,
                                                  std::unique_ptr<kv::Store> store) {
  RAFTKV_CHECK(store->applied() > store_->applied(), store->applied().value,
               store_->applied().value);
  store_ = std::move(store);
  bytes_since_flush_ = 0;
  range_deletes_flushed_ = store_->range_deleted_keys();
  {
    const MutexLock lock(engine_mutex_);
    engine_.swap(engine);
  }
  raised_ = 0;
  NoteState(/*past_bytes=*/0);
  return engine;
}

Result<node::Applied> KvStateMachine::ApplyNow(const std::vector<raft::Entry>& entries) {
  if (!failure_.ok()) return failure_;
  Result<std::vector<kv::Store::AppliedEntry>> outcome = store_->Apply(entries);
  if (!outcome.ok()) {
    failure_ = outcome.status();
    if (failure_.code() == Code::kCorruption) options_.on_damage(failure_);
    return failure_;
  }
  NoteState(kv::Store::PastBytes(*outcome));
  MaybeFlush(entries);
  node::Applied applied;
  applied.index = store_->applied();
  applied.durable = engine()->flushed();
  RAFTKV_CHECK(applied.durable <= applied.index, applied.durable.value, applied.index.value);
  applied.replicated_time_ms = store_->replicated_time_ms();
  applied.responses.reserve(outcome->size());
  for (kv::Store::AppliedEntry& entry : *outcome) {
    applied.responses.push_back(std::move(entry.response));
    if (entry.changes != nullptr) applied.changes.push_back(std::move(entry.changes));
  }
  applied.revisions = store_->revisions();
  applied.event_bytes = store_->settings().event_bytes;
  return applied;
}

void KvStateMachine::MaybeFlush(const std::vector<raft::Entry>& entries) {
  for (const raft::Entry& entry : entries) bytes_since_flush_ += entry.Footprint();
  std::shared_ptr<KvEngine> engine = this->engine();
  // What a range delete counted is counted again after a restart, and until the flush each scan
  // steps over what it took away.
  const std::uint64_t behind =
      store_->applied() - engine->flushed() + store_->range_deleted_keys() - range_deletes_flushed_;
  if (bytes_since_flush_ < options_.flush_after_bytes && behind < options_.flush_after_entries) {
    return;
  }
  if (flushing_->exchange(true)) return;
  // A flush that fails stops the member: the disk's watch has seen why.
  const bool posted = upkeep_.Post([engine = std::move(engine), flushing = flushing_] {
    static_cast<void>(engine->Flush());
    flushing->store(false);
  });
  if (posted) {
    bytes_since_flush_ = 0;
    range_deletes_flushed_ = store_->range_deleted_keys();
  } else {
    flushing_->store(false);
  }
}

void KvStateMachine::Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) {
  // Short work that waits for nothing is done here: a hop to another thread and back costs more
  // than a few puts into the memtable. At most one apply is under way, so that thread is idle.
  // A full disk may keep whoever writes waiting.
  if (options_.disk->space() == raft::Space::kEnough &&
      store_->IsQuick(entries, kQuickApplyBytes) && engine()->TakesWritesAtOnce()) {
    const DiskWatch::NoWaiting no_waiting;
    completions_.Post([done = std::move(done), applied = ApplyNow(entries)]() mutable {
      done(std::move(applied));
    });
    return;
  }
  RunOn(
      apply_, completions_, [this, entries = std::move(entries)] { return ApplyNow(entries); },
      std::move(done));
}

void KvStateMachine::Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
                          node::Done<Bytes> done) {
  Result<Bytes> quick = kv::Read(*engine(), kv::ReadTier::kMemory, request.view(), max_bytes,
                                 kv::kMaxVisitedBytes, clock_ms);
  // Not only what is not in memory: damage is told from there.
  if (quick.code() != Code::kUnavailable && quick.code() != Code::kCorruption) {
    completions_.Post(
        [done = std::move(done), quick = std::move(quick)]() mutable { done(std::move(quick)); });
    return;
  }
  RunOn(
      readers_, completions_,
      [this, engine = this->engine(), request = std::move(request), max_bytes, clock_ms] {
        Result<Bytes> answer = kv::Read(*engine, kv::ReadTier::kAll, request.view(), max_bytes,
                                        kv::kMaxVisitedBytes, clock_ms);
        if (answer.code() == Code::kCorruption) options_.on_damage(answer.status());
        return answer;
      },
      std::move(done));
}

void KvStateMachine::ReadEvents(kv::WatchOp op, std::uint64_t last,
                                node::Done<kv::WatchLogPage> done) {
  RunOn(
      readers_, completions_,
      [this, engine = this->engine(), op = std::move(op), last] {
        Result<kv::WatchLogPage> page = kv::ReadWatchLog(*engine, op, last);
        if (page.code() == Code::kCorruption) options_.on_damage(page.status());
        return page;
      },
      std::move(done));
}

Status KvStateMachine::Close(bool clean) {
  if (std::exchange(closed_, true)) return Status::Ok();
  apply_.Stop();
  readers_.Stop();
  if (!clean || !failure_.ok()) return failure_;
  return engine()->Close();
}

}  // namespace raftkv::storage
