// What if the clock of the machine is wrong, or jumps? Loaded into a process by LD_PRELOAD.
//
// The wall clock is off by the number of seconds in the file that CLOCK_SHIM_OFFSET names.
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace {

long Offset() {
  const char* path = std::getenv("CLOCK_SHIM_OFFSET");
  if (path == nullptr) return 0;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[32] = {};
  const ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  long seconds = 0;
  std::from_chars(text, text + (size > 0 ? size : 0), seconds);
  return seconds;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += Offset();
  return result;
}
