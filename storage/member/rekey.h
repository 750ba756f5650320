// How is a data folder re-encrypted with another key, decrypted, or encrypted for the first time?
//
// Offline. Every file is rewritten beside the old one (`log.rekey/`, `kv-1.rekey/`, `record.rekey`)
// and synced. Then the file `rekey` is created, which is the point of no return; then the new files
// replace the old ones, and `rekey` is removed. If interrupted before that point, the folder is
// unchanged; after it, the folder is refused until the same command was run again, which continues
// where the last run stopped. So it never opens with a mixture.
#pragma once

#include <cstdint>
#include <string>

#include <raftkv/status.h>

#include "lib/node/ports.h"

namespace rocksdb {
class Env;
}

namespace raftkv::storage {

struct RekeyOptions {
  std::string dir;
  /// Empty: it is not encrypted.
  std::string old_key_file;
  /// Empty: it is not to be.
  std::string new_key_file;
  node::LogSink log_sink;
  /// null: the real file system.
  rocksdb::Env* env = nullptr;
};

struct Rekeyed {
  /// What was rewritten; nothing, if it only had to complete an earlier run.
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

/// Errors: InvalidArgument (no folder of a member, or no key), PermissionDenied (another key),
/// Unavailable (in use), Corruption, IOError, NoSpace. Wrong use changes nothing.
Result<Rekeyed> Rekey(RekeyOptions options);

}  // namespace raftkv::storage
