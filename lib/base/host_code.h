// How is host code called, and what may it do? (The rules are in <raftkv/kv.h>.)
//
// Every callback, log sink and progress callback runs inside a HostScope, and so does everything on
// raftkv's own threads. No call of raftkv may block there: it would wait for the very thread that
// it runs on. Exceptions of the host end here.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <raftkv/status.h>

#include "lib/base/thread.h"

namespace raftkv {

/// One or more of raftkv's threads that their owner joins when it is closed.
struct OwnThreads {
  /// How many closers (see ThreadedOwner) wait for these threads.
  std::atomic<int> closers{0};
};

/// While it exists, marks this thread as one that must not wait. `own`: the thread is one of these.
class HostScope {
 public:
  explicit HostScope(OwnThreads* own = nullptr);
  ~HostScope();
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;
};

/// Wraps a wait for `threads`. If one of them ends the process, that wait is in vain, and the end
/// of the process must not wait for the waiting thread.
class WaitsFor {
 public:
  explicit WaitsFor(OwnThreads& threads);
  ~WaitsFor();
  WaitsFor(const WaitsFor&) = delete;
  WaitsFor& operator=(const WaitsFor&) = delete;

 private:
  OwnThreads& threads_;
};

/// Whether this thread is one of raftkv's, or runs a callback.
[[nodiscard]] bool InCallback();

/// Ok, or InvalidArgument inside a callback. `call` is its name.
Status MayBlock(const char* call);

/// Receives what a callback threw; empty: printed to stderr.
using ThrownSink = std::function<void(const std::string& line)>;

/// Runs `code` in a HostScope; reports what it throws, naming `what`. False: it threw.
bool RunHostCode(const char* what, const ThrownSink& thrown, const std::function<void()>& code);

/// `callback`, to be run at most once, by RunHostCode; what it holds is released there as well. An
/// empty one ignores the result.
template <class... Args>
std::function<void(Args...)> Contained(std::function<void(Args...)> callback, ThrownSink thrown) {
  return [callback = std::move(callback), thrown = std::move(thrown)](Args... args) mutable {
    RunHostCode("a callback", thrown, [&] {
      const auto run = std::exchange(callback, nullptr);
      if (run) run(std::move(args)...);
    });
  };
}

namespace internal {
/// Id of this process.
int ProcessId();
/// Runs `close` on a thread that is never joined; false: there is none left. The end of the process
/// waits for it, but not in vain, and not forever: see WaitForClosers.
bool CloseElsewhere(std::function<void()> close);
/// Keeps an object that is never deleted reachable, so that a leak checker does not report it.
void Keep(void* object);
/// Runs `close` when the process ends, unless `object` is destroyed by then.
void CloseAtExit(const std::weak_ptr<void>& object, std::function<void()> close);
}  // namespace internal

/// The result of a call in a process that was forked from the one that created its object.
Status OfForkedChild(const char* call);

/// Holds an object that has threads, and releases it wherever its owner does: inside a callback on
/// a thread of its own, since the object's threads may have to be joined; in a forked child, which
/// has none of them, not at all. An owner that exists when the process ends may be destroyed after
/// everything that the object needs, or never: `close`, if set, is called before that.
template <class T>
class ThreadedOwner {
 public:
  explicit ThreadedOwner(std::unique_ptr<T> object, void (*close)(T&) = nullptr)
      : object_(std::move(object)) {
    if (close == nullptr) return;
    internal::CloseAtExit(object_, [weak = std::weak_ptr<T>(object_), close] {
      if (const auto open = weak.lock()) close(*open);
    });
  }
  ThreadedOwner(const ThreadedOwner&) = delete;
  ThreadedOwner& operator=(const ThreadedOwner&) = delete;
  ~ThreadedOwner() {
    if (!Forked() && !InCallback()) return;
    auto* const last = new std::shared_ptr<T>(std::move(object_));
    // If there is no thread left, leak the memory rather than end the process.
    if (!Forked() && internal::CloseElsewhere([last] { delete last; })) return;
    internal::Keep(last);
  }

  T* operator->() const { return object_.get(); }
  /// As raftkv::MayBlock; in a forked child nothing would ever answer.
  [[nodiscard]] Status MayBlock(const char* call) const {
    return Forked() ? OfForkedChild(call) : raftkv::MayBlock(call);
  }

 private:
  [[nodiscard]] bool Forked() const { return internal::ProcessId() != process_; }

  /// Shared only with the handler at the end of the process.
  std::shared_ptr<T> object_;
  const int process_ = internal::ProcessId();
};

/// `open()`, which returns a Status or a Result; Unavailable if the system has no thread or memory
/// left.
template <class Open>
auto OpenOrUnavailable(const Open& open) -> decltype(open()) {
  try {
    return open();
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable,
                  std::string("the system has no thread or memory left: ") + error.what());
  }
}

/// The same on a thread of its own, while this one waits: none of the threads created there,
/// including RocksDB's, takes a signal that is meant for the host.
template <class Open>
auto OpenApart(const Open& open) -> decltype(open()) {
  decltype(open()) opened = Status(Code::kUnavailable, "it was not opened");
  Result<std::thread> thread =
      StartThread("raftkv-open", [&] { opened = OpenOrUnavailable(open); });
  if (!thread.ok()) return thread.status();
  thread->join();
  return opened;
}

}  // namespace raftkv
