#include "rpc/peers/peers.h"

#include <memory>
#include <set>
#include <utility>

#include "lib/base/check.h"
#include "rpc/peers/peer_link.h"

namespace raftkv::rpc {

Peers::Peers(EventLoop& loop, PeersOptions options)
    : loop_(loop),
      options_(std::move(options)),
      context_{loop, nullptr, options_.link, Random(options_.seed)} {}

Peers::~Peers() = default;

void Peers::Send(NodeId to, node::PeerMessage message) {
  if (PeerLink* link = links_.Find(to)) {
    link->Send(std::move(message));
  } else {
    ++context_.dropped_messages;
  }
}

void Peers::SetPeers(std::vector<Peer> peers) {
  RAFTKV_CHECK(context_.owner != nullptr);
  const std::set<NodeId> ids = links_.Replace(loop_, std::move(peers), [this](Peer peer) {
    return std::make_unique<PeerLink>(*this, std::move(peer));
  });
  if (server_ != nullptr) server_->KeepPeers(ids);
}

void Peers::RetryNow(const std::string& name) { links_.RetryNow(name); }
void Peers::Verify(const std::string& name) { links_.Verify(name); }

bool Peers::Connected(NodeId peer) const { return links_.Connected(peer); }

}  // namespace raftkv::rpc
