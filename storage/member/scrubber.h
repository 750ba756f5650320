// Is the data on disk still what was written?
//
// A thread of its own reads all tables of both databases again and again, at a limited rate: data
// that is not read for months would otherwise be found damaged when it is needed. Write-ahead logs
// and manifests are checked at each open instead.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/node/ports.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

struct ScrubberOptions {
  rocksdb::Env* env = nullptr;
  std::uint64_t bytes_per_second = 0;  ///< not 0
  /// From the end of a pass to the beginning of the next.
  Duration pause = std::chrono::minutes(1);
  node::LogSink log_sink;
};

class Scrubber {
 public:
  /// One database and its tables at the time of the call.
  struct Subject {
    Damaged which = Damaged::kNothing;
    std::function<std::vector<std::string>()> tables;
  };
  using Found = std::function<void(Damaged which, const Status& what)>;

  /// `found` runs on the scrubber's thread, for each damaged table of a pass. Throws like Worker if
  /// there is no thread left.
  Scrubber(ScrubberOptions options, std::vector<Subject> subjects, Found found);
  ~Scrubber() { Stop(); }
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  void Stop();
  // Safe from any thread.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(); }
  [[nodiscard]] std::uint64_t passes() const { return passes_.load(); }

 private:
  void Run();
  void Check(const Subject& subject, const std::string& path);
  bool Pace(std::size_t bytes);
  bool Wait(Duration time);

  // Constant after construction.
  const ScrubberOptions options_;
  const std::vector<Subject> subjects_;
  const Found found_;
  // Shared.
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> passes_{0};
  Mutex mutex_;
  Condition wake_;
  bool stopping_ RAFTKV_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace raftkv::storage
