// What can a program do with the store, as a client or with a member inside it?
//
// Keys are 1 byte to 64 KiB, values up to 1 MiB, both arbitrary bytes; a request is up to 16 MiB
// and 4,096 operations (see Limits). All calls are safe from any thread. A blocking call returns
// within its timeout; its asynchronous twin takes a callback (see below). Concurrent calls are
// gathered into one request automatically.
//
// Rules for all host code that raftkv calls (callbacks, log sinks, progress callbacks, transports):
//  - The callback of a call runs exactly once: on an internal thread or, if the call is refused
//    immediately, before the call returns. An empty callback ignores the result.
//  - It must not block (the log sink of a Node may). Blocking calls of raftkv, including Open() and
//    Close(), return InvalidArgument when called from it, on whichever object. Asynchronous calls
//    are allowed; Node::status() may return a slightly outdated status there.
//  - An exception that it throws is logged and not propagated; a progress callback that throws
//    cancels the operation.
//  - It may destroy any Client, Node or Log, including its own: another thread closes the object
//    once the callback has returned. Until then the data folder stays in use, and the log sink may
//    be called.
//
// Timeouts: a negative timeout means "at once", one of more than a year "forever". After Close()
// every call returns Cancelled.
//
// A Client, Node or Log may have static storage duration, and a callback may call exit(). In a
// child forked from a process that has opened any of them, destructors do nothing and no other
// function may be called: Open() of a Node or Log returns InvalidArgument. exit() in such a child
// skips the exit handlers that were registered before the first Open().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

namespace raftkv {

struct KeyValue {
  std::string key;
  std::string value;
  /// Revision of the call that wrote this value (see WriteResult).
  std::uint64_t mod_revision = 0;
  /// Revision of the call that created the key, since it was last absent.
  std::uint64_t create_revision = 0;
  /// How often the key has been written since then, this value included.
  std::uint64_t version = 0;
  /// The lease that the key is attached to; 0: none. (There are no leases yet.)
  std::uint64_t lease = 0;
};

enum class Consistency : unsigned char {
  /// As if there were a single copy: sees every write acknowledged before the read began.
  kLinearizable,
  /// Whatever the member asked has applied: may be stale, needs no quorum. Unavailable while the
  /// member has less than it once had, because it has just started and is still applying its log,
  /// or because its disk was damaged and the other members are refilling it. The reads of one
  /// member never go back while it runs. Across a restart they may, to what its log knew to be
  /// committed, until the member has heard from a leader.
  kLocal,
  /// Linearizable as long as no member's clock drifts further than NodeOptions::clock_error_percent
  /// allows: the leader answers without a round trip to a quorum. Without leases, the same as
  /// kLinearizable.
  kLease,
  /// Sees at least everything committed `max_staleness` before the read began. Served by the member
  /// asked, without the leader if it has heard from the leader recently enough.
  kBounded,
};

struct WriteOptions {
  std::chrono::milliseconds timeout{5000};
};

struct ReadOptions {
  std::chrono::milliseconds timeout{5000};
  Consistency consistency = Consistency::kLinearizable;
  /// kBounded only.
  std::chrono::milliseconds max_staleness{1000};
  /// The state right after the call that took this revision; 0: the latest. Compacted if it is no
  /// longer kept; InvalidArgument if the store has not come to it yet.
  std::uint64_t revision = 0;
};

struct ScanOptions : ReadOptions {
  /// Maximum number of pairs; 0: limited only by the size of an answer (`more` is set then).
  std::uint64_t limit = 0;
  bool keys_only = false;
  bool count_only = false;
  /// ScanResult::continuation of the previous page; empty: the first page. The range and the other
  /// options, except the timeout, must be those of the first page.
  std::string continuation = {};
  /// Keep the state for a continuation even if `limit` ends the page.
  bool keep_state = false;
};

struct ScanResult {
  /// In ascending bytewise order of the keys.
  std::vector<KeyValue> kvs;
  /// With count_only: the number of keys in the range (`kvs` is empty). Otherwise kvs.size().
  std::uint64_t count = 0;
  /// True if `kvs` ends before the range does.
  bool more = false;
  /// Revision of the state that the result shows; the same on all pages of a scan.
  std::uint64_t revision = 0;
  /// If not empty: pass it in ScanOptions to read the next page from the same state. The member
  /// that answered keeps the state for 30 s between pages and for 10 minutes altogether. (A scan
  /// that starts at the last key + '\0' without it reads a newer state.) Empty if nothing follows,
  /// or if `limit` ended the page and keep_state was not set.
  std::string continuation = {};
};

/// The keys k with begin <= k < end; an empty `end` has no upper bound.
struct KeyRange {
  std::string begin;
  std::string end;

  /// The keys that start with `prefix`; all keys if it is empty.
  static KeyRange Prefix(std::string_view prefix);
};

/// Puts and deletes that are applied atomically, in order, at one revision.
class Batch {
 public:
  struct Operation {
    bool is_delete = false;
    std::string key;
    std::string value;
  };
  Batch& Put(std::string key, std::string value) {
    operations_.push_back({false, std::move(key), std::move(value)});
    return *this;
  }
  Batch& Delete(std::string key) {
    operations_.push_back({true, std::move(key), {}});
    return *this;
  }
  [[nodiscard]] const std::vector<Operation>& operations() const { return operations_; }

 private:
  std::vector<Operation> operations_;
};

/// `revision`: the store has one revision, a counter that starts at 1. Every call that changes at
/// least one key takes the next revision; a batch takes one for all its operations. No two writes
/// share a revision, even if they travel in one request. It is not the log index. A call that
/// changes nothing (a delete of a key that does not exist) takes no revision and returns the one
/// that it saw. A restore from a backup raises the revision by 10^9.
struct WriteResult {
  std::uint64_t revision = 0;
};
struct DeleteResult {
  std::uint64_t deleted = 0;
  std::uint64_t revision = 0;
};
struct IncrementResult {
  std::int64_t value = 0;
  std::uint64_t revision = 0;
};

/// What is set for the whole cluster, by name.
struct Settings {
  std::map<std::string, std::string> values;
  std::uint64_t revision = 0;
};

template <class T>
using Callback = std::function<void(Result<T>)>;

/// See KV::CompareAndSwapAsync.
inline constexpr std::string_view kNoSuchKey = "no such key";

class KV {
 public:
  virtual ~KV() = default;

  /// Errors of every write: InvalidArgument (a size, before anything is sent), Unavailable or
  /// DeadlineExceeded (not applied), UnknownOutcome (may or may not be applied), SessionExpired.
  virtual void PutAsync(std::string key, std::string value, WriteOptions options,
                        Callback<WriteResult> done) = 0;
  virtual void DeleteAsync(std::string key, WriteOptions options, Callback<DeleteResult> done) = 0;
  virtual void DeleteRangeAsync(KeyRange range, WriteOptions options,
                                Callback<DeleteResult> done) = 0;
  /// Writes `desired` if the value of the key is `expected` or, without `expected`, if the key does
  /// not exist. CompareFailed otherwise, with the message kNoSuchKey if the key does not exist.
  virtual void CompareAndSwapAsync(std::string key, std::optional<std::string> expected,
                                   std::string desired, WriteOptions options,
                                   Callback<WriteResult> done) = 0;
  /// Adds `delta` to a signed 64-bit decimal number; a missing key counts as 0. InvalidArgument if
  /// the value is not such a number or the sum overflows.
  virtual void IncrementAsync(std::string key, std::int64_t delta, WriteOptions options,
                              Callback<IncrementResult> done) = 0;
  virtual void WriteAsync(Batch batch, WriteOptions options, Callback<WriteResult> done) = 0;

  /// NotFound if the key does not exist.
  virtual void GetAsync(std::string key, ReadOptions options, Callback<KeyValue> done) = 0;
  /// Reads one page of a range. Compacted: the state that `continuation` refers to is no longer
  /// kept; start the scan again.
  virtual void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) = 0;

  /// Raises the lowest revision that can be read to `revision`, which remains readable itself. What
  /// is below is refused with Compacted from then on, and its space comes back in the background.
  /// The leader does it by itself, as the settings `history` and `history-bytes` say. Compacted:
  /// it is that high already. InvalidArgument: the store has not come to that revision yet.
  virtual void CompactAsync(std::uint64_t revision, WriteOptions options,
                            Callback<WriteResult> done) = 0;
  /// `history`: how long the past can be read ("10m"; "0s": only as long as scans of several pages
  /// need, 30 s). `history-bytes`: how much of it is kept at most, on the disk ("256MiB").
  /// `event-bytes`: how much memory the newest events take at each member ("32MiB").
  /// InvalidArgument: there is no such setting, or it cannot have that value.
  virtual void ChangeSettingAsync(std::string name, std::string value, WriteOptions options,
                                  Callback<WriteResult> done) = 0;
  /// `revision` of the options has no effect.
  virtual void GetSettingsAsync(ReadOptions options, Callback<Settings> done) = 0;

  Result<WriteResult> Put(std::string key, std::string value, WriteOptions options = {});
  Result<DeleteResult> Delete(std::string key, WriteOptions options = {});
  Result<DeleteResult> DeleteRange(KeyRange range, WriteOptions options = {});
  Result<WriteResult> CompareAndSwap(std::string key, std::optional<std::string> expected,
                                     std::string desired, WriteOptions options = {});
  Result<IncrementResult> Increment(std::string key, std::int64_t delta, WriteOptions options = {});
  Result<WriteResult> Write(Batch batch, WriteOptions options = {});
  Result<KeyValue> Get(std::string key, ReadOptions options = {});
  Result<ScanResult> Scan(KeyRange range, ScanOptions options = {});
  Result<WriteResult> Compact(std::uint64_t revision, WriteOptions options = {});
  Result<WriteResult> ChangeSetting(std::string name, std::string value, WriteOptions options = {});
  Result<Settings> GetSettings(ReadOptions options = {});
  /// Reads all pages of a range, or the first `limit` pairs, from one state, into memory. Starts
  /// again, a few times and within the timeout, if the state is lost between two pages.
  Result<ScanResult> ScanAll(KeyRange range, ScanOptions options = {});
};

}  // namespace raftkv
