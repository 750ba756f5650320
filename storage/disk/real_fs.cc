#include "storage/disk/real_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/mutex.h"
#include "storage/disk/files.h"

namespace raftkv::storage {

namespace {

using IOStatus = rocksdb::IOStatus;
using IOOptions = rocksdb::IOOptions;
using Debug = rocksdb::IODebugContext;

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;
/// RocksDB allocates the next piece of a file ahead: for a write-ahead log more than a write buffer
/// (70 MiB), for a manifest 4 MiB. A small disk does not have that, and what comes and goes by that
/// much looks like a disk that is full by turns.
constexpr std::size_t kMostPreallocated = 1 << 20;

IOStatus SystemError(const std::string& doing, const std::string& path, int error) {
  const std::string why = std::system_category().message(error);
  return IsDiskFull(error) ? IOStatus::NoSpace(doing + " " + path, why)
                           : IOStatus::IOError(doing + " " + path, why);
}

/// Makes the file, unless it is there: then, or where that fails, opening it says what is wrong.
void MakePrivate(const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kFileMode);
  if (file < 0) return;
  // The umask may have taken even what is the owner's.
  static_cast<void>(fchmod(file, kFileMode));
  close(file);
}

bool MakePrivateFolder(const std::string& path) {
  if (mkdir(path.c_str(), kFolderMode) != 0) return false;
  static_cast<void>(chmod(path.c_str(), kFolderMode));
  return true;
}

/// RocksDB removes and renames no file that it may still have to sync.
class RealFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Base = rocksdb::FSWritableFileOwnerWrapper;
  using Slice = rocksdb::Slice;
  using Verification = rocksdb::DataVerificationInfo;
  RealFile(std::unique_ptr<rocksdb::FSWritableFile> target, const std::string& path)
      : Base(std::move(target)), pin_(FilePin::OfReal(path)) {}

  void SetPreallocationBlockSize(std::size_t size) override {
    Base::SetPreallocationBlockSize(std::min(size, kMostPreallocated));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, Debug* debug) override {
    wrote_ = true;
    return Base::Append(data, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const Verification& info,
                  Debug* debug) override {
    wrote_ = true;
    return Base::Append(data, options, info, debug);
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            Debug* debug) override {
    wrote_ = true;
    return Base::PositionedAppend(data, offset, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const Verification& info, Debug* debug) override {
    wrote_ = true;
    return Base::PositionedAppend(data, offset, options, info, debug);
  }
  /// One that has nothing to hand on, as before a close, asks nothing of the file.
  IOStatus Flush(const IOOptions& options, Debug* debug) override {
    const IOStatus flushed = Base::Flush(options, debug);
    return std::exchange(wrote_, false) ? InPlace(flushed) : flushed;
  }
  IOStatus Sync(const IOOptions& options, Debug* debug) override {
    return InPlace(Base::Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    return InPlace(Base::Fsync(options, debug));
  }

 private:
  IOStatus InPlace(IOStatus done) const {
    if (!done.ok()) return done;
    const Status there = pin_.Check();
    return there.ok() ? IOStatus::OK() : IOStatus::IOError(there.message());
  }

  const FilePin pin_;
  bool wrote_ = false;  ///< since the last flush
};

IOStatus Pinned(IOStatus opened, const std::string& path, RealFs::WritablePtr* file) {
  if (opened.ok()) *file = std::make_unique<RealFile>(std::move(*file), path);
  return opened;
}

// --- Locks.

using Inode = std::pair<dev_t, ino_t>;

class RealLock final : public rocksdb::FileLock {
 public:
  RealLock(int file, Inode inode) : file_(file), inode_(inode) {}
  [[nodiscard]] int file() const { return file_; }
  [[nodiscard]] Inode inode() const { return inode_; }

 private:
  const int file_;
  const Inode inode_;
};

/// The inodes that this process has locked.
class HeldInodes {
 public:
  bool Add(Inode inode) {
    const MutexLock lock(mutex_);
    return inodes_.insert(inode).second;
  }
  void Remove(Inode inode) {
    const MutexLock lock(mutex_);
    inodes_.erase(inode);
  }

 private:
  Mutex mutex_;
  std::set<Inode> inodes_ RAFTKV_GUARDED_BY(mutex_);
};

HeldInodes& Held() {
  static HeldInodes& held = *new HeldInodes;
  return held;
}

/// 0, or what is wrong.
int LockDescription(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return fcntl(file, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
}

// --- Removal.

using FolderStream = std::unique_ptr<DIR, int (*)(DIR*)>;

/// Removes what is called `name` in the folder that is open as `at`. 0, or what is wrong.
int RemoveAt(int at, const char* name) {
  // This takes a link and leaves what it points to; only a folder is refused.
  if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return 0;
  const int refused = errno;
  const int file = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? 0 : errno == ENOTDIR || errno == ELOOP ? refused : errno;
  const FolderStream folder(fdopendir(file), &closedir);
  if (folder == nullptr) {
    const int error = errno;
    close(file);
    return error;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string_view found = entry->d_name;
    if (found != "." && found != "..") names.emplace_back(found);
  }
  if (errno != 0) return errno;
  for (const std::string& inside : names) {
    if (const int error = RemoveAt(file, inside.c_str()); error != 0) return error;
  }
  return unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

bool IsAt(const std::string& path, Inode inode) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 && Inode(found.st_dev, found.st_ino) == inode;
}

}  // namespace

rocksdb::Env& RealEnv() {
  static rocksdb::Env& env =
      *rocksdb::NewCompositeEnv(std::make_shared<RealFs>(rocksdb::FileSystem::Default())).release();
  return env;
}

IOStatus RealFs::NewWritableFile(const std::string& path, const FileOptions& options,
                                 WritablePtr* out, Debug* debug) {
  MakePrivate(path);
  return Pinned(FileSystemWrapper::NewWritableFile(path, options, out, debug), path, out);
}

IOStatus RealFs::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                    WritablePtr* out, Debug* debug) {
  MakePrivate(path);
  return Pinned(FileSystemWrapper::ReopenWritableFile(path, options, out, debug), path, out);
}

IOStatus RealFs::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                   const FileOptions& options, WritablePtr* out, Debug* debug) {
  return Pinned(FileSystemWrapper::ReuseWritableFile(path, old_path, options, out, debug), path,
                out);
}

IOStatus RealFs::NewRandomRWFile(const std::string& path, const FileOptions& options,
                                 std::unique_ptr<rocksdb::FSRandomRWFile>* out, Debug* debug) {
  MakePrivate(path);
  return FileSystemWrapper::NewRandomRWFile(path, options, out, debug);
}

IOStatus RealFs::CreateDir(const std::string& path, const IOOptions& options, Debug* debug) {
  return MakePrivateFolder(path) ? IOStatus::OK()
                                 : FileSystemWrapper::CreateDir(path, options, debug);
}

IOStatus RealFs::CreateDirIfMissing(const std::string& path, const IOOptions& options,
                                    Debug* debug) {
  return MakePrivateFolder(path) ? IOStatus::OK()
                                 : FileSystemWrapper::CreateDirIfMissing(path, options, debug);
}

IOStatus RealFs::LockFile(const std::string& path, const IOOptions& /*options*/,
                          rocksdb::FileLock** lock, Debug* /*debug*/) {
  *lock = nullptr;
  MakePrivate(path);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (file < 0) return SystemError("open", path, errno);
  struct stat found {};
  if (fstat(file, &found) != 0) {
    const int error = errno;
    close(file);
    return SystemError("look at", path, error);
  }
  const Inode inode(found.st_dev, found.st_ino);
  if (!Held().Add(inode)) {
    close(file);
    return IOStatus::Busy("locked by this process", path);
  }
  const int error = LockDescription(file);
  // Whoever held it may have removed it just now, and a third one made another.
  if (error == 0 && IsAt(path, inode)) {
    *lock = new RealLock(file, inode);
    return IOStatus::OK();
  }
  Held().Remove(inode);
  close(file);
  if (error == 0 || error == EAGAIN || error == EACCES) {
    return IOStatus::Busy("locked by another process", path);
  }
  return SystemError("lock", path, error);
}

IOStatus RealFs::UnlockFile(rocksdb::FileLock* lock, const IOOptions& /*options*/,
                            Debug* /*debug*/) {
  const std::unique_ptr<RealLock> held(static_cast<RealLock*>(lock));
  RAFTKV_CHECK(held != nullptr);
  // A child that a fork left behind has the description, too: the lock is not to stay with it.
  struct flock whole {};
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  static_cast<void>(fcntl(held->file(), F_OFD_SETLK, &whole));
  close(held->file());
  Held().Remove(held->inode());
  return IOStatus::OK();
}

Status RemoveRealTree(const std::string& path) {
  const int error = RemoveAt(AT_FDCWD, path.c_str());
  if (error == 0 || error == ENOTDIR) return Status::Ok();
  if (error == ENOMEM) {
    return {Code::kUnavailable, "could not remove " + path + ": the system has no memory left"};
  }
  return ToStatus(SystemError("remove", path, error), "remove " + path);
}

FilePin FilePin::Of(rocksdb::Env& env, const std::string& path) {
  const bool is_real = env.GetFileSystem()->CheckedCast<RealFs>() != nullptr;
  return is_real ? OfReal(path) : FilePin();
}

FilePin FilePin::OfReal(const std::string& path) {
  FilePin pin;
  struct stat found {};
  pin.path_ = path;
  // What cannot be found now will not be found later: inode 0 is nobody's.
  if (stat(path.c_str(), &found) != 0) return pin;
  // A pipe or a terminal keeps nothing.
  if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) return {};
  pin.device_ = found.st_dev;
  pin.inode_ = found.st_ino;
  return pin;
}

Status FilePin::Check() const {
  if (path_.empty()) return Status::Ok();
  struct stat found {};
  if (stat(path_.c_str(), &found) != 0) {
    // Of a disk that does not answer its reads and writes tell.
    if (errno != ENOENT && errno != ENOTDIR) return Status::Ok();
    return Status(Code::kIOError, path_ + " was removed while it was in use");
  }
  if (found.st_dev == device_ && found.st_ino == inode_) return Status::Ok();
  return Status(Code::kIOError, path_ + " was replaced by another one while it was in use");
}

std::optional<std::string> WiderModeOf(rocksdb::Env& env, const std::string& folder) {
  if (env.GetFileSystem()->CheckedCast<RealFs>() == nullptr) return std::nullopt;
  struct stat found {};
  if (stat(folder.c_str(), &found) != 0 || (found.st_mode & 077) == 0) return std::nullopt;
  return "data folder " + folder +
         " can be entered by users other than its owner, who may be able to read its content: "
         "chmod 700 " +
         folder;
}

}  // namespace raftkv::storage
