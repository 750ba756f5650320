// With which key, if any, is a data folder encrypted, and does the one at hand fit?
//
// The record shows it: it is in every folder of a member, and is read before anything is changed.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/node/ports.h"

namespace raftkv::storage {

class FileCipher;

/// The cipher of the key in `key_file`; null where that is empty.
Result<std::shared_ptr<const FileCipher>> CipherOfKeyFile(const std::string& key_file,
                                                          const node::LogSink& sink);

/// `cipher` null: without a key. Ok: the folder fits, or has no record yet. PermissionDenied: it is
/// encrypted with another key, or not at all, or it is and no key was given. Unavailable: a key
/// change was interrupted (rekey.h). Corruption: its record is damaged. Changes nothing.
Status CheckFolderKey(rocksdb::Env& base, const std::string& folder, const FileCipher* cipher);

/// The Env that shows the plaintext of `folder`; null if `key_file` is empty. Errors as of both
/// functions above.
Result<std::unique_ptr<rocksdb::Env>> EnvOfFolder(rocksdb::Env& base, const std::string& folder,
                                                  const std::string& key_file,
                                                  const node::LogSink& sink);

/// The bytes of a file as they stand on the disk, from where its content begins; see
/// encrypted_fs.h.
Result<std::string> ReadFileAsStored(rocksdb::Env& env, const std::string& path);

}  // namespace raftkv::storage
