// What is the state of our link to one peer, and what waits to be sent on it?
//
//   greeting --(accepted, both formed)--> ready --(closed, or the peer restarted)--> greeting
//    ^ |  ^ |
//    | |  | +--(refused)--> waiting --(back-off over)--+
//    | |  +--------------------------------------------+
//    | +--(one of the two is still forming)--> forming
//    +--------(50 ms)-----------------------------+
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rpc/peers/frame_peers.h"

namespace raftkv::rpc {

class FrameLink {
 public:
  /// Says hello.
  FrameLink(FramePeers& peers, node::Transport::Peer peer);

  [[nodiscard]] const node::Transport::Peer& peer() const { return peer_; }
  /// Where it is sought, or was found.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// The same peer, which may have got an id or other addresses; address() is
  /// one of them.
  void Update(node::Transport::Peer peer) { peer_ = std::move(peer); }
  [[nodiscard]] LinkId id() const { return id_; }
  [[nodiscard]] bool ready() const { return state_ == State::kReady; }

  void Send(node::PeerMessage message);
  void OnAnswer(const node::HelloAnswer& answer);
  /// The peer says that it knows no such link.
  void OnClosed();
  /// The peer has said hello under `boot`.
  void OnBoot(node::Boot boot);
  /// The peer is there: no reason to wait.
  void RetryNow();
  /// See PeerNetwork::Verify.
  void Verify();

 private:
  enum class State : std::uint8_t { kWaiting, kForming, kGreeting, kReady };

  void Greet();
  void SendHello();
  void Wait(State state, Duration wait);
  void Lose(const std::string& why);
  void Flush();
  void ReportUnreachable();
  /// Looks for it at its next address.
  void TurnToNext();
  void LogOnce(node::LogSeverity severity, const std::string& line);
  /// Runs `work` after `wait` unless the state has changed by then, or the link is gone.
  void After(Duration wait, void (FrameLink::*work)());

  FramePeers& peers_;
  node::Transport::Peer peer_;
  std::string address_;
  State state_ = State::kWaiting;
  std::uint64_t changes_ = 0;  ///< of the state
  LinkId id_;
  /// Of the link that is being opened, or open.
  std::string hello_;
  bool hello_formed_ = false;
  NodeId own_id_;
  Duration resend_{};
  MonoTime verified_at_{};
  int hellos_ = 0;   ///< that were sent at this address
  node::Boot boot_;  ///< of the peer, that accepted it
  std::uint64_t next_sequence_ = 1;
  std::vector<node::PeerMessage> queue_;  ///< of this turn of the loop
  bool flush_scheduled_ = false;
  bool unreachable_scheduled_ = false;
  std::set<std::string> said_;  // so that one cause is logged once; since the last link
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::rpc
