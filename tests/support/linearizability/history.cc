#include "tests/support/linearizability/history.h"

#include <sstream>

#include "lib/base/check.h"

namespace raftkv::test {
namespace {

using Kind = ClientOp::Kind;

ClientOp WithKey(Kind kind, std::string key) {
  ClientOp op;
  op.kind = kind;
  op.key = std::move(key);
  return op;
}

std::string Shown(const std::optional<std::string>& value) {
  constexpr std::size_t kMostBytes = 32;
  if (!value.has_value()) return "absent";
  if (value->size() <= kMostBytes) return "\"" + *value + "\"";
  return "\"" + value->substr(0, kMostBytes) + "\"..(" + std::to_string(value->size()) + " bytes)";
}

std::string Shown(const ClientOp& op) {
  const std::string key = Shown(op.key);
  const std::string range = Shown(op.range.begin) + " to " + Shown(op.range.end);
  std::string out;
  switch (op.kind) {
    case Kind::kPut: return "put " + key + " = " + Shown(op.value);
    case Kind::kGet: return "get " + key;
    case Kind::kDelete: return "delete " + key;
    case Kind::kCompareAndSwap:
      return "cas " + key + " from " + Shown(op.expected) + " to " + Shown(op.value);
    case Kind::kIncrement: return "increment " + key + " by " + std::to_string(op.delta);
    case Kind::kBatch:
      out = "batch";
      for (const auto& part : op.batch) {
        out += " " + Shown(part.key) + " = " +
               (part.is_delete ? Shown(std::nullopt) : Shown(part.value));
      }
      return out;
    case Kind::kMultiGet:
      out = "multi-get";
      for (const std::string& each : op.keys) out += " " + Shown(each);
      return out;
    case Kind::kScan: return "scan " + range;
    case Kind::kDeleteRange: return "delete range " + range;
    case Kind::kTxn:
      out = "txn from";
      for (const auto& [each, value] : op.all_expected)
        out += " " + Shown(each) + " = " + Shown(value);
      out += " to";
      for (const auto& part : op.batch) out += " " + Shown(part.key) + " = " + Shown(part.value);
      return out;
  }
  return out;
}

std::string Shown(const ClientAnswer& answer, Kind kind) {
  std::string out = answer.refused ? "refused" : "ok";
  if (answer.has_value) out += " " + Shown(answer.value);
  if (answer.number.has_value()) out += " " + std::to_string(*answer.number);
  if (kind == Kind::kMultiGet || kind == Kind::kScan || kind == Kind::kTxn) {
    for (const auto& [key, value] : answer.pairs) out += " " + Shown(key) + " = " + Shown(value);
    if (answer.more) out += " and more";
  }
  return out;
}

}  // namespace

ClientOp ClientOp::Put(std::string key, std::string value) {
  ClientOp op = WithKey(Kind::kPut, std::move(key));
  op.value = std::move(value);
  return op;
}

ClientOp ClientOp::Get(std::string key) { return WithKey(Kind::kGet, std::move(key)); }

ClientOp ClientOp::Delete(std::string key) { return WithKey(Kind::kDelete, std::move(key)); }

ClientOp ClientOp::CompareAndSwap(std::string key, std::optional<std::string> expected,
                                  std::string desired) {
  ClientOp op = WithKey(Kind::kCompareAndSwap, std::move(key));
  op.expected = std::move(expected);
  op.value = std::move(desired);
  return op;
}

ClientOp ClientOp::Increment(std::string key, std::int64_t delta) {
  ClientOp op = WithKey(Kind::kIncrement, std::move(key));
  op.delta = delta;
  return op;
}

ClientOp ClientOp::Write(const Batch& batch) {
  ClientOp op = WithKey(Kind::kBatch, {});
  op.batch = batch.operations();
  return op;
}

ClientOp ClientOp::MultiGet(std::vector<std::string> keys) {
  ClientOp op = WithKey(Kind::kMultiGet, {});
  op.keys = std::move(keys);
  return op;
}

ClientOp ClientOp::Scan(KeyRange range) {
  ClientOp op = WithKey(Kind::kScan, {});
  op.range = std::move(range);
  return op;
}

ClientOp ClientOp::DeleteRange(KeyRange range) {
  ClientOp op = WithKey(Kind::kDeleteRange, {});
  op.range = std::move(range);
  return op;
}

ClientOp ClientOp::Txn(std::vector<std::pair<std::string, std::optional<std::string>>> expected,
                       const Batch& puts) {
  ClientOp op = WithKey(Kind::kTxn, {});
  op.all_expected = std::move(expected);
  op.batch = puts.operations();
  return op;
}

ClientAnswer ClientAnswer::Value(std::optional<std::string> value) {
  ClientAnswer answer;
  answer.has_value = true;
  answer.value = std::move(value);
  return answer;
}

ClientAnswer ClientAnswer::Number(std::int64_t number) {
  ClientAnswer answer;
  answer.number = number;
  return answer;
}

ClientAnswer ClientAnswer::Refused() {
  ClientAnswer answer;
  answer.refused = true;
  return answer;
}

ClientAnswer ClientAnswer::Found(std::optional<std::string> actual) {
  ClientAnswer answer = Value(std::move(actual));
  answer.refused = true;
  return answer;
}

ClientAnswer ClientAnswer::Pairs(std::vector<std::pair<std::string, std::string>> pairs,
                                 bool more) {
  ClientAnswer answer;
  answer.pairs = std::move(pairs);
  answer.more = more;
  return answer;
}

ClientAnswer ClientAnswer::FoundPairs(std::vector<std::pair<std::string, std::string>> pairs) {
  ClientAnswer answer = Pairs(std::move(pairs));
  answer.refused = true;
  return answer;
}

History::Id History::Invoke(std::uint32_t client, ClientOp op) {
  Record& record = records_.emplace_back();
  record.client = client;
  record.op = std::move(op);
  record.called = events_++;
  record.called_ms = time_ms_;
  return static_cast<Id>(records_.size() - 1);
}

void History::Return(Id id, Outcome outcome) {
  RAFTKV_CHECK(id < records_.size(), id, records_.size());
  Record& record = records_[id];
  RAFTKV_CHECK(record.returned == kNever, id);
  record.outcome = outcome;
  record.returned = events_++;
  record.returned_ms = time_ms_;
}

void History::Ok(Id id, ClientAnswer answer) {
  Return(id, Outcome::kOk);
  Record& record = records_[id];
  record.answer = std::move(answer);
  // An increment says its sum; without it its effect would not be known either.
  RAFTKV_CHECK(record.op.kind != Kind::kIncrement || record.answer.refused ||
                   record.answer.number.has_value(),
               id);
  RAFTKV_CHECK(record.op.kind != Kind::kGet || record.answer.has_value, id);
}

std::string History::Describe(Id id) const {
  const Record& record = records_.at(id);
  std::ostringstream out;
  out << "#" << id << " client " << record.client << ", events " << record.called << " to ";
  const bool answered = record.outcome == Outcome::kOk;
  if (answered) {
    out << record.returned;
  } else {
    out << "?";
  }
  if (record.called_ms != 0 || record.returned_ms != 0) {
    out << " (" << record.called_ms << " to " << record.returned_ms << " ms)";
  }
  out << ": " << Shown(record.op) << " -> ";
  if (answered) out << Shown(record.answer, record.op.kind);
  if (record.outcome == Outcome::kFailed) out << "failed";
  if (record.outcome == Outcome::kUnknown) out << "unknown";
  return out.str();
}

}  // namespace raftkv::test
