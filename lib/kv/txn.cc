#include "lib/kv/txn.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/execute.h"
#include "lib/kv/message_builder.h"
#include "lib/kv/order.h"

namespace raftkv::kv {
namespace {

template <class T>
bool HoldsBetween(const T& is, Compare::Operator op, const T& wanted) {
  switch (op) {
    case Compare::kEqual: return is == wanted;
    case Compare::kNotEqual: return is != wanted;
    case Compare::kLess: return is < wanted;
    case Compare::kGreater: return is > wanted;
  }
  return false;
}

std::uint64_t NumberOf(Compare::Target target, const Counts& counts) {
  switch (target) {
    case Compare::Target::kModRevision: return counts.mod_revision;
    case Compare::Target::kCreateRevision: return counts.create_revision;
    case Compare::Target::kVersion: return counts.version;
    case Compare::Target::kLease: return counts.lease;
    case Compare::Target::kValue: break;
  }
  RAFTKV_CHECK(false, static_cast<int>(target));
  return 0;
}

bool HoldsFor(const ParsedCompare& compare, const DataRecord& record) {
  if (compare.target == Compare::Target::kValue) {
    return HoldsBetween(record.value, compare.op, compare.value);
  }
  return HoldsBetween(NumberOf(compare.target, record.counts), compare.op, compare.number);
}

bool HoldsForNone(const ParsedCompare& compare) {
  if (compare.target == Compare::Target::kValue && !RAFTKV_MUTANT(kCompareOfMissingValue)) {
    return false;
  }
  return HoldsFor(compare, {});
}

KeyValue ToKeyValue(std::string_view key, std::string_view value, const Counts& counts) {
  return {std::string(key),       std::string(value), counts.mod_revision,
          counts.create_revision, counts.version,     counts.lease};
}

/// One transaction, with those that are nested in it.
class TxnExecution {
 public:
  TxnExecution(std::uint64_t revision, PendingWrite& pending, AnswerRoom& room)
      : revision_(revision), pending_(pending), room_(room) {}

  Status Run(const ParsedTxn& txn, OperationResult& result) {
    if (Status status = Choose(txn); !status.ok()) return status;
    const auto outcome = std::make_shared<TxnOutcome>();
    if (Status status = Plan(txn, *outcome); !status.ok()) return status;
    if (IsRefused() && !RAFTKV_MUTANT(kTxnRefusedByHalves)) {
      result = std::move(refusal_);
      return Status::Ok();
    }
    next_choice_ = 0;
    Status status = Carry(txn, *outcome, result.changed);
    if (IsRefused()) {
      result = std::move(refusal_);
    } else {
      result.txn = outcome;
    }
    return status;
  }

 private:
  using Operations = std::vector<ParsedTxnOperation>;

  [[nodiscard]] bool IsRefused() const { return refusal_.code != Code::kOk; }

  /// Decides which branches are taken.
  Status Choose(const ParsedTxn& txn) {
    bool holds = true;
    for (const ParsedCompare& compare : txn.compares) {
      const auto each = Holds(compare, pending_);
      if (!each.ok()) return each.status();
      if (holds = *each; !holds) break;
    }
    choices_.push_back(holds);
    for (const ParsedTxnOperation& operation : holds ? txn.success : txn.failure) {
      reads_ = reads_ || operation.is_read;
      if (operation.write.kind != ParsedOperation::Kind::kTxn) continue;
      if (Status status = Choose(*operation.write.txn); !status.ok()) return status;
    }
    return Status::Ok();
  }

  const Operations& NextBranch(const ParsedTxn& txn, TxnOutcome& outcome) {
    RAFTKV_CHECK(next_choice_ < choices_.size(), next_choice_);
    outcome.succeeded = choices_[next_choice_++];
    return outcome.succeeded ? txn.success : txn.failure;
  }

  Status Plan(const ParsedTxn& txn, TxnOutcome& outcome) {
    const Operations& branch = NextBranch(txn, outcome);
    outcome.results.resize(branch.size());
    for (std::size_t i = 0; i < branch.size() && !IsRefused(); ++i) {
      TxnOperationResult& result = outcome.results[i];
      Status status = branch[i].is_read ? Read(branch[i].read, result.read.emplace())
                                        : PlanWrite(branch[i].write, result.write);
      if (!status.ok()) return status;
    }
    return Status::Ok();
  }

  Status PlanWrite(const ParsedOperation& write, OperationResult& result) {
    if (write.kind == ParsedOperation::Kind::kTxn) {
      result.txn = std::make_shared<TxnOutcome>();
      return Plan(*write.txn, *result.txn);
    }
    if (write.return_previous) {
      if (Status status = Previous(write.range, result.previous); !status.ok()) return status;
    }
    switch (write.kind) {
      case ParsedOperation::Kind::kPut: return write.Keeps() ? PlanUpdate(write) : PlanPut(write);
      case ParsedOperation::Kind::kDelete: NoteDelete(write.range); return Status::Ok();
      case ParsedOperation::Kind::kIncrement: break;
      default: RAFTKV_CHECK(false, static_cast<int>(write.kind));
    }
    if (RefusesLease(write, pending_, refusal_)) return Status::Ok();
    OperationResult sum;
    if (Status status = Increment(write, pending_, sum); !status.ok()) return status;
    if (sum.code == Code::kOk) {
      return Note(write.range.begin, made_.emplace_back(std::to_string(sum.number)), write.lease);
    }
    refusal_.code = sum.code;
    refusal_.message = "an increment in the transaction is refused: " + sum.message;
    return Status::Ok();
  }

  Status PlanPut(const ParsedOperation& put) {
    if (RefusesLease(put, pending_, refusal_)) return Status::Ok();
    return Note(put.range.begin, put.value, put.lease);
  }

  /// A branch writes a key once, so that what it keeps is from before the transaction.
  Status PlanUpdate(const ParsedOperation& put) {
    const std::string_view key = put.range.begin;
    const auto counts = pending_.CountsOf(key);
    if (!counts.ok()) return counts.status();
    if (RefusesUpdate(put, *counts, refusal_)) return Status::Ok();
    if (RefusesLease(put, pending_, refusal_) || !reads_) return Status::Ok();
    const std::uint64_t lease = put.keep_lease ? counts->lease : put.lease;
    if (!put.keep_value) return Note(key, put.value, lease);
    auto value = pending_.GetData(key);
    if (!value.ok()) return value.status();
    RAFTKV_CHECK(value->has_value());
    return Note(key, made_.emplace_back(**std::move(value)), lease);
  }

  /// For the reads after it.
  Status Note(std::string_view key, std::string_view value, std::uint64_t lease) {
    if (!reads_) return Status::Ok();
    const auto before = pending_.CountsOf(key);
    if (!before.ok()) return before.status();
    put_[key] = {CountsAfterPut(*before, revision_, lease), value};
    return Status::Ok();
  }

  void NoteDelete(const RangeView& range) {
    if (range.kind == Range::Kind::kSingle) {
      deleted_keys_.insert(range.begin);
    } else {
      deleted_ranges_.push_back(range);
    }
  }

  /// A read may ask for each key that it visits: the ranges are few (kMaxWholeRanges), keys are
  /// not.
  [[nodiscard]] bool IsDeleted(std::string_view key) const {
    return deleted_keys_.contains(key) ||
           std::any_of(deleted_ranges_.begin(), deleted_ranges_.end(),
                       [key](const RangeView& range) { return range.Contains(key); });
  }

  /// What is in `range` after the writes that are planned.
  Status Visit(const RangeView& range, const PendingWrite::DataVisit& visit) {
    bool more = true;
    auto own = put_.lower_bound(range.begin);
    const auto show_own = [&] {
      more = visit(own->first, own->second);
      ++own;
    };
    Status status = pending_.VisitData(range, [&](std::string_view key, const DataRecord& record) {
      while (more && own != put_.end() && own->first < key) show_own();
      if (!more) return false;
      if (own != put_.end() && own->first == key) {
        show_own();
      } else if (!IsDeleted(key)) {
        more = visit(key, record);
      }
      return more;
    });
    while (status.ok() && more && own != put_.end() && range.Contains(own->first)) show_own();
    return status;
  }

  /// A read of the transaction. Where all pairs are needed for its order, they are bounded as what
  /// a call returns.
  Status Read(const ParsedRead& read, ScanResult& found) {
    const bool counts = read.count_only || !read.uncounted;
    Sorter sorter(read.order, read.limit, kMaxCallAnswerBytes);
    const PendingWrite::DataVisit add = [&](std::string_view key, const DataRecord& record) {
      if (counts) ++found.count;
      if (read.count_only || found.more) return counts;
      if (!Passes(read.order, record.counts)) return true;
      if (!read.order.IsByKey()) return Sort(read, key, record, sorter);
      if (read.limit != 0 && found.kvs.size() >= read.limit) {
        found.more = true;
        return counts;
      }
      return Show(read, key, record.value, record.counts, found);
    };
    Status status = RAFTKV_MUTANT(kTxnMissesOwnWrites) ? pending_.VisitData(read.range, add)
                                                       : Visit(read.range, add);
    if (status.ok() && !IsRefused() && !read.count_only && !read.order.IsByKey()) {
      for (const Sorter::Pair& pair : sorter.Take()) {
        if (!Show(read, pair.key, pair.value, pair.counts, found)) break;
      }
      found.more = sorter.added() > found.kvs.size();
    }
    if (!counts) found.count = found.kvs.size();
    return status;
  }

  /// False: no more of it, the transaction is refused.
  bool Show(const ParsedRead& read, std::string_view key, std::string_view value,
            const Counts& counts, ScanResult& found) {
    if (read.keys_only) value = {};
    if (!room_.Take(key, value, refusal_)) return false;
    found.kvs.push_back(ToKeyValue(key, value, counts));
    return true;
  }

  bool Sort(const ParsedRead& read, std::string_view key, const DataRecord& record,
            Sorter& sorter) {
    const bool without = read.keys_only && read.order.by != OrderBy::kValue;
    const std::string_view value = without ? std::string_view() : record.value;
    if (sorter.Add(key, value, record.counts, AnswerRoom::BytesOf(key, value))) return true;
    refusal_.code = Code::kInvalidArgument;
    refusal_.message = std::string(kPairsToBeSorted) + " in the transaction take more than " +
                       std::to_string(kMaxCallAnswerBytes) +
                       " bytes: set a limit, read keys only, narrow the range, or order by key";
    return false;
  }

  Status Previous(const RangeView& range, std::vector<KeyValue>& previous) {
    return Visit(range, [&](std::string_view key, const DataRecord& record) {
      if (!room_.Take(key, record.value, refusal_)) return false;
      previous.push_back(ToKeyValue(key, record.value, record.counts));
      return true;
    });
  }

  Status Carry(const ParsedTxn& txn, TxnOutcome& outcome, bool& changed) {
    const Operations& branch = NextBranch(txn, outcome);
    for (std::size_t i = 0; i < branch.size(); ++i) {
      if (branch[i].is_read) continue;
      const ParsedOperation& write = branch[i].write;
      OperationResult& result = outcome.results[i].write;
      // Where the plan was refused, it ends early.
      if (write.kind == ParsedOperation::Kind::kTxn && result.txn == nullptr) break;
      Status status = write.kind == ParsedOperation::Kind::kTxn
                          ? Carry(*write.txn, *result.txn, result.changed)
                          : ExecuteWrite(write, revision_, pending_, result);
      if (!status.ok()) return status;
      changed = changed || result.changed;
    }
    return Status::Ok();
  }

  const std::uint64_t revision_;
  PendingWrite& pending_;
  AnswerRoom& room_;
  OperationResult refusal_;
  /// Whether the compares hold, of each transaction that is carried out, in order.
  std::vector<bool> choices_;
  std::size_t next_choice_ = 0;
  bool reads_ = false;
  /// Planned so far. What is put is never deleted.
  std::map<std::string_view, DataRecord> put_;
  std::set<std::string_view> deleted_keys_;
  std::vector<RangeView> deleted_ranges_;
  /// Values that no operation has: sums, and what is kept.
  std::deque<std::string> made_;
};

}  // namespace

std::size_t AnswerRoom::BytesOf(std::string_view key, std::string_view value) {
  return kWordBytes *
         (capnp::sizeInWords<wire::KeyValue>() + DataWords(key.size()) + DataWords(value.size()));
}

bool AnswerRoom::Take(std::string_view key, std::string_view value, OperationResult& refusal) {
  const std::size_t bytes = BytesOf(key, value);
  if (call_bytes_ != 0 && call_bytes_ + bytes > kMaxCallAnswerBytes) {
    refusal.code = Code::kInvalidArgument;
    refusal.message = std::string(kAnswerWouldBeLarger) + " of " +
                      std::to_string(kMaxCallAnswerBytes) +
                      " bytes: read the range in parts, with a limit or on its own";
    return false;
  }
  if (bytes_ != 0 && bytes_ + bytes > kMaxRequestAnswerBytes) {
    bytes_ = kMaxRequestAnswerBytes;  // the calls after it need not try
    refusal.code = Code::kUnavailable;
    refusal.message = "the answer of its request is full";
    return false;
  }
  call_bytes_ += bytes;
  bytes_ += bytes;
  return true;
}

Result<bool> Holds(const ParsedCompare& compare, PendingWrite& pending) {
  const bool is_single = compare.range.kind == Range::Kind::kSingle;
  if (is_single && compare.target != Compare::Target::kValue) {
    const auto counts = pending.CountsOf(compare.range.begin);
    if (!counts.ok()) return counts.status();
    return counts->version == 0 ? HoldsForNone(compare) : HoldsFor(compare, {*counts, {}});
  }
  bool any = false;
  bool holds = true;
  Status status = pending.VisitData(compare.range, [&](auto /*key*/, const DataRecord& record) {
    any = true;
    holds = HoldsFor(compare, record);
    return holds;
  });
  if (!status.ok()) return status;
  return any ? holds : HoldsForNone(compare);
}

Status CollectPrevious(const RangeView& range, PendingWrite& pending, AnswerRoom& room,
                       OperationResult& result) {
  OperationResult refusal;
  std::vector<KeyValue> previous;
  Status status = pending.VisitData(range, [&](std::string_view key, const DataRecord& record) {
    if (!room.Take(key, record.value, refusal)) return false;
    previous.push_back(ToKeyValue(key, record.value, record.counts));
    return true;
  });
  if (refusal.code == Code::kOk) {
    result.previous = std::move(previous);
  } else {
    result = std::move(refusal);
  }
  return status;
}

Status ExecuteTxn(const ParsedTxn& txn, std::uint64_t revision, PendingWrite& pending,
                  AnswerRoom& room, OperationResult& result) {
  return TxnExecution(revision, pending, room).Run(txn, result);
}

}  // namespace raftkv::kv
