#include "storage/disk/worker.h"

#include <pthread.h>

#include <utility>

#include "lib/base/check.h"
#include "storage/disk/no_signals.h"

namespace raftkv::storage {

Worker::Worker(std::string name, std::size_t max_queued, std::size_t threads)
    : max_queued_(max_queued) {
  RAFTKV_CHECK(name.size() <= 15, name);
  RAFTKV_CHECK(max_queued > 0);
  RAFTKV_CHECK(threads > 0);
  const NoSignals no_signals;
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
}

bool Worker::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= max_queued_) return false;
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

bool Worker::PostRelease(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void Worker::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Worker::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace raftkv::storage
