#include "storage/local_log/local_log.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/base/time.h"

namespace raftkv::storage {

namespace {

using Kind = LogTxn::Operation::Kind;

constexpr std::size_t kMaxGroupBytes = 4 << 20;
/// What an entry costs beside its bytes.
constexpr std::size_t kEntryOverheadBytes = raft::Entry::kOverheadBytes;
/// Beside the writes that wait: the record, files to delete, a group to lead.
constexpr std::size_t kMoreTasks = 16;
/// What an iterator reads ahead.
constexpr std::size_t kPrefetchBytes = 256 << 10;

Status Compacted(Index base) {
  return Status(Code::kCompacted,
                "the log begins at entry " + std::to_string(base.Next().value) + " by now");
}

/// Where the ends are after `operation`, and from which entry on they are of its write.
Status Step(const LogTxn::Operation& operation, Index& base, Index& last, Index& own) {
  const Index index(operation.index);
  switch (operation.kind) {
    case Kind::kAppend:
      if (operation.entries.size() > kLastLogIndex - last.value) {
        return Status(Code::kInvalidArgument,
                      "the log has no indexes left after " + std::to_string(last.value));
      }
      last = last + operation.entries.size();
      return Status::Ok();
    case Kind::kTrimPrefix:
      if (index > last) {
        return Status(Code::kInvalidArgument, "the log ends at entry " +
                                                  std::to_string(last.value) +
                                                  ": nothing after it can be trimmed");
      }
      base = std::max(base, index);
      return Status::Ok();
    case Kind::kTrimSuffix:
      if (index <= base) return Compacted(base);
      if (index > last) return Status::Ok();
      last = index.Previous();
      own = std::min(own, index);
      return Status::Ok();
  }
  return Status::Ok();
}

/// Goes along a log that grows and is cut meanwhile.
class LocalLogIterator final : public LogIterator {
 public:
  LocalLogIterator(LocalLog& log, Index from) : log_(log), next_(from) {}

  Result<LogEntry> Next() override;
  Result<LogEntry> Next(std::chrono::milliseconds timeout) override;

 private:
  LocalLog& log_;
  Index next_;
  /// Read ahead: ahead_[used_] is entry next_.
  std::vector<raft::Entry> ahead_;
  std::size_t used_ = 0;
};

}  // namespace

LocalLog::LocalLog(LogOptions options, const LogGround& ground, LocalLogFound found)
    : options_(std::move(options)),
      encrypted_(std::move(found.encrypted)),
      env_(ground.env),
      opened_(found.record),
      lock_(std::move(found.lock)),
      log_(ground.sync, std::move(found.handles), found.mark, found.base),
      durable_(found.record),
      ends_{found.base, found.mark.last_index},
      worker_("raftkv-log", options_.max_waiting_writes + kMoreTasks),
      keeper_(
          *env_, options_.dir, opened_, worker_,
          [this](node::LogSeverity severity, const std::string& line) {
            if (severity >= node::LogSeverity::kWarn) Warn(line);
          },
          ground.record_idle),
      commit_(
          {options_.max_waiting_bytes, options_.max_waiting_writes, kMaxGroupBytes,
           options_.own_thread},
          [this](const GroupCommit::Group& group) { WriteGroup(group); }, worker_) {}

std::uint64_t LocalLog::Head() const {
  const MutexLock lock(mutex_);
  return ends_.base.Next().value;
}

std::uint64_t LocalLog::Seq() const {
  const MutexLock lock(mutex_);
  return ends_.last.value;
}

// --- Writes.

Result<std::shared_ptr<GroupWrite>> LocalLog::Prepare(std::vector<LogTxn::Operation> operations,
                                                      const LogWriteOptions& options) const {
  auto write = std::make_shared<GroupWrite>();
  write->sync = options.sync.value_or(options_.sync);
  for (const LogTxn::Operation& operation : operations) {
    // What the cut took is given back at once, so the cut itself must not be lost.
    if (operation.kind == Kind::kTrimPrefix) write->sync = true;
    if (operation.kind == Kind::kTrimSuffix && operation.index == 0) {
      return Status(Code::kInvalidArgument, "there is no entry 0: trim from 1 on");
    }
    for (const std::string& entry : operation.entries) {
      write->bytes += entry.size() + kEntryOverheadBytes;
      if (entry.size() > options_.max_write_bytes || write->bytes > options_.max_write_bytes) {
        return Status(Code::kInvalidArgument, "a write can have at most " +
                                                  std::to_string(options_.max_write_bytes) +
                                                  " bytes: write in smaller parts");
      }
    }
    write->bytes += kEntryOverheadBytes;
  }
  write->operations = std::move(operations);
  write->deadline = std::chrono::steady_clock::now() + BoundedTimeout(options.timeout);
  return write;
}

Result<LogRange> LocalLog::Write(std::vector<LogTxn::Operation> operations,
                                 LogWriteOptions options) {
  Result<std::shared_ptr<GroupWrite>> write = Prepare(std::move(operations), options);
  if (!write.ok()) return write.status();
  return commit_.Run(*write);
}

void LocalLog::WriteAsync(std::vector<LogTxn::Operation> operations, LogWriteOptions options,
                          Callback<LogRange> callback) {
  // Not `this`: the callback may let go of the log, and throw then.
  Callback<LogRange> done =
      Contained(std::move(callback), [warn = options_.on_warning](const std::string& line) {
        if (warn) warn(line);
      });
  Result<std::shared_ptr<GroupWrite>> write = Prepare(std::move(operations), options);
  if (!write.ok()) {
    done(write.status());
    return;
  }
  (*write)->done = std::move(done);
  commit_.Post(*write);
}

Status LocalLog::CheckInPlace() {
  if (!log_.failure().ok()) return log_.failure();
  if (gone_.ok()) gone_ = lock_->CheckInPlace();
  if (gone_.ok()) gone_ = keeper_.CheckInPlace();
  return gone_;
}

void LocalLog::WriteGroup(const GroupCommit::Group& group) {
  const Status in_place = CheckInPlace();
  Ends ends{log_.base(), log_.mark().last_index};
  GroupCommit::Group sound;
  for (const std::shared_ptr<GroupWrite>& write : group) {
    Ends after = ends;
    Index own = ends.last.Next();
    Status possible = in_place;
    for (const LogTxn::Operation& operation : write->operations) {
      if (possible.ok()) possible = Step(operation, after.base, after.last, own);
    }
    if (!possible.ok()) {
      write->result = std::move(possible);
      continue;
    }
    ends = after;
    write->result = LogRange{std::max(own, after.base.Next()).value, after.last.value};
    sound.push_back(write);
  }
  if (sound.empty()) return;
  const Status written = WriteBatch(sound, ends);
  if (written.ok()) return;
  for (const std::shared_ptr<GroupWrite>& write : sound) write->result = written;
}

Status LocalLog::WriteBatch(const GroupCommit::Group& group, Ends after) {
  const Index old_base = log_.base();
  bool sync = false;
  std::size_t bytes = 0;
  rocksdb::WriteBatch batch = log_.Begin(after.last);
  Ends ends{old_base, log_.mark().last_index};
  for (const std::shared_ptr<GroupWrite>& write : group) {
    sync = sync || write->sync;
    bytes += write->bytes;
    Encode(batch, write->operations, ends);
  }
  RAFTKV_CHECK(ends.base == after.base, ends.base.value, after.base.value);
  RAFTKV_CHECK(ends.last == after.last, ends.last.value, after.last.value);
  if (after.base != old_base) {
    log_.PutState(batch, kHeadKey, EncodeHead(after.base.Next()));
    log_.Begins(after.base);
  }
  if (Status s = log_.Commit(batch, after.last, sync); !s.ok()) {
    keeper_.TailMayBeTorn(durable_);
    return s;
  }
  Written(after, sync, bytes);
  if (after.base != old_base) DropCutFiles();
  return Status::Ok();
}

void LocalLog::Encode(rocksdb::WriteBatch& batch, std::vector<LogTxn::Operation>& operations,
                      Ends& ends) {
  for (LogTxn::Operation& operation : operations) {
    switch (operation.kind) {
      case Kind::kAppend:
        for (std::string& data : operation.entries) {
          raft::Entry entry;
          entry.index = ++ends.last;
          entry.term = Term(1);
          entry.payload = Bytes(std::move(data));
          log_.PutEntry(batch, entry);
        }
        break;
      case Kind::kTrimPrefix: ends.base = std::max(ends.base, Index(operation.index)); break;
      case Kind::kTrimSuffix:
        log_.DeleteTail(batch, Index(operation.index), ends.last);
        ends.last = std::min(ends.last, Index(operation.index).Previous());
        break;
    }
  }
}

void LocalLog::Written(Ends after, bool synced, std::size_t bytes) {
  {
    const MutexLock lock(mutex_);
    ends_ = after;
  }
  changed_.NotifyAll();
  if (synced) durable_.batch_number = log_.mark().number;
  // What it says of others never changes, so it is evidence, and may be late.
  static_cast<void>(keeper_.Durable(durable_, bytes));
}

void LocalLog::DropCutFiles() {
  if (drop_queued_.exchange(true)) return;
  // Where the queue is full the next cut deletes what this one leaves.
  const bool posted = worker_.Post([this] {
    drop_queued_ = false;
    if (const Status dropped = log_.DropCutFiles(); !dropped.ok()) Warn(dropped.message());
  });
  if (!posted) drop_queued_ = false;
}

void LocalLog::Warn(const std::string& line) const {
  if (options_.on_warning) options_.on_warning(line);
}

// --- Reads.

Result<std::vector<raft::Entry>> LocalLog::ReadFrom(Index first, std::size_t max_bytes) const {
  const ReaderLock reading(reading_);
  if (read_closed_) return Status(Code::kCancelled, "the log is closed");
  // Each round but the last one was overtaken by a cut.
  while (true) {
    const Index last = log_.last();
    if (first <= log_.base()) return Compacted(log_.base());
    if (first > last) {
      return Status(Code::kNotFound, "the log ends at entry " + std::to_string(last.value));
    }
    Result<std::vector<raft::Entry>> read = log_.Read(first, last, max_bytes);
    if (read.code() == Code::kUnavailable) continue;
    return read;
  }
}

Status LocalLog::WaitFor(Index first, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto there = [&] { return first <= log_.last() || first <= log_.base(); };
  MutexLock lock(mutex_);
  while (!closed_ && !there() && changed_.WaitUntil(lock, deadline)) {
  }
  if (closed_) return Status(Code::kCancelled, "the log is closed");
  if (there()) return Status::Ok();
  return Status(Code::kDeadlineExceeded,
                "no entry " + std::to_string(first.value) + " came within the timeout");
}

Result<std::string> LocalLog::Read(std::uint64_t index) {
  Result<std::vector<raft::Entry>> read = ReadFrom(Index(index), 1);
  if (!read.ok()) return read.status();
  return std::string(read->front().payload.view());
}

Result<LogEntry> LocalLogIterator::Next() {
  if (used_ == ahead_.size()) {
    Result<std::vector<raft::Entry>> read = log_.ReadFrom(next_, kPrefetchBytes);
    if (!read.ok()) return read.status();
    ahead_ = std::move(*read);
    used_ = 0;
  }
  const raft::Entry& entry = ahead_[used_++];
  next_ = entry.index.Next();
  return LogEntry{entry.index.value, std::string(entry.payload.view())};
}

Result<LogEntry> LocalLogIterator::Next(std::chrono::milliseconds timeout) {
  if (Status may = MayBlock("Next"); !may.ok()) return may;
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  while (true) {
    Result<LogEntry> entry = Next();
    if (entry.code() != Code::kNotFound) return entry;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    // Cut and written anew between the two, it may be gone again.
    if (Status there = log_.WaitFor(next_, left); !there.ok()) return there;
  }
}

std::unique_ptr<LogIterator> LocalLog::Iterate(std::uint64_t from) {
  return std::make_unique<LocalLogIterator>(*this, Index(from));
}

Status LocalLog::Close() {
  const MutexLock one_at_a_time(close_mutex_);
  if (std::exchange(closing_, true)) return Status::Ok();
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  changed_.NotifyAll();
  commit_.Stop();
  worker_.Stop();
  const WriterLock nobody_reads(reading_);
  read_closed_ = true;
  keeper_.Stop();
  // The mark below says that nothing can be torn, so nothing may be left unsynced.
  Status failure = CheckInPlace();
  if (failure.ok()) {
    failure = log_.Sync();
    if (!failure.ok()) keeper_.TailMayBeTorn(durable_);
  }
  const Status closed = log_.Close();
  if (!failure.ok()) return failure;
  if (!closed.ok()) return closed;
  Record record = durable_;
  record.batch_number = log_.mark().number;
  return keeper_.WriteCleanClose(record);
}

}  // namespace raftkv::storage
