#include "storage/disk/guarded_fs.h"

#include <utility>

#include "storage/disk/disk_watch.h"
#include "storage/disk/files.h"
#include "storage/disk/open_rocksdb.h"

namespace raftkv::storage {

namespace {

using IOStatus = rocksdb::IOStatus;
using IOOptions = rocksdb::IOOptions;
using Debug = rocksdb::IODebugContext;
using rocksdb::Slice;

/// The table that a compaction on this thread is about to make.
thread_local std::string compaction_output;

class GuardListener final : public rocksdb::EventListener {
 public:
  void OnTableFileCreationStarted(const rocksdb::TableFileCreationBriefInfo& table) override {
    if (table.reason == rocksdb::TableFileCreationReason::kCompaction) {
      compaction_output = table.file_path;
    }
  }
  /// Only a compaction ever meets a lack of space: the engine resumes when it wants to.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
};

/// Every kind of full disk as the one that RocksDB knows.
IOStatus Named(IOStatus status) {
  if (status.IsNoSpace() || !IsDiskFull(status)) return status;
  return IOStatus::NoSpace(status.ToString());
}

/// Known bug 24: what the kernel could not write it may have thrown away, so a second sync that
/// succeeds says nothing. That holds for a full disk, too, if only the sync finds it: nobody is to
/// wait for space then.
IOStatus Final(IOStatus sync) {
  if (!IsDiskFull(sync)) return sync;
  return IOStatus::IOError("a sync failed: " + sync.ToString(), "it is not retried");
}

/// Repeats `operation`, which has no effect where it does not fit.
template <class Operation>
IOStatus UntilItFits(DiskWatch& watch, const Operation& operation) {
  IOStatus status = Named(operation());
  while (status.IsNoSpace() && watch.WaitForSpace()) status = Named(operation());
  return status;
}

class GuardedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Base = rocksdb::FSWritableFileOwnerWrapper;
  /// `from_start`: this handle writes the file from its beginning, so it knows each byte's place.
  GuardedFile(std::unique_ptr<rocksdb::FSWritableFile> target, DiskWatch& watch, std::string path,
              bool from_start)
      : Base(std::move(target)),
        watch_(watch),
        path_(std::move(path)),
        compaction_(from_start && path_ == compaction_output),
        may_repeat_(from_start && !use_direct_io()) {}

  IOStatus Append(const Slice& data, const IOOptions& options, Debug* debug) override {
    return AppendOrWait(
        data, [&] { return Base::Append(data, options, debug); },
        [&] { return Base::PositionedAppend(data, size_, options, debug); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, Debug* debug) override {
    return AppendOrWait(
        data, [&] { return Base::Append(data, options, info, debug); },
        [&] { return Base::PositionedAppend(data, size_, options, info, debug); });
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            Debug* debug) override {
    return Written(Base::PositionedAppend(data, offset, options, debug));
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info, Debug* debug) override {
    return Written(Base::PositionedAppend(data, offset, options, info, debug));
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, Debug* debug) override {
    size_ = size;
    return Written(Base::Truncate(size, options, debug));
  }
  IOStatus Flush(const IOOptions& options, Debug* debug) override {
    return Written(Base::Flush(options, debug));
  }
  IOStatus Close(const IOOptions& options, Debug* debug) override {
    return Synced(Base::Close(options, debug));
  }
  IOStatus Sync(const IOOptions& options, Debug* debug) override {
    return Synced(Base::Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    return Synced(Base::Fsync(options, debug));
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     Debug* debug) override {
    return Synced(Base::RangeSync(offset, bytes, options, debug));
  }

 private:
  /// A write that did not fit may have left its first bytes: it is repeated at its own place.
  template <class First, class Again>
  IOStatus AppendOrWait(const Slice& data, const First& first, const Again& again) {
    if (compaction_ && !watch_.MayCompact()) return IOStatus::NoSpace(kNoRoomToCompact, path_);
    IOStatus status = Named(repeated_ ? again() : first());
    while (status.IsNoSpace() && may_repeat_ && !compaction_ && watch_.WaitForSpace()) {
      repeated_ = true;
      status = Named(again());
    }
    if (status.ok()) {
      size_ += data.size();
      watch_.Wrote(data.size());
    }
    return Written(std::move(status));
  }

  IOStatus Written(IOStatus found) {
    IOStatus status = Named(std::move(found));
    if (!status.ok() && !status.IsNoSpace()) watch_.Failed("write", path_, status.ToString());
    return status;
  }

  IOStatus Synced(IOStatus status) {
    if (status.ok()) return status;
    watch_.Failed("sync", path_, status.ToString());
    return Final(std::move(status));
  }

  DiskWatch& watch_;
  const std::string path_;
  const bool compaction_;
  const bool may_repeat_;
  std::uint64_t size_ = 0;
  /// The file's own position is behind: from now on each write names its place.
  bool repeated_ = false;
};

class GuardedDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  using Base = rocksdb::FSDirectoryWrapper;
  GuardedDirectory(std::unique_ptr<rocksdb::FSDirectory> target, DiskWatch& watch, std::string path)
      : Base(std::move(target)), watch_(watch), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    return Synced(Base::Fsync(options, debug));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, Debug* debug,
                               const rocksdb::DirFsyncOptions& names) override {
    return Synced(Base::FsyncWithDirOptions(options, debug, names));
  }

 private:
  IOStatus Synced(IOStatus status) {
    if (status.ok()) return status;
    watch_.Failed("sync the folder", path_, status.ToString());
    return Final(std::move(status));
  }

  DiskWatch& watch_;
  const std::string path_;
};

}  // namespace

std::shared_ptr<rocksdb::EventListener> NewGuardListener() {
  return std::make_shared<GuardListener>();
}

IOStatus GuardedFs::NewWritableFile(const std::string& path, const FileOptions& options,
                                    WritablePtr* out, Debug* debug) {
  WritablePtr file;
  IOStatus status = UntilItFits(
      watch_, [&] { return FileSystemWrapper::NewWritableFile(path, options, &file, debug); });
  if (status.ok()) *out = std::make_unique<GuardedFile>(std::move(file), watch_, path, true);
  return status;
}

IOStatus GuardedFs::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                       WritablePtr* out, Debug* debug) {
  WritablePtr file;
  IOStatus status = UntilItFits(
      watch_, [&] { return FileSystemWrapper::ReopenWritableFile(path, options, &file, debug); });
  if (status.ok()) *out = std::make_unique<GuardedFile>(std::move(file), watch_, path, false);
  return status;
}

IOStatus GuardedFs::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const FileOptions& options, WritablePtr* out, Debug* debug) {
  WritablePtr file;
  IOStatus status = FileSystemWrapper::ReuseWritableFile(path, old_path, options, &file, debug);
  if (status.ok()) *out = std::make_unique<GuardedFile>(std::move(file), watch_, path, false);
  return status;
}

IOStatus GuardedFs::NewDirectory(const std::string& path, const IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* out, Debug* debug) {
  std::unique_ptr<rocksdb::FSDirectory> folder;
  IOStatus status = FileSystemWrapper::NewDirectory(path, options, &folder, debug);
  if (status.ok()) *out = std::make_unique<GuardedDirectory>(std::move(folder), watch_, path);
  return status;
}

IOStatus GuardedFs::CreateDir(const std::string& path, const IOOptions& options, Debug* debug) {
  return UntilItFits(watch_, [&] { return FileSystemWrapper::CreateDir(path, options, debug); });
}

IOStatus GuardedFs::CreateDirIfMissing(const std::string& path, const IOOptions& options,
                                       Debug* debug) {
  return UntilItFits(watch_,
                     [&] { return FileSystemWrapper::CreateDirIfMissing(path, options, debug); });
}

IOStatus GuardedFs::RenameFile(const std::string& from, const std::string& to,
                               const IOOptions& options, Debug* debug) {
  return UntilItFits(watch_,
                     [&] { return FileSystemWrapper::RenameFile(from, to, options, debug); });
}

IOStatus GuardedFs::LinkFile(const std::string& from, const std::string& to,
                             const IOOptions& options, Debug* debug) {
  return UntilItFits(watch_, [&] { return FileSystemWrapper::LinkFile(from, to, options, debug); });
}

}  // namespace raftkv::storage
