// What does the program do with memory that it has freed? It gives it back to the system once the
// process is idle.
//
// The allocator keeps what was freed for the next burst; after one of large values that is more
// than all that is in use. Giving it back costs page faults later, so it waits until there is
// nothing to do.
#pragma once

#include <chrono>
#include <cstdint>

namespace raftkv::cmd {

class IdleMemory {
 public:
  /// Called a few times a second, on a thread that may take some 100 ms.
  void Look();

 private:
  using Clock = std::chrono::steady_clock;

  bool IsIdle();

  Clock::time_point next_look_{};
  Clock::time_point last_look_{};
  std::chrono::nanoseconds last_cpu_{0};
  int idle_looks_ = 0;
  /// What could not be given back the last time.
  std::int64_t kept_bytes_ = 0;
};

}  // namespace raftkv::cmd
