#include "storage/disk/worker.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include <rocksdb/env.h>

#include "lib/base/check.h"
#include "lib/base/host_code.h"

namespace raftkv::storage {

namespace {

/// A guest's threads take no signal that is meant for the host: they inherit a full mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

void StartRocksdbThreads() {
  const SignalsBlocked blocked;
  rocksdb::Env& env = *rocksdb::Env::Default();
  // As many as max_background_jobs = 2 stands for.
  for (const auto priority : {rocksdb::Env::LOW, rocksdb::Env::HIGH}) {
    env.IncBackgroundThreadsIfNeeded(1, priority);
    // Where the limit was raised before and the thread could not be made, this makes it.
    env.Schedule([](void*) {}, nullptr, priority);
  }
}

Worker::Worker(std::string name, std::size_t max_queued, std::size_t threads)
    : max_queued_(max_queued) {
  RAFTKV_CHECK(name.size() <= 15, name);
  RAFTKV_CHECK(max_queued > 0);
  RAFTKV_CHECK(threads > 0);
  const SignalsBlocked blocked;
  try {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Run(); });
      pthread_setname_np(threads_.back().native_handle(), name.c_str());
    }
  } catch (const std::system_error&) {
    Stop();  // those that there are
    throw;   // check:allow throw: a constructor has no other way to say it
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
  const HostScope no_waiting;
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
