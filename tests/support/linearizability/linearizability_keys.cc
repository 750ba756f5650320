#include "tests/support/linearizability/linearizability_keys.h"

#include <algorithm>

namespace raftkv::test::linear {
namespace {

using Kind = ClientOp::Kind;
using Outcome = History::Outcome;

bool IsRead(Kind kind) {
  return kind == Kind::kGet || kind == Kind::kMultiGet || kind == Kind::kScan;
}

/// What failed took no effect; a read without an answer tells nothing.
bool IsOfUse(const History::Record& record) {
  if (record.outcome == Outcome::kFailed) return false;
  return record.outcome == Outcome::kOk || !IsRead(record.op.kind);
}

/// A numeral that std::to_string would not write, or what looks like one.
bool IsOddNumber(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  return !text.empty() && text.front() == '0' && (negative || text.size() > 1);
}

bool EndsBefore(const KeyRange& range, std::string_view key) {
  return !range.end.empty() && key >= range.end;
}

}  // namespace

KeyTable::KeyTable(const History& history) {
  for (const History::Record& record : history.records()) {
    if (IsOfUse(record)) AddNames(record);
  }
  std::sort(names.begin(), names.end());
  for (std::uint32_t i = 0; i < names.size(); ++i) ids_[names[i]] = i;
  touched.resize(history.records().size());
  for (std::size_t id = 0; id < touched.size(); ++id) {
    const History::Record& record = history.records()[id];
    if (IsOfUse(record)) AddTouched(record, touched[id]);
  }
}

void KeyTable::AddNames(const History::Record& record) {
  const auto add = [this](std::string_view name) {
    if (ids_.try_emplace(name, 0).second) names.push_back(name);
  };
  const auto look_at = [this](const std::string& value) {
    odd_numbers = odd_numbers || IsOddNumber(value);
  };
  look_at(record.op.value);
  for (const Batch::Operation& part : record.op.batch) {
    add(part.key);
    look_at(part.value);
  }
  for (const std::string& key : record.op.keys) add(key);
  for (const auto& [key, value] : record.op.all_expected) add(key);
  for (const auto& [key, value] : record.answer.pairs) add(key);
  const Kind kind = record.op.kind;
  if (kind == Kind::kBatch || kind == Kind::kMultiGet || kind == Kind::kTxn) return;
  if (kind == Kind::kScan || kind == Kind::kDeleteRange) return;
  add(record.op.key);
}

void KeyTable::AddTouched(const History::Record& record, std::vector<std::uint32_t>& into) const {
  switch (record.op.kind) {
    case Kind::kScan:
    case Kind::kDeleteRange: return AddRange(record, into);
    case Kind::kTxn:
      // One of unknown outcome tells nothing of what it expected.
      if (record.outcome == Outcome::kOk) {
        for (const auto& [key, value] : record.op.all_expected) into.push_back(ids_.at(key));
      }
      [[fallthrough]];
    case Kind::kBatch:
      for (const Batch::Operation& part : record.op.batch) into.push_back(ids_.at(part.key));
      break;
    case Kind::kMultiGet:
      for (const std::string& key : record.op.keys) into.push_back(ids_.at(key));
      break;
    default: into.push_back(ids_.at(record.op.key)); return;
  }
  std::sort(into.begin(), into.end());
  into.erase(std::unique(into.begin(), into.end()), into.end());
}

void KeyTable::AddRange(const History::Record& record, std::vector<std::uint32_t>& into) const {
  const KeyRange& range = record.op.range;
  const ClientAnswer& answer = record.answer;
  const bool ends_early = record.op.kind == Kind::kScan && answer.more;
  if (ends_early && answer.pairs.empty()) return;
  const auto begin = std::lower_bound(names.begin(), names.end(), std::string_view(range.begin));
  for (auto at = begin; at != names.end() && !EndsBefore(range, *at); ++at) {
    if (ends_early && *at > answer.pairs.back().first) break;
    into.push_back(static_cast<std::uint32_t>(at - names.begin()));
  }
}

}  // namespace raftkv::test::linear
