// How does a data folder come to be encrypted with another key, or no longer, or for the first
// time?
//
// Offline. Every file is written anew beside the old one (`log.rekey/`, `kv-1.rekey/`,
// `record.rekey`) and synced; then the file `rekey` is made, which is the point of no return; then
// the new ones take the places of the old ones, and `rekey` goes. Cut short before it, the folder
// is as it was; after it, the folder is refused until the same command was run again, which goes on
// where it was. So it never opens with a mixture.
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
  /// What was written anew; none, where all that was left to do was to finish an earlier run.
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

/// Errors: InvalidArgument (no folder of a member, or no key), PermissionDenied (another key),
/// Unavailable (in use), Corruption, IOError, NoSpace. Wrong use changes nothing.
Result<Rekeyed> Rekey(RekeyOptions options);

}  // namespace raftkv::storage
