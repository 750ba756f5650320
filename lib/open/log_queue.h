// How do log lines reach the host's sink without making any thread wait for it?
//
// A thread of its own passes them on in order, from a bounded queue. A sink that is slow, or hangs
// (stderr is not read), costs lines, which are counted and reported, and nothing else.
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
  /// Accepts one line, at once; from any thread, even after the queue is closed (the line is
  /// dropped then).
  using Add = std::function<void(LogLevel, const std::string&)>;

  static constexpr std::size_t kMaxLines = 4096;
  static constexpr std::size_t kMaxBytes = 1 << 20;
  /// Time for the lines queued at the end. A sink that hangs for longer is abandoned with its
  /// thread.
  static constexpr std::chrono::milliseconds kLinger{1000};

  /// Unavailable: the system has no thread left.
  static Result<std::unique_ptr<LogQueue>> Start(Sink sink);
  /// Passes on what is queued, for at most kLinger.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  [[nodiscard]] Add adder() const;
  /// Like the destructor; may be called twice.
  void Close();

 private:
  struct State;
  explicit LogQueue(Sink sink);

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace raftkv
