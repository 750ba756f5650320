#include "tests/support/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
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

void SmallDisk::Fill() {
  const int file = open((path_ / kFiller).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  off_t end = 0;
  for (off_t step = off_t{64} << 20; file >= 0 && step >= 4096;) {
    if (posix_fallocate(file, end, step) == 0) {
      end += step;
    } else {
      step /= 2;
    }
  }
  close(file);
}

void SmallDisk::Free() { std::filesystem::remove(path_ / kFiller); }

}  // namespace raftkv::test
