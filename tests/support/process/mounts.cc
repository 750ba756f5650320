#include "tests/support/process/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace raftkv::test {

namespace {

constexpr char kFiller[] = "filler";

std::string Problem(const std::string& what) {
  return what + ": " + std::strerror(errno) + "; this test mounts small disks, so run it as root";
}

}  // namespace

std::string MakeMountsPrivate() {
  if (unshare(CLONE_NEWNS) != 0) return Problem("could not get mounts of its own");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Problem("could not keep its mounts to itself");
  }
  return {};
}

SmallDisk::SmallDisk(std::filesystem::path path, std::uint64_t bytes) : path_(std::move(path)) {
  std::filesystem::create_directories(path_);
  const std::string size = "size=" + std::to_string(bytes);
  if (mount("raftkv-test", path_.c_str(), "tmpfs", 0, size.c_str()) != 0) {
    problem_ = Problem("could not mount " + path_.string());
  }
}

SmallDisk::~SmallDisk() {
  if (problem_.empty()) static_cast<void>(umount2(path_.c_str(), MNT_DETACH));
}

bool SmallDisk::Fill(std::uint64_t left) {
  const int file = open((path_ / kFiller).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  struct statvfs found {};
  bool filled = file >= 0 && statvfs(path_.c_str(), &found) == 0;
  const std::uint64_t free = static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
  if (filled && free > left) {
    const off_t end = lseek(file, 0, SEEK_END);
    filled = posix_fallocate(file, end, static_cast<off_t>(free - left)) == 0;
  }
  close(file);
  return filled;
}

void SmallDisk::Free() { std::filesystem::remove(path_ / kFiller); }

}  // namespace raftkv::test
