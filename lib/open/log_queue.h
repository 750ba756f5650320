// How do log lines reach the host's sink without anybody waiting for it?
//
// A thread of its own hands them on in order, out of a bounded queue. A sink that is slow, or hangs
// (nobody reads stderr), costs lines, which are counted and reported, and nothing else.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <raftkv/node.h>
#include <raftkv/status.h>

namespace raftkv {

class LogQueue {
 public:
  using Sink = std::function<void(LogLevel, std::string_view)>;
  /// Takes one line, at once; from any thread, also after the queue is closed (and drops it then).
  using Add = std::function<void(LogLevel, const std::string&)>;

  static constexpr std::size_t kMaxLines = 4096;
  static constexpr std::size_t kMaxBytes = 1 << 20;
  /// For what is queued at the end. A sink that hangs for longer is left behind with its thread.
  static constexpr std::chrono::milliseconds kLinger{1000};

  /// Unavailable: the system has no thread to give.
  static Result<std::unique_ptr<LogQueue>> Start(Sink sink);
  /// Hands on what is queued, for kLinger at most.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  [[nodiscard]] Add adder() const;
  /// As the destructor; may be called twice.
  void Close();

 private:
  struct State;
  explicit LogQueue(Sink sink);

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace raftkv
