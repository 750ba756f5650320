#include "storage/disk/disk_space.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
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
  // One of an earlier start may be larger.
  const bool taken =
      ftruncate(file, bytes) == 0 && posix_fallocate(file, 0, bytes) == 0 && fsync(file) == 0;
  close(file);
  if (!taken) ReleaseReserve();
  return taken;
}

void FolderSpace::ReleaseReserve() {
  // If it is not there it holds nothing.
  static_cast<void>(unlink(path_.c_str()));
}

std::optional<std::uint64_t> DiskBytes(std::string folder) {
  struct statvfs found {};
  while (statvfs(folder.c_str(), &found) != 0) {
    if (errno != ENOENT || folder == "/" || folder == ".") return std::nullopt;
    folder = ParentOf(folder);
  }
  const std::uint64_t size = static_cast<std::uint64_t>(found.f_blocks) * found.f_frsize;
  return size > 0 ? std::optional(size) : std::nullopt;
}

Status CheckReserve(const std::string& folder, std::uint64_t reserve_bytes) {
  const std::string reserve =
      "a disk reserve of " + std::to_string(reserve_bytes) + " bytes (--disk-reserve) ";
  rlimit file_limit{};
  if (getrlimit(RLIMIT_FSIZE, &file_limit) == 0 && reserve_bytes > file_limit.rlim_cur) {
    return Status(Code::kInvalidArgument,
                  reserve + "is one file, but this process may write files of at most " +
                      std::to_string(file_limit.rlim_cur) +
                      " bytes (ulimit -f): choose a smaller reserve, or raise the limit");
  }
  const std::optional<std::uint64_t> size = DiskBytes(folder);
  if (!size) return Status::Ok();
  const std::uint64_t most = *size / (SpaceRules::kFreeToTake + 1);
  if (reserve_bytes <= most) return Status::Ok();
  return Status(Code::kInvalidArgument,
                reserve + "needs a disk at least " + std::to_string(SpaceRules::kFreeToTake + 1) +
                    " times as large, and the disk of " + folder + " has " + std::to_string(*size) +
                    " bytes in all: choose a reserve of at most " + std::to_string(most) +
                    " bytes");
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

raft::Space SteadySpace::Tell(raft::Space found, Time now) {
  using raft::Space;
  if (found > told_) {
    const bool lasted = !rose_at_ || now - *rose_at_ >= kLasting;
    if (told_ == Space::kEnough) hold_ = lasted ? kShortest : kLongest;
    told_ = found;
  }
  if (found != Space::kEnough) {
    enough_since_.reset();
    return told_ = found;
  }
  if (told_ == Space::kEnough) return told_;
  if (!enough_since_) enough_since_ = now;
  if (now - *enough_since_ < hold_) return told_ = Space::kDeletes;
  rose_at_ = now;
  enough_since_.reset();
  return told_ = Space::kEnough;
}

}  // namespace raftkv::storage
