// How is the log written in atomic batches?
//
// Entries as in entry_log.h, and the state of a member (log_format.h). Each call that
// writes is one WriteBatch and one synced append to the write-ahead log, and has a number of its
// own; at most one batch is ever unsynced. Owned by the disk thread, unless noted otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "storage/log/entry_log.h"
#include "storage/log/log_contents.h"
#include "storage/log/log_handles.h"
#include "storage/log/log_recovery.h"

namespace rocksdb {
class WriteBatch;
}

namespace raftkv::storage {

/// The base of a restored member's log.
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
                                             const LogRecovery& recovery);

  /// As found at the open; outdated after the first write.
  [[nodiscard]] const LogContents& found() const { return found_; }

  // Each of these is one batch. A failure is final: every later call returns it again.

  /// A commit index alone is only remembered: it is written with the next batch, or by Close().
  Status Write(const node::LogWrite& write);
  Status SaveFormation(ClusterId cluster, const Bytes& payload);
  Status SavePeerBoot(NodeId peer, const node::PeerBoot& boot);
  Status SaveBoot(const node::Boot& boot);

  /// From now on the log begins after `through`, which is committed. DropCutFiles() frees the disk
  /// space.
  Status Compact(Index through);
  /// A snapshot, whose state machine is in folder `live_kv`, replaces the whole log.
  Status Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write,
                 const std::string& live_kv);

  /// Deletes files that hold nothing but what was cut off. Safe from any thread.
  Status DropCutFiles() const { return log_.DropCutFiles(); }
  /// DropCutFiles, also for what was not in a file of its own yet. Safe from any thread.
  Status Reclaim() const { return log_.Reclaim(); }
  /// What was written and is not in tables yet. Safe from any thread.
  [[nodiscard]] std::uint64_t UnflushedBytes() const { return log_.UnflushedBytes(); }
  /// The last entry to compact so that the log has at most `bytes`; 0: none. Safe from
  /// any thread.
  [[nodiscard]] Index Beyond(std::uint64_t bytes) const;
  /// The last entry before the log. Safe from any thread.
  [[nodiscard]] Index base() const { return log_.base(); }
  /// The paths of the tables that it consists of now. Safe from any thread.
  [[nodiscard]] std::vector<std::string> Tables() const { return log_.Tables(); }
  /// Entries first..last of at most `max_bytes` but at least one. Safe from any thread.
  /// Unavailable: the log was trimmed in the meantime.
  Result<std::vector<raft::Entry>> Read(Index first, Index last, std::size_t max_bytes) const;

  [[nodiscard]] const Identity& identity() const { return identity_; }
  /// The first failed write: the log accepts no more.
  [[nodiscard]] const Status& failure() const { return log_.failure(); }
  [[nodiscard]] const BatchMark& mark() const { return log_.mark(); }
  /// As the last batch has it.
  [[nodiscard]] const raft::HardState& hard_state() const { return hard_state_; }
  /// The configuration has other members than this one. Safe from any thread.
  [[nodiscard]] bool has_peers() const { return has_peers_; }
  /// Synced writes since the open. Safe from any thread.
  [[nodiscard]] std::uint64_t sync_count() const { return log_.sync_count(); }

  /// Writes what was only remembered, and closes. Nothing else may be called afterwards.
  Status Close();

 private:
  LogDb(bool sync, std::unique_ptr<LogHandles> handles, LogContents found);
  /// Begins a batch that leaves the log ending at `last_index`.
  [[nodiscard]] rocksdb::WriteBatch BeginBatch(Index last_index) const;
  Status Commit(rocksdb::WriteBatch& batch, Index last_index);
  void CheckWrite(const node::LogWrite& write) const;
  void DeleteTail(rocksdb::WriteBatch& batch, Index first);
  /// Updates memory to what was written.
  void Appended(const std::vector<raft::Entry>& entries);
  void Began(const StoredBase& base);
  Result<StoredBase> BaseAt(Index index) const;
  void NoteRefilled(rocksdb::WriteBatch& batch, const node::LogWrite& write) const;
  void LookForPeers();

  LogContents found_;
  EntryLog log_;  ///< written by the disk thread, read by any

  // Owned by the disk thread.
  Identity identity_;
  raft::HardState hard_state_;
  raft::LogBase base_;
  /// Payloads of the configurations in the log, and the one in force at its base.
  std::map<Index, Bytes> configurations_;
  /// A hard state that differs from hard_state_ in `commit` only and waits for a batch.
  std::optional<raft::HardState> riding_;

  std::atomic<bool> has_peers_{false};  ///< read by any thread
  mutable Mutex sizes_mutex_;
  LogSizes sizes_ RAFTKV_GUARDED_BY(sizes_mutex_);
};

}  // namespace raftkv::storage
