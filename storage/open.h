// How is a member's data folder opened, and what is found in it?
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <raftkv/status.h>

#include "lib/kv/store.h"
#include "lib/node/member.h"
#include "lib/node/ports.h"
#include "storage/completions.h"

namespace rocksdb {
class Env;
}

namespace raftkv::storage {

class CheckpointBackup;
class FolderLock;
class KvStateMachine;
class LogStore;
class Snapshots;
class Worker;

struct StoreOptions {
  /// Made if it does not exist.
  std::string dir;
  /// The member's name; a folder of another one is refused.
  std::string name;
  /// Where completions run: on the loop. Must be callable from any thread until Close() returned.
  Executor executor;
  /// RocksDB's own messages (debug, warn, error) and ours; runs on any thread.
  node::LogSink log_sink;
  /// Told of log syncs, on the loop; may be null.
  node::Observer* observer = nullptr;
  kv::StoreOptions kv;
  std::size_t kv_cache_bytes = 64 << 20;
  /// What the log keeps when it is cut: buffers and flushes follow from it.
  std::uint64_t log_keep_entries = 100'000;
  std::uint64_t log_keep_bytes = 256 << 20;

  // For tests.
  /// null: the real file system.
  rocksdb::Env* env = nullptr;
  /// Empty: the kernel's id of this boot (/proc/sys/kernel/random/boot_id).
  std::string machine_boot;
  /// False drops the sync of log writes, and with it every promise: it is there so that a test can
  /// show that it would notice.
  bool sync = true;
};

/// The ports of one member, on its disk. Owned by the loop thread.
class Store {
 public:
  ~Store();

  [[nodiscard]] node::LogStore& log();
  [[nodiscard]] node::MetaStore& meta();
  [[nodiscard]] node::StateMachine& machine();
  [[nodiscard]] node::Snapshots& snapshots();
  /// As Snapshots::MakeBackup.
  void MakeBackup(node::Done<std::shared_ptr<CheckpointBackup>> done);
  /// The database as it is now; let go of it before Close(). Safe from any thread.
  [[nodiscard]] std::shared_ptr<kv::Engine> engine();

  /// What was found, with the boot of this open, which is durable.
  [[nodiscard]] const node::Birth& birth() const { return birth_; }
  /// The replicated time of birth().raft.applied.
  [[nodiscard]] std::uint64_t replicated_time_at_open_ms() const;
  /// Synced writes of the log database since the open. Safe from any thread.
  [[nodiscard]] std::uint64_t sync_count() const;

  /// After it no callback runs any more; writes that are under way are still carried out.
  void StopCompletions() { completions_.Stop(); }
  /// StopCompletions, then ends what is queued, flushes, and marks the folder as closed cleanly.
  /// The destructor does the same without flush and mark, as a crash would. Not ok: the folder is
  /// as after a crash. No other call afterwards.
  Status Close();

 private:
  friend Result<std::unique_ptr<Store>> Open(StoreOptions options);
  explicit Store(Executor executor);

  Completions completions_;
  node::Birth birth_;
  // In the order in which they need each other.
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<LogStore> log_;
  std::unique_ptr<Worker> upkeep_;
  std::unique_ptr<KvStateMachine> machine_;
  std::unique_ptr<Snapshots> snapshots_;
};

/// Errors: Unavailable (in use), PermissionDenied (another member's), InvalidArgument (holds other
/// things), VersionMismatch (a newer format), Corruption (it lost something that was promised),
/// IOError, NoSpace. Wrong use changes nothing on disk.
Result<std::unique_ptr<Store>> Open(StoreOptions options);

}  // namespace raftkv::storage
