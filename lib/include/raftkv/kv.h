// What can a program do with the store, whether a member runs inside it or it is a client?
//
// Keys are 1 byte to 64 KiB, values up to 1 MiB, both arbitrary bytes; a request is up to 16 MiB
// and 4,096 operations (see Limits). All calls are safe from any thread. A blocking call returns
// within its timeout; its asynchronous twin takes a callback (see below). Concurrent calls are
// gathered into one request by themselves.
//
// The rule for all code of the host that raftkv calls: callbacks, log sinks, progress callbacks and
// transports.
//  - The callback of a call runs exactly once: on an internal thread, or, where the call is refused
//    at once, before the call returns. An empty one stands for a caller that does not care.
//  - It must not block (the log sink of a Node may). A call of raftkv that would, Open() and
//    Close() among them, answers InvalidArgument at once there, whichever object it is made on.
//    Asynchronous calls may be made; Node::status() may be as old as the last thing that the member
//    did.
//  - What it throws is logged and goes no further; a progress callback that throws cancels.
//  - It may destroy any Client, Node or Log, its own as well: that is closed a little later, by
//    another thread, once the callback has returned. Until then its data folder is in use, and its
//    log sink is called.
//
// For every timeout: below zero is "at once", beyond a year is "for ever". After Close() every call
// answers Cancelled.
//
// A Client, Node or Log may have static storage duration, and a callback may call exit(). In a
// process that was forked from one that has opened any, the destructors do nothing, and nothing
// else may be called: Open() of a Node or Log answers InvalidArgument there. exit() ends such a
// process without the exit handlers that were registered before the first Open().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

namespace raftkv {

struct KeyValue {
  std::string key;
  std::string value;
  /// The log index of the write that made this value; grows with every change of any key.
  std::uint64_t mod_revision = 0;
};

enum class Consistency : unsigned char {
  /// As if there were one copy: sees every write that was acknowledged before the read began.
  kLinearizable,
  /// What the asked member has applied; may be stale, answers without a quorum. Unavailable while a
  /// member has less than it once had: it was just started and still applies its log, or its disk
  /// was damaged and the others are refilling it.
  kLocal,
  /// Linearizable as long as no member's clock runs more wrong than the members were told to allow
  /// for: the leader answers without a round to the others. Without leases as kLinearizable.
  kLease,
  /// Sees at least what was committed `max_staleness` before the read began. Answered by the member
  /// that is asked, without the leader if that was asked lately enough.
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
};

struct ScanOptions : ReadOptions {
  /// At most this many pairs; 0: no limit but the size of an answer (`more` says so).
  std::uint64_t limit = 0;
  bool keys_only = false;
  bool count_only = false;
  /// ScanResult::continuation of the page before; empty: the first page. Range and options are
  /// those of the first page (the timeout is each page's own).
  std::string continuation = {};
  /// Pages of `limit` pairs: the state is kept where the limit ends a page too.
  bool keep_state = false;
};

struct ScanResult {
  /// In ascending order of the keys' bytes.
  std::vector<KeyValue> kvs;
  /// With count_only: how many keys are in the range (and `kvs` is empty). Otherwise kvs.size().
  std::uint64_t count = 0;
  /// True if `kvs` ends before the range does.
  bool more = false;
  /// The log index that the answer reflects; equal on all pages of a scan.
  std::uint64_t revision = 0;
  /// Not empty: the next page is asked for with it (ScanOptions), and is of the same state as this
  /// one. The member that answered keeps that state for half a minute from page to page, and ten
  /// minutes in all. (A scan from the last key + '\0' without it is of a newer state.) Empty where
  /// nothing follows, or a limit ended the page and keep_state was not asked for.
  std::string continuation = {};
};

/// The keys k with begin <= k < end; an empty `end` has no upper bound.
struct KeyRange {
  std::string begin;
  std::string end;

  /// The keys that start with `prefix`; every key for an empty one.
  static KeyRange Prefix(std::string_view prefix);
};

/// Puts and deletes that happen all or not at all, in order.
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

/// The log index at which a write took effect.
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

template <class T>
using Callback = std::function<void(Result<T>)>;

/// See KV::CompareAndSwapAsync.
inline constexpr std::string_view kNoSuchKey = "no such key";

class KV {
 public:
  virtual ~KV() = default;

  /// Errors of every write: InvalidArgument (a size, before anything is sent), Unavailable or
  /// DeadlineExceeded (it was not carried out), UnknownOutcome (it may have been), SessionExpired.
  virtual void PutAsync(std::string key, std::string value, WriteOptions options,
                        Callback<WriteResult> done) = 0;
  virtual void DeleteAsync(std::string key, WriteOptions options, Callback<DeleteResult> done) = 0;
  virtual void DeleteRangeAsync(KeyRange range, WriteOptions options,
                                Callback<DeleteResult> done) = 0;
  /// Puts `desired` if the key's value is `expected`, or, without `expected`, if there is no such
  /// key. CompareFailed if not, with the message kNoSuchKey if there is no such key at all.
  virtual void CompareAndSwapAsync(std::string key, std::optional<std::string> expected,
                                   std::string desired, WriteOptions options,
                                   Callback<WriteResult> done) = 0;
  /// Adds `delta` to a 64-bit signed decimal; a missing key counts as 0. InvalidArgument where the
  /// value is no such number or the sum leaves its range.
  virtual void IncrementAsync(std::string key, std::int64_t delta, WriteOptions options,
                              Callback<IncrementResult> done) = 0;
  virtual void WriteAsync(Batch batch, WriteOptions options, Callback<WriteResult> done) = 0;

  /// NotFound if there is no such key.
  virtual void GetAsync(std::string key, ReadOptions options, Callback<KeyValue> done) = 0;
  /// One page of a range. Compacted: the state that `continuation` names is not kept any more; what
  /// other pages have shown cannot be completed, begin the scan again.
  virtual void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) = 0;

  Result<WriteResult> Put(std::string key, std::string value, WriteOptions options = {});
  Result<DeleteResult> Delete(std::string key, WriteOptions options = {});
  Result<DeleteResult> DeleteRange(KeyRange range, WriteOptions options = {});
  Result<WriteResult> CompareAndSwap(std::string key, std::optional<std::string> expected,
                                     std::string desired, WriteOptions options = {});
  Result<IncrementResult> Increment(std::string key, std::int64_t delta, WriteOptions options = {});
  Result<WriteResult> Write(Batch batch, WriteOptions options = {});
  Result<KeyValue> Get(std::string key, ReadOptions options = {});
  Result<ScanResult> Scan(KeyRange range, ScanOptions options = {});
  /// All pages of a range, or the first `limit` pairs, of one state: needs memory for all of them.
  /// Begins again, a few times and within the timeout, where the state was lost between two pages.
  Result<ScanResult> ScanAll(KeyRange range, ScanOptions options = {});
};

}  // namespace raftkv
