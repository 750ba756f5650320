// What does the member's disk do to what is written to it, and who has to know?
//
// A DiskWatch stands between the databases and the file system:
//   - what does not fit waits until there is space, and is then written again: the same bytes at
//     the same place. To RocksDB, and to the node, a full disk looks like a slow one.
//   - a write or sync that failed for another reason is final: whatever would be promised later
//     fails, and the loop is told at once. A sync is never done again, whatever its error was.
//   - a compaction is no reason to use up the rest: it ends once space is short, and what it wrote
//     goes. RocksDB then asks for room before it begins the next one.
//   - a thread of its own looks how much space is left (disk_space.h), and whether the folder is
//     still where it was.
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
  /// Null: how much is free is not looked at.
  std::shared_ptr<DiskSpace> space;
  std::uint64_t reserve_bytes = 0;
  /// Told of changes, from any thread.
  std::function<void(const node::DiskHealth&)> tell;
};

class DiskWatch {
 public:
  explicit DiskWatch(DiskWatchOptions options);
  ~DiskWatch() { Stop(); }

  /// What everything in the data folder is to be written through.
  [[nodiscard]] rocksdb::Env& env() { return *env_; }

  /// The folder is there: takes the reserve if it can, looks at the space from now on, and calls
  /// `reclaim`, on a thread of its own, about once a second while there is too little. What
  /// `in_place` says of the folder is asked as often; not ok is as final as a failed write.
  void Start(std::function<void()> reclaim, std::function<Status()> in_place);
  /// Nothing waits for space any more: it fails instead.
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
  /// Something did not fit. True: try again.
  bool WaitForSpace();
  /// So much was written: it may be time to look.
  void Wrote(std::uint64_t bytes);
  [[nodiscard]] bool MayCompact() const {
    return told_space_.load() == raft::Space::kEnough || reclaims_.load();
  }
  /// While it is set what surely fits may be compacted though space is short.
  void SetReclaims(bool reclaims) { reclaims_.store(reclaims); }
  void Failed(const std::string& doing, const std::string& path, const std::string& why);
  /// What the folder is written to is no longer what its paths lead to.
  void Gone(const std::string& what);

  /// While one lives its thread never waits for space: it belongs to the loop, or to who opens.
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
  std::atomic<std::uint64_t> wrote_{0};  ///< since it was looked
  mutable Mutex mutex_;
  Condition changed_;
  Status failure_ RAFTKV_GUARDED_BY(mutex_);
  bool stopped_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool look_now_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool held_ RAFTKV_GUARDED_BY(mutex_) = false;  ///< the reserve
  SteadySpace steady_ RAFTKV_GUARDED_BY(mutex_);
  /// Not before it is the reserve tried to be taken again.
  Clock::time_point take_at_ RAFTKV_GUARDED_BY(mutex_){};
  int waiting_ RAFTKV_GUARDED_BY(mutex_) = 0;
  /// When something last did not fit.
  Clock::time_point starved_at_ RAFTKV_GUARDED_BY(mutex_){};
  // Ends before what it runs on.
  std::unique_ptr<Worker> thread_;
};

}  // namespace raftkv::storage
