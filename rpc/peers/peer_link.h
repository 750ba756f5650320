// What is the state of the connection to one peer, and what waits to be sent on it?
//
//   waiting --(back-off over)--> connecting --> greeting --(accepted, both formed)--> ready
//      ^                             |             | ^ |                                |
//      +------(failed, lost, refused)+-------------+ +-+ (forming: again every 50 ms)   |
//      +------(lost)--------------------------------------------------------------------+
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rpc/loop/outbound.h"
#include "rpc/peers/peers.h"

namespace raftkv::rpc {

class PeerLink final : private kj::TaskSet::ErrorHandler {
 public:
  PeerLink(Peers& peers, node::Transport::Peer peer);
  ~PeerLink() noexcept;

  [[nodiscard]] const node::Transport::Peer& peer() const { return peer_; }
  /// Where it is sought, or was found.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// The same peer, which may have got an id or other addresses; address() is
  /// one of them.
  void Update(node::Transport::Peer peer) { peer_ = std::move(peer); }
  [[nodiscard]] bool ready() const { return state_ == State::kReady; }
  void Send(node::PeerMessage message);
  void RetryNow();
  /// See PeerNetwork::Verify.
  void Verify();

 private:
  enum class State : std::uint8_t { kWaiting, kConnecting, kGreeting, kReady };
  struct Queued {
    node::PeerMessage message;
    std::size_t words;
  };

  using Answered = capnp::Response<wire::Bootstrap::PeerResults>;

  [[nodiscard]] node::Dialled dialled() const { return {peer_.id, peer_.name, address_}; }
  void Connect();
  void Connected(std::unique_ptr<Outbound> connection);
  kj::Promise<Answered> SayHello(const node::Hello& hello);
  kj::Promise<void> Greet();
  kj::Promise<void> Greeted(wire::PeerAnswer::Reader answer, wire::Peer::Client peer, bool formed);
  void Refused(const std::string& why);
  /// The connection is gone or not wanted any more; tries again later.
  void Lose(const std::string& why, bool refused);
  void ScheduleFlush();
  void Flush();
  /// True: everything that waited went into the return of a call of the peer's.
  bool Answer();
  void Deliver();
  void TakeAnswers(wire::Peer::DeliverResults::Reader results);
  void Drop(bool lost_calls);
  /// Looks for it at its next address.
  void TurnToNext();
  void LogOnce(node::LogSeverity severity, const std::string& line);
  void taskFailed(kj::Exception&& exception) override;

  Peers& peers_;
  node::Transport::Peer peer_;
  std::string address_;
  State state_ = State::kWaiting;
  // Of the present connection: who we said we are, and which boot answered.
  NodeId own_id_;
  node::Boot boot_;
  Duration backoff_{};
  MonoTime retried_at_{};
  bool verifying_ = false;      ///< a hello on a connection that is ready is under way
  std::set<std::string> said_;  // so that one cause is logged once; since the last connection

  std::deque<Queued> queue_;
  std::size_t queued_words_ = 0;
  std::size_t calls_ = 0;
  std::size_t call_words_ = 0;
  bool flush_scheduled_ = false;
  bool unreachable_scheduled_ = false;

  std::unique_ptr<Outbound> connection_;
  std::optional<wire::Bootstrap::Client> bootstrap_;
  std::optional<wire::Peer::Client> remote_;
  /// Answered calls, read already: letting go of them sends a message each (Finish). They go
  /// together with the next call, so that the other side is not woken up for them alone.
  std::vector<capnp::Response<wire::Peer::DeliverResults>> answered_;
  // Destroyed first: their promises refer to all of the above. `connection_tasks_` are of the
  // present connection (or of the attempt at one), `link_tasks_` of the link.
  std::optional<kj::TaskSet> connection_tasks_;
  kj::TaskSet link_tasks_;
};

}  // namespace raftkv::rpc
