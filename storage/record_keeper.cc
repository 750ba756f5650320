#include "storage/record_keeper.h"

#include <utility>

namespace raftkv::storage {

RecordKeeper::RecordKeeper(rocksdb::Env& env, std::string folder, Record record, Worker& worker,
                           node::LogSink sink)
    : env_(env),
      folder_(std::move(folder)),
      worker_(worker),
      sink_(std::move(sink)),
      written_(record),
      latest_(std::move(record)) {}

void RecordKeeper::Durable(const Record& bounds, std::size_t log_bytes, bool at_once) {
  const std::lock_guard lock(mutex_);
  latest_ = bounds;
  bytes_since_ += log_bytes;
  const bool changed = at_once || bounds.term != written_.term || bounds.vote != written_.vote ||
                       bounds.cluster != written_.cluster;
  if (failed_ || queued_ || (!changed && bytes_since_ < kEveryLogBytes)) return;
  // A full queue is no harm: the next write tries again.
  queued_ = worker_.Post([this] { WriteNow(); });
}

void RecordKeeper::WriteNow() {
  Record record;
  {
    const std::lock_guard lock(mutex_);
    record = latest_;
    bytes_since_ = 0;
    queued_ = false;
  }
  const Status written = WriteRecord(env_, folder_, record);
  const std::lock_guard lock(mutex_);
  if (written.ok()) {
    written_ = std::move(record);
  } else if (!failed_) {
    failed_ = true;
    if (sink_) sink_(node::LogSeverity::kWarn, written.message());
  }
}

Status RecordKeeper::WriteCleanClose(Record record) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return Status(Code::kIOError, "the record of the data folder was not written");
  }
  record.clean_close = true;
  return WriteRecord(env_, folder_, record);
}

}  // namespace raftkv::storage
