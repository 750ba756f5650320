// How do messages and hellos get from host to host, and what becomes of them on the way?
//
// Each host keeps one connection to each peer, made again whenever it is lost, as rpc/ does; a
// connection counts once its hello was accepted. Beyond what TCP allows, messages on it may be
// lost, doubled and overtaken: the core must bear it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/node/member.h"
#include "tests/sim/cluster/host.h"
#include "tests/sim/faults/plan.h"

namespace raftkv::sim {

inline constexpr std::size_t kMaxHosts = 10;

class Network {
 public:
  Network(World& world, std::uint64_t seed)
      : world_(world), plan_(nullptr), hellos_(seed ^ 0x7d00) {}

  void Start(const NetworkPlan& plan) { plan_ = calm_ = &plan; }
  void SetPlan(const NetworkPlan* plan) { plan_ = plan == nullptr ? calm_ : plan; }

  // --- What a process asks for.
  void SetPeers(Host& from, std::vector<node::Transport::Peer> peers);
  void Send(Host& from, NodeId to, node::PeerMessage message);

  void Deliver(const Event& event);
  /// A message to a process that is gone.
  void Forget(const Event& event) { flights_.Take(event.slot); }
  /// The process of `host` is gone: its connections break.
  void HostDown(Host& host);

  // --- Faults.
  void Block(std::size_t from, std::size_t to) { ++blocked_[from][to]; }
  void Unblock(std::size_t from, std::size_t to) { --blocked_[from][to]; }
  [[nodiscard]] bool Blocked(std::size_t from, std::size_t to) const {
    return blocked_[from][to] > 0;
  }
  void Break(Host& from, Host& to);

  Nanos Delay();
  /// The same, drawn from elsewhere.
  [[nodiscard]] Nanos Delay(Random& random) const;

 private:
  struct Flight {
    NodeId from;
    node::Boot boot;
    node::PeerMessage message;
  };
  enum class State : std::uint8_t { kUnwanted, kWaiting, kGreeting, kUp };
  struct Connection {
    State state = State::kUnwanted;
    std::uint32_t version = 0;  ///< raised whenever the state changes
    NodeId peer;
    std::string name;
    std::uint64_t incarnation = 1;
    Nanos backoff = 0;
    bool unreachable_scheduled = false;
    Nanos last_arrival = 0;
  };

  void Dial(Host& from, Host& to, Nanos after);
  void DialLater(Host& from, Host& to, bool refused);
  void Greet(Host& from, Host& to);
  void OnHello(Host& from, std::uint32_t from_epoch, std::uint32_t version, Host& to,
               const node::Hello& hello);
  void OnHelloAnswer(Host& from, Host& to, std::uint32_t version, bool formed,
                     const node::HelloAnswer& answer);
  [[nodiscard]] bool BreaksWhileGreeting(Host& from, Host& to);
  void Lose(Host& from, Host& to, bool refused);
  void Transmit(Host& from, Host& to, node::PeerMessage message);
  Connection& At(const Host& from, const Host& to) { return connections_[from.index][to.index]; }

  World& world_;
  const NetworkPlan* plan_;
  const NetworkPlan* calm_ = nullptr;
  std::array<std::array<Connection, kMaxHosts>, kMaxHosts> connections_;
  std::array<std::array<int, kMaxHosts>, kMaxHosts> blocked_{};
  Slots<Flight> flights_;
  Random hellos_;
};

}  // namespace raftkv::sim
