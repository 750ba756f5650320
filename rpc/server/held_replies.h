// Can an answer to a peer travel in the return of a call that the peer has made anyway?
//
// A follower acknowledges what a call of its leader brought. As a call of its own, the
// acknowledgement would cost three more messages and wake-ups. So the last call of each peer is
// held for a moment, and this member's answers go into its return. Lives on the loop.
#pragma once

#include <map>
#include <optional>
#include <utility>

#include <kj/async.h>
#include <kj/timer.h>

#include "lib/base/ids.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

class HeldReplies {
 public:
  using Context = capnp::CallContext<wire::Peer::DeliverParams, wire::Peer::DeliverResults>;
  struct Held {
    Context context;
    kj::Own<kj::PromiseFulfiller<void>> fulfiller;
  };

  /// Holds the call until Take(), the next one of the same peer, or for `kHoldFor`.
  kj::Promise<void> Hold(kj::Timer& timer, NodeId peer, Context context) {
    auto pair = kj::newPromiseAndFulfiller<void>();
    const auto earlier = held_.find(peer);
    if (earlier != held_.end()) {
      earlier->second.fulfiller->fulfill();
      held_.erase(earlier);
    }
    held_.emplace(peer, Held{context, kj::mv(pair.fulfiller)});
    return pair.promise.exclusiveJoin(timer.afterDelay(kHoldFor));
  }

  /// The held call of `peer`: set its results, then fulfill it.
  std::optional<Held> Take(NodeId peer) {
    const auto found = held_.find(peer);
    if (found == held_.end()) return std::nullopt;
    Held held = std::move(found->second);
    held_.erase(found);
    if (!held.fulfiller->isWaiting()) return std::nullopt;  // it has returned, or was lost
    return held;
  }

 private:
  /// Longer than a follower's write takes, and short enough for a call not to look hung.
  static constexpr kj::Duration kHoldFor = 20 * kj::MILLISECONDS;
  std::map<NodeId, Held> held_;  // one per peer
};

}  // namespace raftkv::rpc
