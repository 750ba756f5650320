#include "storage/backup/byte_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "storage/disk/files.h"

namespace raftkv::storage {

namespace {

/// So much gathers before the disk is told to begin: a sync at the end would find all of it.
constexpr std::uint64_t kWriteBackBytes = 8 << 20;

class FileSink final : public ByteSink {
 public:
  FileSink(std::string path, std::unique_ptr<rocksdb::WritableFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}

  Status Write(std::string_view bytes) override {
    rocksdb::Status status = file_->Append({bytes.data(), bytes.size()});
    written_ += bytes.size();
    if (status.ok() && written_ - begun_ >= kWriteBackBytes) {
      status = file_->RangeSync(begun_, written_ - begun_);
      begun_ = written_;
    }
    return ToStatus(status, "write " + path_);
  }

  Status Finish() override {
    rocksdb::Status status = file_->Sync();
    if (status.ok()) status = file_->Close();
    return ToStatus(status, "sync " + path_);
  }

 private:
  const std::string path_;
  const std::unique_ptr<rocksdb::WritableFile> file_;
  std::uint64_t written_ = 0;
  std::uint64_t begun_ = 0;  ///< to be written back
};

/// While a pipe is silent, or full.

Status GivenUp() { return Status(Code::kCancelled, "stopped"); }

class FileSource final : public ByteSource {
 public:
  FileSource(std::string path, std::unique_ptr<rocksdb::SequentialFile> file, KeepGoing keep_going)
      : path_(std::move(path)), file_(std::move(file)), keep_going_(std::move(keep_going)) {}

  Result<std::size_t> Read(char* to, std::size_t size) override {
    if (keep_going_ && !keep_going_(done_)) return GivenUp();
    rocksdb::Slice read;
    const rocksdb::Status status = file_->Read(size, &read, to);
    if (!status.ok()) return ToStatus(status, "read " + path_);
    if (read.data() != to) std::copy_n(read.data(), read.size(), to);
    done_ += read.size();
    return read.size();
  }

 private:
  const std::string path_;
  const std::unique_ptr<rocksdb::SequentialFile> file_;
  const KeepGoing keep_going_;
  std::uint64_t done_ = 0;
};

/// A pipe or a device. `file` is opened so that it does not wait, and belongs to this object.
class StreamSource final : public ByteSource {
 public:
  StreamSource(std::string path, int file, KeepGoing keep_going)
      : path_(std::move(path)), file_(file), keep_going_(std::move(keep_going)) {}
  ~StreamSource() override { close(file_); }
  StreamSource(const StreamSource&) = delete;
  StreamSource& operator=(const StreamSource&) = delete;

  Result<std::size_t> Read(char* to, std::size_t size) override {
    while (true) {
      if (keep_going_ && !keep_going_(done_)) return GivenUp();
      // A pipe that nobody has opened yet is no pipe that has ended: poll() tells them apart.
      pollfd readable{file_, POLLIN, 0};
      const int ready = poll(&readable, 1, kLookEveryMs);
      if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
      const ssize_t got = ready < 0 ? -1 : read(file_, to, size);
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got < 0) return SystemStatus("read " + path_, errno);
      done_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
  }

 private:
  const std::string path_;
  const int file_;
  const KeepGoing keep_going_;
  std::uint64_t done_ = 0;
};

/// As ToStatus, but RocksDB says "no such file" twice, and the path as well.
Status ToBriefStatus(const rocksdb::Status& status, const std::string& doing) {
  const std::string whole = status.ToString();
  const std::size_t reason = whole.rfind(": ");
  if (!status.IsIOError() || reason == std::string::npos) return ToStatus(status, doing);
  return Status(ToStatus(status, doing).code(), "could not " + doing + whole.substr(reason));
}

bool IsStream(const std::string& path) {
  struct stat about {};
  return stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode);
}

}  // namespace

Status SystemStatus(const std::string& doing, int error) {
  return Status(IsDiskFull(error) ? Code::kNoSpace : Code::kIOError,
                "could not " + doing + ": " + std::generic_category().message(error));
}

Result<std::unique_ptr<ByteSink>> OpenFileSink(rocksdb::Env& env, const std::string& path) {
  rocksdb::EnvOptions options;
  options.use_mmap_writes = false;
  std::unique_ptr<rocksdb::WritableFile> file;
  const rocksdb::Status made = env.NewWritableFile(path, &file, options);
  if (!made.ok()) return ToBriefStatus(made, "make " + path);
  return std::unique_ptr<ByteSink>(std::make_unique<FileSink>(path, std::move(file)));
}

Result<std::unique_ptr<ByteSource>> OpenFileSource(rocksdb::Env& env, const std::string& path,
                                                   KeepGoing keep_going) {
  if (IsStream(path)) {
    const int opened = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (opened < 0) return SystemStatus("open " + path, errno);
    return std::unique_ptr<ByteSource>(
        std::make_unique<StreamSource>(path, opened, std::move(keep_going)));
  }
  bool is_folder = false;
  if (env.IsDirectory(path, &is_folder).ok() && is_folder) {
    return Status(Code::kIOError, path + " is a folder, not a file");
  }
  std::unique_ptr<rocksdb::SequentialFile> file;
  const rocksdb::Status opened = env.NewSequentialFile(path, &file, rocksdb::EnvOptions());
  if (!opened.ok()) return ToBriefStatus(opened, "open " + path);
  return std::unique_ptr<ByteSource>(
      std::make_unique<FileSource>(path, std::move(file), std::move(keep_going)));
}

Status CheckFileSource(rocksdb::Env& env, const std::string& path) {
  if (!IsStream(path)) return OpenFileSource(env, path, {}).status();
  return access(path.c_str(), R_OK) == 0 ? Status::Ok() : SystemStatus("open " + path, errno);
}

}  // namespace raftkv::storage
