#include "cmd/idle_memory.h"

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace raftkv::cmd {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::seconds kLookEvery(1);
/// The share of one core that an idle process uses at most: heartbeats and timers.
constexpr int kIdlePercent = 20;
constexpr int kIdleLooks = 3;
constexpr std::int64_t kWorthwhileBytes = 16 << 20;

nanoseconds CpuTime() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + nanoseconds(used.tv_nsec);
}

/// Memory of the process that is neither in use nor of a file.
std::int64_t FreedBytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size_pages = 0;
  std::int64_t resident_pages = 0;
  std::int64_t file_pages = 0;
  if (!(statm >> size_pages >> resident_pages >> file_pages)) return 0;
  const struct mallinfo2 heap = mallinfo2();
  const auto in_use = static_cast<std::int64_t>(heap.uordblks + heap.hblkhd);
  return std::max<std::int64_t>((resident_pages - file_pages) * sysconf(_SC_PAGESIZE) - in_use, 0);
}

}  // namespace

bool IdleMemory::IsIdle() {
  const Clock::time_point now = Clock::now();
  const nanoseconds cpu = CpuTime();
  const bool idle = (cpu - last_cpu_) * 100 < (now - last_look_) * kIdlePercent;
  last_look_ = now;
  last_cpu_ = cpu;
  idle_looks_ = idle ? idle_looks_ + 1 : 0;
  return idle_looks_ >= kIdleLooks;
}

void IdleMemory::Look() {
  const Clock::time_point now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLookEvery;
  if (!IsIdle()) return;
  const std::int64_t freed = FreedBytes();
  kept_bytes_ = std::min(kept_bytes_, freed);
  if (freed - kept_bytes_ < kWorthwhileBytes) return;
  malloc_trim(0);
  kept_bytes_ = FreedBytes();
}

}  // namespace raftkv::cmd
