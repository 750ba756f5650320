#include "storage/backup/backup_target.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include "storage/disk/files.h"
#include "storage/disk/real_fs.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kStdout = "-";
constexpr std::string_view kPartEnd = ".part";
/// poll() promises that a pipe takes so much without waiting (PIPE_BUF).
constexpr std::size_t kPortion = 4096;

/// A file that was opened; -1: none.
class OpenedFile {
 public:
  explicit OpenedFile(int file = -1) : file_(file) {}
  ~OpenedFile() {
    if (file_ >= 0) close(file_);
  }
  OpenedFile(OpenedFile&& from) noexcept : file_(std::exchange(from.file_, -1)) {}
  OpenedFile& operator=(OpenedFile&& from) noexcept {
    std::swap(file_, from.file_);
    return *this;
  }
  [[nodiscard]] int get() const { return file_; }

 private:
  int file_;
};

// --- What is written to.

class StreamSink final : public ByteSink {
 public:
  StreamSink(std::string path, OpenedFile file, KeepGoing keep_going)
      : path_(std::move(path)), file_(std::move(file)), keep_going_(std::move(keep_going)) {
    struct stat about {};
    is_regular_ = fstat(file_.get(), &about) == 0 && S_ISREG(about.st_mode);
  }

  Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      if (keep_going_ && !keep_going_(done_)) return {Code::kCancelled, "the backup was stopped"};
      pollfd writable{file_.get(), POLLOUT, 0};
      const int ready = poll(&writable, 1, kLookEveryMs);
      if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
      const std::size_t size = is_regular_ ? bytes.size() : std::min(bytes.size(), kPortion);
      const ssize_t written = ready < 0 ? -1 : write(file_.get(), bytes.data(), size);
      if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (written < 0) return SystemStatus("write " + path_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      done_ += static_cast<std::uint64_t>(written);
    }
    return Status::Ok();
  }

  Status Finish() override {
    // A pipe, a terminal and most devices have nothing to sync.
    if (fsync(file_.get()) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) {
      return Status::Ok();
    }
    return SystemStatus("sync " + path_, errno);
  }

 private:
  const std::string path_;
  const OpenedFile file_;
  const KeepGoing keep_going_;
  bool is_regular_ = false;
  std::uint64_t done_ = 0;
};

class StreamTarget final : public BackupTarget {
 public:
  explicit StreamTarget(std::unique_ptr<ByteSink> sink) : sink_(std::move(sink)) {}
  std::unique_ptr<ByteSink> TakeSink() override { return std::move(sink_); }
  Status Commit() override { return Status::Ok(); }

 private:
  std::unique_ptr<ByteSink> sink_;
};

/// Waits for somebody who reads a pipe.
Result<OpenedFile> OpenStream(const std::string& path, const KeepGoing& keep_going) {
  while (true) {
    if (keep_going && !keep_going(0)) return Status(Code::kCancelled, "the backup was stopped");
    OpenedFile file(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    if (file.get() >= 0) return file;
    if (errno == ENXIO) {
      poll(nullptr, 0, kLookEveryMs);
    } else if (errno != EINTR) {
      return SystemStatus("open " + path, errno);
    }
  }
}

// --- What is replaced.

/// Whether `name` is what a backup to the file `base` is called until it is whole.
bool IsPartOf(std::string_view base, std::string_view name) {
  if (!name.starts_with(base) || !name.ends_with(kPartEnd)) return false;
  if (name.size() <= base.size() + 1 + kPartEnd.size() || name[base.size()] != '.') return false;
  name.remove_prefix(base.size() + 1);
  name.remove_suffix(kPartEnd.size());
  return name.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Who writes a part holds its lock: one that can be locked was left by a process that was killed.
void RemoveStaleParts(const std::string& file) {
  const std::string base = std::filesystem::path(file).filename();
  std::error_code error;
  std::filesystem::directory_iterator at(ParentOf(file), error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    if (!IsPartOf(base, at->path().filename().native())) continue;
    const OpenedFile part(open(at->path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat about {};
    if (part.get() < 0 || fstat(part.get(), &about) != 0 || !S_ISREG(about.st_mode)) continue;
    if (flock(part.get(), LOCK_EX | LOCK_NB) == 0) unlink(at->path().c_str());
  }
}

/// Makes a file beside `file`, under a name of its own as two may write to the same file, and locks
/// it. Where the system does not lock, nothing is ever stale either.
Result<std::pair<std::string, OpenedFile>> MakePart(rocksdb::Env& env, const std::string& file) {
  while (true) {
    std::string path = file + "." + std::to_string(DrawId()) + std::string(kPartEnd);
    // The file system of a test knows no locks.
    if (&env != &RealEnv()) return std::pair(std::move(path), OpenedFile());
    OpenedFile part(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (part.get() < 0) return SystemStatus("make a file beside " + file, errno);
    const bool busy = flock(part.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat about {};
    // Between the two somebody may have taken it for stale.
    const bool gone = fstat(part.get(), &about) == 0 && about.st_nlink == 0;
    if (!busy && !gone) return std::pair(std::move(path), std::move(part));
  }
}

class FileTarget final : public BackupTarget {
 public:
  FileTarget(rocksdb::Env& env, std::string file, std::string part, OpenedFile lock,
             std::unique_ptr<ByteSink> sink)
      : env_(env),
        file_(std::move(file)),
        part_(std::move(part)),
        lock_(std::move(lock)),
        sink_(std::move(sink)) {}
  ~FileTarget() override {
    if (!renamed_) env_.DeleteFile(part_).PermitUncheckedError();
  }

  std::unique_ptr<ByteSink> TakeSink() override { return std::move(sink_); }
  Status Commit() override {
    const rocksdb::Status renamed = env_.RenameFile(part_, file_);
    renamed_ = renamed.ok();
    return renamed_ ? SyncFolder(env_, ParentOf(file_)) : ToStatus(renamed, "rename " + part_);
  }

 private:
  rocksdb::Env& env_;
  const std::string file_;
  const std::string part_;
  const OpenedFile lock_;  ///< held until the part is in its place, or gone
  std::unique_ptr<ByteSink> sink_;
  bool renamed_ = false;
};

/// Where the links end that `path` begins with.
Result<std::string> FollowLinks(const std::string& path) {
  constexpr int kMostLinks = 40;
  std::filesystem::path at = path;
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code error;
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(at, error)))
      return at.string();
    if (at.native().starts_with("/proc/")) {
      return Status(Code::kIOError,
                    path + " is a file that is already open: name the file, or - " + "for stdout");
    }
    const std::filesystem::path to = std::filesystem::read_symlink(at, error);
    if (error) return Status(Code::kIOError, "could not follow " + path + ": " + error.message());
    at = at.parent_path() / to;
  }
  return SystemStatus("follow " + path, ELOOP);
}

/// Of what is not written to: a folder, and what is more often a mistake than meant.
Status RefuseKind(const std::string& path, mode_t mode) {
  if (S_ISDIR(mode)) return Status(Code::kIOError, path + " is a folder, not a file");
  if (S_ISBLK(mode)) {
    return Status(Code::kIOError, path + " is a disk: a backup goes to a file, or to - for stdout");
  }
  if (S_ISSOCK(mode)) {
    return Status(Code::kIOError, path + " is a socket: a backup goes to a file or a pipe");
  }
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<BackupTarget>> BackupTarget::Open(rocksdb::Env& env, const std::string& file,
                                                         KeepGoing keep_going) {
  const auto stream = [&](const std::string& name, OpenedFile opened) {
    return std::unique_ptr<BackupTarget>(std::make_unique<StreamTarget>(
        std::make_unique<StreamSink>(name, std::move(opened), keep_going)));
  };
  if (file == kStdout) {
    OpenedFile out(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (out.get() < 0) return SystemStatus("open stdout", errno);
    return stream("stdout", std::move(out));
  }
  struct stat about {};
  if (stat(file.c_str(), &about) == 0) {
    if (Status refused = RefuseKind(file, about.st_mode); !refused.ok()) return refused;
    if (!S_ISREG(about.st_mode)) {
      Result<OpenedFile> opened = OpenStream(file, keep_going);
      if (!opened.ok()) return opened.status();
      return stream(file, *std::move(opened));
    }
  }
  const Result<std::string> place = FollowLinks(file);
  if (!place.ok()) return place.status();
  if (&env == &RealEnv()) RemoveStaleParts(*place);
  auto part = MakePart(env, *place);
  if (!part.ok()) return part.status();
  auto [path, lock] = *std::move(part);
  Result<std::unique_ptr<ByteSink>> sink = OpenFileSink(env, path);
  if (!sink.ok()) {
    env.DeleteFile(path).PermitUncheckedError();
    return sink.status();
  }
  return std::unique_ptr<BackupTarget>(std::make_unique<FileTarget>(
      env, *place, std::move(path), std::move(lock), *std::move(sink)));
}

}  // namespace raftkv::storage
