#include "tests/sim/cluster/network.h"

#include <algorithm>
#include <utility>

#include "tests/sim/program/trace.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr Nanos kHelloTimeout = 3 * kSecond;
constexpr Nanos kMinBackoff = 10 * kMillisecond;
constexpr Nanos kMaxBackoff = 500 * kMillisecond;

}  // namespace

Nanos Network::Delay() { return Delay(world_.chance().network); }

Nanos Network::Delay(Random& random) const {
  if (Chance(random, plan_->late_ppm)) return Between(random, plan_->min_delay, plan_->max_delay);
  return plan_->min_delay + Between(random, 0, 2 * (plan_->mean_delay - plan_->min_delay));
}

// --- Connections.

void Network::SetPeers(Host& from, std::vector<node::Transport::Peer> peers) {
  for (const auto& to : world_.hosts()) {
    if (to->index == from.index) continue;
    // Of several links to one address that with the right id comes about.
    auto wanted = std::find_if(peers.begin(), peers.end(), [&](const auto& peer) {
      return peer.address == to->name && peer.id == to->disk.member;
    });
    if (wanted == peers.end()) {
      wanted = std::find_if(peers.begin(), peers.end(),
                            [&](const auto& peer) { return peer.address == to->name; });
    }
    Connection& connection = At(from, *to);
    if (wanted == peers.end()) {
      // As rpc/ does: who is no peer any more says hello again, and hears why.
      if (connection.state != State::kUnwanted) Break(*to, from);
      ++connection.version;
      connection.state = State::kUnwanted;
      continue;
    }
    const bool wants = connection.state != State::kUnwanted;
    const bool named = wanted->id == kNobody && wanted->name == connection.name;
    const bool other = connection.peer != kNobody && connection.peer != wanted->id && !named;
    // Who was known by name only has got its id when it answered.
    if (!wants || !named) connection.peer = wanted->id;
    connection.name = wanted->name;
    // Whose boots are trusted anew has to say which one it is.
    const bool anew =
        std::exchange(connection.incarnation, wanted->incarnation) != wanted->incarnation;
    if (wants && !other && !anew) continue;
    connection.backoff = 0;
    Dial(from, *to, Delay());
  }
}

void Network::Dial(Host& from, Host& to, Nanos after) {
  Connection& connection = At(from, to);
  connection.state = State::kWaiting;
  const std::uint32_t version = ++connection.version;
  world_.AtHost(from, after, [this, &from, &to, version] {
    if (At(from, to).version == version) Greet(from, to);
  });
}

void Network::DialLater(Host& from, Host& to, bool refused) {
  Connection& connection = At(from, to);
  connection.backoff =
      refused ? kMaxBackoff : std::clamp(2 * connection.backoff, kMinBackoff, kMaxBackoff);
  Dial(from, to, Between(world_.chance().network, connection.backoff / 2, connection.backoff));
}

/// The dialler finds out after a while.
bool Network::BreaksWhileGreeting(Host& from, Host& to) {
  if (!Chance(hellos_, plan_->hello_loss_ppm)) return false;
  world_.Count(Fault::kHelloLost);
  const std::uint32_t version = At(from, to).version;
  world_.AtHost(from, Between(hellos_, kMillisecond, 500 * kMillisecond),
                [this, &from, &to, version] {
                  if (At(from, to).version == version) Lose(from, to, false);
                });
  return true;
}

void Network::Greet(Host& from, Host& to) {
  Connection& connection = At(from, to);
  const std::uint32_t version = ++connection.version;
  connection.state = State::kGreeting;
  if (Blocked(from.index, to.index) || Blocked(to.index, from.index) || !to.running()) {
    DialLater(from, to, false);
    return;
  }
  node::Hello hello = from.process->member().MakeHello(connection.peer, connection.name);
  world_.AtHost(from, kHelloTimeout, [this, &from, &to, version] {
    if (At(from, to).version == version) Lose(from, to, false);
  });
  if (BreaksWhileGreeting(from, to)) return;
  world_.AtHost(to, Delay(),
                [this, &from, epoch = from.epoch, version, &to, hello = std::move(hello)] {
                  OnHello(from, epoch, version, to, hello);
                });
}

void Network::OnHello(Host& from, std::uint32_t from_epoch, std::uint32_t version, Host& to,
                      const node::Hello& hello) {
  const bool formed = hello.cluster != ClusterId();
  const auto answered = [this, &from, from_epoch, version, &to, to_epoch = to.epoch,
                         formed](const node::HelloAnswer& answer) {
    if (to.epoch != to_epoch || !to.running()) return;
    const bool retry = answer.refusal.empty() || answer.verifying;
    if (retry && At(to, from).state == State::kWaiting) Dial(to, from, Delay());
    if (Blocked(to.index, from.index)) return;
    if (from.running() && BreaksWhileGreeting(from, to)) return;
    world_.At(Delay(), [this, &from, from_epoch, version, &to, formed, answer] {
      world_.OnHost(from, from_epoch, [this, &from, version, &to, formed, answer] {
        OnHelloAnswer(from, to, version, formed, answer);
      });
    });
  };
  to.process->member().OnHello(hello, answered);
}

void Network::OnHelloAnswer(Host& from, Host& to, std::uint32_t version, bool formed,
                            const node::HelloAnswer& answer) {
  if (At(from, to).version != version) return;
  const node::Dialled dialled{At(from, to).peer, At(from, to).name, to.name};
  Status status = from.process->member().OnHelloAnswer(answer, dialled);
  Connection& connection = At(from, to);
  if (connection.version != version) return;
  if (status.ok() && connection.peer == kNobody) connection.peer = answer.self.member;
  if (status.ok() && answer.self.member != connection.peer) {
    status = {Code::kPermissionDenied, "another member answers"};
  }
  if (status.ok() && !formed) status = {Code::kUnavailable, "forming"};
  if (world_.tracing()) {
    world_.Trace("%s: hello to %s: %s", from.name.c_str(), to.name.c_str(),
                 status.ToString().c_str());
  }
  if (status.code() == Code::kUnavailable) {
    Dial(from, to, node::Member::kFormationPoll.count());
  } else if (!status.ok()) {
    Lose(from, to, true);
  } else {
    connection.state = State::kUp;
    ++connection.version;
    connection.backoff = 0;
  }
}

void Network::Lose(Host& from, Host& to, bool refused) {
  const Connection& connection = At(from, to);
  if (connection.state == State::kUnwanted) return;
  const bool was_up = connection.state == State::kUp;
  const NodeId peer = connection.peer;
  DialLater(from, to, refused);
  if (was_up && from.running() && peer != kNobody) from.process->member().PeerUnreachable(peer);
}

void Network::Break(Host& from, Host& to) {
  if (At(from, to).state != State::kUp) return;
  const NodeId id = from.disk.member;
  world_.Trace("the connection from %s to %s breaks", from.name.c_str(), to.name.c_str());
  const std::uint32_t version = At(from, to).version;
  if (from.running()) {
    world_.AtHost(from, Delay(), [this, &from, &to, version] {
      if (At(from, to).version == version) Lose(from, to, false);
    });
  }
  if (to.running()) {
    world_.AtHost(to, Delay(), [&to, id] { to.process->member().PeerDisconnected(id); });
  }
}

void Network::HostDown(Host& host) {
  for (const auto& other : world_.hosts()) {
    if (other->index == host.index) continue;
    Break(host, *other);
    if (At(*other, host).state == State::kGreeting && other->running()) {
      DialLater(*other, host, false);
    }
    Break(*other, host);
    Connection& connection = At(host, *other);
    ++connection.version;
    const std::uint32_t version = connection.version;
    connection = Connection();
    connection.version = version;
  }
}

// --- Messages.

void Network::Send(Host& from, NodeId to, node::PeerMessage message) {
  for (const auto& host : world_.hosts()) {
    Connection& connection = connections_[from.index][host->index];
    if (connection.peer != to || connection.state == State::kUnwanted) continue;
    if (connection.state == State::kUp) {
      Transmit(from, *host, std::move(message));
    } else if (!connection.unreachable_scheduled) {
      connection.unreachable_scheduled = true;
      world_.AtHost(from, 0, [this, &from, target = host.get(), to] {
        At(from, *target).unreachable_scheduled = false;
        from.process->member().PeerUnreachable(to);
      });
    }
    return;
  }
}

void Network::Transmit(Host& from, Host& to, node::PeerMessage message) {
  Random& random = world_.chance().network;
  ++world_.stats().messages;
  if (Blocked(from.index, to.index)) return;
  if (Chance(random, plan_->loss_ppm)) {
    world_.Count(Fault::kLoss);
    return;
  }
  // A request that is handed on is not repeated by any transport: its copies could have different
  // outcomes, and only one of them would be heard.
  const bool may_double = !std::holds_alternative<node::ForwardSubmit>(message);
  if (may_double && Chance(random, plan_->duplicate_ppm)) {
    world_.Count(Fault::kDuplicate);
    const Flight copy{from.disk.member, from.disk.boot, message};
    world_.scheduler().Add(world_.now() + Delay(), EventKind::kMessage, to.index, 0,
                           flights_.Put(copy));
  }
  const Nanos arrival = world_.now() + Delay();
  Connection& connection = At(from, to);
  if (arrival < connection.last_arrival) world_.Count(Fault::kReorder);
  connection.last_arrival = std::max(connection.last_arrival, arrival);
  world_.scheduler().Add(arrival, EventKind::kMessage, to.index, 0,
                         flights_.Put({from.disk.member, from.disk.boot, std::move(message)}));
}

void Network::Deliver(const Event& event) {
  Flight flight = flights_.Take(event.slot);
  Host& to = world_.host(event.host);
  if (!to.running()) return;
  const bool known = to.process->member().KnowsBoot(flight.from, flight.boot);
  if (world_.tracing()) {
    world_.Trace("%s: %s%s", to.name.c_str(),
                 known ? "" : "ignored: ", Describe(flight.message).c_str());
  }
  if (!known) return;
  world_.checks().OnHeard(to, flight.from, flight.boot);
  if (const auto* message = std::get_if<raft::Message>(&flight.message)) {
    world_.checks().OnDeliver(to, *message);
  }
  to.process->member().Receive(flight.from, flight.boot, std::move(flight.message));
}

}  // namespace raftkv::sim
