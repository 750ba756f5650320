// How is a range read whole, however many pages of the store it takes?
//
// etcd answers a range in one message. The store answers in pages of a few MiB, all at one revision
// once the first one is there; and it refuses to sort what does not fit into a page, which is then
// read by key and sorted here.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <raftkv/kv.h>

#include "lib/base/time.h"
#include "lib/session/session_call.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/outcome.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// What one answer has at most, keys and values together. More is refused: RESOURCE_EXHAUSTED.
inline constexpr std::size_t kMaxRangeBytes = 64 << 20;
/// What all reads that are not answered yet hold together.
inline constexpr std::size_t kMaxHeldRangeBytes = 256 << 20;

/// What the reads of a service share.
struct RangeReads {
  Backend& backend;
  /// Of the service: once it is gone, reads end without an answer.
  const ServiceLife& life;
  /// kMaxHeldRangeBytes in production.
  std::shared_ptr<node::CallBudget> budget;
  std::size_t max_answer_bytes = kMaxRangeBytes;
};

/// If the outcome is not ok, the answer is empty. Runs once, on the loop, perhaps before the call
/// returns.
using RangeDone = std::function<void(Outcome, RangeResponse)>;

/// Reads what `request` asks for, which CheckRange() has passed, until `deadline`. The header of
/// the answer is of the revision that it shows or, if the request names a revision, of the store's:
/// as linearizable as the read.
void ReadRange(const RangeReads& reads, const RangeRequest& request, MonoTime deadline,
               RangeDone done);

}  // namespace raftkv::etcd
