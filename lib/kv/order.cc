#include "lib/kv/order.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::kv {
namespace {

bool Within(std::uint64_t revision, std::uint64_t min, std::uint64_t max) {
  return (min == 0 || revision >= min) && (max == 0 || revision <= max);
}

std::uint64_t NumberOf(OrderBy by, const Counts& counts) {
  switch (by) {
    case OrderBy::kModRevision: return counts.mod_revision;
    case OrderBy::kCreateRevision: return counts.create_revision;
    case OrderBy::kVersion: return counts.version;
    case OrderBy::kKey:
    case OrderBy::kValue: break;
  }
  return 0;
}

struct PairView {
  std::string_view key;
  std::string_view value;
  const Counts& counts;
};

PairView ViewOf(const Sorter::Pair& pair) { return {pair.key, pair.value, pair.counts}; }

/// Below zero: `a` is less than `b` in what they are sorted by.
int CompareBy(OrderBy by, const PairView& a, const PairView& b) {
  if (by == OrderBy::kKey) return a.key.compare(b.key);
  if (by == OrderBy::kValue) return a.value.compare(b.value);
  const std::uint64_t x = NumberOf(by, a.counts);
  const std::uint64_t y = NumberOf(by, b.counts);
  if (x == y) return 0;
  return x < y ? -1 : 1;
}

bool IsBefore(const Order& order, const PairView& a, const PairView& b) {
  const int compared = CompareBy(order.by, a, b);
  if (compared == 0) return a.key < b.key;
  return (compared < 0) != order.descending;
}

}  // namespace

bool Passes(const Order& order, const Counts& counts) {
  return Within(counts.mod_revision, order.min_mod_revision, order.max_mod_revision) &&
         Within(counts.create_revision, order.min_create_revision, order.max_create_revision);
}

bool Sorter::Add(std::string_view key, std::string_view value, const Counts& counts,
                 std::size_t bytes) {
  ++added_;
  const auto before = [this](const Pair& a, const Pair& b) {
    return IsBefore(order_, ViewOf(a), ViewOf(b));
  };
  if (limit_ != 0 && kept_.size() == limit_) {
    if (!IsBefore(order_, {key, value, counts}, ViewOf(kept_.front()))) return true;
    std::pop_heap(kept_.begin(), kept_.end(), before);
    RAFTKV_CHECK(bytes_ >= kept_.back().bytes, bytes_);
    bytes_ -= kept_.back().bytes;
    kept_.pop_back();
  }
  if (!kept_.empty() && bytes_ + bytes > max_bytes_) return false;
  bytes_ += bytes;
  kept_.push_back({std::string(key), std::string(value), counts, bytes});
  if (limit_ != 0) std::push_heap(kept_.begin(), kept_.end(), before);
  return true;
}

std::vector<Sorter::Pair> Sorter::Take() {
  std::sort(kept_.begin(), kept_.end(), [this](const Pair& a, const Pair& b) {
    return IsBefore(order_, ViewOf(a), ViewOf(b));
  });
  bytes_ = 0;
  return std::exchange(kept_, {});
}

}  // namespace raftkv::kv
