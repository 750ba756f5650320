// How does each write of the databases go through the DiskWatch?
#pragma once

#include <memory>
#include <string>

#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>

namespace raftkv::storage {

class DiskWatch;

/// To be registered with the databases that write through a GuardedFs: learns which tables are a
/// compaction's.
std::shared_ptr<rocksdb::EventListener> NewGuardListener();

/// Passes everything on to `target`; `watch` is borrowed.
class GuardedFs final : public rocksdb::FileSystemWrapper {
 public:
  using IOStatus = rocksdb::IOStatus;
  using IOOptions = rocksdb::IOOptions;
  using FileOptions = rocksdb::FileOptions;
  using Debug = rocksdb::IODebugContext;
  using WritablePtr = std::unique_ptr<rocksdb::FSWritableFile>;

  GuardedFs(std::shared_ptr<rocksdb::FileSystem> target, DiskWatch& watch)
      : FileSystemWrapper(target), watch_(watch) {}

  const char* Name() const override { return "GuardedFs"; }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, WritablePtr* out,
                           Debug* debug) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options, WritablePtr* out,
                              Debug* debug) override;
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options, WritablePtr* out, Debug* debug) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* out, Debug* debug) override;
  IOStatus CreateDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              Debug* debug) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      Debug* debug) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    Debug* debug) override;

 private:
  DiskWatch& watch_;
};

}  // namespace raftkv::storage
