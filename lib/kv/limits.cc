// Does what a client asks for keep to the limits? Asked at the client before anything is sent and
// again at the server.
#include <optional>
#include <string>

#include "lib/kv/lease_table.h"
#include "lib/kv/parse.h"
#include "lib/kv/refusals.h"
#include "lib/kv/request.h"
#include "lib/kv/settings.h"
#include "lib/kv/txn_limits.h"

namespace raftkv::kv {
namespace {

Status TooLarge(const char* what, std::size_t size_bytes, std::size_t limit_bytes) {
  return {Code::kInvalidArgument, (std::string("the ") + what)
                                      .append(kIsTooLarge)
                                      .append(std::to_string(size_bytes))
                                      .append(" bytes, the limit is ")
                                      .append(std::to_string(limit_bytes))};
}

Status CheckKey(std::string_view key, const Limits& limits) {
  if (key.empty()) return {Code::kInvalidArgument, "the key is empty: it needs at least 1 byte"};
  if (key.size() > limits.max_key_bytes) return TooLarge("key", key.size(), limits.max_key_bytes);
  return Status::Ok();
}

Status CheckValue(std::string_view value, const Limits& limits) {
  if (value.size() <= limits.max_value_bytes) return Status::Ok();
  return TooLarge("value", value.size(), limits.max_value_bytes);
}

Status CheckRange(const RangeView& range, const Limits& limits) {
  if (range.kind == Range::Kind::kSingle) return CheckKey(range.begin, limits);
  for (const std::string_view bound : {range.begin, range.end}) {
    // One more than a key: a scan goes on from its last key + '\0', however long that key is.
    if (bound.size() > std::size_t{limits.max_key_bytes} + 1) {
      return TooLarge("bound of the range", bound.size(), limits.max_key_bytes);
    }
  }
  return Status::Ok();
}

Status CheckTxn(const ParsedTxn& txn, const Limits& limits);

Status CheckLease(const ParsedOperation& operation) {
  if (operation.kind == ParsedOperation::Kind::kRenewLeases && operation.leases.empty()) {
    return {Code::kInvalidArgument, "a keep-alive names no lease"};
  }
  if (operation.kind != ParsedOperation::Kind::kGrantLease) return Status::Ok();
  Status status = CheckLeaseId(operation.lease);
  return status.ok() ? CheckLeaseTtl(operation.ttl_ms) : status;
}

Status Check(const ParsedOperation& operation, const Limits& limits) {
  if (operation.kind == ParsedOperation::Kind::kCompact) return Status::Ok();
  if (operation.kind == ParsedOperation::Kind::kSetting) {
    Settings settings;
    return ChangeSetting(operation.range.begin, operation.value, settings).status();
  }
  if (operation.kind == ParsedOperation::Kind::kExpire) {
    return {Code::kInvalidArgument, "only the leader by itself ends leases"};
  }
  if (operation.IsOfLease()) return CheckLease(operation);
  if (operation.kind == ParsedOperation::Kind::kDelete) return CheckRange(operation.range, limits);
  if (operation.kind == ParsedOperation::Kind::kTxn) return CheckTxn(*operation.txn, limits);
  if (Status status = CheckKey(operation.range.begin, limits); !status.ok()) return status;
  if (Status status = CheckValue(operation.expected, limits); !status.ok()) return status;
  if (Status status = CheckValue(operation.value, limits); !status.ok()) return status;
  return CheckKept(operation);
}

Status CheckReadInTxn(const ParsedRead& read, const Limits& limits) {
  if (read.revision != 0) {
    return {Code::kInvalidArgument,
            "a read in a transaction sees the transaction's own state: leave its revision out"};
  }
  return CheckRange(read.range, limits);
}

Status CheckTxn(const ParsedTxn& txn, const Limits& limits) {
  for (const ParsedCompare& compare : txn.compares) {
    if (Status status = CheckRange(compare.range, limits); !status.ok()) return status;
    if (Status status = CheckValue(compare.value, limits); !status.ok()) return status;
  }
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    for (const ParsedTxnOperation& operation : *branch) {
      Status status = operation.is_read ? CheckReadInTxn(operation.read, limits)
                                        : Check(operation.write, limits);
      if (!status.ok()) return status;
    }
  }
  return Status::Ok();
}

RangeView ViewOf(const Range& range) { return {range.kind, range.begin, range.end}; }

RangeView ViewOf(const std::string& begin, const std::optional<std::string>& end) {
  if (!end.has_value()) return {Range::Kind::kSingle, begin, {}};
  return {Range::KindOf(*end), begin, *end};
}

struct ToParsed {
  ParsedOperation operator()(const PutOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kPut, op.key);
    parsed.value = op.value;
    parsed.lease = op.lease;
    parsed.keep_value = op.keep_value;
    parsed.keep_lease = op.keep_lease;
    return parsed;
  }
  ParsedOperation operator()(const DeleteOp& op) const {
    ParsedOperation parsed;
    parsed.kind = ParsedOperation::Kind::kDelete;
    parsed.range = ViewOf(op.range);
    return parsed;
  }
  ParsedOperation operator()(const CompareAndSwapOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kCompareAndSwap, op.key);
    parsed.expect_absent = !op.expected.has_value();
    parsed.value = op.desired;
    if (op.expected.has_value()) parsed.expected = *op.expected;
    return parsed;
  }
  ParsedOperation operator()(const IncrementOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kIncrement, op.key);
    parsed.delta = op.delta;
    return parsed;
  }
  ParsedOperation operator()(const TxnOp& op) const { return OfTxn(op.txn); }
  ParsedOperation operator()(const GrantLeaseOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kGrantLease, {});
    parsed.lease = op.id;
    parsed.ttl_ms = op.ttl_ms;
    return parsed;
  }
  ParsedOperation operator()(const RenewLeasesOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kRenewLeases, {});
    parsed.leases = op.ids;
    return parsed;
  }
  ParsedOperation operator()(const RevokeLeaseOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kRevokeLease, {});
    parsed.lease = op.id;
    return parsed;
  }
  ParsedOperation operator()(const CompactOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kCompact, {});
    parsed.revision = op.revision;
    return parsed;
  }
  ParsedOperation operator()(const SettingOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kSetting, op.name);
    parsed.value = op.value;
    return parsed;
  }

 private:
  static ParsedOperation OfTxn(const TxnRequest& from) {
    const auto txn = std::make_shared<ParsedTxn>();
    for (const Compare& compare : from.compares) {
      txn->compares.push_back({ViewOf(compare.key, compare.end), compare.target, compare.op,
                               compare.value, compare.number});
    }
    for (const Op& op : from.success) txn->success.push_back(OfOp(op));
    for (const Op& op : from.failure) txn->failure.push_back(OfOp(op));
    ParsedOperation parsed;
    parsed.kind = ParsedOperation::Kind::kTxn;
    parsed.txn = txn;
    return parsed;
  }
  static ParsedTxnOperation OfOp(const Op& op) {
    ParsedTxnOperation parsed;
    ParsedOperation& write = parsed.write;
    switch (op.kind) {
      case Op::Kind::kPut:
        write = OfKey(ParsedOperation::Kind::kPut, op.key);
        write.value = op.value;
        write.lease = op.lease;
        write.keep_value = op.keep_value;
        write.keep_lease = op.keep_lease;
        return parsed;
      case Op::Kind::kIncrement:
        write = OfKey(ParsedOperation::Kind::kIncrement, op.key);
        return parsed;
      case Op::Kind::kDelete: write = OfKey(ParsedOperation::Kind::kDelete, op.key); return parsed;
      case Op::Kind::kDeleteRange:
        write.kind = ParsedOperation::Kind::kDelete;
        write.range = {Range::KindOf(op.end), op.key, op.end};
        return parsed;
      case Op::Kind::kTxn: write = OfTxn(op.txn.front()); return parsed;
      case Op::Kind::kGet:
      case Op::Kind::kRange: break;
    }
    parsed.is_read = true;
    parsed.read.range = {op.kind == Op::Kind::kGet ? Range::Kind::kSingle : Range::KindOf(op.end),
                         op.key, op.end};
    parsed.read.count_only = op.options.count_only;
    parsed.read.limit = op.options.limit;
    parsed.read.uncounted = op.options.skip_count;
    parsed.read.order = OrderOf(op.options);
    parsed.read.revision = op.options.revision;
    return parsed;
  }
  static ParsedOperation OfKey(ParsedOperation::Kind kind, std::string_view key) {
    ParsedOperation parsed;
    parsed.kind = kind;
    parsed.range.kind = Range::Kind::kSingle;
    parsed.range.begin = key;
    return parsed;
  }
};

Status CheckRequestSize(std::string_view bytes, const Limits& limits) {
  if (bytes.size() <= limits.max_request_bytes) return Status::Ok();
  return TooLarge("request", bytes.size(), limits.max_request_bytes);
}

}  // namespace

Status CheckKept(const ParsedOperation& put) {
  if (put.keep_value && !put.value.empty()) {
    return {Code::kInvalidArgument,
            "a put that keeps the value of its key has a value: leave one of the two out"};
  }
  if (put.keep_lease && put.lease != 0) {
    return {Code::kInvalidArgument,
            "a put that keeps the lease of its key has a lease: leave one of the two out"};
  }
  return Status::Ok();
}

Status CheckOperation(const Operation& operation, const Limits& limits) {
  if (const auto* const op = std::get_if<TxnOp>(&operation)) {
    if (Status status = CheckShape(op->txn); !status.ok()) return status;
  }
  const ParsedOperation parsed = std::visit(ToParsed{}, operation);
  if (Status status = Check(parsed, limits); !status.ok()) return status;
  return parsed.txn == nullptr ? Status::Ok() : CheckWrittenOnce(*parsed.txn);
}

Status CheckRead(const ReadOp& read, const Limits& limits) {
  if (!read.IsOfKeys() && read.range.kind == Range::Kind::kSingle) return Status::Ok();
  return CheckRange(ViewOf(read.range), limits);
}

std::size_t CountWholeRanges(const Operation& operation) {
  return CountWholeRanges(std::visit(ToParsed{}, operation));
}

Status CheckWholeRanges(std::size_t count) {
  if (count <= kMaxWholeRanges) return Status::Ok();
  return {Code::kInvalidArgument, "the request deletes, compares, counts or sorts " +
                                      std::to_string(count) + " ranges, the limit is " +
                                      std::to_string(kMaxWholeRanges) +
                                      ": put the others into further requests"};
}

Result<RequestHeader> ValidateRequest(std::string_view bytes, const Limits& limits) {
  if (Status status = CheckRequestSize(bytes, limits); !status.ok()) return status;
  MessageBytes storage;
  ParsedRequest request;
  if (Status status = ParseRequest(bytes, limits.max_operations, storage, request); !status.ok()) {
    return status;
  }
  const RequestHeader& header = request.header;
  if (header.session == 0) return Status(Code::kInvalidArgument, "the request's session is 0");
  if (header.sequence == 0) return Status(Code::kInvalidArgument, "the request's sequence is 0");
  if (header.acknowledged_below > header.sequence) {
    return Status(Code::kInvalidArgument, "the request acknowledges its own answer");
  }
  if (request.operations.empty()) {
    return Status(Code::kInvalidArgument, "the request has no operation");
  }
  std::size_t whole_ranges = 0;
  for (const ParsedOperation& operation : request.operations) {
    if (Status status = Check(operation, limits); !status.ok()) return status;
    whole_ranges += CountWholeRanges(operation);
    if (operation.txn == nullptr) continue;
    if (Status status = CheckWrittenOnce(*operation.txn); !status.ok()) return status;
  }
  if (Status status = CheckWholeRanges(whole_ranges); !status.ok()) return status;
  return header;
}

Status ValidateReadRequest(std::string_view bytes, const Limits& limits) {
  if (Status status = CheckRequestSize(bytes, limits); !status.ok()) return status;
  MessageBytes storage;
  std::vector<ParsedRead> reads;
  if (Status status = ParseReadRequest(bytes, limits.max_operations, storage, reads);
      !status.ok()) {
    return status;
  }
  if (reads.empty()) return {Code::kInvalidArgument, "the request has no read"};
  for (const ParsedRead& read : reads) {
    if (!read.IsOfKeys() && read.range.kind == Range::Kind::kSingle) continue;
    if (Status status = CheckRange(read.range, limits); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace raftkv::kv
