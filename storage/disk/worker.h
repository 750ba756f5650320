// On which thread does work that may block on the disk run?
//
// A Worker is one named thread, or a few, with a bounded queue. Work that comes out of one-thread
// workers runs in the order in which it was posted.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/once_function.h"

namespace raftkv::storage {

/// What a call is answered whose work a Worker did not take.
inline Status QueueFull() {
  return {Code::kUnavailable, "too many calls are waiting for the disk; try again"};
}

class Worker {
 public:
  /// `name`: at most 15 bytes, as the system shows it for the thread. Throws std::system_error
  /// where the system has no thread to give (see OpenOrUnavailable).
  Worker(std::string name, std::size_t max_queued, std::size_t threads = 1);
  ~Worker() { Stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Safe from any thread. False: the queue is full or the worker was stopped; `task` did not run
  /// and will not.
  [[nodiscard]] bool Post(OnceFunction<void()> task);
  /// The same for what must be let go of elsewhere than on the calling thread (files to remove, a
  /// database to close, a thread to join): a full queue takes it as well. There is one of these for
  /// each thing that is let go of, so they are few. False: the worker was stopped.
  [[nodiscard]] bool PostRelease(OnceFunction<void()> task);
  /// Runs what is queued, then joins. Not from a task of its own.
  void Stop();

 private:
  void Run();

  // Constant after construction.
  const std::size_t max_queued_;
  Mutex mutex_;
  Condition wake_;
  std::deque<OnceFunction<void()>> queue_ RAFTKV_GUARDED_BY(mutex_);
  bool stopping_ RAFTKV_GUARDED_BY(mutex_) = false;
  OwnThreads own_threads_;
  // Owned by whoever stops the worker.
  std::vector<std::thread> threads_;
};

}  // namespace raftkv::storage
