// Requests of writes: what a member accepts encodes again to the same request, and keeps to every
// limit; what it refuses it explains.
#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/parsed_request.h"

namespace raftkv::fuzz {
namespace {

/// Small, so that a short input can be beyond them.
constexpr Limits kLimits{.max_key_bytes = 64,
                         .max_value_bytes = 256,
                         .max_request_bytes = 8 << 10,
                         .max_operations = 64};

/// With nested ones; also how deep they are.
std::size_t Count(const kv::ParsedOperation& operation, std::size_t depth) {
  if (operation.kind == kv::ParsedOperation::Kind::kRenewLeases) return operation.leases.size();
  if (operation.txn == nullptr) return 1;
  RAFTKV_CHECK(depth < kv::kMaxTxnDepth, depth);
  std::size_t count = operation.txn->compares.size();
  for (const auto* const branch : {&operation.txn->success, &operation.txn->failure}) {
    count += branch->size();
    for (const kv::ParsedTxnOperation& each : *branch) {
      if (each.is_read || each.write.txn == nullptr) continue;
      count += Count(each.write, depth + 1);
    }
  }
  return count;
}

void CheckLimits(const kv::ParsedRequest& request) {
  std::size_t operations = 0;
  std::size_t whole_ranges = 0;
  for (const kv::ParsedOperation& operation : request.operations) {
    operations += Count(operation, 0);
  }
  RAFTKV_CHECK(operations <= kLimits.max_operations, operations);
  const std::optional<Rebuilt> rebuilt = Rebuild(request);
  if (!rebuilt.has_value()) return;
  for (const kv::Operation& operation : rebuilt->operations) {
    // A client refuses nothing that a member accepts.
    const Status checked = kv::CheckOperation(operation, kLimits);
    RAFTKV_CHECK(checked.ok(), checked.ToString());
    whole_ranges += kv::CountWholeRanges(operation);
  }
  RAFTKV_CHECK(whole_ranges <= kv::kMaxWholeRanges, whole_ranges);
}

void CheckEncoding(const kv::ParsedRequest& request) {
  const std::optional<Rebuilt> rebuilt = Rebuild(request);
  if (!rebuilt.has_value()) return;
  std::size_t most_bytes = kv::EncodedHeaderSize();
  for (const kv::Operation& operation : rebuilt->operations) {
    most_bytes += kv::EncodedSize(operation);
  }
  const Bytes encoded = kv::EncodeRequest(request.header, rebuilt->operations, rebuilt->call_sizes);
  RAFTKV_CHECK(encoded.size() <= most_bytes, encoded.size(), most_bytes);
  kv::MessageBytes storage;
  kv::ParsedRequest again;
  const Status status = kv::ParseRequest(encoded.view(), kLimits.max_operations, storage, again);
  RAFTKV_CHECK(status.ok(), status.ToString());
  RAFTKV_CHECK(Describe(again) == Describe(request));
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(request) {
  static constexpr auto kRefusals = {Code::kInvalidArgument, Code::kVersionMismatch};
  kv::MessageBytes storage;
  kv::ParsedRequest request;
  const Status parsed = kv::ParseRequest(input, kLimits.max_operations, storage, request);
  const Result<kv::RequestHeader> valid = kv::ValidateRequest(input, kLimits);
  if (!valid.ok()) CheckRefusal(valid.status(), kRefusals);
  if (!parsed.ok()) {
    CheckRefusal(parsed, kRefusals);
    RAFTKV_CHECK(!valid.ok());
    return;
  }
  bool only_deletes = !request.operations.empty();
  for (const kv::ParsedOperation& operation : request.operations) {
    using Kind = kv::ParsedOperation::Kind;
    const bool gives_space = operation.kind == Kind::kDelete || operation.kind == Kind::kCompact ||
                             operation.kind == Kind::kRenewLeases ||
                             operation.kind == Kind::kRevokeLease ||
                             operation.kind == Kind::kExpire;
    only_deletes = only_deletes && gives_space;
  }
  RAFTKV_CHECK(kv::OnlyDeletes(input) == only_deletes);
  if (!valid.ok()) return;
  RAFTKV_CHECK(input.size() <= kLimits.max_request_bytes, input.size());
  RAFTKV_CHECK(valid->session == request.header.session);
  RAFTKV_CHECK(valid->sequence == request.header.sequence);
  CheckLimits(request);
  CheckEncoding(request);
}
