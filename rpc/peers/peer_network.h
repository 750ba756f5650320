// What does a member need of its way to the others, whichever it is? (rpc/peers/peers.h over
// connections, rpc/peers/frame_peers.h over a transport of the host's)
#pragma once

#include <cstdint>
#include <string>

#include "lib/node/ports.h"

namespace raftkv::rpc {

/// Lives on the loop. Destroy it before the Server and the member.
class PeerNetwork : public node::Transport {
 public:
  /// The peer of that name has just said hello to us: it is there, so try now.
  virtual void RetryNow(const std::string& name) = 0;
  /// The peer of that name has said hello under a boot that was not confirmed. If there is no link
  /// to it: as RetryNow; otherwise: the link goes unless that which it leads to is still there.
  virtual void Verify(const std::string& name) = 0;
  /// Our hello was accepted by it, and nothing is known to have ended that.
  [[nodiscard]] virtual bool Connected(NodeId peer) const = 0;
  [[nodiscard]] virtual std::uint64_t dropped_messages() const = 0;
};

}  // namespace raftkv::rpc
