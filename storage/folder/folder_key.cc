#include "storage/folder/folder_key.h"

#include <utility>

#include "storage/cipher/encrypted_fs.h"
#include "storage/cipher/file_cipher.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

namespace {

Status Refused(const std::string& folder, const std::string& why) {
  return Status(Code::kPermissionDenied, "data folder " + folder + " is " + why);
}

Status CheckRecordKey(const std::string& folder, const std::string& record,
                      const FileCipher* cipher) {
  if (cipher == nullptr) {
    if (!FileCipher::IsEncrypted(record)) return Status::Ok();
    return Refused(folder,
                   "encrypted: name its key with --encryption-key-file, or decrypt it with "
                   "`raftkv rekey`");
  }
  FileCipher::Counter counter;
  switch (cipher->Inspect(record, record.size(), counter)) {
    case PrefixKind::kOurs: return Status::Ok();
    case PrefixKind::kOtherKey:
      return Refused(folder, "encrypted with another key: name the file with that key");
    case PrefixKind::kNewer:
      return Status(Code::kVersionMismatch,
                    "data folder " + folder +
                        " is encrypted in the format of a newer program: use that program");
    case PrefixKind::kPlain:
      if (!IsRecord(record)) break;
      return Refused(folder,
                     "not encrypted: leave out --encryption-key-file, or encrypt it with "
                     "`raftkv rekey`");
    case PrefixKind::kUnfinished:
    case PrefixKind::kDamaged: break;
  }
  return Status(Code::kCorruption,
                folder +
                    ": the record file of the data folder is damaged: put the folder back "
                    "from a copy of this member's disk, or replace the member");
}

}  // namespace

Result<std::shared_ptr<const FileCipher>> CipherOfKeyFile(const std::string& key_file,
                                                          const node::LogSink& sink) {
  const Result<std::shared_ptr<const Secret>> key = ReadKeyFileIfAny(key_file, sink);
  if (!key.ok()) return key.status();
  if (*key == nullptr) return std::shared_ptr<const FileCipher>();
  return std::shared_ptr<const FileCipher>(std::make_shared<const FileCipher>(**key));
}

Status CheckFolderKey(rocksdb::Env& base, const std::string& folder, const FileCipher* cipher) {
  const Result<bool> cut_short = RekeyWasCutShort(base, folder);
  if (!cut_short.ok()) return cut_short.status();
  if (*cut_short) {
    return Status(Code::kUnavailable, "a key change of data folder " + folder +
                                          " was interrupted: run the same `raftkv rekey` again");
  }
  const Result<std::optional<std::string>> record =
      ReadFileIfExists(base, folder + "/" + kRecordName);
  if (!record.ok()) return record.status();
  return record->has_value() ? CheckRecordKey(folder, **record, cipher) : Status::Ok();
}

Result<std::unique_ptr<rocksdb::Env>> EnvOfFolder(rocksdb::Env& base, const std::string& folder,
                                                  const std::string& key_file,
                                                  const node::LogSink& sink) {
  Result<std::shared_ptr<const FileCipher>> cipher = CipherOfKeyFile(key_file, sink);
  if (!cipher.ok()) return cipher.status();
  if (Status s = CheckFolderKey(base, folder, cipher->get()); !s.ok()) return s;
  if (*cipher == nullptr) return std::unique_ptr<rocksdb::Env>();
  return NewEncryptedEnv(base, *std::move(cipher));
}

Result<std::string> ReadFileAsStored(rocksdb::Env& env, const std::string& path) {
  std::string bytes;
  const rocksdb::Status read = ReadAsStored(env, path, bytes);
  if (!read.ok()) return ToStatus(read, "read " + path);
  return bytes;
}

}  // namespace raftkv::storage
