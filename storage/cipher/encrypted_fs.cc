#include "storage/cipher/encrypted_fs.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/env_encryption.h>

namespace raftkv::storage {

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// What RocksDB's encrypted files ask for; positions count the prefix.
class Stream final : public rocksdb::BlockAccessCipherStream {
 public:
  Stream(std::shared_ptr<const FileCipher> cipher, const FileCipher::Counter& first)
      : cipher_(std::move(cipher)), first_(first) {}

  std::size_t BlockSize() override { return 16; }
  rocksdb::Status Encrypt(std::uint64_t position, char* data, std::size_t size) override {
    cipher_->Crypt(first_, position, data, size);
    return rocksdb::Status::OK();
  }
  rocksdb::Status Decrypt(std::uint64_t position, char* data, std::size_t size) override {
    cipher_->Crypt(first_, position, data, size);
    return rocksdb::Status::OK();
  }

 protected:
  // Never called: ranges are done as a whole.
  void AllocateScratch(std::string&) override {}
  rocksdb::Status EncryptBlock(std::uint64_t, char*, char*) override {
    return rocksdb::Status::NotSupported();
  }
  rocksdb::Status DecryptBlock(std::uint64_t, char*, char*) override {
    return rocksdb::Status::NotSupported();
  }

 private:
  const std::shared_ptr<const FileCipher> cipher_;
  const FileCipher::Counter first_;
};

/// Sees to it that no place of a file is written twice.
class WritableFile final : public rocksdb::EncryptedWritableFile {
 public:
  WritableFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::unique_ptr<Stream> stream,
               std::uint64_t end)
      : EncryptedWritableFile(std::move(file), std::move(stream), kFilePrefixBytes), end_(end) {}

  using EncryptedWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    // After a failure nobody knows where the file ends; RocksDB does not go on either.
    if (!failed_.ok()) return failed_;
    buffer_.assign(data.data(), data.size());
    stream_->Encrypt(end_, buffer_.data(), buffer_.size()).PermitUncheckedError();
    IOStatus written = file_->Append(buffer_, options, debug);
    if (written.ok()) {
      end_ += data.size();
    } else {
      failed_ = written;
    }
    if (buffer_.capacity() > kKeptBytes) std::string().swap(buffer_);
    return written;
  }
  IOStatus PositionedAppend(const Slice&, std::uint64_t, const IOOptions&,
                            IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file can only be appended to");
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    // Nothing may follow in the place of what went; RocksDB truncates only what it closes then.
    failed_ = IOStatus::NotSupported("an encrypted file cannot grow after it was truncated");
    return file_->Truncate(size + kFilePrefixBytes, options, debug);
  }
  std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return end_ - kFilePrefixBytes;
  }

 private:
  static constexpr std::size_t kKeptBytes = 1 << 20;

  std::uint64_t end_;  ///< with the prefix
  IOStatus failed_;
  std::string buffer_;
};

class EncryptedFs final : public rocksdb::FileSystemWrapper {
 public:
  EncryptedFs(std::shared_ptr<rocksdb::FileSystem> base, std::shared_ptr<const FileCipher> cipher)
      : FileSystemWrapper(std::move(base)), cipher_(std::move(cipher)) {}

  static const char* kClassName() { return "RaftkvEncryptedFs"; }
  const char* Name() const override { return kClassName(); }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* out,
                             IODebugContext* debug) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                               IODebugContext* debug) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* out,
                           IODebugContext* debug) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return InPlace(path);
  }
  /// Makes it anew.
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* out,
                             IODebugContext* debug) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>*, IODebugContext*) override {
    return InPlace(path);
  }
  IOStatus NewMemoryMappedFileBuffer(const std::string& path,
                                     std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) override {
    return InPlace(path);
  }
  IOStatus NewLogger(const std::string& path, const IOOptions&, std::shared_ptr<rocksdb::Logger>*,
                     IODebugContext*) override {
    return IOStatus::NotSupported("it would be in plaintext", path);
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, std::uint64_t* size,
                       IODebugContext* debug) override {
    IOStatus found = target()->GetFileSize(path, options, size, debug);
    if (found.ok()) *size -= std::min<std::uint64_t>(*size, kFilePrefixBytes);
    return found;
  }
  IOStatus GetChildrenFileAttributes(const std::string& folder, const IOOptions& options,
                                     std::vector<rocksdb::FileAttributes>* out,
                                     IODebugContext* debug) override {
    // By GetChildren and our GetFileSize.
    return FileSystem::GetChildrenFileAttributes(folder, options, out, debug);
  }
  IOStatus Truncate(const std::string& path, std::size_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    return target()->Truncate(path, size + kFilePrefixBytes, options, debug);
  }

 private:
  static IOStatus InPlace(const std::string& path) {
    return IOStatus::NotSupported("an encrypted file can only be written once, from its beginning",
                                  path);
  }
  /// `begin`: what a read of the prefix gave.
  IOStatus StreamOf(const std::string& path, Slice begin, const FileOptions& options,
                    IODebugContext* debug, std::unique_ptr<Stream>* stream) const;

  const std::shared_ptr<const FileCipher> cipher_;
};

IOStatus EncryptedFs::StreamOf(const std::string& path, Slice begin, const FileOptions& options,
                               IODebugContext* debug, std::unique_ptr<Stream>* stream) const {
  std::uint64_t size = 0;
  IOStatus sized = target()->GetFileSize(path, options.io_options, &size, debug);
  if (!sized.ok()) return sized;
  FileCipher::Counter counter;
  switch (cipher_->Inspect({begin.data(), begin.size()}, size, counter)) {
    case PrefixKind::kOurs:
    case PrefixKind::kUnfinished: *stream = std::make_unique<Stream>(cipher_, counter); break;
    case PrefixKind::kOtherKey: return IOStatus::Corruption("encrypted with another key", path);
    case PrefixKind::kNewer: return IOStatus::Corruption("encrypted by a newer program", path);
    case PrefixKind::kPlain:
      return IOStatus::Corruption("not encrypted, or its beginning is damaged", path);
    case PrefixKind::kDamaged:
      return IOStatus::Corruption("the prefix of the encrypted file is damaged", path);
  }
  return IOStatus::OK();
}

IOStatus EncryptedFs::NewSequentialFile(const std::string& path, const FileOptions& options,
                                        std::unique_ptr<rocksdb::FSSequentialFile>* out,
                                        IODebugContext* debug) {
  if (options.use_mmap_reads) return InPlace(path);
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  IOStatus status = target()->NewSequentialFile(path, options, &file, debug);
  if (!status.ok()) return status;
  std::string scratch(kFilePrefixBytes, '\0');
  Slice begin;
  status = file->Read(scratch.size(), options.io_options, &begin, scratch.data(), debug);
  std::unique_ptr<Stream> stream;
  if (status.ok()) status = StreamOf(path, begin, options, debug, &stream);
  if (!status.ok()) return status;
  // Of an unfinished file the end was reached: what is read from here on is nothing.
  *out = std::make_unique<rocksdb::EncryptedSequentialFile>(std::move(file), std::move(stream),
                                                            kFilePrefixBytes);
  return status;
}

IOStatus EncryptedFs::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                          IODebugContext* debug) {
  if (options.use_mmap_reads) return InPlace(path);
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  IOStatus status = target()->NewRandomAccessFile(path, options, &file, debug);
  if (!status.ok()) return status;
  std::string scratch(kFilePrefixBytes, '\0');
  Slice begin;
  status = file->Read(0, scratch.size(), options.io_options, &begin, scratch.data(), debug);
  std::unique_ptr<Stream> stream;
  if (status.ok()) status = StreamOf(path, begin, options, debug, &stream);
  if (!status.ok()) return status;
  *out = std::make_unique<rocksdb::EncryptedRandomAccessFile>(std::move(file), std::move(stream),
                                                              kFilePrefixBytes);
  return status;
}

IOStatus EncryptedFs::NewWritableFile(const std::string& path, const FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* out,
                                      IODebugContext* debug) {
  if (options.use_mmap_writes) return InPlace(path);
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = target()->NewWritableFile(path, options, &file, debug);
  if (!status.ok()) return status;
  const FileCipher::Counter counter = FileCipher::DrawCounter();
  status = file->Append(cipher_->MakePrefix(counter), options.io_options, debug);
  if (status.ok()) status = file->Sync(options.io_options, debug);
  if (!status.ok()) return status;
  *out = std::make_unique<WritableFile>(std::move(file), std::make_unique<Stream>(cipher_, counter),
                                        kFilePrefixBytes);
  return status;
}

IOStatus EncryptedFs::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                        const FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* out,
                                        IODebugContext* debug) {
  IOStatus renamed = target()->RenameFile(old_path, path, options.io_options, debug);
  return renamed.ok() ? NewWritableFile(path, options, out, debug) : renamed;
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> NewEncryptedFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base, std::shared_ptr<const FileCipher> cipher) {
  return std::make_shared<EncryptedFs>(std::move(base), std::move(cipher));
}

std::unique_ptr<rocksdb::Env> NewEncryptedEnv(rocksdb::Env& base,
                                              std::shared_ptr<const FileCipher> cipher) {
  return rocksdb::NewCompositeEnv(NewEncryptedFileSystem(base.GetFileSystem(), std::move(cipher)));
}

rocksdb::Status ReadAsStored(rocksdb::Env& env, const std::string& path, std::string& bytes) {
  const auto* encrypted = env.GetFileSystem()->CheckedCast<EncryptedFs>();
  if (encrypted == nullptr) return rocksdb::ReadFileToString(&env, path, &bytes);
  rocksdb::Status read = rocksdb::ReadFileToString(encrypted->target(), path, &bytes);
  if (read.ok()) bytes.erase(0, kFilePrefixBytes);
  return read;
}

}  // namespace raftkv::storage
