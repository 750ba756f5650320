// By which lock is what several threads share guarded, and who holds it?
//
// What is shared names its lock (RAFTKV_GUARDED_BY), and so does a function that is called with it
// held (RAFTKV_REQUIRES) or must not be (RAFTKV_EXCLUDES): clang refuses to compile whatever does
// otherwise (-Wthread-safety). It looks at each function by itself and takes a lambda for one that
// holds nothing, so a wait takes no predicate but stands in a loop:
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

/// Holds `mutex` while it lives, but for what lies between Unlock() and Lock().
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

/// That what a lock guards has changed. A wait gives the lock up meanwhile, and may end for no
/// reason.
class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void Wait(MutexLock& lock) { changed_.wait(lock.lock_); }
  /// False: the time is over.
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
