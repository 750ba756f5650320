// What does a read of a range have to show? All of it sorted and filtered, the plain way.
#include <algorithm>
#include <cstddef>

#include "tests/sim/judges/model.h"

namespace raftkv::sim {

namespace {

std::string Describe(const std::string& value, std::uint64_t revision, std::uint64_t version) {
  return "'" + value + "' of revision " + std::to_string(revision) + ", version " +
         std::to_string(version);
}

bool Within(std::uint64_t number, std::uint64_t min, std::uint64_t max) {
  return number >= min && (max == 0 || number <= max);
}

bool HasBounds(const kv::Order& order) {
  return order.min_mod_revision != 0 || order.max_mod_revision != 0 ||
         order.min_create_revision != 0 || order.max_create_revision != 0;
}

}  // namespace

std::vector<const Model::Item*> Model::Expected(const Keys& keys, const kv::ParsedRead& asked) {
  const kv::Order& order = asked.order;
  std::vector<const Item*> items;
  for (const Item& item : keys) {
    const Value& value = item.second;
    if (IsIn(asked.range, item.first) &&
        Within(value.mod_revision, order.min_mod_revision, order.max_mod_revision) &&
        Within(value.create_revision, order.min_create_revision, order.max_create_revision)) {
      items.push_back(&item);
    }
  }
  const auto less = [&](const Item* a, const Item* b) {
    switch (order.by) {
      case OrderBy::kKey: return a->first < b->first;
      case OrderBy::kModRevision: return a->second.mod_revision < b->second.mod_revision;
      case OrderBy::kCreateRevision: return a->second.create_revision < b->second.create_revision;
      case OrderBy::kVersion: return a->second.version < b->second.version;
      case OrderBy::kValue: return a->second.value < b->second.value;
    }
    return false;
  };
  // Stable: equal ones stay in the order of their keys.
  std::stable_sort(items.begin(), items.end(), [&](const Item* a, const Item* b) {
    return order.descending ? less(b, a) : less(a, b);
  });
  return items;
}

std::string Model::Compare(const kv::ParsedRead& asked, const ScanResult& found) const {
  if (found.revision != revision_) {
    return "the revision is told as " + std::to_string(found.revision) + ", and is " +
           std::to_string(revision_);
  }
  if (asked.revision > revision_) return "it shows a revision that was to come";
  if (asked.revision != 0 && asked.revision < compacted_) return "it shows what was compacted";
  const Keys past = asked.revision == 0 ? Keys() : KeysAt(asked.revision);
  const Keys& keys = asked.revision == 0 ? keys_ : past;
  // One that was left out says so without having looked.
  const bool left_out = found.more && found.kvs.empty() && found.count == 0;
  const auto total = static_cast<std::uint64_t>(std::count_if(
      keys.begin(), keys.end(), [&](const Item& item) { return IsIn(asked.range, item.first); }));
  const std::uint64_t count =
      asked.uncounted && !asked.count_only ? std::uint64_t{found.kvs.size()} : total;
  if (!left_out && found.count != count) {
    return "the number of keys is told as " + std::to_string(found.count) + ", and is " +
           std::to_string(count);
  }
  if (asked.count_only) return found.kvs.empty() ? "" : "a count shows keys";
  const std::vector<const Item*> items = Expected(keys, asked);
  for (std::size_t i = 0; i < found.kvs.size(); ++i) {
    const KeyValue& kv = found.kvs[i];
    if (i == items.size()) return "'" + kv.key + "' should be absent";
    const auto& [key, value] = *items[i];
    if (kv.key != key) return "'" + kv.key + "' is there instead of '" + key + "'";
    const bool same = kv.value == (asked.keys_only ? std::string() : value.value);
    const bool same_counts = kv.mod_revision == value.mod_revision && kv.version == value.version &&
                             kv.create_revision == value.create_revision && kv.lease == value.lease;
    if (!same || !same_counts) {
      return "'" + key + "' is " + Describe(kv.value, kv.mod_revision, kv.version) +
             " instead of " + Describe(value.value, value.mod_revision, value.version);
    }
  }
  const bool all = found.kvs.size() == items.size();
  if (!all && !found.more) return "'" + items[found.kvs.size()]->first + "' is missing";
  // Whether one that passes the filters follows may take too long to find out.
  if (all && found.more && !left_out && !HasBounds(asked.order)) {
    return "more is promised than there is";
  }
  return {};
}

std::string Model::CompareEnd(const kv::ParsedRead& asked, const ScanResult& found, bool first,
                              bool may_be_full) {
  if (asked.count_only) return found.more && first ? "the first count is left out" : "";
  if (asked.limit != 0 && found.kvs.size() > asked.limit) return "it shows more than its limit";
  const bool at_limit = asked.limit != 0 && found.kvs.size() == asked.limit;
  if (!found.more || at_limit) return {};
  if (first && found.kvs.empty()) return "the first read is left out";
  if (asked.order.NeedsAll() && !found.kvs.empty()) return "a sorted range is shown in part";
  return may_be_full || asked.max_bytes != 0 ? std::string() : "it ends before its limit";
}

}  // namespace raftkv::sim
