// How is a member's data folder opened, and what is in it?
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/cancel_token.h"
#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/kv/store.h"
#include "lib/node/member.h"
#include "lib/node/ports.h"
#include "storage/disk/completions.h"
#include "storage/folder/record.h"
#include "storage/member/idle_flush.h"

namespace rocksdb {
class Env;
}

namespace raftkv::storage {

class CheckpointBackup;
class DiskSpace;
class DiskWatch;
class FolderLock;
class KvStateMachine;
class LogStore;
class Scrubber;
class Snapshots;
class Worker;

struct StoreOptions {
  /// Created if it does not exist.
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
  /// What the log keeps when it is compacted: buffers and flushes follow from it.
  std::uint64_t log_keep_entries = 100'000;
  /// On a real disk no more than an eighth of it.
  std::uint64_t log_keep_bytes = 256 << 20;
  /// How fast the tables are read in the background to find damage; 0: not at all.
  std::uint64_t scrub_bytes_per_second = 0;
  /// Called, on the loop and at most once, for damage that other members can refill: the store has
  /// to be reopened (Abandon), which repairs it. Unset: such damage is only logged.
  std::function<void(const Status&)> on_damage;

  /// Of the key that encrypts the folder; empty: it is not encrypted.
  std::string encryption_key_file;
  /// Called, on the loop, whenever the health of the disk changes; may be empty.
  std::function<void(const node::DiskHealth&)> on_disk;
  /// Space held in reserve for when the disk is full; 0: none, and free space is not watched.
  std::uint64_t reserve_bytes = 0;

  // For tests.
  /// null: that of `dir`. Only with a reserve.
  std::shared_ptr<DiskSpace> space;
  /// null: the real file system.
  rocksdb::Env* env = nullptr;
  /// Empty: the kernel's id of this boot (/proc/sys/kernel/random/boot_id).
  std::string machine_boot;
  /// After this long without a write to the log the record is written.
  Duration record_idle = std::chrono::seconds(1);
  /// From one pass of the scrubber to the next.
  Duration scrub_pause = std::chrono::minutes(1);
  /// False drops the sync of log writes, and with it every guarantee: it lets a test show that it
  /// would notice.
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
  /// The database as it is now; release it before Close(). Safe from any thread.
  [[nodiscard]] std::shared_ptr<kv::Engine> engine();

  /// What was found, with the boot of this open, which is durable.
  [[nodiscard]] const node::Birth& birth() const { return birth_; }
  /// The replicated time of birth().raft.applied.
  [[nodiscard]] std::uint64_t replicated_time_at_open_ms() const;
  /// What the log keeps: what was configured, or what the disk has space for.
  [[nodiscard]] std::uint64_t log_keep_bytes() const { return log_keep_bytes_; }
  /// Synced writes of the log database since the open. Safe from any thread.
  [[nodiscard]] std::uint64_t sync_count() const;

  /// Reports Corruption met while reading engine(). Safe from any thread.
  void ReportDamage(const Status& what) { Found(Damaged::kKv, what); }
  /// What is damaged here, and what was done about it: for people. Empty: nothing. Safe from any
  /// thread.
  [[nodiscard]] std::vector<std::string> damage() const;
  struct ScrubCounts {
    std::uint64_t bytes = 0;
    std::uint64_t passes = 0;
    std::uint64_t damaged = 0;  ///< how often damage was found, here or elsewhere
  };
  /// Safe from any thread.
  [[nodiscard]] ScrubCounts scrub_counts() const;

  /// After it no callback runs; writes in progress are still completed.
  void StopCompletions() {
    completions_.Stop();
    notices_.Stop();
  }
  /// StopCompletions, then ends what is queued, flushes, and marks the folder as closed cleanly.
  /// Not ok: the folder is as after a crash. No other call afterwards.
  Status Close();
  /// The same without flush and mark, as after a crash; so does the destructor.
  void Abandon();

 private:
  friend class Opener;
  explicit Store(const StoreOptions& options);
  /// Damage was found; from any thread. If other members can refill it, no call completes any more:
  /// a failure caused by the damage is not an answer, and the owner is told to reopen.
  void Found(Damaged which, const Status& what);
  void Mended();
  void StartScrubber(const StoreOptions& options);
  /// Frees disk space that can be freed.
  void Reclaim();
  /// Frees the memory that a burst of writes has left behind, some seconds after it.
  void FlushIfIdle();

  const std::uint64_t log_keep_bytes_;
  Completions completions_;
  /// For work that may be cancelled when the store is closed.
  const CancelToken cancel_;
  /// What the store reports by itself, about its disk and about damage.
  Completions notices_;
  node::LogSink log_sink_;
  std::function<void(const Status&)> on_damage_;
  std::atomic<std::uint64_t> damaged_{0};
  mutable Mutex mutex_;
  std::vector<std::string> damage_ RAFTKV_GUARDED_BY(mutex_);
  bool told_ RAFTKV_GUARDED_BY(mutex_) = false;
  // Owned by the loop.
  node::Birth birth_;
  // In the order in which they need each other.
  std::shared_ptr<DiskWatch> disk_;
  std::atomic<bool> reclaiming_{false};
  IdleFlush idle_flush_;                     ///< of the disk's watch
  std::shared_ptr<rocksdb::Env> encrypted_;  ///< null: the folder is not encrypted
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<LogStore> log_;
  std::unique_ptr<Worker> upkeep_;
  std::unique_ptr<KvStateMachine> machine_;
  std::unique_ptr<Snapshots> snapshots_;
  std::unique_ptr<Scrubber> scrubber_;
};

/// Errors: Unavailable (in use), PermissionDenied (another member's, or another key's),
/// InvalidArgument (holds other things, or the key file is none), VersionMismatch (a newer format),
/// Corruption (it has lost something that was promised, and there is no other member to refill it),
/// IOError, NoSpace. Wrong use changes nothing on disk, and neither does a refusal. If other
/// members have what was lost, the store opens as suspect (repair.h).
Result<std::unique_ptr<Store>> Open(StoreOptions options);

}  // namespace raftkv::storage
