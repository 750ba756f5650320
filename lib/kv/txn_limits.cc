#include "lib/kv/txn_limits.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lib/kv/refusals.h"
#include "lib/kv/request.h"

namespace raftkv::kv {
namespace {

/// A key that is written, by the operation `owner` of a branch.
struct WrittenKey {
  std::string_view key;
  std::size_t owner = 0;
  bool is_delete = false;
};
struct DeletedRange {
  RangeView range;
  std::size_t owner = 0;
};
struct Written {
  std::vector<WrittenKey> keys;
  std::vector<DeletedRange> ranges;
};

Status Duplicate() {
  return {Code::kInvalidArgument,
          std::string(kDuplicateKey) +
              "a branch may put or increment a key once, and not delete it as well"};
}

/// Puts of one key by two operations, or a put by one and a delete by another.
bool MeetAtAKey(std::vector<WrittenKey>& keys) {
  std::sort(keys.begin(), keys.end(), [](const WrittenKey& a, const WrittenKey& b) {
    if (a.key != b.key) return a.key < b.key;
    return a.is_delete != b.is_delete ? !a.is_delete : a.owner < b.owner;
  });
  // Puts stand before the deletes of their key.
  const WrittenKey* put = nullptr;
  for (const WrittenKey& written : keys) {
    const bool same_key = put != nullptr && put->key == written.key;
    if (same_key && put->owner != written.owner) return true;
    if (!same_key) put = written.is_delete ? nullptr : &written;
  }
  return false;
}

bool MeetInARange(const Written& written) {
  return std::any_of(written.ranges.begin(), written.ranges.end(), [&](const DeletedRange& range) {
    return std::any_of(written.keys.begin(), written.keys.end(), [&](const WrittenKey& key) {
      return !key.is_delete && key.owner != range.owner && range.range.Contains(key.key);
    });
  });
}

Status CheckBranch(const std::vector<ParsedTxnOperation>& branch, Written& written) {
  for (std::size_t i = 0; i < branch.size(); ++i) {
    const ParsedOperation& write = branch[i].write;
    if (branch[i].is_read) continue;
    if (write.kind == ParsedOperation::Kind::kTxn) {
      for (const auto* const nested : {&write.txn->success, &write.txn->failure}) {
        Written inner;
        if (Status status = CheckBranch(*nested, inner); !status.ok()) return status;
        for (WrittenKey& key : inner.keys) written.keys.push_back({key.key, i, key.is_delete});
        for (DeletedRange& range : inner.ranges) written.ranges.push_back({range.range, i});
      }
      continue;
    }
    const bool is_delete = write.kind == ParsedOperation::Kind::kDelete;
    if (is_delete && write.range.kind != Range::Kind::kSingle) {
      written.ranges.push_back({write.range, i});
    } else {
      written.keys.push_back({write.range.begin, i, is_delete});
    }
  }
  return MeetAtAKey(written.keys) || MeetInARange(written) ? Duplicate() : Status::Ok();
}

std::size_t CountWholeRangesIn(const ParsedTxn& txn) {
  std::size_t count = 0;
  for (const ParsedCompare& compare : txn.compares) {
    count += compare.range.kind == Range::Kind::kSingle ? 0 : 1;
  }
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    for (const ParsedTxnOperation& operation : *branch) {
      count += operation.is_read ? (CountsWholeRange(operation.read) ? 1 : 0)
                                 : CountWholeRanges(operation.write);
    }
  }
  return count;
}

std::size_t CountIn(const TxnRequest& txn) {
  std::size_t count = txn.compares.size() + txn.success.size() + txn.failure.size();
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    for (const Op& op : *branch) {
      for (const TxnRequest& nested : op.txn) count += CountIn(nested);
    }
  }
  return count;
}

}  // namespace

Status CheckShape(const TxnRequest& txn, std::size_t depth) {
  if (depth > kMaxTxnDepth) {
    return {Code::kInvalidArgument,
            "the transactions are nested too deep, the limit is " + std::to_string(kMaxTxnDepth)};
  }
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    for (const Op& op : *branch) {
      const std::size_t nested = op.kind == Op::Kind::kTxn ? 1 : 0;
      if (op.txn.size() != nested) {
        return {Code::kInvalidArgument, "an operation has " + std::to_string(op.txn.size()) +
                                            " transactions in it instead of " +
                                            std::to_string(nested)};
      }
      if (nested == 0) continue;
      Status status = CheckShape(op.txn.front(), depth + 1);
      if (!status.ok()) return status;
    }
  }
  return Status::Ok();
}

Status CheckWrittenOnce(const ParsedTxn& txn) {
  for (const auto* const branch : {&txn.success, &txn.failure}) {
    Written written;
    if (Status status = CheckBranch(*branch, written); !status.ok()) return status;
  }
  return Status::Ok();
}

std::size_t CountWholeRanges(const ParsedOperation& operation) {
  if (operation.kind == ParsedOperation::Kind::kTxn) return CountWholeRangesIn(*operation.txn);
  const bool is_range = operation.range.kind != Range::Kind::kSingle;
  return operation.kind == ParsedOperation::Kind::kDelete && is_range ? 1 : 0;
}

std::size_t CountOperations(const Operation& operation) {
  if (const auto* const renew = std::get_if<RenewLeasesOp>(&operation)) {
    return std::max<std::size_t>(renew->ids.size(), 1);
  }
  const auto* const op = std::get_if<TxnOp>(&operation);
  return op == nullptr ? 1 : std::max<std::size_t>(CountIn(op->txn), 1);
}

}  // namespace raftkv::kv
