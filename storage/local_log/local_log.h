// How is a raftkv::Log kept on disk?
//
//   LOCK      held by the process that has the log open
//   record    of the member named kLocalLogName: lower bounds, as of every member (record.h)
//   log/      the log database: entries as a member's (entry_log.h), and where they begin
//
// All entries have term 1 and are commands. It is opened by the rules of log_recovery.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/log.h>
#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "storage/disk/worker.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/record.h"
#include "storage/folder/record_keeper.h"
#include "storage/local_log/group_commit.h"
#include "storage/log/entry_log.h"

namespace raftkv::storage {

/// No member can have this name.
inline constexpr char kLocalLogName[] = "(a log of its own)";

/// The last index that an entry can have: there is one after it.
inline constexpr std::uint64_t kLastLogIndex = UINT64_MAX - 1;

/// What a log depends on; changed in tests only.
struct LogGround {
  /// null: the real file system.
  rocksdb::Env* env = nullptr;
  /// Empty: the kernel's id of this boot.
  std::string machine_boot;
  /// False drops every sync, and with it every guarantee: see StoreOptions::sync.
  bool sync = true;
  /// See RecordKeeper.
  Duration record_idle = RecordKeeper::kIdle;
};

/// See Log::Open.
Result<std::unique_ptr<Log>> OpenLocalLog(LogOptions options, LogGround ground);

/// An open database, and what is known about it.
struct LocalLogFound {
  std::unique_ptr<rocksdb::Env> encrypted;  ///< null: it is not encrypted
  std::unique_ptr<FolderLock> lock;
  std::unique_ptr<LogHandles> handles;
  BatchMark mark;
  Index base;
  Record record;
};

class LocalLog final : public Log {
 public:
  LocalLog(LogOptions options, const LogGround& ground, LocalLogFound found);
  ~LocalLog() override { static_cast<void>(Close()); }

  [[nodiscard]] std::uint64_t Head() const override;
  [[nodiscard]] std::uint64_t Seq() const override;
  Result<std::string> Read(std::uint64_t index) override;
  std::unique_ptr<LogIterator> Iterate(std::uint64_t from) override;
  Result<LogRange> Write(std::vector<LogTxn::Operation> operations,
                         LogWriteOptions options) override;
  void WriteAsync(std::vector<LogTxn::Operation> operations, LogWriteOptions options,
                  Callback<LogRange> done) override;
  Status Close() override;

  /// Entries from `first` on, at least one and about `max_bytes`. NotFound, Compacted, Corruption;
  /// Cancelled after Close().
  Result<std::vector<raft::Entry>> ReadFrom(Index first, std::size_t max_bytes) const;
  /// Ok: ReadFrom(first) has a result, even if only that the entry was trimmed.
  Status WaitFor(Index first, std::chrono::milliseconds timeout);
  /// Synced batches since the open.
  [[nodiscard]] std::uint64_t sync_count() const { return log_.sync_count(); }

 private:
  /// The two ends: the last entry before the log, and the last in it.
  struct Ends {
    Index base;
    Index last;
  };
  Result<std::shared_ptr<GroupWrite>> Prepare(std::vector<LogTxn::Operation> operations,
                                              const LogWriteOptions& options) const;
  /// Not ok: the log has failed, or the files being written are no longer those at its paths. The
  /// latter is permanent: others may have written there.
  Status CheckInPlace();
  void WriteGroup(const GroupCommit::Group& group);
  Status WriteBatch(const GroupCommit::Group& group, Ends after);
  void Encode(rocksdb::WriteBatch& batch, std::vector<LogTxn::Operation>& operations, Ends& ends);
  void Written(Ends after, bool synced, std::size_t bytes);
  void DropCutFiles();
  void Warn(const std::string& line) const;

  // Constant after construction.
  const LogOptions options_;
  const std::unique_ptr<rocksdb::Env> encrypted_;
  rocksdb::Env* const env_;
  const Record opened_;  ///< its bounds become outdated
  const std::unique_ptr<FolderLock> lock_;

  // Owned by the leader of a group.
  EntryLog log_;
  Record durable_;  ///< what is synced
  Status gone_;     ///< see CheckInPlace

  mutable Mutex mutex_;
  Ends ends_ RAFTKV_GUARDED_BY(mutex_);  ///< as of the last write that ended
  bool closed_ RAFTKV_GUARDED_BY(mutex_) = false;
  Condition changed_;

  /// Shared by readers; exclusive once the database is closed.
  mutable SharedMutex reading_;
  bool read_closed_ RAFTKV_GUARDED_BY(reading_) = false;

  std::atomic<bool> drop_queued_{false};
  Mutex close_mutex_;
  bool closing_ RAFTKV_GUARDED_BY(close_mutex_) = false;

  Worker worker_;
  RecordKeeper keeper_;
  GroupCommit commit_;
};

}  // namespace raftkv::storage
