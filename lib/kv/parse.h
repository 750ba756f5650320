// What does an encoded request say? The one reader of request bytes: what is checked where a
// request enters is what is carried out later.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/message_reader.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// A range that borrows its keys.
struct RangeView {
  Range::Kind kind = Range::Kind::kSingle;
  std::string_view begin;
  std::string_view end;

  [[nodiscard]] bool Contains(std::string_view key) const {
    if (kind == Range::Kind::kSingle) return key == begin;
    return key >= begin && (kind == Range::Kind::kUnbounded || key < end);
  }
};

struct ParsedTxn;

struct ParsedOperation {
  enum class Kind : std::uint8_t {
    kPut,
    kDelete,
    kCompareAndSwap,
    kIncrement,
    kTxn,
    kGrantLease,
    kRenewLeases,
    kRevokeLease,
    kExpire,
    kCompact,
    kSetting
  };
  Kind kind = Kind::kPut;
  /// Of the same call as the operation before it.
  bool same_call = false;
  bool expect_absent = false;
  std::int64_t delta = 0;
  std::uint64_t revision = 0;  ///< kCompact
  RangeView range;            ///< kDelete; otherwise `begin` is the key, or the name of the setting
  std::string_view value;     ///< kPut, kCompareAndSwap: what the key shall hold
  std::string_view expected;  ///< kCompareAndSwap
  bool return_previous = false;
  /// kPut: the key must exist if one of them is true, and keeps its value, or its lease.
  bool keep_value = false;
  bool keep_lease = false;
  std::shared_ptr<const ParsedTxn> txn;  ///< kTxn
  /// kPut: what the key is attached to; 0: nothing. kGrantLease: 0: the store chooses.
  std::uint64_t lease = 0;
  std::uint64_t ttl_ms = 0;           ///< kGrantLease
  std::vector<std::uint64_t> leases;  ///< kRenewLeases

  /// A put that writes only a part of what the key has.
  [[nodiscard]] bool Keeps() const { return keep_value || keep_lease; }
  [[nodiscard]] bool IsOfLease() const {
    return kind == Kind::kGrantLease || kind == Kind::kRenewLeases || kind == Kind::kRevokeLease;
  }
  /// It changes what the cluster keeps and not its keys, and is alone in its request.
  [[nodiscard]] bool IsUpkeep() const { return kind == Kind::kCompact || kind == Kind::kSetting; }
};

struct ParsedRequest {
  RequestHeader header;
  std::vector<ParsedOperation> operations;
};

struct ParsedRead {
  RangeView range;
  std::uint64_t limit = 0;
  bool keys_only = false;
  bool count_only = false;
  std::uint64_t revision = 0;
  Order order;
  bool uncounted = false;
  std::uint32_t max_bytes = 0;
  bool settings = false;
  /// One lease, with those of its keys that are in `range` unless `keys_only`.
  std::optional<std::uint64_t> lease = std::nullopt;
  /// All leases from this number on.
  std::optional<std::uint64_t> leases_from = std::nullopt;

  /// Of the keys of the store.
  [[nodiscard]] bool IsOfKeys() const { return !settings && !lease && !leases_from; }
};

struct ParsedCompare {
  RangeView range;
  Compare::Target target = Compare::Target::kVersion;
  Compare::Operator op = Compare::kEqual;
  std::string_view value;  ///< of target kValue
  std::uint64_t number = 0;
};

struct ParsedTxnOperation {
  bool is_read = false;
  ParsedOperation write;
  ParsedRead read;
};

struct ParsedTxn {
  std::vector<ParsedCompare> compares;
  std::vector<ParsedTxnOperation> success;
  std::vector<ParsedTxnOperation> failure;
};

/// A read that counts, or looks for its pairs by anything but the order of keys, visits each key.
inline bool CountsWholeRange(const ParsedRead& read) {
  if (!read.IsOfKeys()) return false;
  if (read.range.kind == Range::Kind::kSingle) return false;
  const bool counts_behind_limit = read.limit != 0 && !read.uncounted;
  return read.count_only || counts_behind_limit || read.order != Order();
}

/// InvalidArgument: a put has a value, or a lease, and is to keep the one that the key has.
Status CheckKept(const ParsedOperation& put);

/// `out` borrows `bytes` and `storage`. InvalidArgument: malformed, or more than `max_operations`.
/// VersionMismatch: a newer version, or an operation that is not known.
Status ParseRequest(std::string_view bytes, std::size_t max_operations, MessageBytes& storage,
                    ParsedRequest& out);
Status ParseReadRequest(std::string_view bytes, std::size_t max_reads, MessageBytes& storage,
                        std::vector<ParsedRead>& out);

/// The revisions that the reads of a request name.
struct NamedRevisions {
  std::uint64_t highest = 0;
  bool by_all = false;  ///< none asks for the latest
};
/// Of a valid read request.
NamedRevisions RevisionsOfRequest(std::string_view request);

/// A valid request of deletes, keep-alives and ends of leases, or a compact, and nothing
/// else: it makes room, in the end, or keeps what must not go because of a full disk.
bool OnlyDeletes(std::string_view request);

}  // namespace raftkv::kv
