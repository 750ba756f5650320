#include "storage/log/closed_wals.h"

#include <cstdint>
#include <string>
#include <utility>

#include <rocksdb/file_system.h>

#include "lib/base/mutex.h"

namespace raftkv::storage {

namespace {

using IOStatus = rocksdb::IOStatus;
using IOOptions = rocksdb::IOOptions;
using Debug = rocksdb::IODebugContext;
using FileOptions = rocksdb::FileOptions;
using WritablePtr = std::unique_ptr<rocksdb::FSWritableFile>;

/// What the files of one database know of each other. Safe from any thread.
class ClosedWalState {
 public:
  /// A new write-ahead log; those before it are closed. Never 0.
  std::uint64_t Begin() {
    const MutexLock lock(mutex_);
    return ++newest_;
  }
  [[nodiscard]] bool IsClosed(std::uint64_t wal) const {
    const MutexLock lock(mutex_);
    return wal < newest_;
  }
  void Fail(const IOStatus& why) {
    const MutexLock lock(mutex_);
    if (failure_.ok()) failure_ = why;
  }
  [[nodiscard]] IOStatus failure() const {
    const MutexLock lock(mutex_);
    return failure_;
  }

 private:
  mutable Mutex mutex_;
  std::uint64_t newest_ RAFTKV_GUARDED_BY(mutex_) = 0;
  /// Of the first closed one that could not be synced.
  IOStatus failure_ RAFTKV_GUARDED_BY(mutex_);
};

class ClosedWalFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Base = rocksdb::FSWritableFileOwnerWrapper;
  using Slice = rocksdb::Slice;
  /// `wal`: which write-ahead log it is; 0: another file.
  ClosedWalFile(WritablePtr target, std::shared_ptr<ClosedWalState> state, std::uint64_t wal)
      : Base(std::move(target)), state_(std::move(state)), wal_(wal) {}

  IOStatus Append(const Slice& data, const IOOptions& options, Debug* debug) override {
    IOStatus failed = state_->failure();
    return failed.ok() ? Base::Append(data, options, debug) : failed;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, Debug* debug) override {
    IOStatus failed = state_->failure();
    return failed.ok() ? Base::Append(data, options, info, debug) : failed;
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            Debug* debug) override {
    IOStatus failed = state_->failure();
    return failed.ok() ? Base::PositionedAppend(data, offset, options, debug) : failed;
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info, Debug* debug) override {
    IOStatus failed = state_->failure();
    return failed.ok() ? Base::PositionedAppend(data, offset, options, info, debug) : failed;
  }
  IOStatus Flush(const IOOptions& options, Debug* debug) override {
    return Settled(Base::Flush(options, debug));
  }
  IOStatus Sync(const IOOptions& options, Debug* debug) override {
    return Settled(Base::Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    return Settled(Base::Fsync(options, debug));
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     Debug* debug) override {
    return Settled(Base::RangeSync(offset, bytes, options, debug));
  }

 private:
  IOStatus Settled(IOStatus status) {
    const bool closed = wal_ != 0 && state_->IsClosed(wal_);
    if (!closed) return status.ok() ? state_->failure() : status;
    if (!status.ok()) state_->Fail(status);
    return IOStatus::OK();
  }

  const std::shared_ptr<ClosedWalState> state_;
  const std::uint64_t wal_;
};

class ClosedWalFs final : public rocksdb::FileSystemWrapper {
 public:
  explicit ClosedWalFs(const std::shared_ptr<rocksdb::FileSystem>& target)
      : FileSystemWrapper(target) {}

  const char* Name() const override { return "ClosedWalFs"; }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, WritablePtr* out,
                           Debug* debug) override {
    WritablePtr file;
    IOStatus status = FileSystemWrapper::NewWritableFile(path, options, &file, debug);
    if (status.ok()) {
      const std::uint64_t wal = path.ends_with(".log") ? state_->Begin() : 0;
      *out = std::make_unique<ClosedWalFile>(std::move(file), state_, wal);
    }
    return status;
  }

 private:
  const std::shared_ptr<ClosedWalState> state_ = std::make_shared<ClosedWalState>();
};

class ClosedWalEnv final : public rocksdb::EnvWrapper {
 public:
  explicit ClosedWalEnv(rocksdb::Env& base) : EnvWrapper(&base) {
    file_system_ = std::make_shared<ClosedWalFs>(base.GetFileSystem());
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewClosedWalEnv(rocksdb::Env& base) {
  return std::make_unique<ClosedWalEnv>(base);
}

}  // namespace raftkv::storage
