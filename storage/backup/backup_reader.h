// Is a file a whole backup, and where do the files in it go?
#pragma once

#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/backup.h>

#include "storage/backup/backup_manifest.h"
#include "storage/backup/byte_stream.h"

namespace raftkv::storage {

/// Takes the files of a backup while it is read. What it is given may turn out to be damaged in the
/// end.
class BackupTaker {
 public:
  virtual ~BackupTaker() = default;
  /// First of all.
  virtual Status Begin(const BackupManifest& manifest) = 0;
  /// Of the manifest, in its order: then just its bytes, then its end, and its checksum was right.
  virtual Status BeginFile(const ManifestFile& file) = 0;
  virtual Status Write(std::string_view bytes) = 0;
  virtual Status EndFile() = 0;
};

/// Reads all of `file`, and verifies all of it. `taker` may be null. Blocks. Errors: IOError,
/// Corruption (damaged, cut off, no backup), VersionMismatch, Cancelled (by `progress`, which may
/// be empty), those of `taker`.
/// PermissionDenied: it is sealed, and not with the key in `key_file`, which may be empty.
Result<BackupInfo> ReadBackupFile(rocksdb::Env& env, const std::string& file,
                                  const std::string& key_file, BackupTaker* taker,
                                  const BackupProgressCallback& progress);

}  // namespace raftkv::storage
