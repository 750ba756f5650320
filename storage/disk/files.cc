#include "storage/disk/files.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "storage/disk/real_fs.h"

namespace raftkv::storage {

std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool IsDiskFull(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

bool IsDiskFull(const rocksdb::Status& status) {
  if (status.IsNoSpace()) return true;
  if (!status.IsIOError()) return false;
  // RocksDB has a code of its own for ENOSPC alone; of the others it keeps the system's text.
  const std::string text = status.ToString();
  return text.ends_with(std::generic_category().message(EDQUOT)) ||
         text.ends_with(std::generic_category().message(EFBIG));
}

Status ToStatus(const rocksdb::Status& status, const std::string& doing) {
  if (status.ok()) return Status::Ok();
  Code code = Code::kIOError;
  if (IsDiskFull(status)) {
    code = Code::kNoSpace;
  } else if (status.IsCorruption()) {
    code = Code::kCorruption;
  } else if (status.IsIncomplete()) {
    code = Code::kUnavailable;
  }
  std::string detail = status.ToString();
  std::replace(detail.begin(), detail.end(), '\n', ' ');
  return Status(code, "could not " + doing + ": " + detail);
}

Status ToOpenStatus(const rocksdb::Status& status, const std::string& doing) {
  const Status said = ToStatus(status, doing);
  const bool of_the_system = (status.IsIOError() && !status.IsPathNotFound()) ||
                             IsDiskFull(status) || status.IsBusy() || status.IsIncomplete() ||
                             status.IsMemoryLimit() || status.IsTimedOut();
  if (said.ok() || of_the_system) return said;
  return Status(Code::kCorruption, said.message());
}

Result<std::optional<std::string>> ReadFileIfExists(rocksdb::Env& env, const std::string& path) {
  const rocksdb::Status exists = env.FileExists(path);
  if (exists.IsNotFound()) return std::optional<std::string>();
  if (!exists.ok()) return ToStatus(exists, "look at " + path);
  std::string content;
  const rocksdb::Status read = rocksdb::ReadFileToString(&env, path, &content);
  if (!read.ok()) return ToStatus(read, "read " + path);
  return std::optional<std::string>(std::move(content));
}

std::string TemporaryName(const std::string& name) { return name + ".tmp"; }

Status ReplaceFile(rocksdb::Env& env, const std::string& folder, const std::string& name,
                   const std::string& content) {
  const std::string path = folder + "/" + name;
  const std::string temporary = folder + "/" + TemporaryName(name);
  const rocksdb::Status written =
      rocksdb::WriteStringToFile(&env, content, temporary, /*should_sync=*/true);
  if (!written.ok()) return ToStatus(written, "write " + temporary);
  const rocksdb::Status renamed = env.RenameFile(temporary, path);
  if (!renamed.ok()) return ToStatus(renamed, "rename " + temporary + " to " + path);
  return SyncFolder(env, folder);
}

Status SyncFolder(rocksdb::Env& env, const std::string& folder) {
  std::unique_ptr<rocksdb::Directory> directory;
  rocksdb::Status status = env.NewDirectory(folder, &directory);
  if (status.ok()) status = directory->Fsync();
  return ToStatus(status, "sync folder " + folder);
}

namespace {

/// Whoever made `folder` may not have synced it into the one above it. One that may not even be
/// opened is somebody else's.
Status SyncAbove(rocksdb::Env& env, const std::string& folder) {
  // The second is another one where `folder` is a link, or ".".
  for (const std::string& above : {ParentOf(folder), folder + "/.."}) {
    std::unique_ptr<rocksdb::Directory> directory;
    if (!env.NewDirectory(above, &directory).ok()) continue;
    if (Status s = ToStatus(directory->Fsync(), "sync folder " + above); !s.ok()) return s;
  }
  const std::string parent = ParentOf(folder);
  return parent == folder || parent == "." ? Status::Ok() : SyncAbove(env, parent);
}

}  // namespace

Status MakeFolder(rocksdb::Env& env, const std::string& folder) {
  const rocksdb::Status exists = env.FileExists(folder);
  if (exists.ok()) {
    bool is_folder = false;
    const rocksdb::Status looked = env.IsDirectory(folder, &is_folder);
    if (looked.ok() && !is_folder) {
      return Status(Code::kInvalidArgument, folder + " is not a folder; name another one");
    }
    return SyncAbove(env, folder);
  }
  if (!exists.IsNotFound()) return ToStatus(exists, "look at " + folder);
  const std::string parent = ParentOf(folder);
  if (Status made = MakeFolder(env, parent); !made.ok()) return made;
  const rocksdb::Status created = env.CreateDirIfMissing(folder);
  if (!created.ok()) return ToStatus(created, "make folder " + folder);
  return SyncFolder(env, parent);
}

Status RemoveTree(rocksdb::Env& env, const std::string& path) {
  if (env.GetFileSystem()->CheckedCast<RealFs>() != nullptr) return RemoveRealTree(path);
  // This takes a link and leaves what it points to; only a folder is refused.
  const rocksdb::Status unlinked = env.DeleteFile(path);
  if (unlinked.ok()) return Status::Ok();
  bool is_folder = false;
  const rocksdb::Status looked = env.IsDirectory(path, &is_folder);
  if (looked.IsNotFound() || looked.IsPathNotFound()) return Status::Ok();
  if (!looked.ok()) return ToStatus(looked, "look at " + path);
  if (!is_folder) return ToStatus(unlinked, "remove " + path);
  Result<std::optional<std::vector<std::string>>> names = ListFolder(env, path);
  if (!names.ok()) return names.status();
  if (!names->has_value()) return Status::Ok();
  for (const std::string& name : **names) {
    if (Status removed = RemoveTree(env, path + "/" + name); !removed.ok()) return removed;
  }
  return ToStatus(env.DeleteDir(path), "remove folder " + path);
}

bool Fits(rocksdb::Env& env, const std::string& folder, std::uint64_t bytes) {
  // Beside what is guessed, and for what others write meanwhile.
  constexpr std::uint64_t kSlack = 1 << 20;
  std::uint64_t free = 0;
  return !env.GetFreeSpace(folder, &free).ok() || bytes + bytes / 8 + kSlack <= free;
}

Result<std::optional<std::vector<std::string>>> ListFolder(rocksdb::Env& env,
                                                           const std::string& folder) {
  std::vector<std::string> names;
  const rocksdb::Status listed = env.GetChildren(folder, &names);
  if (listed.IsNotFound()) return std::optional<std::vector<std::string>>();
  if (!listed.ok()) return ToStatus(listed, "list folder " + folder);
  std::erase(names, ".");
  std::erase(names, "..");
  std::sort(names.begin(), names.end());
  return std::optional<std::vector<std::string>>(std::move(names));
}

}  // namespace raftkv::storage
