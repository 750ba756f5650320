#include "storage/folder/record_keeper.h"

#include <utility>

#include "lib/base/check.h"

namespace raftkv::storage {

RecordKeeper::RecordKeeper(rocksdb::Env& env, std::string folder, Record record, Worker& worker,
                           node::LogSink sink, Duration idle)
    : env_(env),
      folder_(std::move(folder)),
      worker_(worker),
      sink_(std::move(sink)),
      idle_(idle),
      file_(FilePin::Of(env_, folder_ + "/" + kRecordName)),
      written_(record),
      latest_(std::move(record)),
      idle_thread_(std::make_unique<Worker>("raftkv-record", 1)) {
  RAFTKV_CHECK(idle_thread_->Post([this] { RunIdle(); }));
}

bool RecordKeeper::Lags() const {
  return failure_.ok() && written_.batch_number < latest_.batch_number;
}

void RecordKeeper::RunIdle() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopped_ && !Lags()) changed_.Wait(lock);
    while (!stopped_ && Clock::now() - durable_at_ < idle_) {
      changed_.WaitUntil(lock, durable_at_ + idle_);
    }
    if (stopped_) return;
    lock.Unlock();
    static_cast<void>(WriteNow());
    lock.Lock();
  }
}

void RecordKeeper::Stop() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  idle_thread_->Stop();
}

Status RecordKeeper::Durable(const Record& bounds, std::size_t log_bytes, bool soon) {
  {
    const MutexLock lock(mutex_);
    const bool lagged = Lags();
    const Damaged damaged = latest_.damaged;
    const bool tail_may_be_torn = latest_.tail_may_be_torn;
    latest_ = bounds;
    latest_.damaged = damaged;
    latest_.tail_may_be_torn = tail_may_be_torn;
    bytes_since_ += log_bytes;
    durable_at_ = Clock::now();
    if (!lagged && Lags()) changed_.NotifyAll();
    const bool told = bounds.term != written_.term || bounds.vote != written_.vote ||
                      bounds.cluster != written_.cluster || bounds.has_peers != written_.has_peers;
    if (!told) {
      // A record that is late is only weaker evidence; where the queue is full, the next write
      // tries again.
      const bool due = soon || bytes_since_ >= kEveryLogBytes;
      if (due && failure_.ok() && !queued_) {
        queued_ = worker_.Post([this] { static_cast<void>(WriteNow()); });
      }
      return Status::Ok();
    }
  }
  return WriteNow();
}

Status RecordKeeper::WriteNow() {
  const MutexLock file_lock(file_mutex_);
  Record record;
  {
    const MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    record = latest_;
    bytes_since_ = 0;
    queued_ = false;
  }
  // Written again it would hide that it is gone.
  Status written = file_.Check();
  if (written.ok()) written = WriteRecord(env_, folder_, record);
  if (written.ok()) file_ = FilePin::Of(env_, folder_ + "/" + kRecordName);
  const MutexLock lock(mutex_);
  if (written.ok()) {
    written_ = std::move(record);
  } else {
    failure_ = written;
    if (sink_) sink_(node::LogSeverity::kWarn, written.message());
  }
  return written;
}

void RecordKeeper::TailMayBeTorn(const Record& bounds) {
  const MutexLock file_lock(file_mutex_);
  Record record = bounds;
  {
    const MutexLock lock(mutex_);
    if (written_.tail_may_be_torn) return;
    record.damaged = latest_.damaged;
    record.tail_may_be_torn = true;
    latest_ = record;
  }
  // Not WriteNow: an earlier record that failed is no reason to keep this one back. One that is
  // gone is: written again it would hide that.
  if (!file_.Check().ok() || !WriteRecord(env_, folder_, record).ok()) return;
  file_ = FilePin::Of(env_, folder_ + "/" + kRecordName);
  const MutexLock lock(mutex_);
  written_ = std::move(record);
}

Status RecordKeeper::MarkDamaged(Damaged damaged) {
  {
    const MutexLock lock(mutex_);
    // Of both, the one whose repair keeps less.
    if (latest_.damaged != Damaged::kKv) latest_.damaged = damaged;
  }
  return WriteNow();
}

Status RecordKeeper::CheckInPlace() const {
  if (!file_mutex_.TryLock()) return Status::Ok();
  Status there = file_.Check();
  file_mutex_.Unlock();
  return there;
}

Status RecordKeeper::WriteCleanClose(Record record) {
  {
    const MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    record.damaged = latest_.damaged;
  }
  record.clean_close = true;
  const MutexLock file_lock(file_mutex_);
  if (Status there = file_.Check(); !there.ok()) return there;
  return WriteRecord(env_, folder_, record);
}

}  // namespace raftkv::storage
