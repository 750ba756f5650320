#include "storage/folder/data_folder.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "storage/disk/files.h"

namespace raftkv::storage {

namespace {

using Names = std::vector<std::string>;

/// 0: `name` is no such name.
std::uint64_t NumberBehind(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return 0;
  name.remove_prefix(prefix.size());
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && rest == name.data() + name.size() ? number : 0;
}

}  // namespace

bool IsOfNoMember(std::string_view name) {
  return name == kLockName || name == TemporaryName(kRecordName) ||
         name == TemporaryName(kRestoringName) || name == "lost+found";
}

Result<std::optional<Record>> InspectFolder(rocksdb::Env& env, const std::string& folder,
                                            const std::string& name) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  if (!names->has_value()) return std::optional<Record>();
  if (std::find((*names)->begin(), (*names)->end(), kRestoringName) != (*names)->end()) {
    return Status(Code::kUnavailable,
                  "a restore into data folder " + folder +
                      " was interrupted: run the same `raftkv snapshot restore` again");
  }
  Result<std::optional<Record>> record = ReadRecord(env, folder);
  if (!record.ok()) return record.status();
  if (!record->has_value()) {
    const auto other = std::find_if_not((*names)->begin(), (*names)->end(), IsOfNoMember);
    if (other == (*names)->end()) return std::optional<Record>();
    if (std::find((*names)->begin(), (*names)->end(), "log") != (*names)->end()) {
      return Status(Code::kCorruption,
                    "data folder " + folder +
                        " holds a log but has lost its record: restore it from a copy, or replace "
                        "the member; an emptied folder would be a new member");
    }
    return Status(Code::kInvalidArgument, "data folder " + folder + " holds '" + *other +
                                              "' but no raftkv member: name a new or empty folder");
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
  if (locked.ok()) return std::unique_ptr<FolderLock>(new FolderLock(env, lock, folder));
  if (locked.IsBusy()) {
    return Status(Code::kUnavailable, "data folder " + folder +
                                          " is in use by another process, or elsewhere in this "
                                          "one; stop that one, or name another folder");
  }
  return ToStatus(locked, "lock " + path);
}

FolderLock::FolderLock(rocksdb::Env& env, rocksdb::FileLock* lock, const std::string& folder)
    : env_(env),
      lock_(lock),
      folder_(FilePin::Of(env, folder)),
      file_(FilePin::Of(env, folder + "/" + kLockName)) {}

Status FolderLock::CheckInPlace() const {
  if (Status s = folder_.Check(); !s.ok()) return s;
  return file_.Check();
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
  if (Status s = RemoveUnreferenced(env, folder, {}); !s.ok()) return s;

  if (Status s = MakeFolder(env, log); !s.ok()) return s;
  if (Status s = make(record); !s.ok()) return s;
  if (Status s = SyncFolder(env, folder); !s.ok()) return s;

  record.complete = true;
  record.clean_close = true;
  if (Status s = WriteRecord(env, folder, record); !s.ok()) return s;
  return record;
}

Status RemoveUnreferenced(rocksdb::Env& env, const std::string& folder,
                          const std::vector<std::string>& kept) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(Names())) {
    if (std::find(kept.begin(), kept.end(), name) != kept.end()) continue;
    if (IsRekeyCopy(name)) {
      if (Status s = RemoveTree(env, folder + "/" + name); !s.ok()) return s;
      continue;
    }
    // Of what begins like it only what has a number is ours.
    if (KvFolderNumber(name) == 0 && SnapshotFolderNumber(name) == 0) continue;
    if (Status s = RemoveTree(env, folder + "/" + name); !s.ok()) return s;
  }
  return Status::Ok();
}

std::string KvFolderName(std::uint64_t number) { return kKvFolderPrefix + std::to_string(number); }

std::uint64_t KvFolderNumber(std::string_view name) { return NumberBehind(kKvFolderPrefix, name); }

std::string SnapshotFolderName(std::uint64_t number) {
  return kSnapshotFolderPrefix + std::to_string(number);
}

std::uint64_t SnapshotFolderNumber(std::string_view name) {
  return NumberBehind(kSnapshotFolderPrefix, name);
}

bool IsSetAside(std::string_view name) {
  if (!name.starts_with(kSetAsidePrefix)) return false;
  const bool again = name.starts_with(kSetAsideAgainPrefix);
  name.remove_prefix((again ? std::string_view(kSetAsideAgainPrefix) : kSetAsidePrefix).size());
  return name == kLogFolder || KvFolderNumber(name) > 0;
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
    if (!IsSetAside(name) || !name.starts_with(prefix)) continue;
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

// --- What a change of the key leaves.

bool IsRekeyed(std::string_view name) {
  return name == kRecordName || name == kLogFolder || name == kNewLogFolder ||
         KvFolderNumber(name) > 0 || IsSetAside(name);
}

bool IsRekeyCopy(std::string_view name) {
  if (!name.ends_with(kRekeyCopySuffix)) return false;
  name.remove_suffix(kRekeyCopySuffix.size());
  return IsRekeyed(name);
}

Result<bool> RekeyWasCutShort(rocksdb::Env& env, const std::string& folder) {
  const rocksdb::Status exists = env.FileExists(folder + "/" + kRekeyMarkName);
  if (exists.ok()) return true;
  if (exists.IsNotFound()) return false;
  return ToStatus(exists, "look at " + folder);
}

}  // namespace raftkv::storage
