// How are entries kept in a log database: each batch whole or not at all, both ends cut, and read
// while that goes on?
//
// What a member's log (log_db.h) and a log of its own (<raftkv/log.h>) have in common. A batch
// begins with its mark (its number, and where the log ends after it), is one write to the
// write-ahead log, and has its number in every entry. Cutting the beginning deletes nothing: what
// is not above the base is not looked at, and goes with the files that hold nothing else. The owner
// writes down the base, and all else, in the same batch. One thread writes; any thread reads.
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
  /// Not ok once a batch was not written: nothing more is.
  [[nodiscard]] const Status& failure() const { return failure_; }

  /// Begins a batch that leaves the log ending at `last_index`.
  [[nodiscard]] rocksdb::WriteBatch Begin(Index last_index) const;
  void PutState(rocksdb::WriteBatch& batch, std::string_view key, const std::string& value) const;
  void DeleteState(rocksdb::WriteBatch& batch, std::string_view key) const;
  void PutEntry(rocksdb::WriteBatch& batch, const raft::Entry& entry) const;
  /// The entries first..last, where `last` is the last one that the log and this batch have.
  /// Readers see them no more.
  void DeleteTail(rocksdb::WriteBatch& batch, Index first, Index last);
  /// Readers see nothing up to `base` any more: before a batch that says so, and the batch must be
  /// durable before DropCutFiles().
  void Begins(Index base) { base_index_.store(base.value); }
  /// A failure is final: every later call returns it again. Without `sync` the batch is safe from a
  /// kill of the process only.
  Status Commit(rocksdb::WriteBatch& batch, Index last_index, bool sync = true);
  /// Makes durable what was committed without sync; if there is any it is a batch of its own.
  Status Sync();
  Status Close();

  // --- Safe from any thread.

  /// Deletes files that hold nothing but what was cut off.
  Status DropCutFiles() const;
  /// The same, also for what was not in a file of its own yet.
  Status Reclaim() const;
  /// What was written and is not in tables yet. Safe from any thread.
  [[nodiscard]] std::uint64_t UnflushedBytes() const;
  /// The last entry before the log.
  [[nodiscard]] Index base() const { return Index(base_index_.load()); }
  [[nodiscard]] Index last() const { return Index(last_index_.load()); }
  /// Entries first..last of at most `max_bytes` but at least one. Unavailable: the log was cut
  /// meanwhile. Corruption: one is damaged or missing.
  Result<std::vector<raft::Entry>> Read(Index first, Index last, std::size_t max_bytes) const;
  Result<StoredEntry> ReadOne(Index index) const;
  /// The paths of the tables that it consists of now.
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

  // Shared, so that a reader can tell a log that was cut under it from one with a hole.
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
/// says. What `visit` returns ends it.
Status VisitEntries(const LogHandles& handles, Index base, const BatchMark& mark,
                    const std::function<Status(const StoredEntry&)>& visit);

}  // namespace raftkv::storage
