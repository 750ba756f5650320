// What does a power cut leave on the disk? A file system in memory that can be asked.
//
// Bytes of a file are durable once the file was synced, names in a folder once the folder was. Of
// the rest a power cut keeps what a seed draws: of a file's unsynced bytes a subset of 4 KiB pages
// or of 512-byte sectors (lost ones read as zeros, also in the middle), or a shorter file; of a
// folder's unsynced changes (creations, deletions, renames) a prefix, as a journal does, each
// folder on its own. The same operations and the same seed give the same disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "lib/base/random.h"

namespace raftkv::test {

class CrashFs final : public rocksdb::FileSystem {
 public:
  explicit CrashFs(std::uint64_t seed = 1);

  /// The power goes at the n-th operation from now (1 is the next) that writes or syncs: it fails,
  /// with a part of its effect or none, and so does everything after it.
  void CrashAt(std::uint64_t operation);
  /// The power goes now.
  void Crash();
  [[nodiscard]] bool crashed() const;
  /// The operation that CrashAt() chose was one of RocksDB's own threads (a compaction), which no
  /// call waits for.
  [[nodiscard]] bool crashed_in_background() const;
  /// Operations that write or sync so far.
  [[nodiscard]] std::uint64_t operations() const;
  /// The machine starts again with what survived; handles of before fail for ever.
  void Reboot(std::uint64_t seed);

  // For tests that damage files themselves.
  [[nodiscard]] std::string Content(const std::string& path) const;
  /// Durable at once.
  void SetContent(const std::string& path, const std::string& content);
  [[nodiscard]] std::vector<std::string> List(const std::string& folder) const;
  /// A second disk with the same content, all of it durable.
  [[nodiscard]] std::shared_ptr<CrashFs> Copy() const;
  /// Files and folders with their content, to compare.
  [[nodiscard]] std::map<std::string, std::string> Everything() const;

  // rocksdb::FileSystem
  using IOOptions = rocksdb::IOOptions;
  using IOStatus = rocksdb::IOStatus;
  using Debug = rocksdb::IODebugContext;
  using FileOptions = rocksdb::FileOptions;
  const char* Name() const override { return "CrashFs"; }
  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* out, Debug*) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* out, Debug*) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* out, Debug*) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* out, Debug*) override;
  IOStatus FileExists(const std::string& path, const IOOptions&, Debug*) override;
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* out,
                       Debug*) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions&, Debug*) override;
  IOStatus CreateDir(const std::string& path, const IOOptions&, Debug*) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, Debug*) override;
  IOStatus DeleteDir(const std::string& path, const IOOptions&, Debug*) override;
  IOStatus GetFileSize(const std::string& path, const IOOptions&, std::uint64_t* size,
                       Debug*) override;
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, std::uint64_t* time,
                                   Debug*) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      Debug*) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                    Debug*) override;
  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock,
                    Debug*) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, Debug*) override;
  IOStatus GetTestDirectory(const IOOptions&, std::string* path, Debug*) override;
  IOStatus NewLogger(const std::string& path, const IOOptions&,
                     std::shared_ptr<rocksdb::Logger>* out, Debug*) override;
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* out,
                           Debug*) override;
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_dir, Debug*) override;

 private:
  friend class CrashSequentialFile;
  friend class CrashRandomAccessFile;
  friend class CrashWritableFile;
  friend class CrashDirectory;

  struct Inode;
  using InodePtr = std::shared_ptr<Inode>;
  using Entries = std::map<std::string, InodePtr>;
  /// A change of names in one folder.
  using Change = std::function<void(Entries&)>;
  struct Inode {
    bool is_folder = false;
    // Of a file.
    std::string data;
    std::size_t synced = 0;  ///< bytes of data that survive; files only grow at the end
    // Of a folder.
    Entries entries;
    Entries durable;
    std::vector<Change> unsynced;
  };
  struct Place {
    InodePtr folder;
    std::string name;
  };

  // These take mutex_, and fail while the power is gone.
  /// `use(inode)` of what is at `path`; NotFound where nothing is.
  template <class Use>
  IOStatus With(const std::string& path, const Use& use) const;
  template <class Use>
  IOStatus WithFolder(const std::string& path, const Use& use) const;
  /// `use(place)` of where `path` is or would be.
  template <class Use>
  IOStatus WithPlace(const std::string& path, const Use& use) const;
  /// Opens what is at `path` as a `File`.
  template <class File, class Base>
  IOStatus OpenFile(const std::string& path, std::unique_ptr<Base>* out);

  // All with mutex_ held.
  enum class Power : std::uint8_t { kOn, kGoesNow, kGone };
  /// To be called by each operation that writes or syncs.
  Power Operate(std::uint64_t generation);
  bool Dead(std::uint64_t generation) const { return frozen_ || generation != generation_; }
  [[nodiscard]] InodePtr Find(const std::string& path) const;
  [[nodiscard]] std::optional<Place> FindPlace(const std::string& path) const;
  static void ChangeNames(const InodePtr& folder, Change change);
  /// Runs an operation on names; where the power goes at it, it may happen or not.
  IOStatus ChangeOperation(const InodePtr& folder, Change change);
  IOStatus CreateFolder(const std::string& path, bool may_exist);
  InodePtr Survive(const InodePtr& inode, Random& random, std::map<Inode*, InodePtr>& done) const;
  static std::string SurvivingBytes(const Inode& file, Random& random);
  static void Flatten(const InodePtr& inode, const std::string& path,
                      std::map<std::string, std::string>& out);

  mutable std::mutex mutex_;
  Random random_;
  InodePtr root_;
  std::uint64_t generation_ = 0;
  std::uint64_t operations_ = 0;
  std::uint64_t crash_at_ = 0;  ///< 0: never
  bool frozen_ = false;
  bool in_background_ = false;  ///< the operation at crash_at_
  std::set<std::string> locks_;
};

}  // namespace raftkv::test
