// Who writes to stdout? This thread alone, each line as soon as the reader takes it.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>

#include <raftkv/status.h>

#include "lib/base/mutex.h"  // check:allow include: nothing of raftkv itself

namespace raftkv::cmd::maelstrom {

class LineWriter {
 public:
  explicit LineWriter(int fd);
  /// Gives what waits a moment to be taken; the rest is lost.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  /// Of lines that wait. A network may lose messages of peers, so they go first.
  static constexpr std::size_t kMaxBytes = 64 << 20;
  static constexpr std::size_t kMaxPeerBytes = 32 << 20;

  /// From any thread, never waits; `line` without its end. Where too much waits it is dropped.
  void WritePeer(std::string line) { Write(std::move(line), kMaxPeerBytes); }
  void WriteAnswer(std::string line) { Write(std::move(line), kMaxBytes); }

  /// IOError: a line could not be written, the disk is full for example. Nothing is any more.
  [[nodiscard]] Status Failure();
  /// What the destructor does; and then the failure.
  Status Finish();

 private:
  void Write(std::string line, std::size_t max_bytes) RAFTKV_EXCLUDES(mutex_);
  void Run();
  /// False: nobody reads any more, or the time for the end is over.
  bool WriteAll(const std::string& bytes) RAFTKV_EXCLUDES(mutex_);
  [[nodiscard]] bool GivesUp() RAFTKV_EXCLUDES(mutex_);
  /// False.
  bool Fail(int error) RAFTKV_EXCLUDES(mutex_);

  const int fd_;
  Mutex mutex_;
  Condition changed_;
  std::string waiting_ RAFTKV_GUARDED_BY(mutex_);
  bool stopping_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool broken_ RAFTKV_GUARDED_BY(mutex_) = false;
  int error_ RAFTKV_GUARDED_BY(mutex_) = 0;  ///< of the write that failed
  std::chrono::steady_clock::time_point give_up_at_ RAFTKV_GUARDED_BY(mutex_);

  std::thread thread_;  // the last member: it uses the others
};

}  // namespace raftkv::cmd::maelstrom
