// How are entries kept in a log database: in atomic batches, trimmed at both ends, and read
// concurrently?
//
// Shared by a member's log (log_db.h) and a local log (<raftkv/log.h>). A batch begins with its
// mark (its number, and where the log ends after it), is one write to the write-ahead log, and has
// its number in every entry. Trimming the beginning deletes nothing: entries up to the base are
// ignored, and are removed with the files that contain nothing else. The owner writes the base, and
// everything else, in the same batch. One thread writes; any thread reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/raft/types.h"
#include "storage/log/log_format.h"
#include "storage/log/log_handles.h"
#include "storage/log/log_recovery.h"

namespace rocksdb {
class WriteBatch;
}

namespace raftkv::storage {

class EntryLog {
 public:
  /// `base`: the last entry before the log. `sync`: see LogDbOptions.
  EntryLog(bool sync, std::unique_ptr<LogHandles> handles, const BatchMark& mark, Index base);

  // --- Of the thread that writes.

  /// Of the last batch.
  [[nodiscard]] const BatchMark& mark() const { return mark_; }
  /// Not ok once writing a batch has failed: nothing more is written.
  [[nodiscard]] const Status& failure() const { return failure_; }

  /// Begins a batch that leaves the log ending at `last_index`.
  [[nodiscard]] rocksdb::WriteBatch Begin(Index last_index) const;
  void PutState(rocksdb::WriteBatch& batch, std::string_view key, const std::string& value) const;
  void DeleteState(rocksdb::WriteBatch& batch, std::string_view key) const;
  void PutEntry(rocksdb::WriteBatch& batch, const raft::Entry& entry) const;
  /// The entries first..last, where `last` is the last one that the log and this batch have.
  /// Readers no longer see them.
  void DeleteTail(rocksdb::WriteBatch& batch, Index first, Index last);
  /// Readers no longer see anything up to `base`. Called before a batch that says so; that batch
  /// must be durable before DropCutFiles().
  void Begins(Index base) { base_index_.store(base.value); }
  /// A failure is final: every later call returns it again. Without `sync` the batch survives only
  /// a kill of the process.
  Status Commit(rocksdb::WriteBatch& batch, Index last_index, bool sync = true);
  /// Makes durable what was committed without sync; if there is any, with a batch of its own.
  Status Sync();
  Status Close();

  // --- Safe from any thread.

  /// Deletes files that contain only trimmed entries.
  Status DropCutFiles() const;
  /// The same, also for entries that were not in a file of their own yet.
  Status Reclaim() const;
  /// Bytes written and not in tables yet. Safe from any thread.
  [[nodiscard]] std::uint64_t UnflushedBytes() const;
  /// The last entry before the log.
  [[nodiscard]] Index base() const { return Index(base_index_.load()); }
  [[nodiscard]] Index last() const { return Index(last_index_.load()); }
  /// Entries first..last of at most `max_bytes` but at least one. Unavailable: the log was cut
  /// meanwhile. Corruption: one is damaged or missing.
  Result<std::vector<raft::Entry>> Read(Index first, Index last, std::size_t max_bytes) const;
  Result<StoredEntry> ReadOne(Index index) const;
  /// The paths of its current tables.
  [[nodiscard]] std::vector<std::string> Tables() const;
  /// Synced batches so far.
  [[nodiscard]] std::uint64_t sync_count() const { return sync_count_.load(); }

 private:
  const bool sync_;
  const std::unique_ptr<LogHandles> handles_;

  // Owned by the thread that writes.
  BatchMark mark_;
  Status failure_;
  std::uint64_t unsynced_ = 0;  ///< batches since the last synced one

  // Shared, so that a reader can distinguish a log trimmed under it from one with a hole.
  std::atomic<std::uint64_t> base_index_;
  std::atomic<std::uint64_t> last_index_;
  std::atomic<std::uint64_t> cuts_{0};
  std::atomic<std::uint64_t> sync_count_{0};
};

/// Opens a database that ExamineLog (log_recovery.h) found to be sound.
Result<std::unique_ptr<LogHandles>> OpenRecovered(const LogDbOptions& options,
                                                  const LogRecovery& recovery);

/// Writes the first batch of a new database.
Status WriteFirstBatch(const LogHandles& handles, rocksdb::WriteBatch& batch);

/// The value of a key of family `state`; nullopt: it is not there.
Result<std::optional<std::string>> GetState(const LogHandles& handles, std::string_view key);

/// Only the mark of the last batch; zeros if there is none.
Result<BatchMark> LoadBatchMark(const LogHandles& handles);

/// Every entry above `base`, in order, as it was found. Corruption: one is damaged,
/// missing, of a batch that does not fit its neighbours, or the log ends elsewhere than `mark`
/// says. A failure of `visit` ends it.
Status VisitEntries(const LogHandles& handles, Index base, const BatchMark& mark,
                    const std::function<Status(const StoredEntry&)>& visit);

}  // namespace raftkv::storage
