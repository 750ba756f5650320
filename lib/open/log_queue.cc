#include "lib/open/log_queue.h"

#include <cstdint>
#include <deque>
#include <utility>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/thread.h"

namespace raftkv {

struct LogQueue::State {
  explicit State(Sink sink) : sink(std::move(sink)) {}

  // Constant after construction; used by the queue's thread only.
  const Sink sink;

  struct Line {
    LogLevel level;
    std::string text;
  };
  Mutex mutex;
  Condition changed;
  std::deque<Line> lines RAFTKV_GUARDED_BY(mutex);
  std::size_t bytes RAFTKV_GUARDED_BY(mutex) = 0;
  std::uint64_t dropped RAFTKV_GUARDED_BY(mutex) = 0;
  bool closing RAFTKV_GUARDED_BY(mutex) = false;
  bool ended RAFTKV_GUARDED_BY(mutex) = false;

  void Add(LogLevel level, const std::string& text) {
    const MutexLock lock(mutex);
    if (closing) return;
    if (lines.size() >= kMaxLines || bytes + text.size() > kMaxBytes) {
      ++dropped;
      return;
    }
    bytes += text.size();
    lines.push_back({level, text});
    if (lines.size() == 1) changed.NotifyAll();
  }

  void Run() {
    MutexLock lock(mutex);
    while (true) {
      while (!closing && lines.empty()) changed.Wait(lock);
      if (lines.empty()) break;
      std::deque<Line> taken;
      taken.swap(lines);
      const std::uint64_t lost = std::exchange(dropped, 0);
      bytes = 0;
      lock.Unlock();
      for (const Line& line : taken) HandOn(line);
      if (lost > 0) {
        HandOn({LogLevel::kWarn,
                std::to_string(lost) + " log lines were dropped here: the log sink was too slow"});
      }
      lock.Lock();
    }
    ended = true;
    changed.NotifyAll();
  }

  void HandOn(const Line& line) const {
    RunHostCode("log_sink", nullptr, [&] { sink(line.level, line.text); });
  }
};

LogQueue::LogQueue(Sink sink) : state_(std::make_shared<State>(std::move(sink))) {}

Result<std::unique_ptr<LogQueue>> LogQueue::Start(Sink sink) {
  std::unique_ptr<LogQueue> queue(new LogQueue(std::move(sink)));
  auto thread = StartThread("raftkv-log", [state = queue->state_]() mutable {
    // What the sink holds may be released with the last reference to the queue, here.
    const HostScope no_waiting;
    const std::shared_ptr<State> held = std::move(state);
    held->Run();
  });
  if (!thread.ok()) return thread.status();
  queue->thread_ = *std::move(thread);
  return queue;
}

LogQueue::~LogQueue() { Close(); }

LogQueue::Add LogQueue::adder() const {
  return [state = state_](LogLevel level, const std::string& line) { state->Add(level, line); };
}

void LogQueue::Close() {
  if (!thread_.joinable()) return;
  bool ended = false;
  {
    MutexLock lock(state_->mutex);
    state_->closing = true;
    state_->changed.NotifyAll();
    // The sink itself may close the node.
    const bool inside = thread_.get_id() == std::this_thread::get_id();
    const auto deadline = std::chrono::steady_clock::now() + kLinger;
    while (!inside && !state_->ended && state_->changed.WaitUntil(lock, deadline)) {
    }
    ended = !inside && state_->ended;
  }
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();  // check:allow detach: a sink that hangs cannot be joined
  }
}

}  // namespace raftkv
