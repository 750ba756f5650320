// Where does a backup go?
//
// A regular file is written beside its place and renamed, so that it is there whole or not at all.
// What is no file (a pipe, a device, stdout as "-") is written to: it must not be replaced.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "storage/backup/byte_stream.h"

namespace raftkv::storage {

class BackupTarget {
 public:
  /// Follows links: what they point at is replaced, not they. Removes what killed processes have
  /// left beside `file`. IOError: of the file; Cancelled: by `keep_going`, which is kept.
  static Result<std::unique_ptr<BackupTarget>> Open(rocksdb::Env& env, const std::string& file,
                                                    KeepGoing keep_going);
  /// Without Commit() a regular file is as it was.
  virtual ~BackupTarget() = default;

  /// Once.
  virtual std::unique_ptr<ByteSink> TakeSink() = 0;
  /// The sink is finished, and gone. Ok: the backup is in its place, and durable.
  virtual Status Commit() = 0;
};

}  // namespace raftkv::storage
