// How is the host's code called, and what may it do there? (The rule is in <raftkv/kv.h>.)
//
// Every callback, log sink and progress callback runs inside a HostScope, and so does everything
// that runs on a thread of ours. No call of ours may block there: it would wait for the very thread
// that it runs on. What the host throws ends here.
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

/// One or several threads of ours that their owner waits for when it is closed.
struct OwnThreads {
  /// Of those that close an object elsewhere (see ThreadedOwner): how many wait for these threads.
  std::atomic<int> closers{0};
};

/// Marks this thread as one that must not wait, while it lives. `own`: the thread is one of these.
class HostScope {
 public:
  explicit HostScope(OwnThreads* own = nullptr);
  ~HostScope();
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;
};

/// Goes around whatever waits for `threads`. If one of them ends the process, it is waited for in
/// vain, and the end of the process must not wait for who does.
class WaitsFor {
 public:
  explicit WaitsFor(OwnThreads& threads);
  ~WaitsFor();
  WaitsFor(const WaitsFor&) = delete;
  WaitsFor& operator=(const WaitsFor&) = delete;

 private:
  OwnThreads& threads_;
};

/// This thread is ours, or runs a callback.
[[nodiscard]] bool InCallback();

/// Ok, or InvalidArgument inside a callback. `call` is its name.
Status MayBlock(const char* call);

/// What a callback threw is said there; empty: on stderr.
using ThrownSink = std::function<void(const std::string& line)>;

/// Runs `code` in a HostScope; says what it throws, as by `what`. False: it threw.
bool RunHostCode(const char* what, const ThrownSink& thrown, const std::function<void()>& code);

/// `callback`, to be run once at most, by RunHostCode; what it holds goes there as well. An empty
/// one stands for a host that does not care.
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
/// Of this process.
int ProcessId();
/// Runs `close` on a thread that nobody joins; false: there is none. The end of the process waits
/// for it, but not in vain, and not for ever: see WaitForClosers.
bool CloseElsewhere(std::function<void()> close);
/// Keeps what is never deleted within reach, so that a leak checker does not report it.
void Keep(void* object);
/// Runs `close` when the process ends, unless `object` is gone by then.
void CloseAtExit(const std::weak_ptr<void>& object, std::function<void()> close);
}  // namespace internal

/// What a call answers in a process that was forked from the one that made its object.
Status OfForkedChild(const char* call);

/// Holds an object that has threads, and lets go of it wherever its owner does: inside a callback
/// on a thread of its own, since those of the object may have to be waited for; in a forked child,
/// which has none of them, not at all. What still has it when the process ends may be destroyed
/// after all that it needs, or never: `close`, if there is one, is called before that.
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
    // Where there is no thread to be had the memory is lost rather than the process.
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

  /// Shared with the end of the process alone.
  std::shared_ptr<T> object_;
  const int process_ = internal::ProcessId();
};

/// `open()`, which answers a Status or a Result; Unavailable where the system has no thread or
/// memory to give.
template <class Open>
auto OpenOrUnavailable(const Open& open) -> decltype(open()) {
  try {
    return open();
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable,
                  std::string("the system has no thread or memory left: ") + error.what());
  }
}

/// The same on a thread of its own, while this one waits: none of the threads that are made
/// meanwhile, RocksDB's included, takes a signal that is meant for the host.
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
