#include "tests/support/linearizability/model_store.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace raftkv::test {
namespace {

using Kind = ClientOp::Kind;
using Outcome = History::Outcome;

bool Contains(const KeyRange& range, const std::string& key) {
  return key >= range.begin && (range.end.empty() || key < range.end);
}

std::optional<std::string> Find(const std::map<std::string, std::string>& data,
                                const std::string& key) {
  const auto found = data.find(key);
  return found == data.end() ? std::nullopt : std::optional<std::string>(found->second);
}

/// A search for an order with nothing left out.
class Orders {
 public:
  explicit Orders(const History& history)
      : records_(history.records()), taken_(records_.size(), false) {}

  bool Find(const ModelStore& store) {
    std::uint32_t first_return = History::kNever;
    bool done = true;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (taken_[i] || records_[i].outcome != Outcome::kOk) continue;
      first_return = std::min(first_return, records_[i].returned);
      done = false;
    }
    if (done) return true;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      const History::Record& record = records_[i];
      if (taken_[i] || record.outcome == Outcome::kFailed || record.called > first_return) continue;
      ModelStore after = store;
      const ClientAnswer truth = after.Execute(record.op);
      if (record.outcome == Outcome::kOk && !AnswerFits(record.op, truth, record.answer)) continue;
      taken_[i] = true;
      if (Find(after)) return true;
      taken_[i] = false;
    }
    return false;
  }

 private:
  const std::vector<History::Record>& records_;
  std::vector<bool> taken_;
};

}  // namespace

ClientAnswer ModelStore::Increment(const ClientOp& op) {
  const std::string text = Find(data_, op.key).value_or("0");
  std::int64_t number = 0;
  std::int64_t sum = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (!is_number || __builtin_add_overflow(number, op.delta, &sum)) return ClientAnswer::Refused();
  data_[op.key] = std::to_string(sum);
  return ClientAnswer::Number(sum);
}

ClientAnswer ModelStore::Txn(const ClientOp& op) {
  bool holds = true;
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [key, expected] : op.all_expected) {
    const std::optional<std::string> actual = Find(data_, key);
    if (actual.has_value()) pairs.emplace_back(key, *actual);
    holds = holds && actual == expected;
  }
  if (!holds) return ClientAnswer::FoundPairs(std::move(pairs));
  for (const Batch::Operation& part : op.batch) data_[part.key] = part.value;
  return ClientAnswer::Done();
}

ClientAnswer ModelStore::Scan(const KeyRange& range) const {
  ClientAnswer answer;
  for (const auto& [key, value] : data_) {
    if (Contains(range, key)) answer.pairs.emplace_back(key, value);
  }
  return answer;
}

ClientAnswer ModelStore::Execute(const ClientOp& op) {
  switch (op.kind) {
    case Kind::kPut: data_[op.key] = op.value; return ClientAnswer::Done();
    case Kind::kGet: return ClientAnswer::Value(Find(data_, op.key));
    case Kind::kDelete: return ClientAnswer::Number(static_cast<std::int64_t>(data_.erase(op.key)));
    case Kind::kCompareAndSwap: {
      std::optional<std::string> actual = Find(data_, op.key);
      if (actual != op.expected) return ClientAnswer::Found(std::move(actual));
      data_[op.key] = op.value;
      return ClientAnswer::Done();
    }
    case Kind::kIncrement: return Increment(op);
    case Kind::kTxn: return Txn(op);
    case Kind::kBatch:
      for (const Batch::Operation& part : op.batch) {
        if (part.is_delete) {
          data_.erase(part.key);
        } else {
          data_[part.key] = part.value;
        }
      }
      return ClientAnswer::Done();
    case Kind::kMultiGet: {
      ClientAnswer answer;
      for (const std::string& key : std::set<std::string>(op.keys.begin(), op.keys.end())) {
        if (data_.contains(key)) answer.pairs.emplace_back(key, data_[key]);
      }
      return answer;
    }
    case Kind::kScan: return Scan(op.range);
    case Kind::kDeleteRange: {
      const auto deleted =
          std::erase_if(data_, [&op](const auto& pair) { return Contains(op.range, pair.first); });
      return ClientAnswer::Number(static_cast<std::int64_t>(deleted));
    }
  }
  return {};
}

bool AnswerFits(const ClientOp& op, const ClientAnswer& truth, const ClientAnswer& answer) {
  if (answer.refused != truth.refused) return false;
  if (op.kind == Kind::kScan && answer.number.has_value()) {
    return static_cast<std::int64_t>(truth.pairs.size()) == *answer.number;
  }
  if (answer.number.has_value()) return truth.number == answer.number;
  if (answer.has_value) return truth.value == answer.value;
  if (op.kind == Kind::kTxn) return truth.pairs == answer.pairs;
  if (op.kind != Kind::kScan && op.kind != Kind::kMultiGet) return true;
  std::vector<std::pair<std::string, std::string>> pairs = truth.pairs;
  if (answer.more) {
    std::erase_if(pairs, [&answer](const auto& pair) {
      return answer.pairs.empty() || pair.first > answer.pairs.back().first;
    });
  }
  return pairs == answer.pairs;
}

bool HasOrder(const History& history) { return Orders(history).Find(ModelStore()); }

}  // namespace raftkv::test
