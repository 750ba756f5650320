#include "rpc/etcd/range_plan.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "rpc/etcd/errors.h"

namespace raftkv::etcd {
namespace {

template <class Names>
bool IsNamed(const Enum<Names>& value) {
  return value.value >= 0 && value.value < static_cast<std::int32_t>(std::size(Names::kNames));
}

OrderBy OrderOfTarget(const Enum<SortTargetNames>& target) {
  switch (target.value) {
    case SortTargetNames::kVersion: return OrderBy::kVersion;
    case SortTargetNames::kCreate: return OrderBy::kCreateRevision;
    case SortTargetNames::kMod: return OrderBy::kModRevision;
    case SortTargetNames::kValue: return OrderBy::kValue;
    default: return OrderBy::kKey;
  }
}

/// As a bound of the store: 0 is none. Revisions are positive.
std::uint64_t BoundOf(std::int64_t revision) {
  return revision > 0 ? static_cast<std::uint64_t>(revision) : 0;
}

bool HasBounds(const RangeRequest& request) {
  return request.min_mod_revision != 0 || request.max_mod_revision != 0 ||
         request.min_create_revision != 0 || request.max_create_revision != 0;
}

bool WithinBounds(const ScanOptions& bounds, const raftkv::KeyValue& kv) {
  const auto within = [](std::uint64_t revision, std::uint64_t min, std::uint64_t max) {
    return revision >= min && (max == 0 || revision <= max);
  };
  return within(kv.mod_revision, bounds.min_mod_revision, bounds.max_mod_revision) &&
         within(kv.create_revision, bounds.min_create_revision, bounds.max_create_revision);
}

bool IsBefore(OrderBy by, const raftkv::KeyValue& a, const raftkv::KeyValue& b) {
  switch (by) {
    case OrderBy::kModRevision: return a.mod_revision < b.mod_revision;
    case OrderBy::kCreateRevision: return a.create_revision < b.create_revision;
    case OrderBy::kVersion: return a.version < b.version;
    case OrderBy::kValue: return a.value < b.value;
    case OrderBy::kKey: break;
  }
  return a.key < b.key;
}

}  // namespace

Outcome CheckRange(const RangeRequest& request) {
  if (request.key.empty()) return kEmptyKey;
  if (!IsNamed(request.sort_order) || !IsNamed(request.sort_target)) return kInvalidSortOption;
  return {};
}

RangePlan PlanOf(const RangeRequest& request) {
  RangePlan plan;
  plan.keys = KeysOf(request.key, request.range_end);
  plan.limit = request.limit > 0 ? static_cast<std::uint64_t>(request.limit) : 0;
  plan.keys_only = request.keys_only;
  const bool none_passes = request.max_mod_revision < 0 || request.max_create_revision < 0;
  plan.shows_none = request.count_only || none_passes;

  ScanOptions& options = plan.options;
  options.count_only = plan.shows_none;
  if (plan.shows_none) {
    plan.limit = 0;
    return plan;
  }
  options.min_mod_revision = BoundOf(request.min_mod_revision);
  options.max_mod_revision = BoundOf(request.max_mod_revision);
  options.min_create_revision = BoundOf(request.min_create_revision);
  options.max_create_revision = BoundOf(request.max_create_revision);
  options.reverse = request.sort_order.value == SortOrderNames::kDescend;
  options.order = OrderOfTarget(request.sort_target);
  const bool no_order = request.sort_order.value == SortOrderNames::kNone;
  const bool bounds = HasBounds(request);
  if (no_order && options.order != OrderBy::kKey && plan.limit != 0 && !bounds) {
    plan.sorted_afterwards = std::exchange(options.order, OrderBy::kKey);
  }
  const bool by_key = options.order == OrderBy::kKey;
  plan.asks_for_one_more =
      plan.limit != 0 && by_key && (bounds || plan.sorted_afterwards.has_value());
  options.limit = plan.limit + (plan.asks_for_one_more ? 1 : 0);
  options.keys_only = plan.keys_only && plan.sorted_afterwards != OrderBy::kValue;
  // The number of pairs that are read is the count then.
  options.skip_count = plan.limit == 0 && !bounds;
  return plan;
}

RangeResponse AnswerOf(const RangePlan& plan, std::vector<raftkv::KeyValue> kvs,
                       std::uint64_t count, bool more) {
  RangeResponse answer;
  answer.count = static_cast<std::int64_t>(count);
  if (plan.shows_none) return answer;
  if (plan.keys.kind == NamedKeys::Kind::kSingle) {
    std::erase_if(kvs, [&](const auto& kv) { return !WithinBounds(plan.options, kv); });
  }
  if (plan.sorted_afterwards.has_value()) {
    std::stable_sort(kvs.begin(), kvs.end(), [&](const auto& a, const auto& b) {
      return IsBefore(*plan.sorted_afterwards, a, b);
    });
  }
  const bool one_more = plan.asks_for_one_more && kvs.size() > plan.limit;
  if (one_more) kvs.resize(plan.limit);
  answer.more = plan.asks_for_one_more ? one_more : more;
  answer.kvs.reserve(kvs.size());
  for (raftkv::KeyValue& kv : kvs) {
    if (plan.keys_only) kv.value.clear();
    answer.kvs.push_back(ToEtcd(std::move(kv)));
  }
  return answer;
}

}  // namespace raftkv::etcd
