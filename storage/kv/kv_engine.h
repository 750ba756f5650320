// Where does the key-value state machine keep its keys?
//
// kv::Engine over one RocksDB with one column family, revisions as its timestamps, and its
// write-ahead log off: the Raft log is the redo log. After a crash a prefix of the writes is there,
// up to the last flush. Who reads holds it alive: a snapshot may have put another one in its place.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/cancel_token.h"
#include "lib/base/ids.h"
#include "lib/kv/engine.h"
#include "lib/kv/record.h"
#include "lib/node/ports.h"

namespace rocksdb {
class Comparator;
class DB;
}  // namespace rocksdb

namespace raftkv::storage {

struct KvEngineOptions {
  std::string folder;
  rocksdb::Env* env = nullptr;
  std::size_t cache_bytes = 64 << 20;
  node::LogSink log_sink;
  /// Keeps `env` alive, where somebody has to: who reads a backup may outlive the store.
  std::shared_ptr<const void> env_owner = nullptr;
};

class KvEngine final : public kv::Engine {
 public:
  /// Makes an empty database in a folder that holds none; durable.
  static Status Create(const KvEngineOptions& options);
  static Result<std::shared_ptr<KvEngine>> Open(const KvEngineOptions& options);
  ~KvEngine() override;

  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override;
  Status Write(const std::vector<kv::Mutation>& mutations) override;

  /// A write now would not wait for flushes or compactions. Safe from any thread.
  [[nodiscard]] bool TakesWritesAtOnce();
  /// Makes what was written durable. Safe from any thread.
  Status Flush();
  /// What was written and is not in tables yet. Safe from any thread.
  [[nodiscard]] std::uint64_t UnflushedBytes();
  /// Flush, if that surely fits. Safe from any thread.
  Status FlushIfFits();
  /// Flushes, and compacts what can go since the lowest revision was raised, each if that surely
  /// fits. On one thread at a time. The compaction ends early once `token` is cancelled.
  Status Reclaim(const CancelToken& token = {});
  /// Reads below `revision` are refused from now on, and what only they could see goes with the
  /// compactions to come. Lower than before: it stays. Safe from any thread.
  Status RaiseLowestRevision(std::uint64_t revision);
  /// Where space is worth more than the past: the revision that was raised to last is given up as
  /// well, so that only what comes after it can be read. RocksDB keeps what was there before a
  /// change at the lowest revision: a last delete, up to which the past was let go, would free
  /// nothing. Safe from any thread.
  Status GiveUpLowestRevision();
  /// The applied index that the database has even after a crash. Safe from any thread.
  [[nodiscard]] Index flushed() const { return Index(flushed_->load()); }
  /// To look at one that nobody has open; changes nothing on disk.
  static Result<std::shared_ptr<KvEngine>> OpenReadOnly(const KvEngineOptions& options);
  /// The same for a database of format 1, which knows no revisions: a backup may have one.
  static Result<std::shared_ptr<KvEngine>> OpenFormat1(const KvEngineOptions& options);
  struct Head {
    kv::Position applied;
    /// What the tables' bytes were when they were written (XXH3-64), by file name.
    std::map<std::string, std::uint64_t> checksums;
  };
  /// Of a closed database, which is only looked at.
  static Result<Head> HeadOf(const KvEngineOptions& options);
  static Result<kv::Position> AppliedOf(const KvEngineOptions& options);
  /// The applied entry, also of format 1.
  [[nodiscard]] Result<kv::Position> Applied();
  /// The paths of the tables that it consists of now. Safe from any thread.
  [[nodiscard]] std::vector<std::string> Tables() const;
  /// Makes a copy of what is there, out of hard links where the file system has them, in `folder`,
  /// which must not exist. Safe from any thread.
  Status Checkpoint(const std::string& folder);
  /// Whether the folder goes when nobody holds this database any more: another one is in its place.
  void RemoveAtEnd(bool remove) { remove_at_end_ = remove; }

  [[nodiscard]] const KvEngineOptions& options() const { return options_; }
  [[nodiscard]] rocksdb::Env& env() const { return *options_.env; }
  [[nodiscard]] const std::string& folder() const { return options_.folder; }
  /// Flushes and closes; all views must be gone. The destructor closes without a flush.
  Status Close();

 private:
  KvEngine(KvEngineOptions options, std::unique_ptr<rocksdb::DB> db,
           std::shared_ptr<std::atomic<std::uint64_t>> flushed,
           std::shared_ptr<std::atomic<std::uint64_t>> lowest);
  static Result<std::shared_ptr<KvEngine>> OpenToRead(const KvEngineOptions& options,
                                                      const rocksdb::Comparator* order);
  Status FindLowestRevision();
  Status Raise(std::uint64_t revision);
  bool FlushFits();
  /// How many entries a compaction leaves, at most; too few once `token` is cancelled.
  Result<std::uint64_t> CountNeeded(const CancelToken& token);

  const KvEngineOptions options_;
  std::unique_ptr<rocksdb::DB> db_;
  /// Shared with the listener that RocksDB keeps.
  const std::shared_ptr<std::atomic<std::uint64_t>> flushed_;
  /// Shared with views and compactions.
  const std::shared_ptr<std::atomic<std::uint64_t>> lowest_;
  /// The highest one that RaiseLowestRevision was called with.
  std::atomic<std::uint64_t> bound_{0};
  /// The lowest revision when Reclaim last was at its end.
  std::uint64_t reclaimed_ = 0;
  std::atomic<bool> remove_at_end_{false};
  /// A copy that is read through: what was read is not kept.
  bool reads_once_ = false;
};

}  // namespace raftkv::storage
