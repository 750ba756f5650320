#include "storage/folder/data_folder.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/folder/rekey_marks.h"

namespace raftkv::storage {

namespace {

using Names = std::vector<std::string>;

/// What a folder may hold that was not even given its first record.
bool IsOfNoMember(const std::string& name) {
  return name == kLockName || name == TemporaryName(kRecordName) || name == "lost+found";
}

/// 0: `name` is no such name.
std::uint64_t NumberBehind(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return 0;
  name.remove_prefix(prefix.size());
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && rest == name.data() + name.size() ? number : 0;
}

}  // namespace

Result<std::optional<Record>> InspectFolder(rocksdb::Env& env, const std::string& folder,
                                            const std::string& name) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  if (!names->has_value()) return std::optional<Record>();
  Result<std::optional<Record>> record = ReadRecord(env, folder);
  if (!record.ok()) return record.status();
  if (!record->has_value()) {
    const auto other = std::find_if_not((*names)->begin(), (*names)->end(), IsOfNoMember);
    if (other == (*names)->end()) return std::optional<Record>();
    if (std::find((*names)->begin(), (*names)->end(), "log") != (*names)->end()) {
      return Status(
          Code::kCorruption,
          "data folder " + folder +
              " holds a log and has lost its record: restore it "
              "from a copy, or replace the member; an emptied folder would be a new member");
    }
    return Status(Code::kInvalidArgument, "data folder " + folder + " holds '" + *other +
                                              "' and no raftkv member: name a new or empty folder");
  }
  if (!(*record)->complete) return std::optional<Record>();
  if ((*record)->name != name) {
    return Status(Code::kPermissionDenied, "data folder " + folder + " belongs to member '" +
                                               (*record)->name + "', not '" + name +
                                               "': use that name or another folder");
  }
  return record;
}

Result<std::unique_ptr<FolderLock>> FolderLock::Take(rocksdb::Env& env, const std::string& folder) {
  const std::string path = folder + "/" + kLockName;
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status locked = env.LockFile(path, &lock);
  if (locked.ok()) return std::unique_ptr<FolderLock>(new FolderLock(env, lock));
  const std::string text = locked.ToString();
  // RocksDB has no code of its own for it; these two are from its PosixFileSystem::LockFile.
  if (text.find("lock hold by current process") != std::string::npos ||
      text.find("hile lock file") != std::string::npos) {
    return Status(Code::kUnavailable, "data folder " + folder +
                                          " is in use by another process; stop that one or name "
                                          "another folder");
  }
  return ToStatus(locked, "lock " + path);
}

FolderLock::~FolderLock() { env_.UnlockFile(lock_).PermitUncheckedError(); }

Result<Record> TakeFolder(rocksdb::Env& env, const std::string& folder, const std::string& name,
                          const std::function<Result<Record>()>& make,
                          std::unique_ptr<FolderLock>& lock) {
  // First without the lock, whose file would be a change.
  Result<std::optional<Record>> seen = InspectFolder(env, folder, name);
  if (!seen.ok()) return seen.status();
  if (Status s = MakeFolder(env, folder); !s.ok()) return s;
  Result<std::unique_ptr<FolderLock>> taken = FolderLock::Take(env, folder);
  if (!taken.ok()) return taken.status();
  lock = std::move(*taken);
  Result<std::optional<Record>> record = InspectFolder(env, folder, name);
  if (!record.ok()) return record.status();
  if (record->has_value()) return std::move(**record);
  return make();
}

Result<Record> MakeNew(rocksdb::Env& env, const std::string& folder, const std::string& name,
                       const std::string& machine_boot,
                       const std::function<Status(const Record&)>& make) {
  Record record;
  record.member = NodeId(DrawId());
  record.name = name;
  record.machine_boot = machine_boot;
  if (Status s = WriteRecord(env, folder, record); !s.ok()) return s;
  // What an earlier attempt left.
  const std::string log = folder + "/" + kLogFolder;
  if (Status s = RemoveTree(env, log); !s.ok()) return s;
  if (Status s = RemoveUnreferenced(env, folder, "", ""); !s.ok()) return s;

  if (Status s = MakeFolder(env, log); !s.ok()) return s;
  if (Status s = make(record); !s.ok()) return s;
  if (Status s = SyncFolder(env, folder); !s.ok()) return s;

  record.complete = true;
  record.clean_close = true;
  if (Status s = WriteRecord(env, folder, record); !s.ok()) return s;
  return record;
}

Status RemoveUnreferenced(rocksdb::Env& env, const std::string& folder, const std::string& live,
                          const std::string& snapshot) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(Names())) {
    if (name == live || name == snapshot) continue;
    if (IsRekeyCopy(name)) {
      if (Status s = RemoveCopy(env, folder + "/" + name); !s.ok()) return s;
      continue;
    }
    if (!name.starts_with(kKvFolderPrefix) && !name.starts_with(kSnapshotFolderPrefix)) continue;
    if (Status s = RemoveTree(env, folder + "/" + name); !s.ok()) return s;
  }
  return Status::Ok();
}

std::string KvFolderName(std::uint64_t number) { return kKvFolderPrefix + std::to_string(number); }

std::uint64_t KvFolderNumber(std::string_view name) { return NumberBehind(kKvFolderPrefix, name); }

std::string SnapshotFolderName(std::uint64_t number) {
  return kSnapshotFolderPrefix + std::to_string(number);
}

Result<std::uint64_t> LastNumber(rocksdb::Env& env, const std::string& folder,
                                 std::string_view prefix) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  std::uint64_t last = 0;
  for (const std::string& name : names->value_or(Names())) {
    last = std::max(last, NumberBehind(prefix, name));
  }
  return last;
}

Status RemoveSetAside(rocksdb::Env& env, const std::string& folder, std::string_view prefix) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(Names())) {
    if (!name.starts_with(prefix)) continue;
    if (Status s = RemoveTree(env, folder + "/" + name); !s.ok()) return s;
  }
  return Status::Ok();
}

std::uint64_t DrawId() {
  std::uint64_t id = 0;
  while (id == 0) {
    const ssize_t got = getrandom(&id, sizeof(id), 0);
    RAFTKV_CHECK(got == static_cast<ssize_t>(sizeof(id)), got);
  }
  return id;
}

}  // namespace raftkv::storage
