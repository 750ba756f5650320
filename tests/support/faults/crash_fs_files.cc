#include "tests/support/faults/crash_fs_files.h"

#include <algorithm>
#include <cstring>

namespace raftkv::test {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus CrashSequentialFile::Read(std::size_t n, const IOOptions&, Slice* result, char* scratch,
                                   IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Dead(generation_)) return PowerGone();
  const std::size_t there = std::min(n, inode_->data.size() - std::min(at_, inode_->data.size()));
  std::memcpy(scratch, inode_->data.data() + at_, there);
  at_ += there;
  *result = Slice(scratch, there);
  return IOStatus::OK();
}

IOStatus CrashSequentialFile::Skip(std::uint64_t n) {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Dead(generation_)) return PowerGone();
  at_ = std::min<std::size_t>(at_ + n, inode_->data.size());
  return IOStatus::OK();
}

IOStatus CrashRandomAccessFile::Read(std::uint64_t offset, std::size_t n, const IOOptions&,
                                     Slice* result, char* scratch, IODebugContext*) const {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Dead(generation_)) return PowerGone();
  const std::size_t at = std::min<std::size_t>(offset, inode_->data.size());
  const std::size_t there = std::min(n, inode_->data.size() - at);
  std::memcpy(scratch, inode_->data.data() + at, there);
  *result = Slice(scratch, there);
  return IOStatus::OK();
}

IOStatus CrashWritableFile::Append(const Slice& data, const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  const CrashFs::Power power = fs_.Operate(generation_);
  if (power == CrashFs::Power::kGone) return PowerGone();
  const std::size_t size =
      power == CrashFs::Power::kOn ? data.size() : fs_.random_.Below(data.size() + 1);
  inode_->data.append(data.data(), size);
  return power == CrashFs::Power::kOn ? IOStatus::OK() : PowerGone();
}

IOStatus CrashWritableFile::Truncate(std::uint64_t size, const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Operate(generation_) != CrashFs::Power::kOn) return PowerGone();
  if (size < inode_->data.size()) inode_->data.resize(size);
  inode_->synced = std::min(inode_->synced, inode_->data.size());
  return IOStatus::OK();
}

IOStatus CrashWritableFile::Close(const IOOptions&, IODebugContext*) { return IOStatus::OK(); }

IOStatus CrashWritableFile::Flush(const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  return fs_.Dead(generation_) ? PowerGone() : IOStatus::OK();
}

IOStatus CrashWritableFile::Sync(const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Operate(generation_) != CrashFs::Power::kOn) return PowerGone();
  inode_->synced = inode_->data.size();
  return IOStatus::OK();
}

std::uint64_t CrashWritableFile::GetFileSize(const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  return inode_->data.size();
}

IOStatus CrashDirectory::Fsync(const IOOptions&, IODebugContext*) {
  const std::lock_guard lock(fs_.mutex_);
  if (fs_.Operate(generation_) != CrashFs::Power::kOn) return PowerGone();
  inode_->durable = inode_->entries;
  inode_->unsynced.clear();
  return IOStatus::OK();
}

IOStatus CrashDirectory::Close(const IOOptions&, IODebugContext*) { return IOStatus::OK(); }

}  // namespace raftkv::test
