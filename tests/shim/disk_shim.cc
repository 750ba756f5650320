// What if a sync does not return, or fails? Loaded into a process by LD_PRELOAD.
//
// A sync of a file below a folder "log" hangs while the file that DISK_SHIM_HANG names exists, and
// fails with EIO while the one that DISK_SHIM_EIO names does.
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool Exists(const char* variable) {
  const char* path = std::getenv(variable);
  return path != nullptr && access(path, F_OK) == 0;
}

bool IsOfLog(int file) {
  char link[64];
  char path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return std::strstr(path, "/log/") != nullptr;
}

int SyncWith(const char* name, int file) {
  if (IsOfLog(file)) {
    while (Exists("DISK_SHIM_HANG")) {
      const timespec moment{.tv_sec = 0, .tv_nsec = 2'000'000};
      nanosleep(&moment, nullptr);  // check:allow sleep: it is the hanging disk
    }
    if (Exists("DISK_SHIM_EIO")) {
      errno = EIO;
      return -1;
    }
  }
  using Sync = int (*)(int);
  return reinterpret_cast<Sync>(dlsym(RTLD_NEXT, name))(file);
}

}  // namespace

extern "C" int fdatasync(int file) { return SyncWith("fdatasync", file); }
extern "C" int fsync(int file) { return SyncWith("fsync", file); }
