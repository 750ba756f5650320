// What are the open files and folders of a CrashFs? (crash_fs.h; nobody else includes this)
#pragma once

#include <memory>

#include <rocksdb/file_system.h>

#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {

rocksdb::IOStatus PowerGone();

class CrashHandle {
 protected:
  CrashHandle(CrashFs& fs, std::uint64_t generation) : fs_(fs), generation_(generation) {}

  CrashFs& fs_;
  const std::uint64_t generation_;
};

class CrashSequentialFile final : public rocksdb::FSSequentialFile, private CrashHandle {
 public:
  CrashSequentialFile(CrashFs& fs, CrashFs::InodePtr inode, std::uint64_t generation)
      : CrashHandle(fs, generation), inode_(std::move(inode)) {}
  rocksdb::IOStatus Read(std::size_t n, const rocksdb::IOOptions&, rocksdb::Slice* result,
                         char* scratch, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Skip(std::uint64_t n) override;

 private:
  const CrashFs::InodePtr inode_;
  std::size_t at_ = 0;
};

class CrashRandomAccessFile final : public rocksdb::FSRandomAccessFile, private CrashHandle {
 public:
  CrashRandomAccessFile(CrashFs& fs, CrashFs::InodePtr inode, std::uint64_t generation)
      : CrashHandle(fs, generation), inode_(std::move(inode)) {}
  rocksdb::IOStatus Read(std::uint64_t offset, std::size_t n, const rocksdb::IOOptions&,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext*) const override;

 private:
  const CrashFs::InodePtr inode_;
};

class CrashWritableFile final : public rocksdb::FSWritableFile, private CrashHandle {
 public:
  CrashWritableFile(CrashFs& fs, CrashFs::InodePtr inode, std::uint64_t generation)
      : CrashHandle(fs, generation), inode_(std::move(inode)) {}
  using rocksdb::FSWritableFile::Append;
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions&,
                           rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Truncate(std::uint64_t size, const rocksdb::IOOptions&,
                             rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Flush(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  std::uint64_t GetFileSize(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  bool IsSyncThreadSafe() const override { return true; }

 private:
  const CrashFs::InodePtr inode_;
};

class CrashDirectory final : public rocksdb::FSDirectory, private CrashHandle {
 public:
  CrashDirectory(CrashFs& fs, CrashFs::InodePtr inode, std::uint64_t generation)
      : CrashHandle(fs, generation), inode_(std::move(inode)) {}
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;

 private:
  const CrashFs::InodePtr inode_;
};

}  // namespace raftkv::test
