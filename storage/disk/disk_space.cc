#include "storage/disk/disk_space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "storage/disk/files.h"

namespace raftkv::storage {

FolderSpace::FolderSpace(std::string folder, std::uint64_t reserve_bytes)
    : folder_(std::move(folder)),
      path_(folder_ + "/" + kReserveName),
      reserve_bytes_(reserve_bytes) {}

std::optional<std::uint64_t> FolderSpace::Free() {
  struct statvfs found {};
  if (statvfs(folder_.c_str(), &found) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
}

bool FolderSpace::TakeReserve() {
  const int file = open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) return false;
  // Where the file system cannot do it at once the C library writes to each block.
  const auto bytes = static_cast<off_t>(reserve_bytes_);
  const bool taken = posix_fallocate(file, 0, bytes) == 0 && fsync(file) == 0;
  close(file);
  if (!taken) ReleaseReserve();
  return taken;
}

void FolderSpace::ReleaseReserve() {
  // If it is not there it holds nothing.
  static_cast<void>(unlink(path_.c_str()));
}

Status CheckReserve(const std::string& folder, std::uint64_t reserve_bytes) {
  std::string there = folder;
  struct statvfs found {};
  while (statvfs(there.c_str(), &found) != 0) {
    // Where the system does not say, the reserve is taken if it fits.
    if (errno != ENOENT || there == "/" || there == ".") return Status::Ok();
    there = ParentOf(there);
  }
  const std::uint64_t size = static_cast<std::uint64_t>(found.f_blocks) * found.f_frsize;
  if (size == 0 || reserve_bytes < size) return Status::Ok();
  return Status(Code::kInvalidArgument, "a disk reserve of " + std::to_string(reserve_bytes) +
                                            " bytes is more than the disk of " + folder +
                                            " can hold, which has " + std::to_string(size) +
                                            " bytes in all: choose a smaller one");
}

raft::Space SpaceRules::Judge(raft::Space before, std::uint64_t free, bool held) const {
  using raft::Space;
  if (held) {
    const std::uint64_t enough = before == Space::kEnough ? 2 * reserve_ : 3 * reserve_;
    return free >= enough ? Space::kEnough : Space::kDeletes;
  }
  // What was given up is what deletes may use, but for a rest that elections and flushes need.
  const std::uint64_t some = before == Space::kNone ? reserve_ / 2 : reserve_ / 4;
  return free >= some ? Space::kDeletes : Space::kNone;
}

}  // namespace raftkv::storage
