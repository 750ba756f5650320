// On which thread does a node or a client run, and how does work get there?
//
// One thread with a KJ event loop. It blocks every signal, so the host's handlers never run on it
// and a closed socket raises no SIGPIPE. KJ's event port on Linux waits by epoll and needs no
// signal of its own, but sets SIGPIPE to be ignored in the whole process when it is made: Start()
// takes that back before it returns (a host thread that changes its SIGPIPE disposition in the same
// microseconds may lose that change; nothing else can be noticed).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <raftkv/status.h>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/once_function.h"
#include "lib/node/ports.h"
#include "lib/session/session_kv.h"

namespace raftkv::rpc {

struct EventLoopOptions {
  /// At most 15 bytes; shown by `top -H`.
  std::string thread_name = "raftkv-loop";
  /// NodeOptions::reserved_signal: not needed by KJ's event port on Linux, so only checked to be a
  /// signal.
  int reserved_signal = 0;
  /// For KJ's own complaints; may be empty. Runs on the loop.
  node::LogSink log_sink;
};

class EventLoop final : public node::Loop {
 public:
  /// Unavailable if the system has no thread or descriptor left.
  static Result<std::unique_ptr<EventLoop>> Start(EventLoopOptions options);
  /// Stops; everything that lives on the loop must have been destroyed (see Call).
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // --- From any thread.
  void Post(OnceFunction<void()> work) override;
  MonoTime Now() override;
  [[nodiscard]] bool OnLoop() const;
  /// Runs `work` on the loop and waits for it; at once if this is the loop. False: the loop has
  /// ended and `work` was not run. `work` must not throw. For building and destroying what lives
  /// there.
  bool Call(const std::function<void()>& work);
  /// Ends the loop and joins its thread; not from the loop. Work that was posted and timers that
  /// are set are dropped. May be called twice.
  void Stop();

  // --- On the loop only.
  void At(MonoTime when, OnceFunction<void()> work) override;
  /// Runs `work` once everything that is ready now has been done, before the loop waits again.
  void RunLast(OnceFunction<void()> work);
  /// Runs `work` in a later turn.
  void RunLater(OnceFunction<void()> work);
  [[nodiscard]] kj::Timer& timer();
  [[nodiscard]] kj::LowLevelAsyncIoProvider& low_level();
  [[nodiscard]] kj::Network& network();
  /// Runs `promise`; a failure is logged.
  void Spawn(kj::Promise<void> promise);

 private:
  struct Body;  // objects that live on the loop's thread
  struct Timer {
    MonoTime when;
    std::uint64_t order;
    OnceFunction<void()> work;
  };

  explicit EventLoop(EventLoopOptions options);
  void Run(const std::function<void(Status)>& started);
  void DrainPosted();
  void WakeUp() RAFTKV_REQUIRES(mutex_);
  void ArmTimer();
  void FireTimers();
  /// An exception ends only `work`, and is logged: other waiting work must still run.
  void RunContained(OnceFunction<void()>& work);
  kj::Promise<void> WatchWakeups();

  // Constant after construction.
  const EventLoopOptions options_;
  OwnThreads own_threads_;
  std::thread thread_;

  // Owned by the loop's thread.
  Body* body_ = nullptr;
  std::vector<Timer> timers_;  // a heap, the earliest at the front
  std::uint64_t timer_order_ = 0;
  MonoTime armed_for_ = kNever;

  // Shared.
  std::atomic<std::thread::id> loop_thread_{};
  Mutex mutex_;
  std::vector<OnceFunction<void()>> posted_ RAFTKV_GUARDED_BY(mutex_);
  bool ended_ RAFTKV_GUARDED_BY(mutex_) = false;
  int wake_fd_ = -1;  // eventfd, set by Start(); written to (WakeUp) while !ended_
};

}  // namespace raftkv::rpc
