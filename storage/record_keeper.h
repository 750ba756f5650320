// When is the record beside the databases written?
//
// After the sync of what it claims: at once when term, vote or cluster changed or the log has
// another beginning, else every few MiB of log. It is written on another thread than the log, so
// that no write waits for it; while one is being written, newer bounds gather into the next.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include <rocksdb/env.h>

#include "lib/node/ports.h"
#include "storage/record.h"
#include "storage/worker.h"

namespace raftkv::storage {

class RecordKeeper {
 public:
  static constexpr std::size_t kEveryLogBytes = 8 << 20;

  /// `record`: as it stands on disk. `worker` is borrowed; it must be stopped before this ends.
  RecordKeeper(rocksdb::Env& env, std::string folder, Record record, Worker& worker,
               node::LogSink sink);

  /// What is durable now, and how many bytes of log were written for it; `at_once`: it is not to
  /// wait. From the disk thread.
  void Durable(const Record& bounds, std::size_t log_bytes, bool at_once = false);
  /// After the worker stopped: writes the record with exact bounds and the mark of a clean close.
  Status WriteCleanClose(Record record);

 private:
  void WriteNow();

  // Constant after construction.
  rocksdb::Env& env_;
  const std::string folder_;
  Worker& worker_;
  const node::LogSink sink_;
  // Guarded by mutex_.
  std::mutex mutex_;
  Record written_;
  Record latest_;
  std::size_t bytes_since_ = 0;
  bool queued_ = false;
  /// A record that cannot be written is only weaker evidence: said once, and never tried again.
  bool failed_ = false;
};

}  // namespace raftkv::storage
