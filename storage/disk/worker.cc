#include "storage/disk/worker.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/base/thread.h"

namespace raftkv::storage {

Worker::Worker(std::string name, std::size_t max_queued, std::size_t threads)
    : max_queued_(max_queued) {
  RAFTKV_CHECK(max_queued > 0);
  RAFTKV_CHECK(threads > 0);
  try {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.push_back(ThreadOrThrow(name, [this] { Run(); }));
    }
  } catch (...) {
    Stop();  // those that there are
    throw;   // check:allow throw: a constructor has no other way to say it
  }
}

bool Worker::Post(OnceFunction<void()> task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_ || queue_.size() >= max_queued_) return false;
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
  return true;
}

bool Worker::PostRelease(OnceFunction<void()> task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return false;
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
  return true;
}

void Worker::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  const WaitsFor waits(own_threads_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Worker::Run() {
  const HostScope no_waiting(&own_threads_);
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && queue_.empty()) wake_.Wait(lock);
    if (queue_.empty()) return;
    OnceFunction<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.Unlock();
    task();
    lock.Lock();
  }
}

}  // namespace raftkv::storage
