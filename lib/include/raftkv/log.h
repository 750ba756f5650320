// What can a program do with a durable log alone, without a member or a cluster?
//
// A Log is a sequence of entries of arbitrary bytes, numbered without gaps. It grows at its end and
// can be trimmed at both ends. It shares its code with a member's log: every entry has a checksum,
// and what was acknowledged with sync survives a power cut. All calls are safe from any thread.
// Concurrent writes share one sync.
//
// A blocking call waits for the calls before it no longer than its timeout. By default the calling
// thread writes to the disk itself if no other thread is writing, and then takes as long as the
// disk does; with LogOptions::own_thread a disk that hangs does not block it. The rules for
// callbacks and timeouts are those of <raftkv/kv.h>; what a callback throws is passed to
// LogOptions::on_warning.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>

namespace raftkv {

struct LogOptions {
  /// Created if it does not exist. Locked: one Log at a time.
  std::string dir = {};
  /// True: a write is acknowledged once it is on the disk. False: once the operating system has it;
  /// a power cut then loses the last writes, but never one that precedes a write that survives.
  bool sync = true;
  /// Index of the first entry of a new log; at least 1.
  std::uint64_t first_index = 1;
  /// Entries are buffered in memory up to this many bytes, and a few times as many on disk, before
  /// they are flushed to a table file. Trimmed entries free their space in whole files.
  std::size_t write_buffer_bytes = 64 * 1024 * 1024;  ///< 64 KiB to 1 GiB
  /// Size limit of one write, all its entries together. At most 1 GiB.
  std::size_t max_write_bytes = 64 * 1024 * 1024;
  /// Limits of all queued writes; further writes are refused with Unavailable.
  std::size_t max_waiting_bytes = 128 * 1024 * 1024;
  std::size_t max_waiting_writes = 65'536;
  /// Carry out blocking writes on the log's own thread, too: each costs two more context switches
  /// and returns at its timeout even if the disk hangs.
  bool own_thread = false;
  /// File with the key that encrypts the log (see NodeOptions); empty: not encrypted.
  std::string encryption_key_file = {};
  /// Receives warnings, one line each, on any thread. Unset: they are dropped.
  std::function<void(std::string_view)> on_warning = {};
};

struct LogWriteOptions {
  std::chrono::milliseconds timeout{5000};
  /// Overrides LogOptions::sync.
  std::optional<bool> sync = {};
};

/// The entries first..last; none if first > last.
struct LogRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  friend bool operator==(const LogRange&, const LogRange&) = default;
};

struct LogEntry {
  std::uint64_t index = 0;
  std::string data;
  friend bool operator==(const LogEntry&, const LogEntry&) = default;
};

class Log;

/// Appends and trims that are applied atomically and in order, also across a crash. It only
/// collects them: they are validated at Commit(), and the first to commit comes first. Not
/// thread-safe; must not outlive its log.
class LogTxn {
 public:
  struct Operation {
    enum class Kind : unsigned char { kAppend, kTrimPrefix, kTrimSuffix };
    Kind kind = Kind::kAppend;
    std::vector<std::string> entries;  ///< kAppend only
    std::uint64_t index = 0;           ///< kTrimPrefix, kTrimSuffix
  };

  LogTxn& Append(std::string entry);
  LogTxn& AppendBatch(std::vector<std::string> entries);
  /// See Log.
  LogTxn& TrimPrefix(std::uint64_t through);
  LogTxn& TrimSuffix(std::uint64_t from);

  /// Returns the entries that it appended and that it left in the log. Errors: see Log. Afterwards,
  /// and after Abort(), the transaction is empty and may be reused.
  Result<LogRange> Commit(LogWriteOptions options = {});
  void CommitAsync(LogWriteOptions options, Callback<LogRange> done);
  void Abort() { operations_.clear(); }

 private:
  friend class Log;
  explicit LogTxn(Log& log) : log_(&log) {}

  Log* log_;
  std::vector<Operation> operations_;
};

/// A position in a log that moves forward. Not thread-safe; must not outlive its log.
class LogIterator {
 public:
  virtual ~LogIterator() = default;

  /// Returns the entry at the position and moves past it. NotFound: the end; a later call continues
  /// there. Compacted: the position was trimmed. Corruption: the entry is damaged. Entries that
  /// were prefetched are returned even if they have been trimmed since.
  virtual Result<LogEntry> Next() = 0;
  /// Waits for an entry at the end. DeadlineExceeded: none was appended. Cancelled: the log was
  /// closed.
  virtual Result<LogEntry> Next(std::chrono::milliseconds timeout) = 0;
};

class Log {
 public:
  /// Reads and checks the whole log. Errors: InvalidArgument (options, or the folder holds
  /// something else), Unavailable (in use, or no thread left), PermissionDenied (a member's
  /// folder), Corruption (synced data was lost), VersionMismatch (a newer format), IOError,
  /// NoSpace.
  static Result<std::unique_ptr<Log>> Open(LogOptions options);

  virtual ~Log() = default;

  // Errors of every write: InvalidArgument, Compacted (it begins before the log does), Unavailable,
  // Cancelled or DeadlineExceeded (not applied), UnknownOutcome (in progress when the timeout
  // expired). After IOError or NoSpace the write may also be found at the next open; the log then
  // accepts no further writes. The next write, or Close(), also returns IOError if the folder or a
  // file of the log was removed or replaced.

  /// Returns the index of the entry.
  Result<std::uint64_t> Append(std::string entry, LogWriteOptions options = {});
  /// Appends all of them or none.
  Result<LogRange> AppendBatch(std::vector<std::string> entries, LogWriteOptions options = {});
  /// Drops the entries up to and including `through`, which must not be past the last one. Always
  /// synced.
  Status TrimPrefix(std::uint64_t through, LogWriteOptions options = {});
  /// Drops the entries from `from` on: the next entry appended gets that index.
  Status TrimSuffix(std::uint64_t from, LogWriteOptions options = {});
  /// Makes everything that was acknowledged before durable.
  Status Sync(LogWriteOptions options = {});
  LogTxn Begin() { return LogTxn(*this); }

  void AppendAsync(std::string entry, LogWriteOptions options, Callback<std::uint64_t> done);
  void AppendBatchAsync(std::vector<std::string> entries, LogWriteOptions options,
                        Callback<LogRange> done);
  void TrimPrefixAsync(std::uint64_t through, LogWriteOptions options,
                       std::function<void(Status)> done);
  void TrimSuffixAsync(std::uint64_t from, LogWriteOptions options,
                       std::function<void(Status)> done);

  /// Index of the first entry; of the next one if the log is empty.
  [[nodiscard]] virtual std::uint64_t Head() const = 0;
  /// Index of the last entry; Head() - 1 if the log is empty.
  [[nodiscard]] virtual std::uint64_t Seq() const = 0;
  /// NotFound past the end, Compacted before the beginning, Corruption.
  virtual Result<std::string> Read(std::uint64_t index) = 0;
  /// Starts at `from`, which may be past the end: see LogIterator::Next().
  virtual std::unique_ptr<LogIterator> Iterate(std::uint64_t from) = 0;

  /// Completes queued calls with Cancelled, waits for those in progress, and marks the folder as
  /// closed cleanly. Later calls return Cancelled. The destructor does the same; no call may be in
  /// progress then, and no iterator may be left.
  virtual Status Close() = 0;

  /// The general form of a write: the operations of a LogTxn.
  virtual Result<LogRange> Write(std::vector<LogTxn::Operation> operations,
                                 LogWriteOptions options) = 0;
  virtual void WriteAsync(std::vector<LogTxn::Operation> operations, LogWriteOptions options,
                          Callback<LogRange> done) = 0;
};

}  // namespace raftkv
