// What does a member need from its network to the others, whichever it is? (rpc/peers/peers.h over
// connections, rpc/peers/frame_peers.h over a transport of the host's)
#pragma once

#include <cstdint>
#include <string>

#include "lib/node/ports.h"

namespace raftkv::rpc {

/// Lives on the loop. Destroy it before the Server and the member.
class PeerNetwork : public node::Transport {
 public:
  /// The peer of that name has just sent us a hello: it is up, so try now.
  virtual void RetryNow(const std::string& name) = 0;
  /// The peer of that name has sent a hello under an unconfirmed boot. If there is no link to it:
  /// as RetryNow; otherwise the link ends unless the boot at its other end is still there.
  virtual void Verify(const std::string& name) = 0;
  /// It accepted our hello, and the link is not known to have ended since.
  [[nodiscard]] virtual bool Connected(NodeId peer) const = 0;
  [[nodiscard]] virtual std::uint64_t dropped_messages() const = 0;
};

}  // namespace raftkv::rpc
