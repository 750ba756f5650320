#include "lib/kv/execute.h"

#include <charconv>
#include <optional>
#include <string>

#include "lib/base/check.h"

namespace raftkv::kv {
namespace {

bool IsPlain(const OperationResult& result) {
  return result.code == Code::kOk && result.number == 0 && result.message.empty();
}

Status ExecuteDelete(const ParsedOperation& operation, PendingWrite& pending,
                     OperationResult& result) {
  if (operation.range.kind == Range::Kind::kSingle) {
    const auto value = pending.GetData(operation.range.begin);
    if (!value.ok()) return value.status();
    if (value->has_value()) {
      pending.DeleteData(operation.range.begin);
      result.number = 1;
    }
    return Status::Ok();
  }
  const auto deleted = pending.DeleteDataRange(operation.range);
  if (!deleted.ok()) return deleted.status();
  result.number = static_cast<std::int64_t>(*deleted);
  return Status::Ok();
}

Status ExecuteCompareAndSwap(const ParsedOperation& operation, std::uint64_t revision,
                             PendingWrite& pending, OperationResult& result) {
  const auto value = pending.GetData(operation.range.begin);
  if (!value.ok()) return value.status();
  const bool holds = operation.expect_absent ? !value->has_value()
                                             : value->has_value() && **value == operation.expected;
  if (holds) {
    pending.PutData(operation.range.begin, revision, operation.value);
    return Status::Ok();
  }
  result.code = Code::kCompareFailed;
  result.message = value->has_value() ? "the key has another value" : std::string(kNoSuchKey);
  return Status::Ok();
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
  const auto value = pending.GetData(operation.range.begin);
  if (!value.ok()) return value.status();
  const auto number = value->has_value() ? ParseNumber(**value) : 0;
  std::int64_t sum = 0;
  if (!number.has_value()) {
    result = {Code::kInvalidArgument, "the value is no 64-bit decimal number", 0};
  } else if (__builtin_add_overflow(*number, operation.delta, &sum)) {
    result = {Code::kInvalidArgument, "the sum leaves the range of a 64-bit number", 0};
  } else {
    pending.PutData(operation.range.begin, revision, std::to_string(sum));
    result.number = sum;
  }
  return Status::Ok();
}

Status ExecuteOne(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                  OperationResult& result) {
  switch (operation.kind) {
    case ParsedOperation::Kind::kPut:
      pending.PutData(operation.range.begin, revision, operation.value);
      return Status::Ok();
    case ParsedOperation::Kind::kDelete: return ExecuteDelete(operation, pending, result);
    case ParsedOperation::Kind::kCompareAndSwap:
      return ExecuteCompareAndSwap(operation, revision, pending, result);
    case ParsedOperation::Kind::kIncrement:
      return ExecuteIncrement(operation, revision, pending, result);
  }
  RAFTKV_CHECK(false, static_cast<int>(operation.kind));
  return Status::Ok();
}

}  // namespace

Status Execute(const std::vector<ParsedOperation>& operations, std::uint64_t revision,
               PendingWrite& pending, std::vector<OperationResult>& results) {
  results.clear();
  OperationResult result;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (Status status = ExecuteOne(operations[i], revision, pending, result); !status.ok()) {
      return status;
    }
    if (IsPlain(result)) continue;
    if (results.empty()) results.resize(operations.size());
    results[i] = std::move(result);
    result = {};
  }
  return Status::Ok();
}

}  // namespace raftkv::kv
