#include "tests/support/faults/fault_fs.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace raftkv::test {

using rocksdb::FileOptions;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using Debug = rocksdb::IODebugContext;

namespace {

bool IsFull(FaultFs::Fault fault) {
  using Fault = FaultFs::Fault;
  return fault == Fault::kFull || fault == Fault::kQuota || fault == Fault::kFileLimit;
}

}  // namespace

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Base = rocksdb::FSWritableFileOwnerWrapper;
  FaultFile(std::unique_ptr<rocksdb::FSWritableFile> target, FaultFs& fs, std::string path)
      : Base(std::move(target)), fs_(fs), path_(std::move(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, Debug* debug) override {
    bool first = false;
    IOStatus status = fs_.OnWrite(path_, /*counts=*/true, &first);
    if (status.ok()) return Add(data, options, debug);
    if (first && fs_.full()) {
      IOStatus half = Add(Slice(data.data(), data.size() / 2), options, debug);
      half.PermitUncheckedError();
    }
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& /*info*/, Debug* debug) override {
    return Append(data, options, debug);
  }
  /// Only over what was written, and on from there: what lies there already must be the same.
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            Debug* debug) override {
    bool first = false;
    IOStatus status = fs_.OnWrite(path_, /*counts=*/true, &first);
    if (!status.ok()) return status;
    if (offset > written_ || written_ - offset > data.size()) {
      return IOStatus::InvalidArgument("a write with a gap, or over what was longer");
    }
    const std::size_t there = written_ - offset;
    return Add(Slice(data.data() + there, data.size() - there), options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& /*info*/, Debug* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Sync(const IOOptions& options, Debug* debug) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? Base::Sync(options, debug) : status;
  }
  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? Base::Fsync(options, debug) : status;
  }

 private:
  IOStatus Add(const Slice& data, const IOOptions& options, Debug* debug) {
    IOStatus status = Base::Append(data, options, debug);
    if (status.ok()) written_ += data.size();
    return status;
  }

  FaultFs& fs_;
  const std::string path_;
  std::uint64_t written_ = 0;
};

class FaultTable final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  FaultTable(std::unique_ptr<rocksdb::FSRandomAccessFile> target, FaultFs& fs, std::string path)
      : FSRandomAccessFileOwnerWrapper(std::move(target)), fs_(fs), path_(std::move(path)) {}
  IOStatus Read(std::uint64_t offset, std::size_t n, const IOOptions& options, Slice* result,
                char* scratch, Debug* debug) const override {
    IOStatus status = fs_.OnRead(path_);
    if (!status.ok()) return status;
    return FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, debug);
  }

 private:
  FaultFs& fs_;
  const std::string path_;
};

class FaultFolder final : public rocksdb::FSDirectoryWrapper {
 public:
  FaultFolder(std::unique_ptr<rocksdb::FSDirectory> target, FaultFs& fs, std::string path)
      : FSDirectoryWrapper(std::move(target)), fs_(fs), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions& options, Debug* debug) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? FSDirectoryWrapper::Fsync(options, debug) : status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, Debug* debug,
                               const rocksdb::DirFsyncOptions& names) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? FSDirectoryWrapper::FsyncWithDirOptions(options, debug, names) : status;
  }

 private:
  FaultFs& fs_;
  const std::string path_;
};

void FaultFs::Arm(Fault fault, std::uint64_t n) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  left_ = n;
  failures_ = 0;
  failed_path_.clear();
}

void FaultFs::Mend() {
  const std::lock_guard lock(mutex_);
  fault_ = Fault::kNone;
}

std::uint64_t FaultFs::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}
std::uint64_t FaultFs::writes() const {
  const std::lock_guard lock(mutex_);
  return writes_;
}
std::uint64_t FaultFs::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}
bool FaultFs::full() const {
  const std::lock_guard lock(mutex_);
  return IsFull(fault_);
}
std::string FaultFs::failed_path() const {
  const std::lock_guard lock(mutex_);
  return failed_path_;
}

IOStatus FaultFs::OnWrite(const std::string& path, bool counts, bool* first) {
  const std::lock_guard lock(mutex_);
  if (counts) ++writes_;
  if (fault_ != Fault::kWriteError && !IsFull(fault_)) return IOStatus::OK();
  if (left_ > 0 && counts) --left_;
  if (left_ > 0) return IOStatus::OK();
  *first = ++failures_ == 1;
  if (*first) failed_path_ = path;
  if (fault_ == Fault::kFull) return IOStatus::NoSpace("injected", path);
  // As RocksDB says it.
  if (fault_ == Fault::kQuota) return IOStatus::IOError(path, std::strerror(EDQUOT));
  if (fault_ == Fault::kFileLimit) return IOStatus::IOError(path, std::strerror(EFBIG));
  fault_ = Fault::kNone;
  return IOStatus::IOError("injected", path);
}

IOStatus FaultFs::OnSync(const std::string& path) {
  const std::lock_guard lock(mutex_);
  ++syncs_;
  if (fault_ != Fault::kSyncError && fault_ != Fault::kSyncFull) return IOStatus::OK();
  if (--left_ > 0) return IOStatus::OK();
  ++failures_;
  failed_path_ = path;
  const bool full = fault_ == Fault::kSyncFull;
  fault_ = Fault::kNone;
  return full ? IOStatus::NoSpace("injected", path) : IOStatus::IOError("injected", path);
}

IOStatus FaultFs::OnRead(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (fault_ != Fault::kReadError || !path.ends_with(".sst")) return IOStatus::OK();
  ++failures_;
  return IOStatus::IOError("injected", path);
}

IOStatus FaultFs::NewWritableFile(const std::string& path, const FileOptions& options,
                                  std::unique_ptr<rocksdb::FSWritableFile>* out, Debug* debug) {
  bool first = false;
  if (IOStatus status = OnWrite(path, /*counts=*/false, &first); !status.ok()) return status;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, &file, debug);
  if (status.ok()) *out = std::make_unique<FaultFile>(std::move(file), *this, path);
  return status;
}

IOStatus FaultFs::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                      std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                      Debug* debug) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  IOStatus status = FileSystemWrapper::NewRandomAccessFile(path, options, &file, debug);
  if (status.ok()) *out = std::make_unique<FaultTable>(std::move(file), *this, path);
  return status;
}

IOStatus FaultFs::NewDirectory(const std::string& path, const IOOptions& options,
                               std::unique_ptr<rocksdb::FSDirectory>* out, Debug* debug) {
  std::unique_ptr<rocksdb::FSDirectory> folder;
  IOStatus status = FileSystemWrapper::NewDirectory(path, options, &folder, debug);
  if (status.ok()) *out = std::make_unique<FaultFolder>(std::move(folder), *this, path);
  return status;
}

}  // namespace raftkv::test
