// How is a RangeRequest asked of the store, and how does its answer come of what is found?
//
// Nothing is read here: a range by itself (range_read.h) and one in a transaction (txn_mapping.h)
// are asked and answered alike.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <raftkv/kv.h>

#include "rpc/etcd/key_range.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/outcome.h"

namespace raftkv::etcd {

/// What etcd refuses before it looks at its store: an empty key, an order that there is not.
Outcome CheckRange(const RangeRequest& request);

struct RangePlan {
  NamedKeys keys;
  /// Of a range; of a single key they are applied to what was found (AnswerOf).
  ScanOptions options;

  // What is left to do with the pairs that are found.

  /// Of the answer; 0: none. `options` ask for one more where only that shows whether another pair
  /// follows.
  std::uint64_t limit = 0;
  bool asks_for_one_more = false;
  /// Nothing but the count is shown: it was asked for, or no pair can lie within the bounds.
  bool shows_none = false;
  bool keys_only = false;
  /// etcd with a limit and a target, but no order: the first pairs by key, ordered among each
  /// other.
  std::optional<OrderBy> sorted_afterwards = std::nullopt;
};

/// `request` has been checked. Its revision is not in the options.
RangePlan PlanOf(const RangeRequest& request);

/// The answer, without its header. `kvs`: what was found by `plan.options`, or the single key;
/// `count` and `more` as ScanResult has them.
RangeResponse AnswerOf(const RangePlan& plan, std::vector<raftkv::KeyValue> kvs,
                       std::uint64_t count, bool more);

}  // namespace raftkv::etcd
