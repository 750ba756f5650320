// How is the log written, so that a batch is there whole or not at all?
//
// One RocksDB with column families `log` and `state` (log_format.h). Each call that writes is one
// WriteBatch and one synced append to the write-ahead log, and has a number of its own; at most one
// batch is ever unsynced. Owned by the disk thread, except where it says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "storage/log_contents.h"
#include "storage/log_handles.h"

namespace rocksdb {
class WriteBatch;
}

namespace raftkv::storage {

/// What the log of a restored member begins behind.
struct LogStart {
  StoredBase base;  ///< committed
  Bytes formation;
};

class LogDb {
 public:
  /// Makes the database of a new member, with boot (0, 0) and an empty log; durable.
  static Status Create(const LogDbOptions& options, const Identity& identity,
                       const std::string& live_kv, const std::optional<LogStart>& start = {});
  /// Opens one that ExamineLog (log_recovery.h) found to be sound, and reads all of it.
  static Result<std::unique_ptr<LogDb>> Open(const LogDbOptions& options,
                                             rocksdb::WALRecoveryMode recovery);

  /// As it was found at the open; grows stale with the first write.
  [[nodiscard]] const LogContents& found() const { return found_; }

  // Each of these is one batch. A failure is final: every later call returns it again.

  /// A commit index that comes alone is only remembered: it rides with the next batch, or Close().
  Status Write(const node::LogWrite& write);
  Status SaveFormation(ClusterId cluster, const Bytes& payload);
  Status SavePeerBoot(NodeId peer, const node::Boot& boot);
  Status SaveBoot(const node::Boot& boot);

  /// The log begins behind `through`, which is committed, from now on. What can be given back of
  /// the disk is given back by DropCutFiles().
  Status Compact(Index through);
  /// A snapshot, whose state machine is in folder `live_kv`, takes the place of the whole log.
  Status Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write,
                 const std::string& live_kv);

  /// Deletes files that hold nothing but what was cut off. Safe from any thread.
  Status DropCutFiles() const;
  /// The last entry that would have to go so that the log has at most `bytes`; 0: none. Safe from
  /// any thread.
  [[nodiscard]] Index Beyond(std::uint64_t bytes) const;
  /// The last entry before the log. Safe from any thread.
  [[nodiscard]] Index base() const { return Index(base_index_.load()); }
  /// Entries first..last of at most `max_bytes` but at least one. Safe from any thread.
  /// Unavailable: the log was cut meanwhile.
  Result<std::vector<raft::Entry>> Read(Index first, Index last, std::size_t max_bytes) const;

  [[nodiscard]] const Identity& identity() const { return identity_; }
  [[nodiscard]] const BatchMark& mark() const { return mark_; }
  /// As the last batch has it.
  [[nodiscard]] const raft::HardState& hard_state() const { return hard_state_; }
  /// Synced writes since the open. Safe from any thread.
  [[nodiscard]] std::uint64_t sync_count() const { return sync_count_.load(); }

  /// Writes what only rode along, and closes. Nothing else may be called afterwards.
  Status Close();

 private:
  LogDb(bool sync, std::unique_ptr<LogHandles> handles, LogContents found);
  /// Begins a batch that leaves the log ending at `last_index`.
  [[nodiscard]] rocksdb::WriteBatch BeginBatch(Index last_index) const;
  Status Commit(rocksdb::WriteBatch& batch, Index last_index);
  void PutState(rocksdb::WriteBatch& batch, std::string_view key, const std::string& value) const;
  void CheckWrite(const node::LogWrite& write) const;
  void DeleteTail(rocksdb::WriteBatch& batch, Index first);
  /// What was written is now so: memory follows.
  void Appended(const std::vector<raft::Entry>& entries);
  void Began(const StoredBase& base);
  Result<StoredBase> BaseAt(Index index) const;

  const bool sync_;
  const std::unique_ptr<LogHandles> handles_;
  LogContents found_;

  // Owned by the disk thread.
  Identity identity_;
  BatchMark mark_;
  raft::HardState hard_state_;
  raft::LogBase base_;
  /// Payloads of the configurations in the log, and the one in force at its base.
  std::map<Index, Bytes> configurations_;
  /// A hard state that differs from hard_state_ in `commit` only and waits for a batch.
  std::optional<raft::HardState> riding_;
  Status failure_;

  // Shared, so that a reader can tell a log that was cut under it from one with a hole.
  std::atomic<std::uint64_t> base_index_;
  std::atomic<std::uint64_t> last_index_;
  std::atomic<std::uint64_t> cuts_{0};
  std::atomic<std::uint64_t> sync_count_{0};
  mutable std::mutex sizes_mutex_;
  LogSizes sizes_;  ///< guarded by sizes_mutex_
};

}  // namespace raftkv::storage
