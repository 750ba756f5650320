// How do writes of many threads share one sync, and which thread performs it?
//
// Writes that arrive while a group is being written gather into the next one. A write that finds
// none in progress leads: its own thread writes the group, so that a lone write costs no thread
// switch, and then passes the lead to the first that waits. Asynchronous writes, which have no
// waiting thread, are led by a worker. Waiting writes are bounded in number and bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <raftkv/log.h>
#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "storage/disk/worker.h"

namespace raftkv::storage {

struct GroupWrite {
  std::vector<LogTxn::Operation> operations;
  std::size_t bytes = 0;
  bool sync = true;
  std::chrono::steady_clock::time_point deadline;
  Callback<LogRange> done;  ///< empty: a thread waits
  Result<LogRange> result = LogRange{};

 private:
  friend class GroupCommit;
  // Guarded by the mutex_ of the GroupCommit that has it: clang cannot check that.
  enum class State : unsigned char { kWaiting, kTaken, kDone };
  State state = State::kWaiting;
  bool abandoned = false;  ///< its thread stopped waiting
  bool leads = false;      ///< its thread is to write the next group
  Condition wake;
};

class GroupCommit {
 public:
  using Group = std::vector<std::shared_ptr<GroupWrite>>;
  struct Options {
    std::size_t max_waiting_bytes = 0;
    std::size_t max_waiting_writes = 0;
    /// A group is closed when it has this many bytes.
    std::size_t max_group_bytes = 0;
    /// Only the worker leads.
    bool own_thread = false;
  };

  /// `write` sets the results of a group; one runs at a time. `worker` is borrowed, has one thread
  /// and room for 16 tasks more than max_waiting_writes; it is stopped after Stop().
  GroupCommit(Options options, std::function<void(const Group&)> write, Worker& worker);

  /// Waits for the result, at most until the deadline.
  Result<LogRange> Run(const std::shared_ptr<GroupWrite>& write);
  /// Its `done` runs on the worker.
  void Post(const std::shared_ptr<GroupWrite>& write);
  /// Waiting writes end with Cancelled; returns when the write in progress has ended.
  void Stop();

 private:
  /// Ok: it is in the queue, and there is a leader.
  Status Enqueue(const std::shared_ptr<GroupWrite>& write) RAFTKV_REQUIRES(mutex_);
  Group TakeGroup() RAFTKV_REQUIRES(mutex_);
  /// Releases the lock while it writes.
  void LeadOne() RAFTKV_REQUIRES(mutex_);
  void HandOn() RAFTKV_REQUIRES(mutex_);
  void PostLead();
  /// Ends a write that was in the queue; calls back later.
  void Finish(const std::shared_ptr<GroupWrite>& write, Group& callbacks) RAFTKV_REQUIRES(mutex_);
  void PostCallbacks(Group callbacks);

  // Constant after construction.
  const Options options_;
  const std::function<void(const Group&)> write_;
  Worker& worker_;
  Mutex mutex_;
  std::deque<std::shared_ptr<GroupWrite>> queue_ RAFTKV_GUARDED_BY(mutex_);
  /// All accepted writes that have not ended, with their callbacks.
  std::size_t waiting_ RAFTKV_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_bytes_ RAFTKV_GUARDED_BY(mutex_) = 0;
  bool leading_ RAFTKV_GUARDED_BY(mutex_) = false;  ///< there is a leader, or one was appointed
  bool stopped_ RAFTKV_GUARDED_BY(mutex_) = false;
  Condition idle_;
};

}  // namespace raftkv::storage
