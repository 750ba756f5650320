// How do messages reach the other members? One outbound connection to each, reopened whenever it is
// lost; messages from them arrive on the connections that they make (rpc/server/server.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/peers/link.h"
#include "rpc/peers/link_table.h"
#include "rpc/peers/peer_network.h"
#include "rpc/server/server.h"
#include "rpc/server/service.h"
#include "rpc/tls/tls_dialer.h"

namespace raftkv::rpc {

struct PeersOptions {
  LinkOptions link = {};
  /// Calls in flight to one peer; meanwhile messages gather.
  std::size_t max_calls = 16;
  std::size_t max_call_bytes = 32 << 20;
  /// Bytes put into one call (a larger message goes alone).
  std::size_t max_batch_bytes = 4 << 20;
  Duration connect_timeout = std::chrono::seconds(1);
  /// As a member; null: plain text.
  std::shared_ptr<const TlsDialer> tls = nullptr;
  /// For the jitter of the back-off.
  std::uint64_t seed = 1;
};

class PeerLink;

/// Lives on the loop.
class Peers final : public PeerNetwork {
 public:
  Peers(EventLoop& loop, PeersOptions options);
  ~Peers() override;

  /// Before the first SetPeers; `owner` outlives this.
  void SetOwner(PeerOwner& owner) { context_.owner = &owner; }

  /// The server that the others connect to; outlives this. Answers may travel in the returns of
  /// their calls (without it each is a call of its own), and connections of former peers are closed
  /// there.
  void SetServer(Server& server) { server_ = &server; }

  void Send(NodeId to, node::PeerMessage message) override;
  void SetPeers(std::vector<Peer> peers) override;
  void RetryNow(const std::string& name) override;
  void Verify(const std::string& name) override;

  [[nodiscard]] bool Connected(NodeId peer) const override;
  [[nodiscard]] std::uint64_t dropped_messages() const override {
    return context_.dropped_messages;
  }

 private:
  friend class PeerLink;

  EventLoop& loop_;
  const PeersOptions options_;
  Server* server_ = nullptr;
  LinkContext context_;
  LinkTable<PeerLink> links_;
};

}  // namespace raftkv::rpc
