// Which lock guards data that several threads share, and which thread holds it?
//
// Shared data names its lock (RAFTKV_GUARDED_BY), and so does a function that must be called with
// it held (RAFTKV_REQUIRES) or not held (RAFTKV_EXCLUDES): clang rejects any violation
// (-Wthread-safety). It checks each function by itself and assumes that a lambda holds nothing, so
// a wait takes no predicate, but is in a loop:
//
//     while (!ready_) changed_.Wait(lock);
//     while (!ready_ && changed_.WaitUntil(lock, deadline)) {
//     }
#pragma once

#include <chrono>
#include <condition_variable>  // check:allow include: the one place that wraps it
#include <mutex>               // check:allow include: the one place that wraps it
#include <shared_mutex>        // check:allow include: the one place that wraps it

#ifdef __clang__
#define RAFTKV_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define RAFTKV_THREAD_ANNOTATION(x)
#endif

#define RAFTKV_CAPABILITY(name) RAFTKV_THREAD_ANNOTATION(capability(name))
#define RAFTKV_SCOPED_CAPABILITY RAFTKV_THREAD_ANNOTATION(scoped_lockable)
#define RAFTKV_GUARDED_BY(mutex) RAFTKV_THREAD_ANNOTATION(guarded_by(mutex))
#define RAFTKV_REQUIRES(...) RAFTKV_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define RAFTKV_ACQUIRE(...) RAFTKV_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RAFTKV_ACQUIRE_SHARED(...) RAFTKV_THREAD_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define RAFTKV_TRY_ACQUIRE(...) RAFTKV_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define RAFTKV_RELEASE(...) RAFTKV_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define RAFTKV_EXCLUDES(...) RAFTKV_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace raftkv {

class RAFTKV_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() RAFTKV_ACQUIRE() { mutex_.lock(); }
  /// False: another thread holds it.
  [[nodiscard]] bool TryLock() RAFTKV_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void Unlock() RAFTKV_RELEASE() { mutex_.unlock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;  // check:allow lock: wrapped here
};

/// Holds `mutex` while it exists, except between Unlock() and Lock().
class RAFTKV_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) RAFTKV_ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() RAFTKV_RELEASE() {}
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Lock() RAFTKV_ACQUIRE() { lock_.lock(); }
  void Unlock() RAFTKV_RELEASE() { lock_.unlock(); }

 private:
  friend class Condition;
  std::unique_lock<std::mutex> lock_;  // check:allow lock: wrapped here
};

/// Signals that guarded data has changed. A wait releases the lock in the meantime, and may end
/// spuriously.
class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void Wait(MutexLock& lock) { changed_.wait(lock.lock_); }
  /// False: timed out.
  template <class Clock, class Length>
  bool WaitUntil(MutexLock& lock, const std::chrono::time_point<Clock, Length>& deadline) {
    return changed_.wait_until(lock.lock_, deadline) == std::cv_status::no_timeout;
  }
  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;  // check:allow lock: wrapped here
};

/// Held by many readers at a time, or by one writer.
class RAFTKV_CAPABILITY("mutex") SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

 private:
  friend class ReaderLock;
  friend class WriterLock;
  std::shared_mutex mutex_;  // check:allow lock: wrapped here
};

class RAFTKV_SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) RAFTKV_ACQUIRE_SHARED(mutex) : mutex_(mutex.mutex_) {
    mutex_.lock_shared();
  }
  ~ReaderLock() RAFTKV_RELEASE() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  std::shared_mutex& mutex_;  // check:allow lock: wrapped here
};

class RAFTKV_SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) RAFTKV_ACQUIRE(mutex) : mutex_(mutex.mutex_) {
    mutex_.lock();
  }
  ~WriterLock() RAFTKV_RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  std::shared_mutex& mutex_;  // check:allow lock: wrapped here
};

}  // namespace raftkv
