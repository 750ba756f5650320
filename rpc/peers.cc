#include "rpc/peers.h"

#include <algorithm>
#include <set>

#include "lib/base/check.h"
#include "rpc/peer_link.h"

namespace raftkv::rpc {

Peers::Peers(EventLoop& loop, PeersOptions options)
    : loop_(loop), options_(std::move(options)), random_(options_.seed) {}

Peers::~Peers() = default;

PeerLink* Peers::Find(NodeId id) const {
  if (id == kNobody) return nullptr;
  for (const auto& link : links_) {
    if (link->peer().id == id) return link.get();
  }
  return nullptr;
}

void Peers::Send(NodeId to, node::PeerMessage message) {
  if (PeerLink* link = Find(to)) {
    link->Send(std::move(message));
  } else {
    ++dropped_messages_;
  }
}

void Peers::SetPeers(std::vector<Peer> peers) {
  RAFTKV_CHECK(owner_ != nullptr);
  std::vector<std::unique_ptr<PeerLink>> links;
  std::set<NodeId> ids;
  for (Peer& peer : peers) {
    const auto same = std::find_if(links_.begin(), links_.end(), [&](const auto& link) {
      return link != nullptr && link->peer().name == peer.name &&
             link->peer().address == peer.address &&
             (link->peer().id == kNobody || peer.id == kNobody || link->peer().id == peer.id);
    });
    ids.insert(peer.id);
    if (same != links_.end()) {
      if (peer.id != kNobody) (*same)->set_id(peer.id);
      ids.insert((*same)->peer().id);
      links.push_back(std::move(*same));
    } else {
      links.push_back(std::make_unique<PeerLink>(*this, std::move(peer)));
    }
  }
  links_.swap(links);
  if (server_ != nullptr) server_->KeepPeers(ids);
  // This may be running inside a promise of a link that goes.
  std::erase(links, nullptr);
  if (links.empty()) return;
  auto going = std::make_shared<std::vector<std::unique_ptr<PeerLink>>>(std::move(links));
  loop_.RunLater([going] { going->clear(); });
}

void Peers::RetryNow(const std::string& name) {
  for (const auto& link : links_) {
    if (link->peer().name == name) link->RetryNow();
  }
}

bool Peers::Connected(NodeId peer) const {
  const PeerLink* link = Find(peer);
  return link != nullptr && link->ready();
}

}  // namespace raftkv::rpc
