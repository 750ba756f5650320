#include "storage/member/scrubber.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/thread.h"
#include "storage/disk/tables.h"

namespace raftkv::storage {

Scrubber::Scrubber(ScrubberOptions options, std::vector<Subject> subjects, Found found)
    : options_(std::move(options)), subjects_(std::move(subjects)), found_(std::move(found)) {
  RAFTKV_CHECK(options_.bytes_per_second > 0);
  thread_ = ThreadOrThrow("raftkv-scrub", [this] { Run(); });
}

void Scrubber::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

/// False: it is to stop.
bool Scrubber::Wait(Duration time) {
  MutexLock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!stopping_ && wake_.WaitUntil(lock, deadline)) {
  }
  return !stopping_;
}

bool Scrubber::Pace(std::size_t bytes) {
  bytes_ += bytes;
  constexpr double kNanos = 1e9;
  const double seconds =
      static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second);
  return Wait(Duration(static_cast<Duration::rep>(seconds * kNanos)));
}

void Scrubber::Run() {
  do {
    for (const Subject& subject : subjects_) {
      for (const std::string& path : subject.tables()) {
        Check(subject, path);
        if (!Wait(Duration::zero())) return;
      }
    }
    ++passes_;
  } while (Wait(options_.pause));
}

void Scrubber::Check(const Subject& subject, const std::string& path) {
  const Status status =
      VerifyTable(*options_.env, path, [this](std::size_t bytes) { return Pace(bytes); });
  if (status.ok() || status.code() == Code::kCancelled) return;
  // Compactions replace tables all the time: one that went meanwhile says nothing.
  const std::vector<std::string> now = subject.tables();
  if (std::find(now.begin(), now.end(), path) == now.end()) return;
  const bool gone = options_.env->FileExists(path).IsNotFound();
  if (status.code() == Code::kCorruption || gone) {
    found_(subject.which, Status(Code::kCorruption, status.message()));
  } else if (options_.log_sink) {
    options_.log_sink(node::LogSeverity::kWarn, status.message());
  }
}

}  // namespace raftkv::storage
