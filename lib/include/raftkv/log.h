// What can a program do with a durable log of its own, without a member or a cluster?
//
// A Log is a sequence of entries, arbitrary bytes, numbered without a gap. It grows at its end, and
// both its ends can be cut. It is written by the code that writes a member's log: every entry has a
// checksum, and what was acknowledged with sync is there after a power cut. All calls are safe from
// any thread. Writes that are made at the same time share one sync.
//
// A blocking call waits for the calls before it no longer than its timeout. By default the caller's
// own thread carries a write to the disk if no other is at it, and stays as long as the disk takes;
// LogOptions::own_thread keeps a disk that hangs from holding it. The rules for callbacks and
// timeouts are those of <raftkv/kv.h>; what a callback throws is told to LogOptions::on_warning.
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
  /// Made if it does not exist. One process, and one Log in it, at a time.
  std::string dir = {};
  /// Whether a write is acknowledged when it is on the disk, or when the system has it: then a
  /// power cut takes the last ones, but never one before another that stays.
  bool sync = true;
  /// The number of the first entry of a new log; at least 1.
  std::uint64_t first_index = 1;
  /// Entries gather in memory up to so many bytes, and a few times as much on the disk, before they
  /// are put into a file of their own. What is cut gives its space back in whole files.
  std::size_t write_buffer_bytes = 64 * 1024 * 1024;  ///< 64 KiB to 1 GiB
  /// Of one write: the bytes of all its entries. At most 1 GiB.
  std::size_t max_write_bytes = 64 * 1024 * 1024;
  /// Of all writes that wait; further ones are refused with Unavailable.
  std::size_t max_waiting_bytes = 128 * 1024 * 1024;
  std::size_t max_waiting_writes = 65'536;
  /// Blocking writes are carried out by a thread of the log too: each costs two switches of threads
  /// more, and returns at its timeout even if the disk hangs.
  bool own_thread = false;
  /// The file with the key that encrypts the log (see NodeOptions); empty: it is not encrypted.
  std::string encryption_key_file = {};
  /// Warnings, one line each; runs on any thread. Unset: they go nowhere.
  std::function<void(std::string_view)> on_warning = {};
};

struct LogWriteOptions {
  std::chrono::milliseconds timeout{5000};
  /// Other than LogOptions::sync says.
  std::optional<bool> sync = {};
};

/// Entries first..last; none if `first` is behind `last`.
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

/// Appends and cuts that happen all or not at all, in order, also over a crash. It only gathers
/// them: whether one is possible is seen at Commit(), and whoever commits first comes first. Of one
/// thread; must not outlive its log.
class LogTxn {
 public:
  struct Operation {
    enum class Kind : unsigned char { kAppend, kTrimPrefix, kTrimSuffix };
    Kind kind = Kind::kAppend;
    std::vector<std::string> entries;  ///< kAppend only
    std::uint64_t index = 0;           ///< of a trim
  };

  LogTxn& Append(std::string entry);
  LogTxn& AppendBatch(std::vector<std::string> entries);
  /// See Log.
  LogTxn& TrimPrefix(std::uint64_t through);
  LogTxn& TrimSuffix(std::uint64_t from);

  /// The entries that it appended and that are in the log after it. Errors as of every write.
  /// Afterwards, and after Abort(), it is empty and may be used again.
  Result<LogRange> Commit(LogWriteOptions options = {});
  void CommitAsync(LogWriteOptions options, Callback<LogRange> done);
  void Abort() { operations_.clear(); }

 private:
  friend class Log;
  explicit LogTxn(Log& log) : log_(&log) {}

  Log* log_;
  std::vector<Operation> operations_;
};

/// A place in a log that moves on. Of one thread; must not outlive its log.
class LogIterator {
 public:
  virtual ~LogIterator() = default;

  /// The entry at the place, and moves behind it. NotFound: the end, and a later call goes on
  /// there. Compacted: the place was cut off with the beginning. Corruption: what stands there is
  /// damaged. Entries that it has read ahead are told although they were cut meanwhile.
  virtual Result<LogEntry> Next() = 0;
  /// At the end waits for an entry. DeadlineExceeded: none came. Cancelled: the log was closed.
  virtual Result<LogEntry> Next(std::chrono::milliseconds timeout) = 0;
};

class Log {
 public:
  /// Reads and checks all that is there. Errors: InvalidArgument (options, or the folder holds
  /// something else), Unavailable (in use, no thread to be had), PermissionDenied (a member's
  /// folder), Corruption (it lost something that was synced), VersionMismatch (a newer format),
  /// IOError, NoSpace.
  static Result<std::unique_ptr<Log>> Open(LogOptions options);

  virtual ~Log() = default;

  // Errors of every write: InvalidArgument, Compacted (it begins before the log does), Unavailable,
  // Cancelled or DeadlineExceeded (it was not carried out), UnknownOutcome (it is under way when
  // the timeout ends). After IOError or NoSpace too it may be there at the next open; the log takes
  // no further writes then. IOError is also what the next write, or Close(), answers where the
  // folder or a file of the log was removed or replaced.

  /// Its number.
  Result<std::uint64_t> Append(std::string entry, LogWriteOptions options = {});
  /// All or none of them.
  Result<LogRange> AppendBatch(std::vector<std::string> entries, LogWriteOptions options = {});
  /// Drops the entries up to `through`, which may be the last one but not behind it. Always synced.
  Status TrimPrefix(std::uint64_t through, LogWriteOptions options = {});
  /// Drops the entries from `from` on: the next one appended has that number.
  Status TrimSuffix(std::uint64_t from, LogWriteOptions options = {});
  /// All that was acknowledged before is durable when it returns.
  Status Sync(LogWriteOptions options = {});
  LogTxn Begin() { return LogTxn(*this); }

  void AppendAsync(std::string entry, LogWriteOptions options, Callback<std::uint64_t> done);
  void AppendBatchAsync(std::vector<std::string> entries, LogWriteOptions options,
                        Callback<LogRange> done);
  void TrimPrefixAsync(std::uint64_t through, LogWriteOptions options,
                       std::function<void(Status)> done);
  void TrimSuffixAsync(std::uint64_t from, LogWriteOptions options,
                       std::function<void(Status)> done);

  /// The number of the first entry; of the next one if there is none.
  [[nodiscard]] virtual std::uint64_t Head() const = 0;
  /// The number of the last entry; Head() - 1 if there is none.
  [[nodiscard]] virtual std::uint64_t Seq() const = 0;
  /// NotFound behind the end, Compacted before the beginning, Corruption.
  virtual Result<std::string> Read(std::uint64_t index) = 0;
  /// From `from` on, which may be behind the end: see LogIterator::Next().
  virtual std::unique_ptr<LogIterator> Iterate(std::uint64_t from) = 0;

  /// Ends what waits with Cancelled, and what is under way as it ends; marks the folder as closed
  /// cleanly. What is called afterwards is Cancelled. The destructor does the same; no call may be
  /// under way then, and no iterator be left.
  virtual Status Close() = 0;

  /// What all writes are: the operations of a LogTxn.
  virtual Result<LogRange> Write(std::vector<LogTxn::Operation> operations,
                                 LogWriteOptions options) = 0;
  virtual void WriteAsync(std::vector<LogTxn::Operation> operations, LogWriteOptions options,
                          Callback<LogRange> done) = 0;
};

}  // namespace raftkv
