// How does a backup become one that only who has the key can read?
//
// The bytes of the archive pass through sealed_file.h on their way to and from the file.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "storage/backup/byte_stream.h"
#include "storage/cipher/secret.h"

namespace raftkv::storage {

/// Seals what is written, and hands it on to `to`.
std::unique_ptr<ByteSink> SealTo(std::unique_ptr<ByteSink> to, std::shared_ptr<const Secret> key);

/// The bytes of the file at `path`; if it is sealed, what was sealed. `key` may be null.
/// PermissionDenied: it is sealed, and not with this key.
Result<std::unique_ptr<ByteSource>> OpenMaybeSealed(rocksdb::Env& env, const std::string& path,
                                                    const std::shared_ptr<const Secret>& key,
                                                    KeepGoing keep_going);

}  // namespace raftkv::storage
