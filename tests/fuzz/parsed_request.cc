#include "tests/fuzz/parsed_request.h"

#include <string_view>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::fuzz {
namespace {

using Kind = kv::ParsedOperation::Kind;
using RangeKind = kv::Range::Kind;

/// Text in which no two values look alike.
class Writer {
 public:
  Writer& Number(std::uint64_t number) {
    text_ += std::to_string(number) + ' ';
    return *this;
  }
  Writer& Text(std::string_view bytes) {
    Number(bytes.size());
    text_.append(bytes);
    return *this;
  }
  Writer& Range(const kv::RangeView& range) {
    Number(static_cast<std::uint64_t>(range.kind)).Text(range.begin);
    return Text(range.kind == RangeKind::kBounded ? range.end : std::string_view());
  }
  Writer& Read(const kv::ParsedRead& read, bool in_txn);
  Writer& Operation(const kv::ParsedOperation& operation, bool in_txn);
  Writer& Txn(const kv::ParsedTxn& txn);
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

Writer& Writer::Read(const kv::ParsedRead& read, bool in_txn) {
  Range(read.range).Number(read.limit).Number(read.keys_only).Number(read.count_only);
  Number(read.uncounted).Number(read.revision);
  const kv::Order& order = read.order;
  Number(static_cast<std::uint64_t>(order.by)).Number(order.descending);
  Number(order.min_mod_revision).Number(order.max_mod_revision);
  Number(order.min_create_revision).Number(order.max_create_revision);
  // A transaction has one page, and reads keys only.
  if (in_txn) return *this;
  Number(read.max_bytes).Number(read.settings);
  Number(read.lease.has_value()).Number(read.lease.value_or(0));
  return Number(read.leases_from.has_value()).Number(read.leases_from.value_or(0));
}

Writer& Writer::Operation(const kv::ParsedOperation& operation, bool in_txn) {
  Number(static_cast<std::uint64_t>(operation.kind));
  if (!in_txn) Number(operation.same_call);
  switch (operation.kind) {
    case Kind::kPut:
      Text(operation.range.begin).Text(operation.value).Number(operation.return_previous);
      Number(operation.keep_value).Number(operation.keep_lease);
      return Number(operation.lease);
    case Kind::kDelete: return Range(operation.range).Number(operation.return_previous);
    case Kind::kCompareAndSwap:
      Text(operation.range.begin).Text(operation.value).Number(operation.return_previous);
      Number(operation.expect_absent).Number(operation.lease);
      return Text(operation.expect_absent ? std::string_view() : operation.expected);
    case Kind::kIncrement:
      Text(operation.range.begin).Number(static_cast<std::uint64_t>(operation.delta));
      return Number(operation.lease);
    case Kind::kTxn: return Txn(*operation.txn);
    case Kind::kGrantLease: return Number(operation.lease).Number(operation.ttl_ms);
    case Kind::kRenewLeases:
      Number(operation.leases.size());
      for (const std::uint64_t lease : operation.leases) Number(lease);
      return *this;
    case Kind::kRevokeLease: return Number(operation.lease);
    case Kind::kExpire: return *this;
    case Kind::kCompact: return Number(operation.revision);
    case Kind::kSetting: return Text(operation.range.begin).Text(operation.value);
  }
  RAFTKV_CHECK(false, static_cast<int>(operation.kind));
  return *this;
}

Writer& Writer::Txn(const kv::ParsedTxn& txn) {
  Number(txn.compares.size());
  for (const kv::ParsedCompare& compare : txn.compares) {
    Range(compare.range).Number(static_cast<std::uint64_t>(compare.target)).Number(compare.op);
    Text(compare.value).Number(compare.number);
  }
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    Number(branch->size());
    for (const kv::ParsedTxnOperation& each : *branch) {
      Number(each.is_read);
      each.is_read ? Read(each.read, true) : Operation(each.write, true);
    }
  }
  return *this;
}

/// An empty end is no bound there.
bool HasWords(const kv::RangeView& range) {
  return range.kind != RangeKind::kBounded || !range.end.empty();
}

std::string EndOf(const kv::RangeView& range) {
  return range.kind == RangeKind::kBounded ? std::string(range.end) : std::string();
}

kv::Range RangeOf(const kv::RangeView& range) {
  return {range.kind, std::string(range.begin), EndOf(range)};
}

std::optional<TxnRequest> TxnOf(const kv::ParsedTxn& txn);

Op ReadOf(const kv::ParsedRead& read) {
  Op op;
  op.kind = read.range.kind == RangeKind::kSingle ? Op::Kind::kGet : Op::Kind::kRange;
  op.key = std::string(read.range.begin);
  op.end = EndOf(read.range);
  ScanOptions& options = op.options;
  options.limit = read.limit;
  options.keys_only = read.keys_only;
  options.count_only = read.count_only;
  options.skip_count = read.uncounted;
  options.revision = read.revision;
  options.order = read.order.by;
  options.reverse = read.order.descending;
  options.min_mod_revision = read.order.min_mod_revision;
  options.max_mod_revision = read.order.max_mod_revision;
  options.min_create_revision = read.order.min_create_revision;
  options.max_create_revision = read.order.max_create_revision;
  return op;
}

std::optional<Op> WriteOf(const kv::ParsedOperation& write) {
  Op op;
  op.key = std::string(write.range.begin);
  op.return_previous = write.return_previous;
  switch (write.kind) {
    case Kind::kPut:
      op.kind = Op::Kind::kPut;
      op.value = std::string(write.value);
      op.lease = write.lease;
      op.keep_value = write.keep_value;
      op.keep_lease = write.keep_lease;
      return op;
    case Kind::kDelete: {
      const bool single = write.range.kind == RangeKind::kSingle;
      op.kind = single ? Op::Kind::kDelete : Op::Kind::kDeleteRange;
      op.end = EndOf(write.range);
      return op;
    }
    case Kind::kIncrement:
      if (write.lease != 0) return std::nullopt;  // nor has that words there
      op.kind = Op::Kind::kIncrement;
      op.delta = write.delta;
      return op;
    case Kind::kTxn: {
      std::optional<TxnRequest> txn = TxnOf(*write.txn);
      if (!txn.has_value()) return std::nullopt;
      op.kind = Op::Kind::kTxn;
      op.txn.push_back(*std::move(txn));
      return op;
    }
    case Kind::kCompareAndSwap:
    case Kind::kGrantLease:
    case Kind::kRenewLeases:
    case Kind::kRevokeLease:
    case Kind::kExpire:
    case Kind::kCompact:
    case Kind::kSetting: break;
  }
  RAFTKV_CHECK(false, static_cast<int>(write.kind));
  return std::nullopt;
}

std::optional<TxnRequest> TxnOf(const kv::ParsedTxn& txn) {
  TxnRequest out;
  for (const kv::ParsedCompare& from : txn.compares) {
    if (!HasWords(from.range)) return std::nullopt;
    Compare compare;
    compare.target = from.target;
    compare.op = from.op;
    compare.key = std::string(from.range.begin);
    if (from.range.kind != RangeKind::kSingle) compare.end = EndOf(from.range);
    compare.value = std::string(from.value);
    compare.number = from.number;
    out.compares.push_back(std::move(compare));
  }
  for (const bool success : {true, false}) {
    for (const kv::ParsedTxnOperation& from : success ? txn.success : txn.failure) {
      if (!HasWords(from.is_read ? from.read.range : from.write.range)) return std::nullopt;
      std::optional<Op> op = from.is_read ? ReadOf(from.read) : WriteOf(from.write);
      if (!op.has_value()) return std::nullopt;
      (success ? out.success : out.failure).push_back(*std::move(op));
    }
  }
  return out;
}

std::optional<kv::Operation> OperationOf(const kv::ParsedOperation& from) {
  std::string key(from.range.begin);
  switch (from.kind) {
    case Kind::kPut:
      return kv::PutOp{.key = std::move(key),
                       .value = std::string(from.value),
                       .return_previous = from.return_previous,
                       .lease = from.lease,
                       .keep_value = from.keep_value,
                       .keep_lease = from.keep_lease};
    case Kind::kDelete: return kv::DeleteOp{RangeOf(from.range), from.return_previous};
    case Kind::kCompareAndSwap: {
      std::optional<std::string> expected;
      if (!from.expect_absent) expected = std::string(from.expected);
      return kv::CompareAndSwapOp{std::move(key), std::move(expected), std::string(from.value),
                                  from.return_previous, from.lease};
    }
    case Kind::kIncrement: return kv::IncrementOp{std::move(key), from.delta, from.lease};
    case Kind::kTxn: {
      std::optional<TxnRequest> txn = TxnOf(*from.txn);
      if (!txn.has_value()) return std::nullopt;
      return kv::TxnOp{*std::move(txn)};
    }
    case Kind::kGrantLease: return kv::GrantLeaseOp{from.lease, from.ttl_ms};
    case Kind::kRenewLeases: return kv::RenewLeasesOp{from.leases};
    case Kind::kRevokeLease: return kv::RevokeLeaseOp{from.lease};
    case Kind::kExpire: return std::nullopt;  // the leader's alone
    case Kind::kCompact: return kv::CompactOp{from.revision};
    case Kind::kSetting: return kv::SettingOp{std::move(key), std::string(from.value)};
  }
  RAFTKV_CHECK(false, static_cast<int>(from.kind));
  return std::nullopt;
}

}  // namespace

std::string Describe(const kv::ParsedRequest& request) {
  Writer out;
  out.Number(request.header.session).Number(request.header.opened_at_ms);
  out.Number(request.header.sequence).Number(request.header.acknowledged_below);
  for (const kv::ParsedOperation& operation : request.operations) out.Operation(operation, false);
  return out.Take();
}

std::string Describe(const std::vector<kv::ParsedRead>& reads) {
  Writer out;
  for (const kv::ParsedRead& read : reads) out.Read(read, false);
  return out.Take();
}

std::optional<Rebuilt> Rebuild(const kv::ParsedRequest& request) {
  Rebuilt out;
  for (const kv::ParsedOperation& from : request.operations) {
    std::optional<kv::Operation> operation = OperationOf(from);
    if (!operation.has_value()) return std::nullopt;
    out.operations.push_back(*std::move(operation));
    if (!from.same_call) out.call_sizes.push_back(0);
    ++out.call_sizes.back();
  }
  return out;
}

std::vector<kv::ReadOp> Rebuild(const std::vector<kv::ParsedRead>& reads) {
  std::vector<kv::ReadOp> out;
  for (const kv::ParsedRead& from : reads) {
    kv::ReadOp read;
    read.range = RangeOf(from.range);
    read.limit = from.limit;
    read.keys_only = from.keys_only;
    read.count_only = from.count_only;
    read.revision = from.revision;
    read.order = from.order;
    read.uncounted = from.uncounted;
    read.max_bytes = from.max_bytes;
    read.settings = from.settings;
    read.lease = from.lease;
    read.leases_from = from.leases_from;
    out.push_back(std::move(read));
  }
  return out;
}

}  // namespace raftkv::fuzz
