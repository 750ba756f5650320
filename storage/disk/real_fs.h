// What does the file system of a data folder guarantee?
//
// RocksDB's own file system, and on top of it:
//   - folders have mode 700 and files 600, whatever the umask is: the data is its owner's;
//   - a lock belongs to an inode and to an open file description, so no other close() of that file
//     releases it, and a process cannot hold an inode twice, by whatever path;
//   - a flush or a sync succeeds only if the file is still at its path: data written to a file that
//     was removed or replaced is lost with its last close. What happens to the file once a sync has
//     returned cannot be known before the next one: it is as if it happened after the answer.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// Everything kept on the real disk goes through it. It is never destroyed.
rocksdb::Env& RealEnv();

class RealFs final : public rocksdb::FileSystemWrapper {
 public:
  explicit RealFs(const std::shared_ptr<rocksdb::FileSystem>& target) : FileSystemWrapper(target) {}

  using IOStatus = rocksdb::IOStatus;
  using IOOptions = rocksdb::IOOptions;
  using Debug = rocksdb::IODebugContext;
  using FileOptions = rocksdb::FileOptions;
  using WritablePtr = std::unique_ptr<rocksdb::FSWritableFile>;

  static const char* kClassName() { return "RaftkvRealFs"; }
  const char* Name() const override { return kClassName(); }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, WritablePtr* out,
                           Debug* debug) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options, WritablePtr* out,
                              Debug* debug) override;
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options, WritablePtr* out, Debug* debug) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* out, Debug* debug) override;
  IOStatus CreateDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              Debug* debug) override;
  /// Busy: it is held, by this process or another one.
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                    Debug* debug) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, Debug* debug) override;
};

/// See RemoveTree in files.h. Goes from folder to folder by their descriptors: even if one is
/// replaced in the meantime, nothing is removed elsewhere.
Status RemoveRealTree(const std::string& path);

/// A file or folder on the real disk, to distinguish it from one that replaces it.
class FilePin {
 public:
  /// Pins what is at `path` now. Nothing is pinned if `env` does not keep it on the real disk.
  static FilePin Of(rocksdb::Env& env, const std::string& path);
  /// On the real disk.
  static FilePin OfReal(const std::string& path);
  FilePin() = default;

  /// IOError: it was removed or replaced. Costs one system call.
  [[nodiscard]] Status Check() const;

 private:
  std::string path_;  ///< empty: nothing is pinned
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Whether users other than the owner can access the content of `folder`, and how to change that;
/// nullopt: no, or it is not on the real disk.
std::optional<std::string> WiderModeOf(rocksdb::Env& env, const std::string& folder);

}  // namespace raftkv::storage
