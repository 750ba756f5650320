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
#include <memory>
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
  /// The lease that the key is attached to; 0: none.
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
  /// Put and the deletes: the result has what was there before. A range whose keys are too large
  /// for an answer (1 MiB) is not deleted then: InvalidArgument.
  bool return_previous = false;
  /// Put, CompareAndSwap, Swap and Increment: the key is attached to this lease, and goes when it
  /// ends; 0: to none, also if it was to one. NotFound: there is no such lease.
  std::uint64_t lease = 0;
  /// Put: the key keeps the value that it has, or the lease that it is attached to; `value` is
  /// empty, or `lease` 0, then. NotFound with the message kNoSuchKey: the key does not exist.
  bool keep_value = false;
  bool keep_lease = false;
};

struct ReadOptions {
  std::chrono::milliseconds timeout{5000};
  Consistency consistency = Consistency::kLinearizable;
  /// kBounded only.
  std::chrono::milliseconds max_staleness{1000};
  /// The state right after the call that took this revision; 0: the latest. Compacted if it is no
  /// longer kept; InvalidArgument if the store has not come to it yet. Every member that has come
  /// to it answers alike, without a quorum, whatever the consistency; one that has not waits until
  /// it knows what the cluster has come to.
  std::uint64_t revision = 0;
};

enum class OrderBy : unsigned char { kKey, kModRevision, kCreateRevision, kVersion, kValue };

struct ScanOptions : ReadOptions {
  /// Maximum number of pairs, taken after filters and order; 0: limited only by the size of an
  /// answer (`more` is set then).
  std::uint64_t limit = 0;
  bool keys_only = false;
  bool count_only = false;
  /// ScanResult::continuation of the previous page; empty: the first page. The range and the other
  /// options, except the timeout, must be those of the first page.
  std::string continuation = {};
  /// Any order but that of the keys needs the whole range in the memory of the member that answers.
  /// There is one page, and InvalidArgument if what has to be sorted does not fit into an answer.
  OrderBy order = OrderBy::kKey;
  /// Descending. Pairs that are equal in `order` are in ascending order of their keys.
  bool reverse = false;
  /// Leave out the pairs whose revisions lie outside these bounds, which are inclusive; 0: none.
  std::uint64_t min_mod_revision = 0;
  std::uint64_t max_mod_revision = 0;
  std::uint64_t min_create_revision = 0;
  std::uint64_t max_create_revision = 0;
  /// ScanResult::count is kvs.size(): the member need not visit the whole range for it.
  bool skip_count = false;
  /// End the page once its pairs take this many bytes, but not before the first; 0: at the size of
  /// an answer. Has no effect in an order other than by key.
  std::uint32_t page_bytes = 0;
};

struct ScanResult {
  /// In ascending bytewise order of the keys, unless ScanOptions says otherwise.
  std::vector<KeyValue> kvs;
  /// The number of keys in the range, whatever the limit, the filters and the page.
  std::uint64_t count = 0;
  /// True if further pairs follow those in `kvs` (with filters: if some may follow).
  bool more = false;
  /// Revision of the state that the result shows; the same on all pages of a scan. That of the
  /// options, if they name one.
  std::uint64_t revision = 0;
  /// If not empty: pass it in ScanOptions to read the next page at the same revision, from any
  /// member and also after a restart, until that revision is compacted: once newer ones have been
  /// there for as long as the setting `history` says, and for 2 s at least, unless a compact,
  /// `history-bytes` or a full disk ends it sooner (see KV::ChangeSettingAsync). A scan that starts
  /// at the last key + '\0' without it reads a newer state. Empty if nothing follows, or if the
  /// order is not by key.
  std::string continuation = {};
  /// Revision that the store of the member had come to when it answered: above `revision` where an
  /// earlier state is shown.
  std::uint64_t store_revision = 0;
};

/// The keys k with begin <= k < end; an empty `end` has no upper bound.
struct KeyRange {
  std::string begin;
  std::string end;

  /// The keys that start with `prefix`; all keys if it is empty.
  static KeyRange Prefix(std::string_view prefix);
  /// `begin` and all keys after it.
  static KeyRange FromKey(std::string begin);
  /// Just `key`.
  static KeyRange Single(std::string key);
};

/// A condition of a transaction. A key that does not exist has 0 as its revisions, version and
/// lease; it has no value, so that a compare of its value does not hold, whatever the operator.
struct Compare {
  enum Operator : unsigned char { kEqual, kNotEqual, kLess, kGreater };
  enum class Target : unsigned char { kValue, kModRevision, kCreateRevision, kVersion, kLease };

  static Compare Value(std::string key, Operator op, std::string value);
  static Compare ModRevision(std::string key, Operator op, std::uint64_t revision);
  static Compare CreateRevision(std::string key, Operator op, std::uint64_t revision);
  static Compare Version(std::string key, Operator op, std::uint64_t version);
  static Compare Lease(std::string key, Operator op, std::uint64_t lease);
  static Compare Exists(std::string key) { return Version(std::move(key), kGreater, 0); }
  static Compare Missing(std::string key) { return Version(std::move(key), kEqual, 0); }

  /// It must hold for every key k with key <= k < end (an empty `end` has no upper bound). If there
  /// is none, it is decided as if `key` were the one, which does not exist.
  Compare& WithRange(std::string range_end);
  /// The same for every key that starts with `key`.
  Compare& WithPrefix();

  Target target = Target::kVersion;
  Operator op = kEqual;
  std::string key;
  std::optional<std::string> end = std::nullopt;
  std::string value = {};    ///< kValue
  std::uint64_t number = 0;  ///< the others
};

struct Op;

/// If all compares hold, `success` is carried out, otherwise `failure`: in order, each operation
/// sees the writes before it, all of it or nothing, at one revision.
///
/// The compares, those of nested transactions included, look at the state before the whole
/// transaction. In a branch each key may be written once: a key that is put (or incremented) twice,
/// or put and deleted, is refused. Whatever is refused in it (an increment of a value that is no
/// number, an answer of more than 1 MiB) refuses the whole: InvalidArgument, nothing is changed. At
/// most 4,096 compares and operations, nested ones counted; nested 8 deep.
struct TxnRequest {
  std::vector<Compare> compares;
  std::vector<Op> success;
  std::vector<Op> failure;
};

/// An operation of a transaction.
struct Op {
  enum class Kind : unsigned char { kPut, kGet, kRange, kDelete, kDeleteRange, kIncrement, kTxn };

  /// Attached to `lease`, if it is not 0. NotFound refuses the transaction.
  static Op Put(std::string key, std::string value, std::uint64_t lease = 0);
  static Op Get(std::string key);
  /// Of `options`: limit, keys_only, count_only, skip_count, the order and the bounds.
  static Op Range(KeyRange range, ScanOptions options = {});
  static Op Delete(std::string key);
  static Op DeleteRange(KeyRange range);
  static Op Increment(std::string key, std::int64_t delta);
  static Op Txn(TxnRequest txn);
  /// Put and the deletes: the result has what was there before.
  Op& WithPrevious();
  /// Put: the key keeps the value that it has, or the lease that it is attached to, and what Put()
  /// was passed for it is empty, or 0. NotFound with the message kNoSuchKey, which refuses the
  /// transaction: the key does not exist.
  Op& WithKeptValue();
  Op& WithKeptLease();

  Kind kind = Kind::kGet;
  std::string key;           ///< or where the range begins
  std::string end = {};      ///< of a range; empty: no upper bound
  std::string value = {};    ///< kPut
  std::uint64_t lease = 0;   ///< kPut
  std::int64_t delta = 0;    ///< kIncrement
  ScanOptions options = {};  ///< kRange
  bool return_previous = false;
  std::vector<TxnRequest> txn = {};  ///< kTxn: the one
  bool keep_value = false;           ///< kPut
  bool keep_lease = false;           ///< kPut
};

struct TxnResult;

/// Of one Op.
struct OpResult {
  /// Get, Range: what was found, with `kvs`, `count` and `more` as a scan has them.
  ScanResult found;
  /// Delete, DeleteRange: how many keys were deleted. Increment: the new value.
  std::int64_t number = 0;
  /// What was there before, if Op::WithPrevious() asked for it.
  std::vector<KeyValue> previous;
  /// Txn: its result.
  std::vector<TxnResult> txn;
};

struct TxnResult {
  /// The compares held.
  bool succeeded = false;
  /// Of the transaction if it changed something, else the one that it saw.
  std::uint64_t revision = 0;
  /// One for each operation of the branch that was carried out.
  std::vector<OpResult> results;
};

/// Writes that are applied atomically, in order, at one revision. With a condition, an increment or
/// a lease it is a transaction, and its rules are those of TxnRequest; without, a key may be
/// written again, and the last write counts.
class Batch {
 public:
  struct Operation {
    bool is_delete = false;
    std::string key;
    std::string value;
    std::optional<std::string> end = std::nullopt;     ///< delete [key, *end)
    std::optional<std::int64_t> delta = std::nullopt;  ///< an increment
    std::uint64_t lease = 0;                           ///< of a put
  };
  /// Attached to `lease`, if it is not 0.
  Batch& Put(std::string key, std::string value, std::uint64_t lease = 0) {
    operations_.push_back({false, std::move(key), std::move(value)});
    operations_.back().lease = lease;
    return *this;
  }
  Batch& Delete(std::string key) {
    operations_.push_back({true, std::move(key), {}});
    return *this;
  }
  Batch& DeleteRange(KeyRange range) {
    operations_.push_back({true, std::move(range.begin), {}, std::move(range.end)});
    return *this;
  }
  Batch& Increment(std::string key, std::int64_t delta) {
    operations_.push_back({false, std::move(key), {}, std::nullopt, delta});
    return *this;
  }
  /// Nothing is applied unless all conditions hold: CompareFailed.
  Batch& If(Compare condition) {
    conditions_.push_back(std::move(condition));
    return *this;
  }
  [[nodiscard]] const std::vector<Operation>& operations() const { return operations_; }
  [[nodiscard]] const std::vector<Compare>& conditions() const { return conditions_; }

 private:
  std::vector<Operation> operations_;
  std::vector<Compare> conditions_;
};

/// `revision`: the store has one revision, a counter that starts at 1. Every call that changes at
/// least one key takes the next revision; a batch takes one for all its operations. No two writes
/// share a revision, even if they travel in one request. It is not the log index. A call that
/// changes nothing (a delete of a key that does not exist) takes no revision and returns the one
/// that it saw. A restore from a backup raises the revision by 10^9.
struct WriteResult {
  std::uint64_t revision = 0;
  /// What a put has overwritten, if WriteOptions::return_previous asked for it.
  std::optional<KeyValue> previous = std::nullopt;
};
struct DeleteResult {
  std::uint64_t deleted = 0;
  std::uint64_t revision = 0;
  /// What was deleted, by ascending key, if WriteOptions::return_previous asked for it.
  std::vector<KeyValue> previous = {};
};
struct IncrementResult {
  std::int64_t value = 0;
  std::uint64_t revision = 0;
};
struct SwapResult {
  bool succeeded = false;
  std::uint64_t revision = 0;
  /// What the key has, if the condition did not hold; nullopt: it does not exist.
  std::optional<KeyValue> current = std::nullopt;
};

struct GetManyResult {
  /// One a key, in the order in which they were named; nullopt: there is no such key.
  std::vector<std::optional<KeyValue>> kvs;
  /// Revision of the state that all of them are from.
  std::uint64_t revision = 0;
};

/// What the time to live of a lease can be, and its number at most.
inline constexpr std::chrono::milliseconds kMinLeaseTtl{100};
inline constexpr std::chrono::milliseconds kMaxLeaseTtl = std::chrono::seconds(9'000'000'000);
inline constexpr std::uint64_t kMaxLeaseId = INT64_MAX;

/// A lease: keys that are attached to it are deleted when it ends, all at one revision. It ends
/// when it is revoked, or was not kept alive for its time to live; never earlier, whatever becomes
/// of members and clocks, and within two election timeouts after it unless the cluster was down.
struct LeaseInfo {
  std::uint64_t id = 0;
  /// As it was granted; 0: there is no such lease.
  std::chrono::milliseconds ttl{0};
  /// Of the time to live, as far as the member that answered knows.
  std::chrono::milliseconds remaining{0};
  /// That are attached to it, ascending, if they were asked for.
  std::vector<std::string> keys = {};
};

struct LeaseReadOptions : ReadOptions {
  bool with_keys = false;
};

/// What is set for the whole cluster, by name.
struct Settings {
  std::map<std::string, std::string> values;
  std::uint64_t revision = 0;
};

template <class T>
using Callback = std::function<void(Result<T>)>;

class KV;

/// The pairs of a range, however many there are, all from the state of one revision:
///
///   for (RangeIterator it = kv.Range(KeyRange::Prefix("a")); it.Next();) Use(it->key, it->value);
///   // and then look at it.status()
///
/// Holds one page in memory and fetches the next one ahead. Used by one thread at a time; the KV
/// outlives its calls of Next().
class RangeIterator {
 public:
  RangeIterator(RangeIterator&& other) noexcept;
  RangeIterator& operator=(RangeIterator&& other) noexcept;
  ~RangeIterator();

  /// Goes to the first or next pair; false: there is none, or status() says what went wrong. Blocks
  /// for at most the timeout of the options, which is one page's.
  bool Next();
  /// The pair that Next() went to, until it is called again. Its strings may be moved out.
  KeyValue& operator*();
  KeyValue* operator->() { return &**this; }

  /// Compacted: the state is no longer kept, and the pairs so far are all that can be had of it.
  [[nodiscard]] const Status& status() const;
  /// Of the state that is shown; 0 until the first page is there.
  [[nodiscard]] std::uint64_t revision() const;
  /// ScanResult::store_revision of the first page; 0 until it is there.
  [[nodiscard]] std::uint64_t store_revision() const;
  /// Once Next() has returned false: as ScanResult::count and ScanResult::more.
  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] bool more() const;

 private:
  friend class KV;
  struct State;
  explicit RangeIterator(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// See KV::CompareAndSwapAsync and WriteOptions::keep_value.
inline constexpr std::string_view kNoSuchKey = "no such key";

class Watcher;
struct WatchOptions;
struct WatchPage;
struct WatchPageOptions;
struct WatchResponse;

/// A transaction while it is put together: kv.Txn().If(...).Then(...).Else(...).Commit(). Each of
/// the three may be called several times; what is given is added.
class Transaction {
 public:
  Transaction& If(std::vector<Compare> compares);
  Transaction& Then(std::vector<Op> operations);
  Transaction& Else(std::vector<Op> operations);
  /// Compares that do not hold are no error: see TxnResult::succeeded. Errors: those of every write
  /// (see KV).
  Result<TxnResult> Commit(WriteOptions options = {});
  void CommitAsync(WriteOptions options, Callback<TxnResult> done);
  /// Also what Op::Txn() takes.
  [[nodiscard]] const TxnRequest& request() const { return request_; }

 private:
  friend class KV;
  Transaction(KV& kv, TxnRequest request) : kv_(&kv), request_(std::move(request)) {}

  KV* kv_;
  TxnRequest request_;
};

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
  virtual void TxnAsync(TxnRequest txn, WriteOptions options, Callback<TxnResult> done) = 0;
  /// Writes `desired` to the key of `condition` if that holds, which is of one key. A condition
  /// that does not is no error: the result has what the key has instead.
  void SwapAsync(Compare condition, std::string desired, WriteOptions options,
                 Callback<SwapResult> done);

  /// NotFound if the key does not exist.
  virtual void GetAsync(std::string key, ReadOptions options, Callback<KeyValue> done) = 0;
  /// Reads several keys from one state; not more than a request may have operations.
  virtual void GetManyAsync(std::vector<std::string> keys, ReadOptions options,
                            Callback<GetManyResult> done) = 0;
  /// Reads one page of a range. Compacted: the revision that `continuation` refers to is no longer
  /// kept; start the scan again.
  virtual void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) = 0;

  /// A new lease. `id`: its number, at most kMaxLeaseId; 0: the store chooses one. `ttl`:
  /// kMinLeaseTtl to kMaxLeaseTtl. InvalidArgument: outside of these, or there is a lease `id`.
  virtual void GrantLeaseAsync(std::chrono::milliseconds ttl, std::uint64_t id,
                               WriteOptions options, Callback<LeaseInfo> done) = 0;
  /// Keeps leases alive: the whole time to live of each begins again. One result a lease, in the
  /// order of `ids`; ttl 0: there is no such lease. At most 4,096 (see Limits) in a call;
  /// concurrent calls are gathered.
  virtual void KeepAliveAsync(std::vector<std::uint64_t> ids, WriteOptions options,
                              Callback<std::vector<LeaseInfo>> done) = 0;
  /// Ends a lease, and deletes its keys. NotFound: there is no such lease.
  virtual void RevokeLeaseAsync(std::uint64_t id, WriteOptions options,
                                Callback<DeleteResult> done) = 0;
  /// A lease and its keys. NotFound: there is no such lease. Not at a `revision`. Very many keys
  /// are read in several pages, which may show different states.
  virtual void GetLeaseAsync(std::uint64_t id, LeaseReadOptions options,
                             Callback<LeaseInfo> done) = 0;
  /// All leases, by number, without their keys; in pages as with GetLease.
  virtual void ListLeasesAsync(ReadOptions options, Callback<std::vector<LeaseInfo>> done) = 0;
  /// One page of a watch, which Watch() below asks for again and again (<raftkv/watch.h>): the
  /// events at a position, once there are any; at the timeout an empty page, with the position that
  /// the watch has come to. DeadlineExceeded: no member answered.
  virtual void WatchPageAsync(KeyRange range, WatchPageOptions options,
                              Callback<WatchPage> done) = 0;

  /// Raises the lowest revision that can be read to `revision`, which remains readable itself. What
  /// is below is refused with Compacted from then on, and its space comes back in the background.
  /// The leader does it by itself, as the settings `history` and `history-bytes` say. Compacted:
  /// it is that high already. InvalidArgument: the store has not come to that revision yet.
  virtual void CompactAsync(std::uint64_t revision, WriteOptions options,
                            Callback<WriteResult> done) = 0;
  /// `history`: how long the past can be read ("10m"; "0s": the latest state only). What was
  /// overwritten goes 2 s later at the earliest, so that a scan of a few pages can end; one that
  /// takes longer than both, while keys are written, ends with Compacted. `history-bytes`: how much
  /// of the past is kept at most, on the disk ("256MiB").
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
  Transaction Txn(TxnRequest request = {}) { return {*this, std::move(request)}; }
  Result<SwapResult> Swap(Compare condition, std::string desired, WriteOptions options = {});
  Result<KeyValue> Get(std::string key, ReadOptions options = {});
  Result<GetManyResult> GetMany(std::vector<std::string> keys, ReadOptions options = {});
  Result<ScanResult> Scan(KeyRange range, ScanOptions options = {});
  /// Returns at once, the first page is asked for. `options` are those of the first page.
  RangeIterator Range(KeyRange range, ScanOptions options = {});
  Result<LeaseInfo> GrantLease(std::chrono::milliseconds ttl, std::uint64_t id = 0,
                               WriteOptions options = {});
  Result<std::vector<LeaseInfo>> KeepAlive(std::vector<std::uint64_t> ids,
                                           WriteOptions options = {});
  Result<DeleteResult> RevokeLease(std::uint64_t id, WriteOptions options = {});
  Result<LeaseInfo> GetLease(std::uint64_t id, LeaseReadOptions options = {});
  Result<std::vector<LeaseInfo>> ListLeases(ReadOptions options = {});
  /// Follows the changes of a range: see <raftkv/watch.h>. Returns at once. With `on_response` it
  /// is called for each response, otherwise Watcher::Next() returns them.
  Watcher Watch(KeyRange range, const WatchOptions& options,
                std::function<void(Result<WatchResponse>)> on_response = nullptr);
  Result<WriteResult> Compact(std::uint64_t revision, WriteOptions options = {});
  Result<WriteResult> ChangeSetting(std::string name, std::string value, WriteOptions options = {});
  Result<Settings> GetSettings(ReadOptions options = {});
  /// Reads all pages of a range, or the first `limit` pairs, from one state, into memory. Starts
  /// again, a few times and within the timeout, if the state is lost between two pages.
  Result<ScanResult> ScanAll(KeyRange range, ScanOptions options = {});
};

}  // namespace raftkv
