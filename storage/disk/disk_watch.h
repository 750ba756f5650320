// What happens to writes on the member's disk, and who has to know?
//
// A DiskWatch stands between the databases and the file system:
//   - A write that does not fit waits until there is space, and is then written again: the same
//     bytes at the same place. To RocksDB, and to the node, a full disk looks like a slow one.
//   - A write or sync that failed for another reason is final: every later promise fails, and the
//     loop is told at once. A sync is never repeated, whatever its error was.
//   - A compaction must not use up the rest: once space is short it ends, and what it wrote is
//     removed. RocksDB then asks for space before it starts the next one.
//   - A thread of its own checks how much space is left (disk_space.h), and whether the folder is
//     still in place.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "lib/node/ports.h"
#include "storage/disk/disk_space.h"
#include "storage/disk/worker.h"

namespace raftkv::storage {

struct DiskWatchOptions {
  rocksdb::Env* env = nullptr;
  /// Null: free space is not watched.
  std::shared_ptr<DiskSpace> space;
  std::uint64_t reserve_bytes = 0;
  /// Told of changes, from any thread.
  std::function<void(const node::DiskHealth&)> tell;
};

class DiskWatch {
 public:
  explicit DiskWatch(DiskWatchOptions options);
  ~DiskWatch() { Stop(); }

  /// The file system through which everything in the data folder is written.
  [[nodiscard]] rocksdb::Env& env() { return *env_; }

  /// The folder exists: allocates the reserve if it can, watches the space from now on, and calls
  /// `reclaim`, on a thread of its own, about once a second while there is too little. `in_place`
  /// is called as often; a result that is not ok is as final as a failed write.
  void Start(std::function<void()> reclaim, std::function<Status()> in_place);
  /// From now on operations that would wait for space fail instead.
  void StopWaiting();
  /// StopWaiting, and ends the thread.
  void Stop();

  // --- Safe from any thread.
  /// Not ok: the first write or sync that failed for good.
  [[nodiscard]] Status failure() const;
  [[nodiscard]] raft::Space space() const { return told_space_.load(); }
  /// Something did not fit, even after the reserve was given up.
  [[nodiscard]] bool starved() const { return starved_.load(); }

  // --- For the file system in between.
  /// A write did not fit. True: try again.
  bool WaitForSpace();
  /// This much was written: it may be time to check.
  void Wrote(std::uint64_t bytes);
  [[nodiscard]] bool MayCompact() const {
    return told_space_.load() == raft::Space::kEnough || reclaims_.load();
  }
  /// While it is set, what certainly fits may be compacted although space is short.
  void SetReclaims(bool reclaims) { reclaims_.store(reclaims); }
  void Failed(const std::string& doing, const std::string& path, const std::string& why);
  /// The files being written are no longer those at their paths.
  void Gone(const std::string& what);

  /// While one exists its thread never waits for space: it is the loop's, or one that opens the
  /// store.
  class NoWaiting {
   public:
    NoWaiting();
    ~NoWaiting();
    NoWaiting(const NoWaiting&) = delete;
    NoWaiting& operator=(const NoWaiting&) = delete;
  };

 private:
  using Clock = std::chrono::steady_clock;

  void Look();
  void Run();
  void Fail(std::string what);

  const DiskWatchOptions options_;
  const SpaceRules rules_;
  std::unique_ptr<rocksdb::Env> env_;
  std::function<void()> reclaim_;
  std::function<Status()> in_place_;

  std::atomic<raft::Space> told_space_{raft::Space::kEnough};
  std::atomic<bool> starved_{false};
  std::atomic<bool> reclaims_{false};
  std::atomic<std::uint64_t> wrote_{0};  ///< since the last check
  mutable Mutex mutex_;
  Condition changed_;
  Status failure_ RAFTKV_GUARDED_BY(mutex_);
  bool stopped_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool look_now_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool held_ RAFTKV_GUARDED_BY(mutex_) = false;  ///< the reserve
  SteadySpace steady_ RAFTKV_GUARDED_BY(mutex_);
  /// The reserve is not allocated again before this time.
  Clock::time_point take_at_ RAFTKV_GUARDED_BY(mutex_){};
  int waiting_ RAFTKV_GUARDED_BY(mutex_) = 0;
  /// When something last did not fit.
  Clock::time_point starved_at_ RAFTKV_GUARDED_BY(mutex_){};
  // Ends before what it runs on.
  std::unique_ptr<Worker> thread_;
};

}  // namespace raftkv::storage
