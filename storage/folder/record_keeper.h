// When is the record beside the databases written?
//
// After the sync of what it claims. When term, vote, cluster or peers change, before any other
// member learns of it; soon after the beginning of the log has changed; otherwise every few MiB of
// log, and when the log has been idle for a while: each batch is proven by the next one, the last
// only by this record. On another thread than the log, so that no write waits for it, and newer
// bounds gather in the meantime.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <rocksdb/env.h>

#include "lib/base/mutex.h"
#include "lib/node/ports.h"
#include "storage/disk/real_fs.h"
#include "storage/disk/worker.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

class RecordKeeper {
 public:
  static constexpr std::size_t kEveryLogBytes = 8 << 20;
  static constexpr std::chrono::milliseconds kIdle{1000};

  /// `record`: as it is on disk. `worker` is borrowed; it must be stopped before this ends.
  /// After `idle` without a batch the record is written.
  RecordKeeper(rocksdb::Env& env, std::string folder, Record record, Worker& worker,
               node::LogSink sink, Duration idle = kIdle);
  ~RecordKeeper() { Stop(); }

  /// What is durable now, and how many bytes of log were written for it; `soon`: do not wait for
  /// more. Not ok: the change must not be announced. From the disk thread.
  Status Durable(const Record& bounds, std::size_t log_bytes, bool soon = false);
  /// From now on the record says so. Safe from any thread.
  Status MarkDamaged(Damaged damaged);
  /// A write or sync of the log failed, and the log takes no other: `bounds` are all that was
  /// acknowledged. If the disk does not accept the record either, the next call tries again.
  void TailMayBeTorn(const Record& bounds);
  /// IOError: the file was removed or replaced. Ok while it is being written. Safe
  /// from any thread.
  [[nodiscard]] Status CheckInPlace() const;
  /// Nothing more is written except a clean close. The worker must be stopped before.
  void Stop();
  /// After Stop(): writes the record with exact bounds and the mark of a clean close.
  Status WriteCleanClose(Record record);

 private:
  using Clock = std::chrono::steady_clock;

  Status WriteNow();
  /// Writes the record whenever the log has been idle.
  void RunIdle();
  /// The record is behind what is durable.
  [[nodiscard]] bool Lags() const RAFTKV_REQUIRES(mutex_);

  // Constant after construction.
  rocksdb::Env& env_;
  const std::string folder_;
  Worker& worker_;
  const node::LogSink sink_;
  const Duration idle_;
  /// Held while the file is written; taken before mutex_.
  mutable Mutex file_mutex_;
  FilePin file_ RAFTKV_GUARDED_BY(file_mutex_);
  Mutex mutex_;
  Condition changed_;  ///< stopped, or the record lags now
  bool stopped_ RAFTKV_GUARDED_BY(mutex_) = false;
  Clock::time_point durable_at_ RAFTKV_GUARDED_BY(mutex_);
  Record written_ RAFTKV_GUARDED_BY(mutex_);
  Record latest_ RAFTKV_GUARDED_BY(mutex_);
  std::size_t bytes_since_ RAFTKV_GUARDED_BY(mutex_) = 0;
  bool queued_ RAFTKV_GUARDED_BY(mutex_) = false;
  /// The first failure: reported once, and never retried.
  Status failure_ RAFTKV_GUARDED_BY(mutex_);
  // Ends before what it runs on.
  std::unique_ptr<Worker> idle_thread_;
};

}  // namespace raftkv::storage
