// How does a user see how far a long transfer is?
//
// On stderr: a bar that moves where that is a terminal, else a plain line now and then, and none of
// a transfer that is over at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <raftkv/backup.h>

namespace raftkv::cmd {

class ProgressBar {
 public:
  /// `doing`: "saving".
  explicit ProgressBar(std::string doing);
  /// Ends the bar's line.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(const BackupProgress& progress);
  /// For options; false once SIGINT or SIGTERM has come. This object must outlive it.
  BackupProgressCallback Callback();

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] std::string Line(const BackupProgress& progress, double seconds) const;

  const std::string doing_;
  const bool terminal_;
  const Clock::time_point start_;
  Clock::time_point next_;
  bool drawn_ = false;
};

/// "12.3 MiB".
std::string ShowBytesOf(std::uint64_t bytes);
/// "1:02:03" or "2:03".
std::string ShowSeconds(double seconds);

/// While it lives SIGINT and SIGTERM only make Stopped() true, so that what was begun can be
/// removed.
class StopFlag {
 public:
  StopFlag();
  ~StopFlag();
  StopFlag(const StopFlag&) = delete;
  StopFlag& operator=(const StopFlag&) = delete;
  static bool Stopped();
};

}  // namespace raftkv::cmd
