// How is a request built by the client, and checked where it enters the server?
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/ids.h"

namespace raftkv::kv {

inline constexpr std::uint16_t kRequestFormatVersion = 2;

/// The keys of an operation or read.
struct Range {
  enum class Kind : std::uint8_t { kSingle, kBounded, kUnbounded };
  Kind kind = Kind::kSingle;
  std::string begin;
  std::string end;

  static Range Single(std::string key) { return {Kind::kSingle, std::move(key), {}}; }
  /// From the public type, where an empty end is unbounded.
  static Range From(const KeyRange& range);
  static Kind KindOf(std::string_view end) {
    return end.empty() ? Kind::kUnbounded : Kind::kBounded;
  }
};

struct PutOp {
  std::string key;
  std::string value;
  bool return_previous = false;
  std::uint64_t lease = 0;  ///< 0: none
  /// The key must exist then, and keeps its value, or its lease.
  bool keep_value = false;
  bool keep_lease = false;
};
struct DeleteOp {
  Range range;
  bool return_previous = false;
};
struct CompareAndSwapOp {
  std::string key;
  std::optional<std::string> expected;
  std::string desired;
  bool return_previous = false;  ///< if it fails: what the key has
  std::uint64_t lease = 0;       ///< 0: none
};
struct IncrementOp {
  std::string key;
  std::int64_t delta = 0;
  std::uint64_t lease = 0;  ///< 0: none
};
struct TxnOp {
  TxnRequest txn;
};
struct GrantLeaseOp {
  std::uint64_t id = 0;  ///< 0: the store chooses one
  std::uint64_t ttl_ms = 0;
};
struct RenewLeasesOp {
  std::vector<std::uint64_t> ids;
};
struct RevokeLeaseOp {
  std::uint64_t id = 0;
};
/// Raises the lowest revision that can be read; alone in its request, and so is the next one.
struct CompactOp {
  std::uint64_t revision = 0;
};
struct SettingOp {
  std::string name;
  std::string value;
};
using Operation = std::variant<PutOp, DeleteOp, CompareAndSwapOp, IncrementOp, TxnOp, GrantLeaseOp,
                               RenewLeasesOp, RevokeLeaseOp, CompactOp, SettingOp>;

/// Deletes, compares and counts of a range: each may visit every key, on the one thread that
/// applies. Checked before a request enters the log, so that it may change: what is in the log is
/// carried out.
inline constexpr std::size_t kMaxWholeRanges = 16;
/// How many `operation` has.
std::size_t CountWholeRanges(const Operation& operation);
/// InvalidArgument if `count` are too many for one request.
Status CheckWholeRanges(std::size_t count);

/// How deep transactions may be nested.
inline constexpr std::size_t kMaxTxnDepth = 8;
/// How many operations of a request's limit `operation` counts for: a transaction for its compares
/// and the operations of both branches, nested ones included; a keep-alive for its leases.
std::size_t CountOperations(const Operation& operation);

/// The keys and values that one call may return (its first pair always may be): InvalidArgument
/// beyond it. And those that all calls of a request may return together: a later call is answered
/// Unavailable, and is sent again in another request. Either way it changes nothing.
inline constexpr std::size_t kMaxCallAnswerBytes = 1 << 20;
inline constexpr std::size_t kMaxRequestAnswerBytes = 8 << 20;

/// It has to be the only one in its request.
bool IsAlone(const Operation& operation);

/// Bytes that `operation` will add to a request, not below the truth.
std::size_t EncodedSize(const Operation& operation);
/// Bytes of a request without its operations or reads.
std::size_t EncodedHeaderSize();
/// The sizes of keys and values against `limits`: InvalidArgument says which, how large, and the
/// limit.
Status CheckOperation(const Operation& operation, const Limits& limits);

struct RequestHeader {
  std::uint64_t session = 0;
  std::uint64_t opened_at_ms = 0;
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged_below = 0;
};

/// A flat Cap'n Proto message (segment table and segments). `call_sizes`: how many operations each
/// call has, in order; empty: each operation is a call.
Bytes EncodeRequest(const RequestHeader& header, const std::vector<Operation>& operations,
                    const std::vector<std::size_t>& call_sizes = {});

/// What the leader itself proposes: it is of no session, and to apply it twice changes nothing.
Bytes EncodeCompact(std::uint64_t revision);
/// Ends the leases that are over by the clock of its entry.
Bytes EncodeExpire();

/// The server's check of bytes from outside: well formed, known version, known operations, within
/// `limits`, session and sequence not 0. InvalidArgument otherwise (VersionMismatch for a newer
/// version).
Result<RequestHeader> ValidateRequest(std::string_view bytes, const Limits& limits);

struct TxnOutcome;

struct OperationResult {
  Code code = Code::kOk;
  std::string message;
  std::int64_t number = 0;
  /// Its call takes a revision.
  bool changed = false;
  std::vector<KeyValue> previous = {};
  std::shared_ptr<TxnOutcome> txn = {};  ///< null: it is no transaction, or was refused
  std::vector<LeaseInfo> leases = {};    ///< granted or kept alive, without their keys
};

struct TxnOperationResult {
  OperationResult write = {};
  std::optional<ScanResult> read = {};  ///< its revision is not set
};

struct TxnOutcome {
  bool succeeded = false;
  std::vector<TxnOperationResult> results = {};
};

struct Response {
  Code code = Code::kOk;
  std::string message;
  /// Of the store before the request: each call that changed something has the next one.
  std::uint64_t revision = 0;
  /// One an operation (already expanded if the wire left them out).
  std::vector<OperationResult> results;
};
/// `operations`: how many the request had. Corruption if malformed.
Result<Response> DecodeResponse(std::string_view bytes, std::size_t operations);

/// Which pairs of a range are shown, and in which order. The limit is taken after both.
struct Order {
  OrderBy by = OrderBy::kKey;
  bool descending = false;
  std::uint64_t min_mod_revision = 0;  ///< 0: no bound; so with the others
  std::uint64_t max_mod_revision = 0;
  std::uint64_t min_create_revision = 0;
  std::uint64_t max_create_revision = 0;

  /// The first pair is known only when the whole range has been read.
  [[nodiscard]] bool NeedsAll() const { return by != OrderBy::kKey; }
  /// Pairs are shown as they come.
  [[nodiscard]] bool IsByKey() const { return by == OrderBy::kKey && !descending; }
  friend bool operator==(const Order&, const Order&) = default;
};

/// What `options` ask for.
Order OrderOf(const ScanOptions& options);

struct ReadOp {
  /// One page of a scan.
  static ReadOp From(const KeyRange& range, const ScanOptions& options);

  Range range;
  std::uint64_t limit = 0;
  bool keys_only = false;
  bool count_only = false;
  /// As the keys were right after it; 0: the latest.
  std::uint64_t revision = 0;
  Order order = {};
  /// Nobody asks how many keys the range has.
  bool uncounted = false;
  std::uint32_t max_bytes = 0;  ///< of its pairs; 0: what fits into the answer
  /// Not keys, but the settings of the cluster: one pair each.
  bool settings = false;
  /// A lease, with those of its keys that are in `range` unless `count_only`.
  std::optional<std::uint64_t> lease = std::nullopt;
  /// The leases from this number on.
  std::optional<std::uint64_t> leases_from = std::nullopt;

  /// Of the keys of the store.
  [[nodiscard]] bool IsOfKeys() const { return !settings && !lease && !leases_from; }
};
/// What is found; of reads of leases `leases` instead of pairs.
struct ReadAnswer : ScanResult {
  std::vector<LeaseInfo> leases = {};
};
std::size_t EncodedSize(const ReadOp& read);
Status CheckRead(const ReadOp& read, const Limits& limits);
Bytes EncodeReadRequest(const std::vector<ReadOp>& reads);
Status ValidateReadRequest(std::string_view bytes, const Limits& limits);
/// The log index that is reflected; 0: it cannot be read.
Index IndexOfReadResponse(std::string_view bytes);
/// One a read, each of the revision that the store had come to, and without a
/// continuation (see continuation.h). The Status is the whole request's.
Result<std::vector<ReadAnswer>> DecodeReadResponse(std::string_view bytes);

}  // namespace raftkv::kv
