// How does a backup come to be a file, whole or not at all?
#pragma once

#include <string>

#include <rocksdb/env.h>

#include <raftkv/backup.h>

#include "lib/node/backup.h"

namespace raftkv::storage {

/// Writes what `feed` gives to `file`, beside it first: it is in its place, and durable, once this
/// is Ok, and untouched otherwise. Blocks. IOError, NoSpace: of the file. Corruption: what came is
/// not what was announced. Cancelled: by `progress`, which may be empty. With a key in `key_file`
/// (which may be empty) it is sealed; InvalidArgument: that file holds none.
Result<BackupInfo> WriteBackup(rocksdb::Env& env, const std::string& file, node::BackupFeed& feed,
                               const std::string& key_file, const BackupProgressCallback& progress);

}  // namespace raftkv::storage
