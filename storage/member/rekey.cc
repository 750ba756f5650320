#include "storage/member/rekey.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <rocksdb/env.h>

#include "storage/cipher/encrypted_fs.h"
#include "storage/cipher/file_cipher.h"
#include "storage/disk/files.h"
#include "storage/disk/real_fs.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/folder_key.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

namespace {

using Names = std::vector<std::string>;

constexpr std::string_view kMarkerContent = "raftkv rekey 1\n";

Result<Names> NamesIn(rocksdb::Env& env, const std::string& folder) {
  Result<std::optional<Names>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  return names->value_or(Names());
}

/// Copies what one Env shows to where another one writes.
class Copier {
 public:
  Copier(rocksdb::Env& from, rocksdb::Env& to) : from_(from), to_(to) {}

  Status Copy(const std::string& path, const std::string& copy) {
    bool is_folder = false;
    const rocksdb::Status looked = from_.IsDirectory(path, &is_folder);
    if (!looked.ok()) return ToStatus(looked, "look at " + path);
    return is_folder ? CopyFolder(path, copy) : CopyFile(path, copy);
  }
  [[nodiscard]] const Rekeyed& copied() const { return copied_; }

 private:
  static constexpr std::size_t kPieceBytes = 1 << 20;

  Status CopyFolder(const std::string& path, const std::string& copy) {
    Result<Names> names = NamesIn(from_, path);
    if (!names.ok()) return names.status();
    if (Status s = MakeFolder(to_, copy); !s.ok()) return s;
    for (const std::string& name : *names) {
      if (name == kLockName) continue;
      if (Status s = Copy(path + "/" + name, copy + "/" + name); !s.ok()) return s;
    }
    return SyncFolder(to_, copy);
  }

  Status CopyFile(const std::string& path, const std::string& copy) {
    std::unique_ptr<rocksdb::SequentialFile> in;
    rocksdb::Status status = from_.NewSequentialFile(path, &in, rocksdb::EnvOptions());
    if (!status.ok()) return ToStatus(status, "open " + path);
    std::unique_ptr<rocksdb::WritableFile> out;
    status = to_.NewWritableFile(copy, &out, rocksdb::EnvOptions());
    if (!status.ok()) return ToStatus(status, "make " + copy);
    while (true) {
      rocksdb::Slice piece;
      status = in->Read(kPieceBytes, &piece, piece_.get());
      if (!status.ok()) return ToStatus(status, "read " + path);
      if (piece.empty()) break;
      status = out->Append(piece);
      if (!status.ok()) return ToStatus(status, "write " + copy);
      copied_.bytes += piece.size();
    }
    status = out->Sync();
    if (status.ok()) status = out->Close();
    ++copied_.files;
    return ToStatus(status, "sync " + copy);
  }

  rocksdb::Env& from_;
  rocksdb::Env& to_;
  const std::unique_ptr<char[]> piece_{new char[kPieceBytes]};
  Rekeyed copied_;
};

/// The new files take the places of the old ones; can be repeated.
Status Finish(rocksdb::Env& env, const std::string& dir) {
  Result<Names> names = NamesIn(env, dir);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!IsRekeyCopy(name)) continue;
    const std::string path = dir + "/" + name.substr(0, name.size() - kRekeyCopySuffix.size());
    if (Status s = RemoveTree(env, path); !s.ok()) return s;
    const rocksdb::Status renamed = env.RenameFile(dir + "/" + name, path);
    if (!renamed.ok()) return ToStatus(renamed, "rename " + dir + "/" + name + " to " + path);
  }
  // What would be left with the old key.
  for (const std::string& name : *names) {
    if (SnapshotFolderNumber(name) == 0 && name != TemporaryName(kRecordName)) continue;
    if (Status s = RemoveTree(env, dir + "/" + name); !s.ok()) return s;
  }
  if (Status s = SyncFolder(env, dir); !s.ok()) return s;
  if (Status s = RemoveTree(env, dir + "/" + kRekeyMarkName); !s.ok()) return s;
  return SyncFolder(env, dir);
}

Status CopyAll(rocksdb::Env& base, const std::string& dir, Copier& copier) {
  Result<Names> names = NamesIn(base, dir);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!IsRekeyCopy(name)) continue;
    if (Status s = RemoveTree(base, dir + "/" + name); !s.ok()) return s;
  }
  for (const std::string& name : *names) {
    if (!IsRekeyed(name)) continue;
    const std::string path = dir + "/" + name;
    if (Status s = copier.Copy(path, path + std::string(kRekeyCopySuffix)); !s.ok()) return s;
  }
  return SyncFolder(base, dir);
}

struct Ciphers {
  std::shared_ptr<const FileCipher> old_one;
  std::shared_ptr<const FileCipher> new_one;
};

Result<Ciphers> CiphersOf(const RekeyOptions& options) {
  if (options.old_key_file.empty() && options.new_key_file.empty()) {
    return Status(Code::kInvalidArgument,
                  "name --old-key-file, --new-key-file, or both: without the first the folder is "
                  "taken as not encrypted, without the second it is decrypted");
  }
  auto old_one = CipherOfKeyFile(options.old_key_file, options.log_sink);
  if (!old_one.ok()) return old_one.status();
  auto new_one = CipherOfKeyFile(options.new_key_file, options.log_sink);
  if (!new_one.ok()) return new_one.status();
  return Ciphers{*std::move(old_one), *std::move(new_one)};
}

/// What is left to do, or why it is refused.
enum class Task : std::uint8_t { kNothing, kFinish, kAll };
Result<Task> TaskIn(rocksdb::Env& env, const std::string& dir, const Ciphers& ciphers) {
  const Result<bool> cut_short = RekeyWasCutShort(env, dir);
  if (!cut_short.ok()) return cut_short.status();
  if (*cut_short) return Task::kFinish;
  const rocksdb::Status exists = env.FileExists(dir + "/" + kRecordName);
  if (exists.IsNotFound()) {
    return Status(Code::kInvalidArgument,
                  "folder " + dir + " does not hold a raftkv member: name the --data-dir of one");
  }
  if (!exists.ok()) return ToStatus(exists, "look at " + dir);
  const Status fits = CheckFolderKey(env, dir, ciphers.old_one.get());
  if (fits.ok()) return Task::kAll;
  // Who is not sure whether it was done may run it again.
  if (CheckFolderKey(env, dir, ciphers.new_one.get()).ok()) return Task::kNothing;
  if (fits.code() != Code::kPermissionDenied) return fits;
  return Status(Code::kPermissionDenied,
                ciphers.old_one == nullptr
                    ? "data folder " + dir + " is encrypted: name its key with --old-key-file"
                    : "--old-key-file is not the key of data folder " + dir +
                          ", which is encrypted with another key or not at all");
}

}  // namespace

Result<Rekeyed> Rekey(RekeyOptions options) {
  if (options.env == nullptr) options.env = &RealEnv();
  rocksdb::Env& base = *options.env;
  const std::string& dir = options.dir;
  const Result<Ciphers> ciphers = CiphersOf(options);
  if (!ciphers.ok()) return ciphers.status();
  // First without the lock, whose file would be a change.
  if (Result<Task> task = TaskIn(base, dir, *ciphers); !task.ok()) return task.status();
  const Result<std::unique_ptr<FolderLock>> lock = FolderLock::Take(base, dir);
  if (!lock.ok()) return lock.status();
  const Result<Task> task = TaskIn(base, dir, *ciphers);
  if (!task.ok()) return task.status();
  if (*task == Task::kNothing) return Rekeyed{};
  if (*task == Task::kFinish) {
    if (Status s = Finish(base, dir); !s.ok()) return s;
    // It may have been begun with other keys.
    const Status fits = CheckFolderKey(base, dir, ciphers->new_one.get());
    if (fits.ok()) return Rekeyed{};
    return Status(fits.code(), "completed an interrupted key change: " + fits.message());
  }
  const auto env_of = [&base](const std::shared_ptr<const FileCipher>& cipher) {
    return cipher == nullptr ? nullptr : NewEncryptedEnv(base, cipher);
  };
  const std::unique_ptr<rocksdb::Env> old_env = env_of(ciphers->old_one);
  const std::unique_ptr<rocksdb::Env> new_env = env_of(ciphers->new_one);
  Copier copier(old_env ? *old_env : base, new_env ? *new_env : base);
  if (Status s = CopyAll(base, dir, copier); !s.ok()) return s;
  if (Status s = ReplaceFile(base, dir, kRekeyMarkName, std::string(kMarkerContent)); !s.ok()) {
    return s;
  }
  if (Status s = Finish(base, dir); !s.ok()) return s;
  return copier.copied();
}

}  // namespace raftkv::storage
