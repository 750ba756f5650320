// On which thread does work that may block on the disk run?
//
// A Worker is one named thread, or a few, with a bounded queue. Work of a one-thread worker runs in
// the order in which it was posted.
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

/// The result of a call whose work a Worker did not accept.
inline Status QueueFull() {
  return {Code::kUnavailable, "too many calls are waiting for the disk; try again"};
}

class Worker {
 public:
  /// `name`: at most 15 bytes, as the system shows it for the thread. Throws std::system_error if
  /// the system has no thread left (see OpenOrUnavailable).
  Worker(std::string name, std::size_t max_queued, std::size_t threads = 1);
  ~Worker() { Stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Safe from any thread. False: the queue is full or the worker was stopped; `task` did not run
  /// and will not.
  [[nodiscard]] bool Post(OnceFunction<void()> task);
  /// The same for what must not be released on the calling thread (files to remove, a database to
  /// close, a thread to join): even a full queue accepts it. There is one of these per released
  /// object, so they are few. False: the worker was stopped.
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
  // Owned by the thread that stops the worker.
  std::vector<std::thread> threads_;
};

}  // namespace raftkv::storage
