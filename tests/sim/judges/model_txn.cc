// What does a transaction do to the keys of the model? Carried out on a copy, step by step, which
// is thrown away where one of them is refused.
#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "tests/sim/judges/model.h"

namespace raftkv::sim {
namespace {

template <class T>
bool IsSo(const T& is, Compare::Operator op, const T& wanted) {
  if (op == Compare::kEqual) return is == wanted;
  if (op == Compare::kNotEqual) return is != wanted;
  return op == Compare::kLess ? is < wanted : is > wanted;
}

}  // namespace

bool Model::Holds(const Keys& keys, const kv::ParsedCompare& compare) {
  const auto one = [&compare](const Value& value) {
    switch (compare.target) {
      case Compare::Target::kValue:
        return IsSo(std::string_view(value.value), compare.op, compare.value);
      case Compare::Target::kModRevision:
        return IsSo(value.mod_revision, compare.op, compare.number);
      case Compare::Target::kCreateRevision:
        return IsSo(value.create_revision, compare.op, compare.number);
      case Compare::Target::kVersion: return IsSo(value.version, compare.op, compare.number);
      case Compare::Target::kLease: return IsSo(value.lease, compare.op, compare.number);
    }
    return false;
  };
  std::size_t there = 0;
  for (const auto& [key, value] : keys) {
    if (!IsIn(compare.range, key)) continue;
    ++there;
    if (!one(value)) return false;
  }
  return there > 0 || (compare.target != Compare::Target::kValue && one({}));
}

std::string Model::CheckPrevious(const kv::RangeView& range,
                                 const std::vector<KeyValue>& told) const {
  auto next = told.begin();
  for (const auto& [key, value] : keys_) {
    if (!IsIn(range, key)) continue;
    const bool same = next != told.end() && next->key == key && next->value == value.value &&
                      next->mod_revision == value.mod_revision &&
                      next->create_revision == value.create_revision &&
                      next->version == value.version && next->lease == value.lease;
    if (!same) return "what '" + key + "' had before is told wrong";
    ++next;
  }
  return next == told.end() ? "" : "'" + next->key + "' is told to have been there before";
}

std::string Model::CarryTxn(const kv::ParsedTxn& txn, const kv::OperationResult& result,
                            bool& changed) {
  Keys before = keys_;
  const auto noted = events_.find(revision_ + 1);
  Events events = noted == events_.end() ? Events() : noted->second;
  bool refused = false;
  std::string wrong = RunTxn(txn, before, result.txn.get(), changed, refused);
  if (refused) {
    TakeBackTo(std::move(before), std::move(events));
    changed = false;
    const bool told = (result.code == Code::kInvalidArgument || result.code == Code::kNotFound) &&
                      result.txn == nullptr;
    return told ? "" : "a transaction is carried out that has to be refused";
  }
  if (result.code != Code::kOk || result.txn == nullptr) return "a transaction is refused";
  return wrong;
}

/// `told`: null where the transaction was refused.
std::string Model::RunTxn(const kv::ParsedTxn& txn, const Keys& before, const kv::TxnOutcome* told,
                          bool& changed, bool& refused) {
  const bool holds = std::all_of(txn.compares.begin(), txn.compares.end(),
                                 [&](const auto& compare) { return Holds(before, compare); });
  const auto& branch = holds ? txn.success : txn.failure;
  if (told != nullptr && told->succeeded != holds) {
    return holds ? "a transaction whose compares hold takes the other branch"
                 : "a transaction succeeds though a compare does not hold";
  }
  if (told != nullptr && told->results.size() != branch.size()) {
    return "a transaction has not as many results as operations";
  }
  for (std::size_t i = 0; i < branch.size(); ++i) {
    const auto* const each = told == nullptr ? nullptr : &told->results[i];
    std::string wrong = branch[i].is_read
                            ? CheckRead(branch[i].read, each)
                            : RunWrite(branch[i].write, before, each, changed, refused);
    if (!wrong.empty() || refused) return wrong;
  }
  return {};
}

std::string Model::CheckRead(const kv::ParsedRead& read, const kv::TxnOperationResult* told) const {
  if (told == nullptr) return {};
  if (!told->read.has_value()) return "a read of a transaction has no result";
  ScanResult found = *told->read;
  found.revision = revision_;
  std::string wrong = Compare(read, found);
  if (wrong.empty()) wrong = CompareEnd(read, found, /*first=*/true, /*may_be_full=*/false);
  return wrong.empty() ? wrong : "in a transaction: " + wrong;
}

std::string Model::RunWrite(const kv::ParsedOperation& write, const Keys& before,
                            const kv::TxnOperationResult* told, bool& changed, bool& refused) {
  using Kind = kv::ParsedOperation::Kind;
  if (told != nullptr && told->read.has_value()) return "a write has the result of a read";
  if (write.kind == Kind::kTxn) {
    if (told != nullptr && told->write.txn == nullptr) return "a nested transaction has no result";
    return RunTxn(*write.txn, before, told == nullptr ? nullptr : told->write.txn.get(), changed,
                  refused);
  }
  if (told != nullptr && write.return_previous) {
    std::string wrong = CheckPrevious(write.range, told->write.previous);
    if (!wrong.empty()) return wrong;
  }
  bool wrote = false;
  std::string wrong;
  if (write.kind == Kind::kPut) {
    refused = LacksKey(write) || LacksLease(write.lease);
    if (refused) return {};
    Put(write);
    wrote = true;
  } else if (write.kind == Kind::kDelete) {
    wrong = Delete(write.range, told == nullptr ? 0 : told->write.number, wrote);
  } else {
    kv::OperationResult assumed{Code::kOk, {}, told == nullptr ? 0 : told->write.number, true};
    wrong = Increment(write, assumed, wrote);
    refused = !wrote;
  }
  changed = changed || wrote;
  return told == nullptr ? std::string() : wrong;
}

}  // namespace raftkv::sim
