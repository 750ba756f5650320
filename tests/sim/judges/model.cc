#include "tests/sim/judges/model.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace raftkv::sim {

namespace {

std::string Told(const char* what, std::int64_t told, std::int64_t is) {
  return std::string(what) + " is told as " + std::to_string(told) + ", and is " +
         std::to_string(is);
}

}  // namespace

bool Model::IsIn(const kv::RangeView& range, std::string_view key) {
  switch (range.kind) {
    case kv::Range::Kind::kSingle: return key == range.begin;
    case kv::Range::Kind::kBounded: return key >= range.begin && key < range.end;
    case kv::Range::Kind::kUnbounded: return key >= range.begin;
  }
  return false;
}

/// At the revision that the call at hand takes.
void Model::Put(std::string_view key, std::string value, std::uint64_t lease) {
  Value& now = keys_[std::string(key)];
  now.lease = lease;
  now.value = std::move(value);
  now.mod_revision = revision_ + 1;
  if (now.version++ == 0) now.create_revision = revision_ + 1;
  Note(std::string(key), now);
}

/// The revision that the call at hand takes makes this of `key`; nullopt: nothing is left of it.
void Model::Note(const std::string& key, std::optional<Value> value) {
  past_[key][revision_ + 1] = value;
  Events& events = events_[revision_ + 1];
  std::erase_if(events, [&key](const Event& event) { return event.key == key; });
  Event& event = events.emplace_back();
  event.key = key;
  if (value.has_value()) {
    event.put = {
        key,         value->value, value->mod_revision, value->create_revision, value->version,
        value->lease};
  }
}

std::optional<KeyValue> Model::ValueAt(std::string_view key, std::uint64_t revision) const {
  const auto values = past_.find(key);
  if (values == past_.end()) return std::nullopt;
  const auto after = values->second.upper_bound(revision);
  if (after == values->second.begin() || !std::prev(after)->second.has_value()) return std::nullopt;
  const Value& value = *std::prev(after)->second;
  return KeyValue{std::string(key),      value.value,   value.mod_revision,
                  value.create_revision, value.version, value.lease};
}

void Model::Put(const kv::ParsedOperation& put) {
  const auto found = keys_.find(put.range.begin);
  const Value before = found == keys_.end() ? Value() : found->second;
  Put(put.range.begin, put.keep_value ? before.value : std::string(put.value),
      put.keep_lease ? before.lease : put.lease);
}

bool Model::LacksKey(const kv::ParsedOperation& put) const {
  return put.Keeps() && keys_.find(put.range.begin) == keys_.end();
}

Model::Keys Model::KeysAt(std::uint64_t revision) const {
  Keys keys;
  for (const auto& [key, values] : past_) {
    const auto after = values.upper_bound(revision);
    if (after == values.begin() || !std::prev(after)->second.has_value()) continue;
    keys.emplace(key, *std::prev(after)->second);
  }
  return keys;
}

void Model::TakeBackTo(Keys keys, Events events) {
  keys_ = std::move(keys);
  events_.erase(revision_ + 1);
  if (!events.empty()) events_[revision_ + 1] = std::move(events);
  for (auto& [key, values] : past_) {
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
      // What only this call has created was never there; any other was deleted by it or before.
      const auto made = values.find(revision_ + 1);
      if (made != values.end()) made->second = std::nullopt;
    } else if (found->second.mod_revision == revision_ + 1) {
      values[revision_ + 1] = found->second;
    } else {
      values.erase(revision_ + 1);
    }
  }
}

/// Null: it is the leader's own, which nobody is answered.
std::string Model::Upkeep(const kv::ParsedOperation& operation, const kv::OperationResult* result) {
  if (operation.kind != kv::ParsedOperation::Kind::kCompact) return {};
  Code code = Code::kOk;
  if (operation.revision > revision_) code = Code::kInvalidArgument;
  if (operation.revision <= compacted_) code = Code::kCompacted;
  if (code == Code::kOk) compacted_ = operation.revision;
  return result == nullptr || result->code == code ? std::string() : "a compact is told otherwise";
}

std::string Model::Delete(const kv::RangeView& range, std::int64_t told, bool& changed) {
  const std::int64_t deleted =
      static_cast<std::int64_t>(std::erase_if(keys_, [&](const auto& item) {
        if (!IsIn(range, item.first)) return false;
        Note(item.first, std::nullopt);
        return true;
      }));
  changed = deleted > 0;
  return deleted == told ? std::string() : Told("the number of deleted keys", told, deleted);
}

std::string Model::Increment(const kv::ParsedOperation& operation,
                             const kv::OperationResult& result, bool& changed) {
  const auto found = keys_.find(operation.range.begin);
  std::int64_t number = 0;
  if (found != keys_.end()) {
    const std::string& text = found->second.value;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_number = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    if (!is_number) {
      return result.code == Code::kInvalidArgument ? "" : "an increment of what is no number";
    }
  }
  const bool overflows = __builtin_add_overflow(number, operation.delta, &number);
  if (overflows) return result.code == Code::kInvalidArgument ? "" : "an increment overflows";
  if (LacksLease(operation.lease)) {
    return result.code == Code::kNotFound ? "" : "an increment with a lease there is not";
  }
  if (result.code != Code::kOk) return "an increment of a number is refused";
  Put(operation.range.begin, std::to_string(number), operation.lease);
  changed = true;
  return number == result.number ? std::string() : Told("a counter", result.number, number);
}

std::string Model::Carry(const kv::ParsedOperation& operation, const kv::OperationResult& result,
                         bool& changed) {
  using Kind = kv::ParsedOperation::Kind;
  if (operation.kind == Kind::kTxn) return CarryTxn(*operation.txn, result, changed);
  if (operation.IsOfLease()) return CarryLease(operation, result, changed);
  const bool held = result.code == Code::kOk || result.code == Code::kNotFound;
  const bool swapped = operation.kind == Kind::kCompareAndSwap && held;
  const bool lacks_lease = operation.kind == Kind::kPut && LacksLease(operation.lease);
  if (operation.return_previous && !swapped && !lacks_lease) {
    std::string wrong = CheckPrevious(operation.range, result.previous);
    if (!wrong.empty()) return wrong;
  } else if (!result.previous.empty()) {
    return "what was there before is told without having been asked for";
  }
  if (operation.kind == Kind::kDelete) return Delete(operation.range, result.number, changed);
  if (operation.kind == Kind::kIncrement) return Increment(operation, result, changed);
  const auto found = keys_.find(operation.range.begin);
  if (operation.kind == Kind::kCompareAndSwap) {
    const bool holds = operation.expect_absent
                           ? found == keys_.end()
                           : found != keys_.end() && found->second.value == operation.expected;
    if (holds != held) {
      return holds ? "a compare and swap that holds is refused"
                   : "a compare and swap that does not hold swaps";
    }
    if (!holds) return {};
  }
  if (LacksLease(operation.lease)) {
    return result.code == Code::kNotFound ? "" : "a write with a lease there is not";
  }
  if (LacksKey(operation)) {
    return result.code == Code::kNotFound ? "" : "a put that keeps what there is not";
  }
  if (result.code != Code::kOk) return "a put is refused";
  Put(operation);
  changed = true;
  return {};
}

std::string Model::Apply(const raft::Entry& entry, const Checks::Result& result) {
  clock_ms_ = std::max(clock_ms_, entry.clock_ms);
  applied_ms_ = result.applied_ms;
  if (entry.kind != raft::EntryKind::kCommand) return {};
  kv::MessageBytes storage;
  kv::ParsedRequest request;
  if (!kv::ParseRequest(entry.payload.view(), SIZE_MAX, storage, request).ok()) return {};
  if (!request.operations.empty() &&
      request.operations[0].kind == kv::ParsedOperation::Kind::kExpire) {
    return Expire();
  }
  sent_ms_ = 0;
  if (sent_ != nullptr) {
    const auto sent = sent_->find({request.header.session, request.header.sequence});
    if (sent != sent_->end()) sent_ms_ = sent->second;
  }
  const bool is_upkeep = request.operations.size() == 1 && request.operations[0].IsUpkeep();
  if (is_upkeep && request.header.session == 0) return Upkeep(request.operations[0], nullptr);
  const auto response = kv::DecodeResponse(result.response.view(), request.operations.size());
  if (!response.ok()) return "its answer cannot be read: " + response.status().ToString();
  if (response->code != Code::kOk) return {};  // refused as a whole
  const auto [first, is_new] =
      answers_.try_emplace({request.header.session, request.header.sequence}, result.response);
  if (!is_new) {
    return first->second == result.response ? "" : "a repeated request has another answer";
  }
  if (response->revision != revision_) {
    return Told("the revision before it", static_cast<std::int64_t>(response->revision),
                static_cast<std::int64_t>(revision_));
  }
  if (is_upkeep) return Upkeep(request.operations[0], &response->results[0]);
  bool call_changed = false;
  for (std::size_t i = 0; i < request.operations.size(); ++i) {
    if (!request.operations[i].same_call && std::exchange(call_changed, false)) ++revision_;
    bool changed = false;
    std::string wrong = Carry(request.operations[i], response->results[i], changed);
    if (wrong.empty() && changed != response->results[i].changed) {
      wrong =
          changed ? "a change is told as none" : "nothing was changed, and it is told otherwise";
    }
    if (!wrong.empty()) return wrong;
    call_changed = call_changed || changed;
  }
  if (call_changed) ++revision_;
  return {};
}

}  // namespace raftkv::sim
