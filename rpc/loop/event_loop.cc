#include "rpc/loop/event_loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <tuple>

#include "lib/base/check.h"
#include "lib/base/thread.h"

namespace raftkv::rpc {
namespace {

// KJ's complaints belong to the node's log, not to the host's stderr.
class LogToSink final : public kj::ExceptionCallback {
 public:
  explicit LogToSink(const node::LogSink& sink) : sink_(sink) {}

  void logMessage(kj::LogSeverity severity, const char* file, int line, int,
                  kj::String&& text) override {
    if (!sink_) return;
    std::string message = "kj " + std::string(file) + ':' + std::to_string(line) + ": " +
                          std::string(text.begin(), text.end());
    std::replace(message.begin(), message.end(), '\n', ' ');
    sink_(severity == kj::LogSeverity::DBG || severity == kj::LogSeverity::INFO
              ? node::LogSeverity::kDebug
              : node::LogSeverity::kWarn,
          message);
  }
  // Stack traces cost more than the failures that they describe: a lost connection is an ordinary
  // event.
  StackTraceMode stackTraceMode() override { return StackTraceMode::NONE; }

 private:
  const node::LogSink& sink_;
};

/// A disposition as the kernel keeps it. The C library's call adds a flag of its own, which would
/// be a difference that the host can see.
struct KernelDisposition {
  void* handler;
  unsigned long flags;
  void* restorer;
  std::uint64_t mask;
};

// UnixEventPort's constructor calls signal(SIGPIPE, SIG_IGN); several loops may start at a time.
kj::AsyncIoContext SetupIoLikeAGuest() {
  static Mutex one_at_a_time;
  const MutexLock lock(one_at_a_time);
  KernelDisposition before{};
  RAFTKV_CHECK(syscall(SYS_rt_sigaction, SIGPIPE, nullptr, &before, sizeof before.mask) == 0,
               errno);
  kj::AsyncIoContext io = kj::setupAsyncIo();
  // This takes back what the event port did.
  RAFTKV_CHECK(syscall(SYS_rt_sigaction, SIGPIPE, &before, nullptr, sizeof before.mask) == 0,
               errno);
  return io;
}

/// KJ's clock is a different one: it stops while the machine is suspended.
kj::TimePoint ToKjTime(Duration from_now) {
  const auto wait = std::max(from_now, Duration::zero()).count() * kj::NANOSECONDS;
  return kj::systemPreciseMonotonicClock().now() + wait;
}

}  // namespace

struct EventLoop::Body final : kj::TaskSet::ErrorHandler {
  explicit Body(EventLoop& owner)
      : owner(owner),
        io(SetupIoLikeAGuest()),
        wakeups(io.unixEventPort, owner.wake_fd_, kj::UnixEventPort::FdObserver::OBSERVE_READ),
        timer_wait(nullptr),
        tasks(*this) {
    auto paf = kj::newPromiseAndFulfiller<void>();
    stopped = kj::mv(paf.promise);
    stop = kj::mv(paf.fulfiller);
  }
  void taskFailed(kj::Exception&& exception) override {
    if (owner.options_.log_sink) {
      owner.options_.log_sink(node::LogSeverity::kWarn,
                              std::string("a task failed: ") + exception.getDescription().cStr());
    }
  }

  EventLoop& owner;
  kj::AsyncIoContext io;
  kj::UnixEventPort::FdObserver wakeups;
  kj::Promise<void> stopped = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> stop;
  kj::Promise<void> timer_wait;
  kj::TaskSet tasks;
};

EventLoop::EventLoop(EventLoopOptions options) : options_(std::move(options)) {}

Result<std::unique_ptr<EventLoop>> EventLoop::Start(EventLoopOptions options) {
  if (options.reserved_signal < 0 || options.reserved_signal > SIGRTMAX) {
    return Status(Code::kInvalidArgument, "reserved_signal " +
                                              std::to_string(options.reserved_signal) +
                                              " is not a signal; 0 selects the default");
  }
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(options)));
  loop->wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->wake_fd_ < 0) {
    return Status(Code::kUnavailable, std::string("cannot create an eventfd: ") + strerror(errno));
  }
  std::promise<Status> started;
  auto thread =
      StartThread(loop->options_.thread_name.substr(0, 15), [&loop_ref = *loop, &started] {
        loop_ref.Run([&started](Status status) { started.set_value(std::move(status)); });
      });
  if (!thread.ok()) return thread.status();
  loop->thread_ = *std::move(thread);
  Status status = started.get_future().get();
  if (!status.ok()) return status;
  return loop;
}

EventLoop::~EventLoop() {
  Stop();
  if (wake_fd_ >= 0) close(wake_fd_);
}

void EventLoop::Run(const std::function<void(Status)>& started) {
  const HostScope no_waiting(&own_threads_);
  loop_thread_.store(std::this_thread::get_id());
  LogToSink log_to_sink(options_.log_sink);
  bool running = false;
  auto failed = kj::runCatchingExceptions([&] {
    Body body(*this);
    body_ = &body;
    body.tasks.add(WatchWakeups());
    running = true;
    started(Status::Ok());
    body.stopped.wait(body.io.waitScope);
    std::vector<OnceFunction<void()>> dropped;
    {
      const MutexLock lock(mutex_);
      ended_ = true;
      dropped.swap(posted_);
    }
    dropped.clear();
    timers_.clear();
    body_ = nullptr;
  });
  KJ_IF_MAYBE (exception, failed) {
    RAFTKV_CHECK(!running, "the event loop broke:", exception->getDescription().cStr());
    body_ = nullptr;
    started(Status(Code::kUnavailable, std::string("cannot start an event loop: ") +
                                           exception->getDescription().cStr()));
  }
}

void EventLoop::Stop() {
  if (!thread_.joinable()) return;
  RAFTKV_CHECK(!OnLoop());
  Post([this] { body_->stop->fulfill(); });
  const WaitsFor waits(own_threads_);
  thread_.join();
}

bool EventLoop::OnLoop() const { return loop_thread_.load() == std::this_thread::get_id(); }

MonoTime EventLoop::Now() {
  // Unlike std::chrono::steady_clock it continues while the machine is suspended. A lease that
  // stopped with it would still be trusted after others have elected a new leader.
  timespec now{};
  RAFTKV_CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0, errno);
  return MonoTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

void EventLoop::Post(OnceFunction<void()> work) {
  const MutexLock lock(mutex_);
  if (ended_) return;  // `work` is destroyed by the caller's frame, after the lock is released
  // One wake-up per batch: the poster that finds the queue empty rings.
  const bool ring = posted_.empty();
  posted_.push_back(std::move(work));
  if (!ring) return;
  if (OnLoop() && body_ != nullptr) {
    RunLater([this] { DrainPosted(); });  // no need for the wake-up and its three system calls
  } else {
    WakeUp();
  }
}

void EventLoop::WakeUp() {
  const std::uint64_t one = 1;
  ssize_t written;
  do {
    written = write(wake_fd_, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  // EAGAIN: the counter is at its maximum, so the loop is woken anyway.
  RAFTKV_CHECK(written == sizeof one || errno == EAGAIN, errno);
}

kj::Promise<void> EventLoop::WatchWakeups() {
  std::uint64_t count;
  // One read empties the counter; an empty one (the first time) is fine too.
  [[maybe_unused]] const ssize_t size = read(wake_fd_, &count, sizeof count);
  DrainPosted();
  return body_->wakeups.whenBecomesReadable().then([this] { return WatchWakeups(); });
}

void EventLoop::DrainPosted() {
  std::vector<OnceFunction<void()>> batch;
  {
    const MutexLock lock(mutex_);
    batch.swap(posted_);
    posted_.reserve(batch.size());
  }
  for (OnceFunction<void()>& work : batch) RunContained(work);
}

void EventLoop::RunContained(OnceFunction<void()>& work) {
  auto failed = kj::runCatchingExceptions([&work] { work(); });
  KJ_IF_MAYBE (exception, failed) body_->taskFailed(kj::mv(*exception));
}

bool EventLoop::Call(const std::function<void()>& work) {
  if (OnLoop()) {
    work();
    return true;
  }
  // The promise is broken when the posted function is dropped without having run.
  std::promise<void> done;
  std::future<void> finished = done.get_future();
  Post([&work, done = std::move(done)]() mutable {
    work();
    done.set_value();
  });
  const WaitsFor waits(own_threads_);
  try {
    finished.get();
    return true;
  } catch (const std::future_error&) {
    return false;
  }
}

void EventLoop::At(MonoTime when, OnceFunction<void()> work) {
  if (when == kNever) return;
  timers_.push_back({when, timer_order_++, std::move(work)});
  std::push_heap(timers_.begin(), timers_.end(), [](const Timer& a, const Timer& b) {
    return std::tie(b.when, b.order) < std::tie(a.when, a.order);
  });
  if (when < armed_for_) ArmTimer();
}

void EventLoop::ArmTimer() {
  armed_for_ = timers_.front().when;
  const MonoTime now = Now();
  body_->timer_wait = timer()
                          .atTime(ToKjTime(std::max(armed_for_, now) - now))
                          .then([this] {
                            // Not from inside the promise that FireTimers may replace.
                            armed_for_ = kNever;
                            RunLater([this] { FireTimers(); });
                          })
                          .eagerlyEvaluate(nullptr);
}

void EventLoop::FireTimers() {
  const auto later = [](const Timer& a, const Timer& b) {
    return std::tie(b.when, b.order) < std::tie(a.when, a.order);
  };
  const MonoTime now = Now();
  while (!timers_.empty() && timers_.front().when <= now) {
    std::pop_heap(timers_.begin(), timers_.end(), later);
    auto work = std::move(timers_.back().work);
    timers_.pop_back();
    RunContained(work);
  }
  if (!timers_.empty() && timers_.front().when < armed_for_) ArmTimer();
}

void EventLoop::RunLast(OnceFunction<void()> work) {
  Spawn(kj::evalLast([work = std::move(work)]() mutable { work(); }));
}

void EventLoop::RunLater(OnceFunction<void()> work) {
  Spawn(kj::evalLater([work = std::move(work)]() mutable { work(); }));
}

kj::Timer& EventLoop::timer() { return body_->io.lowLevelProvider->getTimer(); }
kj::LowLevelAsyncIoProvider& EventLoop::low_level() { return *body_->io.lowLevelProvider; }
kj::Network& EventLoop::network() { return body_->io.provider->getNetwork(); }
void EventLoop::Spawn(kj::Promise<void> promise) {
  // While the loop ends, objects that lived there release others: nothing new starts.
  if (body_ != nullptr) body_->tasks.add(kj::mv(promise));
}

}  // namespace raftkv::rpc
