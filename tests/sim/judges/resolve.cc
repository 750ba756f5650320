// What became of the writes whose clients never heard?
//
// Every value and every delta is used once, so in hindsight the log tells: what is in no committed
// entry, or was refused there, had no effect; what was carried out took effect at the latest when
// its entry was applied first. A history without doubts is quick to judge. Nothing is hidden by it:
// who reads a value that is not in the log has read what nobody wrote, and reads that begin after
// the first apply must see it.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

using test::ClientAnswer;
using test::ClientOp;
using test::History;

/// One operation in the log.
struct Carried {
  std::uint64_t applied_ms = 0;  ///< 0: not that we know
  kv::OperationResult result;
};

class Log {
 public:
  void Add(const raft::Entry& entry, const Checks::Result& result) {
    if (entry.kind != raft::EntryKind::kCommand) return;
    kv::MessageBytes storage;
    kv::ParsedRequest request;
    if (!kv::ParseRequest(entry.payload.view(), SIZE_MAX, storage, request).ok()) return;
    const std::size_t operations = request.operations.size();
    const auto response = kv::DecodeResponse(result.response.view(), operations);
    const bool known = result.applied_ms != 0 && response.ok();
    if (known && response->code != Code::kOk) return;  // refused: nothing was done
    for (std::size_t i = 0; i < operations; ++i) {
      const kv::ParsedOperation& operation = request.operations[i];
      Carried carried;
      if (known) carried = {result.applied_ms, response->results[i]};
      // A retry has the same answer; it was carried out the first time.
      if (operation.txn != nullptr) {
        for (const kv::ParsedTxnOperation& part : operation.txn->success) {
          if (!part.is_read) values_.try_emplace(std::string(part.write.value), carried);
        }
        continue;
      }
      if (operation.kind == kv::ParsedOperation::Kind::kIncrement) {
        deltas_.try_emplace(operation.delta, carried);
      } else if (operation.range.kind == kv::Range::Kind::kBounded) {
        ranges_.try_emplace(std::string(operation.range.end), carried);
      } else if (operation.kind != kv::ParsedOperation::Kind::kDelete) {
        values_.try_emplace(std::string(operation.value), carried);
      }
    }
  }

  /// Whether the log can tell at all what became of `op`.
  static bool Tells(const ClientOp& op) {
    using Kind = ClientOp::Kind;
    return op.kind == Kind::kPut || op.kind == Kind::kCompareAndSwap ||
           op.kind == Kind::kIncrement || op.kind == Kind::kDeleteRange || op.kind == Kind::kTxn ||
           (op.kind == Kind::kBatch && FirstValue(op) != nullptr);
  }
  /// Null: it was never carried out.
  [[nodiscard]] const Carried* Find(const ClientOp& op) const {
    if (op.kind == ClientOp::Kind::kIncrement) {
      const auto found = deltas_.find(op.delta);
      return found == deltas_.end() ? nullptr : &found->second;
    }
    if (op.kind == ClientOp::Kind::kDeleteRange) {
      const auto found = ranges_.find(op.range.end);
      return found == ranges_.end() ? nullptr : &found->second;
    }
    const bool is_batch = op.kind == ClientOp::Kind::kBatch || op.kind == ClientOp::Kind::kTxn;
    const std::string* const value = is_batch ? FirstValue(op) : &op.value;
    const auto found = values_.find(*value);
    return found == values_.end() ? nullptr : &found->second;
  }

 private:
  static const std::string* FirstValue(const ClientOp& op) {
    for (const Batch::Operation& operation : op.batch) {
      if (!operation.is_delete) return &operation.value;
    }
    return nullptr;
  }

  std::map<std::string, Carried> values_;
  std::map<std::int64_t, Carried> deltas_;
  std::map<std::string, Carried> ranges_;  ///< by their ends
};

ClientAnswer AnswerOf(const ClientOp& op, const kv::OperationResult& result) {
  if (result.code != Code::kOk) return ClientAnswer::Refused();
  if (op.kind == ClientOp::Kind::kTxn && result.txn != nullptr && !result.txn->succeeded) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const kv::TxnOperationResult& each : result.txn->results) {
      for (const KeyValue& kv : each.read.value_or(ScanResult()).kvs) {
        pairs.emplace_back(kv.key, kv.value);
      }
    }
    return ClientAnswer::FoundPairs(std::move(pairs));
  }
  if (op.kind == ClientOp::Kind::kIncrement || op.kind == ClientOp::Kind::kDeleteRange) {
    return ClientAnswer::Number(result.number);
  }
  return ClientAnswer::Done();
}

struct Happening {
  std::size_t record = 0;
  enum class Kind : std::uint8_t { kNone, kCall, kReturn, kApplied } kind = Kind::kNone;
  std::uint64_t time_ms = 0;
  const Carried* carried = nullptr;
};

/// In the order in which they happened.
std::vector<Happening> EventsOf(const std::vector<History::Record>& records) {
  std::vector<Happening> events(2 * records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const History::Record& record = records[i];
    events.at(record.called) = {i, Happening::Kind::kCall, record.called_ms, nullptr};
    if (record.returned != History::kNever && record.outcome != History::Outcome::kUnknown) {
      events.at(record.returned) = {i, Happening::Kind::kReturn, record.returned_ms, nullptr};
    }
  }
  std::erase_if(events,
                [](const Happening& event) { return event.kind == Happening::Kind::kNone; });
  return events;
}

}  // namespace

History Clients::Resolved() const {
  Log log;
  world_.checks().VisitCommitted(
      [&](const raft::Entry& entry, const Checks::Result& result) { log.Add(entry, result); });
  const auto& records = history_.records();
  std::vector<Happening> events = EventsOf(records);
  const std::uint64_t end_ms = events.empty() ? 0 : events.back().time_ms;
  std::vector<std::size_t> without_effect;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const History::Record& record = records[i];
    if (record.outcome != History::Outcome::kUnknown || !Log::Tells(record.op)) continue;
    const Carried* const carried = log.Find(record.op);
    if (carried == nullptr) {
      without_effect.push_back(i);
    } else if (carried->applied_ms != 0) {
      events.push_back(
          {i, Happening::Kind::kApplied, std::min(carried->applied_ms, end_ms), carried});
    }
  }
  // Behind all that happened in the same millisecond, to be on the safe side.
  std::stable_sort(events.begin(), events.end(),
                   [](const Happening& a, const Happening& b) { return a.time_ms < b.time_ms; });
  History resolved;
  std::vector<std::optional<History::Id>> ids(records.size());
  for (const Happening& event : events) {
    const History::Record& record = records[event.record];
    resolved.set_time_ms(event.time_ms);
    if (event.kind == Happening::Kind::kCall) {
      ids[event.record] = resolved.Invoke(record.client, record.op);
    } else if (event.kind == Happening::Kind::kApplied) {
      resolved.Ok(ids[event.record].value(), AnswerOf(record.op, event.carried->result));
    } else if (record.outcome == History::Outcome::kOk) {
      resolved.Ok(ids[event.record].value(), record.answer);
    } else {
      resolved.Fail(ids[event.record].value());
    }
  }
  for (const std::size_t i : without_effect) resolved.Fail(ids[i].value());
  return resolved;
}

}  // namespace raftkv::sim
