#include "cmd/progress.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <iostream>
#include <utility>

#include <fmt/format.h>

namespace raftkv::cmd {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlainLine = std::chrono::seconds(2);
constexpr int kBarWidth = 30;

std::atomic<bool> g_stopped{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void OnStopSignal(int) { g_stopped = true; }

}  // namespace

std::string ShowBytesOf(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits.at(unit));
}

std::string ShowSeconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

ProgressBar::ProgressBar(std::string doing)
    : doing_(std::move(doing)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      next_(start_ + (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine))) {}

ProgressBar::~ProgressBar() {
  if (drawn_ && terminal_) std::cerr << '\n';
}

std::string ProgressBar::Line(const BackupProgress& progress, double seconds) const {
  const double done = static_cast<double>(progress.done_bytes);
  const double rate = done / std::max(seconds, 0.001);
  const std::string speed = ShowBytesOf(static_cast<std::uint64_t>(rate)) + "/s";
  if (progress.total_bytes == 0) {
    return fmt::format("{} {}, {}", doing_, ShowBytesOf(progress.done_bytes), speed);
  }
  const double part = std::min(done / static_cast<double>(progress.total_bytes), 1.0);
  const double left = static_cast<double>(progress.total_bytes) * (1 - part);
  const std::string bar(static_cast<std::size_t>(part * kBarWidth), '#');
  return fmt::format("{} {}{:3.0f} % of {}, {}, {} left", doing_,
                     terminal_ ? fmt::format("[{:.<{}}] ", bar, kBarWidth) : "", part * 100,
                     ShowBytesOf(progress.total_bytes), speed,
                     rate > 0 ? ShowSeconds(left / rate) : "?");
}

void ProgressBar::Show(const BackupProgress& progress) {
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine));
  const std::string line = Line(progress, std::chrono::duration<double>(now - start_).count());
  if (terminal_) {
    std::cerr << '\r' << line << "\x1b[K" << std::flush;
  } else {
    std::cerr << line << '\n' << std::flush;
  }
  drawn_ = true;
}

BackupProgressCallback ProgressBar::Callback() {
  return [this](const BackupProgress& progress) {
    Show(progress);
    return !StopFlag::Stopped();
  };
}

StopFlag::StopFlag() {
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_RESETHAND;  // a second one ends the process at once
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

StopFlag::~StopFlag() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

bool StopFlag::Stopped() { return g_stopped; }

}  // namespace raftkv::cmd
