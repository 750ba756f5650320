#include "lib/kv/execute.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/txn.h"

namespace raftkv::kv {
namespace {

bool IsPlain(const OperationResult& result) {
  return result.code == Code::kOk && result.number == 0 && result.message.empty() &&
         result.changed && result.previous.empty() && result.txn == nullptr &&
         result.leases.empty();
}

Status ExecutePut(const ParsedOperation& operation, std::uint64_t revision, std::string_view value,
                  PendingWrite& pending, OperationResult& result) {
  if (RefusesLease(operation, pending, result)) return Status::Ok();
  result.changed = true;
  return pending.PutData(operation.range.begin, revision, value, operation.lease);
}

/// A put that keeps something of what the key has.
Status ExecuteUpdate(const ParsedOperation& operation, std::uint64_t revision,
                     PendingWrite& pending, OperationResult& result) {
  if (RefusesLease(operation, pending, result)) return Status::Ok();
  const std::string_view key = operation.range.begin;
  const auto counts = pending.CountsOf(key);
  if (!counts.ok()) return counts.status();
  if (RefusesUpdate(operation, *counts, result)) return Status::Ok();
  result.changed = true;
  const std::uint64_t lease = operation.keep_lease ? counts->lease : operation.lease;
  if (!operation.keep_value) return pending.PutData(key, revision, operation.value, lease);
  const auto value = pending.GetData(key);
  if (!value.ok()) return value.status();
  RAFTKV_CHECK(value->has_value());
  return pending.PutData(key, revision, **value, lease);
}

Status ExecuteDelete(const ParsedOperation& operation, std::uint64_t revision,
                     PendingWrite& pending, OperationResult& result) {
  if (operation.range.kind == Range::Kind::kSingle) {
    const auto deleted = pending.DeleteData(operation.range.begin, revision);
    if (!deleted.ok()) return deleted.status();
    result.number = *deleted ? 1 : 0;
    result.changed = *deleted;
    return Status::Ok();
  }
  const auto deleted = pending.DeleteDataRange(operation.range, revision);
  if (!deleted.ok()) return deleted.status();
  result.number = static_cast<std::int64_t>(*deleted);
  result.changed = *deleted > 0;
  return Status::Ok();
}

/// The compare that decides a compare and swap.
ParsedCompare CompareOf(const ParsedOperation& operation) {
  ParsedCompare compare;
  compare.range = operation.range;
  compare.target = operation.expect_absent ? Compare::Target::kVersion : Compare::Target::kValue;
  compare.value = operation.expected;
  return compare;
}

/// A transaction of one compare, whose else branch gets the key where that was asked for.
Status ExecuteCompareAndSwap(const ParsedOperation& operation, std::uint64_t revision,
                             PendingWrite& pending, AnswerRoom& room, OperationResult& result) {
  const auto holds = Holds(CompareOf(operation), pending);
  if (!holds.ok()) return holds.status();
  if (*holds) return ExecutePut(operation, revision, operation.value, pending, result);
  const auto counts = pending.CountsOf(operation.range.begin);
  if (!counts.ok()) return counts.status();
  result.code = Code::kCompareFailed;
  result.message = counts->version > 0 ? "the key has another value" : std::string(kNoSuchKey);
  if (!operation.return_previous) return Status::Ok();
  return CollectPrevious(operation.range, pending, room, result);
}

std::optional<std::int64_t> ParseNumber(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

Status ExecuteIncrement(const ParsedOperation& operation, std::uint64_t revision,
                        PendingWrite& pending, OperationResult& result) {
  Status status = Increment(operation, pending, result);
  if (!status.ok() || result.code != Code::kOk) return status;
  return ExecutePut(operation, revision, std::to_string(result.number), pending, result);
}

Status ExecuteOne(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                  AnswerRoom& room, OperationResult& result) {
  using Kind = ParsedOperation::Kind;
  if (operation.kind == Kind::kTxn) {
    return ExecuteTxn(*operation.txn, revision, pending, room, result);
  }
  if (operation.kind == Kind::kCompareAndSwap) {
    return ExecuteCompareAndSwap(operation, revision, pending, room, result);
  }
  if (operation.IsOfLease()) return ExecuteLease(operation, revision, pending, result);
  if (operation.return_previous) {
    Status status = CollectPrevious(operation.range, pending, room, result);
    if (!status.ok() || result.code != Code::kOk) return status;
  }
  return ExecuteWrite(operation, revision, pending, result);
}

}  // namespace

bool RefusesLease(const ParsedOperation& operation, PendingWrite& pending,
                  OperationResult& result) {
  if (operation.lease == 0 || pending.leases().Find(operation.lease) != nullptr) return false;
  const Status missing = NoSuchLease(operation.lease);
  result = {.code = missing.code(), .message = missing.message()};
  return true;
}

bool RefusesUpdate(const ParsedOperation& put, const Counts& counts, OperationResult& result) {
  if (!put.Keeps() || counts.version > 0) return false;
  result = {.code = Code::kNotFound, .message = std::string(kNoSuchKey)};
  return true;
}

Status Increment(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result) {
  const auto value = pending.GetData(operation.range.begin);
  if (!value.ok()) return value.status();
  const auto number = value->has_value() ? ParseNumber(**value) : 0;
  if (!number.has_value()) {
    result.code = Code::kInvalidArgument;
    result.message = "the value is no 64-bit decimal number";
  } else if (__builtin_add_overflow(*number, operation.delta, &result.number)) {
    result = {.code = Code::kInvalidArgument,
              .message = "the sum leaves the range of a 64-bit number"};
  }
  return Status::Ok();
}

Status ExecuteWrite(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                    OperationResult& result) {
  switch (operation.kind) {
    case ParsedOperation::Kind::kPut:
      if (operation.Keeps()) return ExecuteUpdate(operation, revision, pending, result);
      return ExecutePut(operation, revision, operation.value, pending, result);
    case ParsedOperation::Kind::kDelete: return ExecuteDelete(operation, revision, pending, result);
    case ParsedOperation::Kind::kIncrement:
      return ExecuteIncrement(operation, revision, pending, result);
    case ParsedOperation::Kind::kCompareAndSwap:
    case ParsedOperation::Kind::kTxn:
    case ParsedOperation::Kind::kGrantLease:
    case ParsedOperation::Kind::kRenewLeases:
    case ParsedOperation::Kind::kRevokeLease:
    case ParsedOperation::Kind::kExpire:
    case ParsedOperation::Kind::kCompact:
    case ParsedOperation::Kind::kSetting: break;  // the store's, which never come here
  }
  RAFTKV_CHECK(false, static_cast<int>(operation.kind));
  return Status::Ok();
}

Status Execute(const std::vector<ParsedOperation>& operations, std::uint64_t& revision,
               PendingWrite& pending, std::vector<OperationResult>& results) {
  results.clear();
  OperationResult result;
  AnswerRoom room;
  bool changed = false;  // by the call at hand
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const bool same_call = operations[i].same_call || RAFTKV_MUTANT(kRevisionOfEntry);
    if (!same_call && std::exchange(changed, false)) ++revision;
    if (!operations[i].same_call) room.BeginCall();
    Status status = ExecuteOne(operations[i], revision + 1, pending, room, result);
    if (!status.ok()) return status;
    changed = changed || result.changed;
    const bool plain = IsPlain(result);
    if (!plain && results.empty()) {
      results.assign(operations.size(),
                     {.code = Code::kOk, .message = {}, .number = 0, .changed = true});
    }
    if (!plain) results[i] = std::move(result);
    result = {};
  }
  if (changed) ++revision;
  return Status::Ok();
}

}  // namespace raftkv::kv
