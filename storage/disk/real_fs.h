// What does a file system owe to the files of a data folder?
//
// RocksDB's own file system, and on top of it:
//   - folders have mode 700 and files 600, whatever the umask is: the data is its owner's;
//   - a lock belongs to an inode. It is one of an open file description, which nobody's close() of
//     that file takes away, and a process holds no inode twice, by whatever path;
//   - a flush or a sync succeeds only where the file still stands at its path: what was written to
//   a
//     file that was removed or replaced meanwhile is gone with its last close. What becomes of the
//     file once a sync has returned nobody can know before the next one: it is as if it had
//     happened after the answer.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// Everything that is kept on the real disk goes through it. It lives for ever.
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
  /// Busy: it is held, here or elsewhere.
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                    Debug* debug) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, Debug* debug) override;
};

/// See RemoveTree in files.h. Goes from folder to folder by their descriptors: whatever is put in
/// the place of one meanwhile, nothing is removed elsewhere.
Status RemoveRealTree(const std::string& path);

/// A file or folder of the real disk, to be told from another one that takes its place.
class FilePin {
 public:
  /// Pins what is at `path` now. Nothing is pinned where `env` does not keep it on the real disk.
  static FilePin Of(rocksdb::Env& env, const std::string& path);
  /// On the real disk.
  static FilePin OfReal(const std::string& path);
  FilePin() = default;

  /// IOError: it was removed, or something else stands in its place. Costs one system call.
  [[nodiscard]] Status Check() const;

 private:
  std::string path_;  ///< empty: nothing is pinned
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Whether others than the owner may get at what is in `folder`, and how to change that; nullopt:
/// no, or it is not on the real disk.
std::optional<std::string> WiderModeOf(rocksdb::Env& env, const std::string& folder);

}  // namespace raftkv::storage
