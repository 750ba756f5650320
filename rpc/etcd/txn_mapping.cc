#include "rpc/etcd/txn_mapping.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/key_range.h"

namespace raftkv::etcd {
namespace {

// --- Compares. Numbers of the store are never negative, those of a request may be.

using StoreCompare = raftkv::Compare;

/// What `compare` comes down to.
struct Condition {
  enum class Kind : std::uint8_t { kCompare, kAlways, kNever, kExists };
  Kind kind = Kind::kCompare;
  StoreCompare compare = {};
};

std::optional<StoreCompare::Operator> OperatorOf(const Compare& compare) {
  switch (compare.result.value) {
    case CompareResultNames::kEqual: return StoreCompare::kEqual;
    case CompareResultNames::kNotEqual: return StoreCompare::kNotEqual;
    case CompareResultNames::kGreater: return StoreCompare::kGreater;
    case CompareResultNames::kLess: return StoreCompare::kLess;
    default: return std::nullopt;
  }
}

/// Number and target; nullopt: etcd does not know the target, and takes its sides for equal.
std::optional<std::pair<StoreCompare::Target, std::int64_t>> NumberOf(const Compare& compare) {
  using Target = StoreCompare::Target;
  // A member of the oneof that is not of the target counts as missing.
  switch (compare.target.value) {
    case CompareTargetNames::kVersion: return {{Target::kVersion, compare.version.value_or(0)}};
    case CompareTargetNames::kCreate:
      return {{Target::kCreateRevision, compare.create_revision.value_or(0)}};
    case CompareTargetNames::kMod:
      return {{Target::kModRevision, compare.mod_revision.value_or(0)}};
    case CompareTargetNames::kLease: return {{Target::kLease, compare.lease.value_or(0)}};
    default: return std::nullopt;
  }
}

Condition ConditionOf(Compare& compare) {
  using Kind = Condition::Kind;
  const bool of_value = compare.target.value == CompareTargetNames::kValue;
  const auto op = OperatorOf(compare);
  // As etcd: what it does not know holds, though a value must be there.
  if (!op.has_value()) return {of_value ? Kind::kExists : Kind::kAlways};
  Condition condition;
  condition.compare.op = *op;
  if (of_value) {
    condition.compare.target = StoreCompare::Target::kValue;
    condition.compare.value = std::move(compare.value).value_or(std::string());
    return condition;
  }
  const auto number = NumberOf(compare);
  if (!number.has_value()) return {*op == StoreCompare::kEqual ? Kind::kAlways : Kind::kNever};
  if (number->second < 0) {
    const bool holds = *op == StoreCompare::kNotEqual || *op == StoreCompare::kGreater;
    return {holds ? Kind::kAlways : Kind::kNever};
  }
  condition.compare.target = number->first;
  condition.compare.number = static_cast<std::uint64_t>(number->second);
  return condition;
}

void AddCompare(Compare& from, std::vector<StoreCompare>& to) {
  Condition condition = ConditionOf(from);
  switch (condition.kind) {
    case Condition::Kind::kAlways: return;
    case Condition::Kind::kNever:
      to.push_back(StoreCompare::Version(std::move(from.key), StoreCompare::kLess, 0));
      return;
    case Condition::Kind::kExists:
      condition.compare.target = StoreCompare::Target::kVersion;
      condition.compare.op = StoreCompare::kGreater;
      break;
    case Condition::Kind::kCompare: break;
  }
  NamedKeys keys = KeysOf(std::move(from.key), std::move(from.range_end));
  condition.compare.key = std::move(keys.range.begin);
  if (keys.kind != NamedKeys::Kind::kSingle) condition.compare.end = std::move(keys.range.end);
  to.push_back(std::move(condition.compare));
}

// --- Operations.

/// Stands for a range that has been read already: an empty one.
Op Nothing() {
  ScanOptions options;
  options.skip_count = true;
  return Op::Range({.begin = "-", .end = "-"}, std::move(options));
}

Op StoreOpOf(const RangeRequest& range) {
  if (range.revision > 0) return Nothing();
  RangePlan plan = PlanOf(range);
  if (plan.keys.kind == NamedKeys::Kind::kSingle) return Op::Get(std::move(plan.keys.range.begin));
  return Op::Range(std::move(plan.keys.range), std::move(plan.options));
}

Op StoreOpOf(PutRequest& put) {
  Op op = Op::Put(std::move(put.key), std::move(put.value), static_cast<std::uint64_t>(put.lease));
  op.keep_value = put.ignore_value;
  op.keep_lease = put.ignore_lease;
  op.return_previous = put.prev_kv;
  return op;
}

Op StoreOpOf(const DeleteRangeRequest& del) {
  NamedKeys keys = KeysOf(del.key, del.range_end);
  Op op = keys.kind == NamedKeys::Kind::kSingle ? Op::Delete(std::move(keys.range.begin))
                                                : Op::DeleteRange(std::move(keys.range));
  op.return_previous = del.prev_kv;
  return op;
}

std::vector<Op> StoreOpsOf(std::vector<RequestOp>& branch) {
  std::vector<Op> ops;
  ops.reserve(branch.size());
  for (RequestOp& op : branch) {
    if (op.request_range) {
      ops.push_back(StoreOpOf(*op.request_range));
    } else if (op.request_put) {
      ops.push_back(StoreOpOf(*op.request_put));
    } else if (op.request_delete_range) {
      ops.push_back(StoreOpOf(*op.request_delete_range));
    } else {
      RAFTKV_CHECK(op.request_txn.has_value());
      ops.push_back(Op::Txn(ToStore(*op.request_txn)));
    }
  }
  return ops;
}

// --- Answers.

const std::vector<RequestOp>& BranchOf(const TxnRequest& request, const TxnResult& result) {
  const auto& branch = result.succeeded ? request.success : request.failure;
  RAFTKV_CHECK(branch.size() == result.results.size(), branch.size(), result.results.size());
  return branch;
}

bool Changes(const TxnRequest& request, const TxnResult& result) {
  const std::vector<RequestOp>& branch = BranchOf(request, result);
  for (std::size_t i = 0; i < branch.size(); ++i) {
    if (branch[i].request_put) return true;
    if (branch[i].request_delete_range && result.results[i].number > 0) return true;
    const bool nested = branch[i].request_txn.has_value();
    if (nested && Changes(*branch[i].request_txn, result.results[i].txn.front())) return true;
  }
  return false;
}

std::size_t CountPastRanges(const std::vector<RequestOp>& branch) {
  std::size_t count = 0;
  for (const RequestOp& op : branch) {
    count += op.request_range && op.request_range->revision > 0 ? 1 : 0;
    if (!op.request_txn.has_value()) continue;
    count += CountPastRanges(op.request_txn->success) + CountPastRanges(op.request_txn->failure);
  }
  return count;
}

/// Answers one operation after the other: each has the revision of the store as it leaves it.
class TxnAnswers {
 public:
  TxnAnswers(std::uint64_t before, std::uint64_t after, std::vector<RangeResponse> past)
      : revision_(before), after_(after), past_(std::move(past)) {}

  std::vector<ResponseOp> Of(const TxnRequest& request, TxnResult& result) {
    const std::vector<RequestOp>& branch = BranchOf(request, result);
    if (!result.succeeded) next_past_ += CountPastRanges(request.success);
    std::vector<ResponseOp> answers;
    answers.reserve(branch.size());
    for (std::size_t i = 0; i < branch.size(); ++i) {
      answers.push_back(Of(branch[i], result.results[i]));
    }
    if (result.succeeded) next_past_ += CountPastRanges(request.failure);
    return answers;
  }

 private:
  ResponseOp Of(const RequestOp& op, OpResult& result) {
    ResponseOp answer;
    if (op.request_range) {
      answer.response_range = OfRange(*op.request_range, result);
    } else if (op.request_put) {
      revision_ = after_;
      PutResponse& put = answer.response_put.emplace();
      put.header = RevisionOnly(revision_);
      if (!result.previous.empty()) put.prev_kv = ToEtcd(std::move(result.previous.front()));
    } else if (op.request_delete_range) {
      answer.response_delete_range = OfDelete(result);
    } else {
      TxnResult& nested = result.txn.front();
      TxnResponse& txn = answer.response_txn.emplace();
      txn.header.emplace();  // it is empty there
      txn.succeeded = nested.succeeded;
      txn.responses = Of(*op.request_txn, nested);
    }
    return answer;
  }

  RangeResponse OfRange(const RangeRequest& request, OpResult& result) {
    RangeResponse answer;
    if (request.revision > 0) {
      RAFTKV_CHECK(next_past_ < past_.size(), next_past_, past_.size());
      answer = std::move(past_[next_past_++]);
    } else {
      const RangePlan plan = PlanOf(request);
      const bool single = plan.keys.kind == NamedKeys::Kind::kSingle;
      const std::uint64_t count = single ? result.found.kvs.size() : result.found.count;
      answer = AnswerOf(plan, std::move(result.found.kvs), count, result.found.more);
    }
    answer.header = RevisionOnly(revision_);
    return answer;
  }

  DeleteRangeResponse OfDelete(OpResult& result) {
    if (result.number > 0) revision_ = after_;
    DeleteRangeResponse answer;
    answer.header = RevisionOnly(revision_);
    answer.deleted = result.number;
    for (raftkv::KeyValue& kv : result.previous) answer.prev_kvs.push_back(ToEtcd(std::move(kv)));
    return answer;
  }

  std::uint64_t revision_;
  const std::uint64_t after_;
  std::vector<RangeResponse> past_;
  std::size_t next_past_ = 0;
};

void AddPastRanges(const TxnRequest& request, std::vector<const RangeRequest*>& to) {
  for (const auto* const branch : {&request.success, &request.failure}) {
    for (const RequestOp& op : *branch) {
      if (op.request_range && op.request_range->revision > 0) to.push_back(&*op.request_range);
      if (op.request_txn.has_value()) AddPastRanges(*op.request_txn, to);
    }
  }
}

}  // namespace

std::vector<const RangeRequest*> PastRanges(const TxnRequest& request) {
  std::vector<const RangeRequest*> ranges;
  AddPastRanges(request, ranges);
  return ranges;
}

raftkv::TxnRequest ToStore(TxnRequest& request) {
  raftkv::TxnRequest txn;
  for (Compare& compare : request.compare) AddCompare(compare, txn.compares);
  txn.success = StoreOpsOf(request.success);
  txn.failure = StoreOpsOf(request.failure);
  return txn;
}

TxnResponse ToEtcd(const TxnRequest& request, TxnResult result, std::vector<RangeResponse> past) {
  const std::uint64_t after = result.revision;
  const std::uint64_t before = Changes(request, result) ? after - 1 : after;
  TxnResponse response;
  response.header = RevisionOnly(after);
  response.succeeded = result.succeeded;
  response.responses = TxnAnswers(before, after, std::move(past)).Of(request, result);
  return response;
}

}  // namespace raftkv::etcd
