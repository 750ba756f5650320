// What if the n-th write or sync fails, or the disk is full from the n-th write on?
//
// A file system in front of another one. Writes are appends to files; syncs are those of files and
// folders. A full disk takes half of the first write that does not fit, as real ones do.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include <rocksdb/file_system.h>

namespace raftkv::test {

class FaultFs final : public rocksdb::FileSystemWrapper {
 public:
  enum class Fault : std::uint8_t {
    kNone,
    kWriteError,  ///< EIO, once
    kSyncError,   ///< EIO, once; what was not synced stays unsynced
    kSyncFull,    ///< ENOSPC of a sync, once
    kFull,        ///< no write fits any more, nor a new file
    kQuota,       ///< as kFull, and the system says EDQUOT
    kFileLimit,   ///< as kFull, and the system says EFBIG
    kReadError,   ///< EIO at each read of a table
  };

  explicit FaultFs(const std::shared_ptr<rocksdb::FileSystem>& target)
      : FileSystemWrapper(target) {}

  /// At the n-th write or sync from now (1 is the next).
  void Arm(Fault fault, std::uint64_t n);
  /// There is space again, and no error comes any more.
  void Mend();
  /// Operations that failed since Arm().
  [[nodiscard]] std::uint64_t failures() const;
  [[nodiscard]] std::uint64_t writes() const;
  [[nodiscard]] std::uint64_t syncs() const;
  [[nodiscard]] bool full() const;
  /// The path of the first operation that failed.
  [[nodiscard]] std::string failed_path() const;

  using IOStatus = rocksdb::IOStatus;
  using Debug = rocksdb::IODebugContext;
  const char* Name() const override { return "FaultFs"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* out, Debug* debug) override;
  IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                               Debug* debug) override;
  IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* out, Debug* debug) override;

 private:
  friend class FaultFile;
  friend class FaultFolder;
  friend class FaultTable;

  /// Not ok: the operation fails. `first`: it is the first that does.
  IOStatus OnWrite(const std::string& path, bool counts, bool* first);
  IOStatus OnSync(const std::string& path);
  IOStatus OnRead(const std::string& path);

  mutable std::mutex mutex_;
  Fault fault_ = Fault::kNone;
  std::uint64_t left_ = 0;
  std::uint64_t failures_ = 0;
  std::uint64_t writes_ = 0;
  std::uint64_t syncs_ = 0;
  std::string failed_path_;
};

}  // namespace raftkv::test
