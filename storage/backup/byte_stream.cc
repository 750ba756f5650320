#include "storage/backup/byte_stream.h"

#include <algorithm>
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

class FileSource final : public ByteSource {
 public:
  FileSource(std::string path, std::unique_ptr<rocksdb::SequentialFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}

  Result<std::size_t> Read(char* to, std::size_t size) override {
    rocksdb::Slice read;
    const rocksdb::Status status = file_->Read(size, &read, to);
    if (!status.ok()) return ToStatus(status, "read " + path_);
    if (read.data() != to) std::copy_n(read.data(), read.size(), to);
    return read.size();
  }

 private:
  const std::string path_;
  const std::unique_ptr<rocksdb::SequentialFile> file_;
};

}  // namespace

Result<std::unique_ptr<ByteSink>> OpenFileSink(rocksdb::Env& env, const std::string& path) {
  rocksdb::EnvOptions options;
  options.use_mmap_writes = false;
  std::unique_ptr<rocksdb::WritableFile> file;
  const rocksdb::Status made = env.NewWritableFile(path, &file, options);
  if (!made.ok()) return ToStatus(made, "make " + path);
  return std::unique_ptr<ByteSink>(std::make_unique<FileSink>(path, std::move(file)));
}

Result<std::unique_ptr<ByteSource>> OpenFileSource(rocksdb::Env& env, const std::string& path) {
  bool is_folder = false;
  if (env.IsDirectory(path, &is_folder).ok() && is_folder) {
    return Status(Code::kIOError, path + " is a folder, not a file");
  }
  std::unique_ptr<rocksdb::SequentialFile> file;
  const rocksdb::Status opened = env.NewSequentialFile(path, &file, rocksdb::EnvOptions());
  if (!opened.ok()) return ToStatus(opened, "open " + path);
  return std::unique_ptr<ByteSource>(std::make_unique<FileSource>(path, std::move(file)));
}

}  // namespace raftkv::storage
