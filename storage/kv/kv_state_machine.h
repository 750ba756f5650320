// How are committed entries applied and reads answered without stalling the loop?
//
// node::StateMachine over kv::Store: one thread applies, but for a few puts that need not wait,
// which the loop applies itself; a read is answered from memory on the caller's thread where that
// suffices, otherwise by a small pool of readers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/kv/retention.h"
#include "lib/kv/store.h"
#include "lib/node/ports.h"
#include "storage/disk/completions.h"
#include "storage/disk/disk_watch.h"
#include "storage/disk/worker.h"
#include "storage/kv/kv_engine.h"

namespace raftkv::storage {

struct KvStateMachineOptions {
  kv::StoreOptions kv;
  /// Outlives the machine.
  const DiskWatch* disk = nullptr;
  /// What is applied and not flushed keeps the log from being cut: with so much of it, flush.
  std::uint64_t flush_after_bytes = 128 << 20;
  std::uint64_t flush_after_entries = 50'000;
  /// Told of what cannot be read or written any more because it is damaged, before the call that
  /// met it ends; from any thread.
  std::function<void(const Status&)> on_damage = [](const Status&) {};
};

class KvStateMachine final : public node::StateMachine {
 public:
  /// `upkeep`, borrowed, flushes; it is stopped before Close().
  static Result<std::unique_ptr<KvStateMachine>> Open(std::shared_ptr<KvEngine> engine,
                                                      const KvStateMachineOptions& options,
                                                      Completions completions, Worker& upkeep);
  ~KvStateMachine() override { static_cast<void>(Close(/*clean=*/false)); }

  void Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) override;
  void Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
            node::Done<Bytes> done) override;
  void ReadEvents(kv::WatchOp op, std::uint64_t last, node::Done<kv::WatchLogPage> done) override;
  /// Safe from any thread.
  [[nodiscard]] kv::Revisions revisions() const override {
    return {revision_.load(), compacted_.load()};
  }
  [[nodiscard]] kv::LeaseStatus leases() const override {
    const MutexLock lock(leases_mutex_);
    return leases_;
  }
  [[nodiscard]] std::uint64_t CompactDue(std::uint64_t now_ms, bool space_is_short) const override {
    const MutexLock lock(retention_mutex_);
    return retention_.Due(now_ms, compacted_.load(), space_is_short);
  }

  /// The database as it is now; nobody may hold it any more at Close(). Safe from any thread.
  [[nodiscard]] std::shared_ptr<KvEngine> engine() const;
  /// What comes after the present state of both; no Apply is under way. Returns the database that
  /// was there, which readers may still hold. On the loop.
  std::shared_ptr<KvEngine> Replace(std::shared_ptr<KvEngine> engine,
                                    std::unique_ptr<kv::Store> store);
  /// What was applied at the open, and is durable.
  [[nodiscard]] Index applied_at_open() const { return applied_at_open_; }
  [[nodiscard]] std::uint64_t replicated_time_at_open_ms() const {
    return replicated_time_at_open_ms_;
  }

  /// Ends what is queued, joins the threads; `clean`: flushes, if nothing failed. No other call
  /// afterwards.
  Status Close(bool clean);

 private:
  KvStateMachine(const KvStateMachineOptions& options, std::shared_ptr<KvEngine> engine,
                 std::unique_ptr<kv::Store> store, Completions completions, Worker& upkeep);
  Result<node::Applied> ApplyNow(const std::vector<raft::Entry>& entries);
  /// What Store has applied, for whoever asks; has the engine let go what is compacted.
  void NoteState(std::uint64_t past_bytes);
  void MaybeFlush(const std::vector<raft::Entry>& entries);

  // Constant after construction.
  const KvStateMachineOptions options_;
  const Index applied_at_open_;
  const std::uint64_t replicated_time_at_open_ms_;
  Completions completions_;
  Worker& upkeep_;
  mutable Mutex engine_mutex_;
  std::shared_ptr<KvEngine> engine_ RAFTKV_GUARDED_BY(engine_mutex_);
  mutable Mutex retention_mutex_;
  kv::Retention retention_ RAFTKV_GUARDED_BY(retention_mutex_);
  mutable Mutex leases_mutex_;
  kv::LeaseStatus leases_ RAFTKV_GUARDED_BY(leases_mutex_);
  // Of the apply thread while an apply is under way there, else of the loop.
  std::unique_ptr<kv::Store> store_;
  std::atomic<std::uint64_t> revision_{0};
  std::atomic<std::uint64_t> compacted_{0};
  /// The first failure; nothing is applied after it.
  Status failure_;
  std::uint64_t bytes_since_flush_ = 0;
  /// Keys that had been deleted by ranges at the last flush.
  std::uint64_t range_deletes_flushed_ = 0;
  /// Shared with the task that flushes.
  const std::shared_ptr<std::atomic<bool>> flushing_ = std::make_shared<std::atomic<bool>>(false);
  /// That the engine was told, or is being told.
  std::uint64_t raised_ = 0;
  const std::shared_ptr<std::atomic<bool>> raising_ = std::make_shared<std::atomic<bool>>(false);
  // End before what they run on.
  Worker apply_;
  Worker readers_;
  bool closed_ = false;
};

}  // namespace raftkv::storage
