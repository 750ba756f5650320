// Whose is a data folder, is it in use, and how is a new one created?
//
//   LOCK      held by the process that has the folder open
//   record    identity and lower bounds (record.h)
//   log/      the log database
//   kv-<n>/   the key-value database; `live_kv` in the log database names the one in use
//   snapshot-<n>/  a checkpoint of it that was or is being sent to another member
//   log.new/  what takes the place of a damaged log/, see repair.h
//   damaged-*/  what a repair set aside, until the others have refilled this member
//   restoring  while present, the folder is being built from a backup (backup/restore.h)
//
// A new folder is created in an order that lets the next open succeed after a crash at any point: a
// record that says "not complete", the databases, a record that says "complete". Until then no
// other member knows the member id, so everything beside an incomplete record is discarded.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "storage/disk/real_fs.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

inline constexpr char kLockName[] = "LOCK";
inline constexpr char kLogFolder[] = "log";
inline constexpr char kKvFolderPrefix[] = "kv-";
inline constexpr char kFirstKvFolder[] = "kv-1";
/// Checkpoints that are being sent.
inline constexpr char kSnapshotFolderPrefix[] = "snapshot-";
/// A restore in progress, or interrupted; at its end this file becomes the record.
inline constexpr char kRestoringName[] = "restoring";
inline constexpr char kNewLogFolder[] = "log.new";
inline constexpr char kSetAsidePrefix[] = "damaged-";
/// Set aside by a repair of something already repaired; removed at once.
inline constexpr char kSetAsideAgainPrefix[] = "damaged-again-";

std::string KvFolderName(std::uint64_t number);
/// 0: `name` is none.
std::uint64_t KvFolderNumber(std::string_view name);
std::string SnapshotFolderName(std::uint64_t number);
/// 0: `name` is none.
std::uint64_t SnapshotFolderNumber(std::string_view name);
/// Whether `name` was set aside by a repair.
bool IsSetAside(std::string_view name);
/// Names that are not of a member: a folder with nothing else counts as empty.
bool IsOfNoMember(std::string_view name);

/// The record of a folder that member `name` may use; nullopt: the folder is missing, empty, or
/// incomplete. Changes nothing. PermissionDenied: it is another member's. InvalidArgument: it holds
/// something else. Unavailable: a restore into it was interrupted. VersionMismatch, Corruption: see
/// record.h.
Result<std::optional<Record>> InspectFolder(rocksdb::Env& env, const std::string& folder,
                                            const std::string& name);

/// Releases the folder when it ends. On the real disk the lock belongs to an inode, not to a path
/// (disk/real_fs.h).
class FolderLock {
 public:
  /// Unavailable: in use.
  static Result<std::unique_ptr<FolderLock>> Take(rocksdb::Env& env, const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// IOError: the folder or its LOCK was removed or replaced since. Safe from any thread.
  [[nodiscard]] Status CheckInPlace() const;

 private:
  FolderLock(rocksdb::Env& env, rocksdb::FileLock* lock, const std::string& folder);

  rocksdb::Env& env_;
  rocksdb::FileLock* const lock_;
  const FilePin folder_;
  const FilePin file_;
};

/// Locks the folder of `name` and returns its record; a folder that belongs to no member yet is
/// initialized by `make`. A refused folder is not changed.
Result<Record> TakeFolder(rocksdb::Env& env, const std::string& folder, const std::string& name,
                          const std::function<Result<Record>()>& make,
                          std::unique_ptr<FolderLock>& lock);

/// Initializes a folder for `name` with a new random id, and what `make` creates in it, for which
/// `log/` is an empty folder; the folder exists and is locked.
Result<Record> MakeNew(rocksdb::Env& env, const std::string& folder, const std::string& name,
                       const std::string& machine_boot,
                       const std::function<Status(const Record&)>& make);

/// Removes key-value databases and checkpoints except `kept`, and what a key change left that did
/// not get far (rekey.h).
Status RemoveUnreferenced(rocksdb::Env& env, const std::string& folder,
                          const std::vector<std::string>& kept);

/// The highest number of a folder `prefix`<number>; 0: there is none.
Result<std::uint64_t> LastNumber(rocksdb::Env& env, const std::string& folder,
                                 std::string_view prefix);
/// Removes what repairs have set aside.
Status RemoveSetAside(rocksdb::Env& env, const std::string& folder,
                      std::string_view prefix = kSetAsidePrefix);

/// 64 bits of the system's entropy, never 0.
std::uint64_t DrawId();

// --- Files of a key change in progress (storage/member/rekey.h).

/// While this file exists, the new files are replacing the old ones.
inline constexpr char kRekeyMarkName[] = "rekey";
/// Suffix of a file or folder that is rewritten beside the old one.
inline constexpr std::string_view kRekeyCopySuffix = ".rekey";

/// Whether a key change rewrites `name`; LOCK files stay, checkpoints are not worth it.
bool IsRekeyed(std::string_view name);
/// Whether Rekey has to be run again before the folder can be opened.
Result<bool> RekeyWasCutShort(rocksdb::Env& env, const std::string& folder);
/// Whether `name` was left beside the data by an interrupted Rekey.
bool IsRekeyCopy(std::string_view name);

}  // namespace raftkv::storage
