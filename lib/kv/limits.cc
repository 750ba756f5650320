// Does what a client asks for keep to the limits? Asked at the client before anything is sent and
// again at the server.
#include <string>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/kv/settings.h"

namespace raftkv::kv {
namespace {

Status TooLarge(const char* what, std::size_t size_bytes, std::size_t limit_bytes) {
  return {Code::kInvalidArgument, std::string("the ") + what +
                                      " is too large: " + std::to_string(size_bytes) +
                                      " bytes, the limit is " + std::to_string(limit_bytes)};
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

Status Check(const ParsedOperation& operation, const Limits& limits) {
  if (operation.kind == ParsedOperation::Kind::kCompact) return Status::Ok();
  if (operation.kind == ParsedOperation::Kind::kSetting) {
    Settings settings;
    return ChangeSetting(operation.range.begin, operation.value, settings).status();
  }
  if (operation.kind == ParsedOperation::Kind::kDelete) return CheckRange(operation.range, limits);
  if (Status status = CheckKey(operation.range.begin, limits); !status.ok()) return status;
  if (Status status = CheckValue(operation.expected, limits); !status.ok()) return status;
  return CheckValue(operation.value, limits);
}

RangeView ViewOf(const Range& range) { return {range.kind, range.begin, range.end}; }

struct ToParsed {
  ParsedOperation operator()(const PutOp& op) const {
    ParsedOperation parsed = OfKey(ParsedOperation::Kind::kPut, op.key);
    parsed.value = op.value;
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

Status CheckOperation(const Operation& operation, const Limits& limits) {
  return Check(std::visit(ToParsed{}, operation), limits);
}

Status CheckRead(const ReadOp& read, const Limits& limits) {
  if (read.settings) return Status::Ok();
  return CheckRange(ViewOf(read.range), limits);
}

bool IsRangeDelete(const Operation& operation) {
  const auto* const deletion = std::get_if<DeleteOp>(&operation);
  return deletion != nullptr && deletion->range.kind != Range::Kind::kSingle;
}

Status CheckRangeDeletes(std::size_t count) {
  if (count <= kMaxRangeDeletes) return Status::Ok();
  return {Code::kInvalidArgument, "the request deletes " + std::to_string(count) +
                                      " ranges, the limit is " + std::to_string(kMaxRangeDeletes) +
                                      ": delete the others in further requests"};
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
  std::size_t range_deletes = 0;
  for (const ParsedOperation& operation : request.operations) {
    if (Status status = Check(operation, limits); !status.ok()) return status;
    const bool is_range = operation.range.kind != Range::Kind::kSingle;
    if (operation.kind == ParsedOperation::Kind::kDelete && is_range) ++range_deletes;
  }
  if (Status status = CheckRangeDeletes(range_deletes); !status.ok()) return status;
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
    if (read.settings) continue;
    if (Status status = CheckRange(read.range, limits); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace raftkv::kv
