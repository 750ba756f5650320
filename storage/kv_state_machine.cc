#include "storage/kv_state_machine.h"

#include <utility>

namespace raftkv::storage {

namespace {

constexpr std::size_t kMaxQueuedApplies = 16;
/// About 300 small puts, or a millisecond.
constexpr std::size_t kQuickApplyBytes = 96 << 10;
constexpr std::size_t kMaxQueuedReads = 4096;
constexpr std::size_t kReaders = 2;

}  // namespace

Result<std::unique_ptr<KvStateMachine>> KvStateMachine::Open(std::unique_ptr<KvEngine> engine,
                                                             const kv::StoreOptions& options,
                                                             Completions completions) {
  Result<std::unique_ptr<kv::Store>> store = kv::Store::Open(*engine, options);
  if (!store.ok()) return store.status();
  return std::unique_ptr<KvStateMachine>(
      new KvStateMachine(std::move(engine), std::move(*store), std::move(completions)));
}

KvStateMachine::KvStateMachine(std::unique_ptr<KvEngine> engine, std::unique_ptr<kv::Store> store,
                               Completions completions)
    : engine_(std::move(engine)),
      store_(std::move(store)),
      applied_at_open_(store_->applied()),
      replicated_time_at_open_ms_(store_->replicated_time_ms()),
      completions_(std::move(completions)),
      apply_("raftkv-apply", kMaxQueuedApplies),
      readers_("raftkv-kvread", kMaxQueuedReads, kReaders) {}

Result<node::Applied> KvStateMachine::ApplyNow(const std::vector<raft::Entry>& entries) {
  if (!failure_.ok()) return failure_;
  Result<std::vector<kv::Store::AppliedEntry>> outcome = store_->Apply(entries);
  if (!outcome.ok()) {
    failure_ = outcome.status();
    return failure_;
  }
  node::Applied applied;
  applied.index = store_->applied();
  applied.replicated_time_ms = store_->replicated_time_ms();
  applied.responses.reserve(outcome->size());
  for (kv::Store::AppliedEntry& entry : *outcome) {
    applied.responses.push_back(std::move(entry.response));
  }
  return applied;
}

void KvStateMachine::Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) {
  // Short work that waits for nothing is done here: a hop to another thread and back costs more
  // than a few puts into the memtable. At most one apply is under way, so that thread is idle.
  if (kv::Store::IsQuick(entries, kQuickApplyBytes) && engine_->TakesWritesAtOnce()) {
    completions_.Post(
        [shared_done = std::make_shared<node::Done<node::Applied>>(std::move(done)),
         applied = ApplyNow(entries)]() mutable { (*shared_done)(std::move(applied)); });
    return;
  }
  auto shared_entries = std::make_shared<std::vector<raft::Entry>>(std::move(entries));
  auto shared_done = std::make_shared<node::Done<node::Applied>>(std::move(done));
  // The task gives its share of the callback away: only the loop may destroy what it holds.
  const bool posted = apply_.Post([this, shared_entries, shared_done]() mutable {
    Result<node::Applied> outcome = ApplyNow(*shared_entries);
    completions_.Post(
        [shared_done = std::move(shared_done), applied = std::move(outcome)]() mutable {
          (*shared_done)(std::move(applied));
        });
  });
  if (posted) return;
  completions_.Post([shared_done] {
    (*shared_done)(Status(Code::kUnavailable, "the queue of entries to apply is full"));
  });
}

void KvStateMachine::Read(Bytes request, std::size_t max_bytes, node::Done<Bytes> done) {
  auto shared_done = std::make_shared<node::Done<Bytes>>(std::move(done));
  Result<Bytes> quick = kv::Read(*engine_, kv::ReadTier::kMemory, request.view(), max_bytes);
  if (quick.code() != Code::kUnavailable) {
    completions_.Post(
        [shared_done, quick = std::move(quick)]() mutable { (*shared_done)(std::move(quick)); });
    return;
  }
  const bool posted = readers_.Post([this, request = std::move(request), max_bytes,
                                     shared_done]() mutable {
    Result<Bytes> answer = kv::Read(*engine_, kv::ReadTier::kAll, request.view(), max_bytes);
    completions_.Post([shared_done = std::move(shared_done), full = std::move(answer)]() mutable {
      (*shared_done)(std::move(full));
    });
  });
  if (posted) return;
  completions_.Post([shared_done] {
    (*shared_done)(Status(Code::kUnavailable, "too many reads wait for the disk; try again"));
  });
}

Status KvStateMachine::Close(bool clean) {
  if (std::exchange(closed_, true)) return Status::Ok();
  apply_.Stop();
  readers_.Stop();
  if (!clean || !failure_.ok()) return failure_;
  return engine_->Close();
}

}  // namespace raftkv::storage
