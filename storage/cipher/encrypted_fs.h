// How do the databases, the record and snapshots come to be encrypted on disk? By an Env that shows
// plaintext of files that hold none.
//
// RocksDB's own NewEncryptedFS is not used: it ends the process where a power cut left a file that
// is shorter than its prefix. Its classes of files are.
//
// What keeps a counter from being used twice: a file is made anew with a counter of its own, grows
// at its end only while it is open, and there is no way to go on with it later or to overwrite it
// (reopening, random-access writing and mapping are refused; recycling makes a new file). The
// prefix is synced before the file is given out, so that after a power cut a file without one has
// no content either.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "storage/cipher/file_cipher.h"

namespace raftkv::storage {

/// `base`, with all contents encrypted. Names, sizes (less the prefix) and LOCK files are as there.
std::shared_ptr<rocksdb::FileSystem> NewEncryptedFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base, std::shared_ptr<const FileCipher> cipher);

/// The same as an Env on the default threads and clock.
std::unique_ptr<rocksdb::Env> NewEncryptedEnv(rocksdb::Env& base,
                                              std::shared_ptr<const FileCipher> cipher);

/// The bytes of a file as they stand on the disk, from where its content begins: ciphertext where
/// `env` encrypts. What was never written is zeros there, and only there.
rocksdb::Status ReadAsStored(rocksdb::Env& env, const std::string& path, std::string& bytes);

}  // namespace raftkv::storage
