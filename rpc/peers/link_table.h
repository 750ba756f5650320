// Which links to the other members exist, whatever carries them? (rpc/peers/peers.h,
// rpc/peers/frame_peers.h)
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::rpc {

/// Lives on the loop.
template <class Link>
class LinkTable {
 public:
  using Peer = node::Transport::Peer;

  template <class Which>
  Link* FindIf(const Which& which) const {
    for (const auto& link : links_) {
      if (which(*link)) return link.get();
    }
    return nullptr;
  }
  Link* Find(NodeId id) const {
    if (id == kNobody) return nullptr;
    return FindIf([id](const Link& link) { return link.peer().id == id; });
  }
  void RetryNow(const std::string& name) const {
    for (const auto& link : links_) {
      if (link->peer().name == name) link->RetryNow();
    }
  }
  void Verify(const std::string& name) const {
    for (const auto& link : links_) {
      if (link->peer().name == name) link->Verify();
    }
  }
  [[nodiscard]] bool Connected(NodeId id) const {
    const Link* link = Find(id);
    return link != nullptr && link->ready();
  }

  /// Links to `peers` from now on: existing ones stay if their peer may still be at their address,
  /// `make` creates the others. A peer known only by name may have an id now. Returns the ids of
  /// all of them.
  template <class Make>
  std::set<NodeId> Replace(EventLoop& loop, std::vector<Peer> peers, const Make& make) {
    std::vector<std::unique_ptr<Link>> links;
    std::set<NodeId> ids;
    for (Peer& peer : peers) {
      const auto same = std::find_if(links_.begin(), links_.end(), [&](const auto& link) {
        return link != nullptr && link->peer().name == peer.name &&
               IsOneOf(peer, link->address()) && link->peer().incarnation == peer.incarnation &&
               (link->peer().id == kNobody || peer.id == kNobody || link->peer().id == peer.id);
      });
      if (same != links_.end()) {
        if (peer.id == kNobody) peer.id = (*same)->peer().id;
        (*same)->Update(std::move(peer));
        links.push_back(std::move(*same));
      } else {
        links.push_back(make(std::move(peer)));
      }
      ids.insert(links.back()->peer().id);
    }
    links_.swap(links);
    // This may be running inside a call, or a promise, of a link that is removed.
    std::erase(links, nullptr);
    if (links.empty()) return ids;
    auto going = std::make_shared<std::vector<std::unique_ptr<Link>>>(std::move(links));
    loop.RunLater([going] { going->clear(); });
    return ids;
  }

 private:
  static bool IsOneOf(const Peer& peer, const std::string& address) {
    return peer.address == address ||
           std::find(peer.also.begin(), peer.also.end(), address) != peer.also.end();
  }

  std::vector<std::unique_ptr<Link>> links_;  // by name; a handful
};

/// The address of `peer` after `address`; after the last one, the first.
inline std::string NextAddress(const node::Transport::Peer& peer, const std::string& address) {
  if (peer.also.empty()) return peer.address;
  if (address == peer.address) return peer.also.front();
  const auto at = std::find(peer.also.begin(), peer.also.end(), address);
  return at == peer.also.end() || at + 1 == peer.also.end() ? peer.address : *(at + 1);
}

}  // namespace raftkv::rpc
