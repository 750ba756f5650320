// How do members communicate over a transport of the host (<raftkv/transport.h>)?
//
// There are no connections: a *link* takes their place (raftkv.capnp, PeerFrame). Each member opens
// a link to each of the others with the same hello that it would send on a connection, and sends on
// it. Input counts only on a link that was accepted here, by this boot, from that boot, and only
// once. So nothing from an earlier boot of either side counts, and a duplicated frame has no
// effect.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/transport.h>

#include "rpc/loop/event_loop.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/peers/link.h"
#include "rpc/peers/link_table.h"
#include "rpc/peers/peer_network.h"
#include "rpc/peers/sequence_window.h"
#include "rpc/server/service.h"
#include "rpc/wire/frame.h"

namespace raftkv::rpc {

struct FramePeersOptions {
  LinkOptions link = {.resend_hello = std::chrono::milliseconds(100)};
  /// Messages gathered in one turn of the loop are sent in frames of this many bytes; a larger
  /// message alone.
  std::size_t max_batch_bytes = 1 << 20;
  /// Larger frames are not accepted.
  std::size_t max_frame_bytes = (16 << 20) + raftkv::Transport::kMaxFrameOverhead;
  /// Bytes of received frames that wait for the loop.
  std::size_t max_inbox_bytes = 64 << 20;
  /// Members of which something is remembered; there are at most 63 others.
  std::size_t max_known = 128;
  /// For the jitter of waits.
  std::uint64_t seed = 1;
};

class FrameLink;

/// Lives on the loop.
class FramePeers final : public PeerNetwork {
 public:
  /// All are borrowed and outlive it. Accepts frames from now on; uses the part of `service` that
  /// is for peers.
  FramePeers(EventLoop& loop, raftkv::Transport& transport, Service& service, PeerOwner& owner,
             FramePeersOptions options);
  ~FramePeers() override;

  void Send(NodeId to, node::PeerMessage message) override;
  void SetPeers(std::vector<Peer> peers) override;
  void RetryNow(const std::string& name) override;
  void Verify(const std::string& name) override;
  [[nodiscard]] bool Connected(NodeId peer) const override;
  [[nodiscard]] std::uint64_t dropped_messages() const override {
    return context_.dropped_messages;
  }

 private:
  friend class FrameLink;
  class Inbox;

  /// What is known about a member that sent a hello.
  struct Known {
    node::Boot boot;
    /// Its link that was judged last, and whether that is open.
    std::uint64_t number = 0;
    bool open = false;
    SequenceWindow had;
    /// For a repeated hello.
    std::string answer;
    /// A hello being judged.
    std::optional<LinkId> judging;
  };

  void OnFrame(const std::string& from, const std::string& bytes);
  void OnHello(const std::string& from, LinkId link, node::Hello hello);
  void OnJudged(const std::string& from, LinkId link, const node::Hello& hello,
                const node::HelloAnswer& answer);
  void OnDeliver(const std::string& from, LinkId link, DeliverFrame deliver);
  void SayClosed(const std::string& from, LinkId link);
  Known* Remember(NodeId member);
  FrameLink* FindLink(LinkId link) const;
  void Send(const std::string& to, const Frame& frame);
  void SendBytes(const std::string& to, std::string bytes);
  void RunTransport(const char* what, const std::function<void()>& call) const;

  EventLoop& loop_;
  raftkv::Transport& transport_;
  Service& service_;
  const FramePeersOptions options_;
  const std::shared_ptr<Inbox> inbox_;
  LinkContext context_;
  RateLimitedLog offences_;
  /// Of this boot.
  std::uint64_t next_number_ = 1;
  std::map<NodeId, Known> known_;
  LinkTable<FrameLink> links_;
  MonoTime said_closed_at_ = MonoTime::min();
  /// Expired for callbacks that run after the destructor.
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::rpc
