// Who may connect to this member, and what happens to those who do not behave?
//
// One address for peers and clients. A connection has one of three lives: it shakes hands as a
// peer, or as a client, or it is closed at the handshake's deadline. Connections are bounded in
// number, their messages in bytes (each, and all together that are not whole yet) and in the time
// to become whole, their calls in number and bytes, their answers in bytes and in the time in which
// something of them must be taken.
//
// A part of the connections is reserved for peers, so that clients cannot keep a cluster from
// working. Who a connection belongs to is known only once it has shaken hands, so:
// - clients are refused, in their handshake, above max_connections - ReservedForPeers();
// - who has not shaken hands yet may use whatever is free; but when nothing is, the oldest of them
//   makes room for the next one. A peer speaks as soon as it is connected, so it is through long
//   before a hundred others have connected behind it; who only sits there is what goes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/server/held_replies.h"
#include "rpc/server/service.h"

namespace raftkv::rpc {

struct ServerOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  Limits limits;
  /// Fewer where the system does not give this process twice as many descriptors.
  std::uint32_t max_connections = 1024;
  Duration handshake_timeout = std::chrono::seconds(5);
  /// Answers that wait on all connections together; above it only small ones are kept. (The bound
  /// of one connection is in connection.h.)
  std::size_t max_queued_bytes = 256 << 20;
  /// Of messages of clients that have not come in whole; peers have as much for themselves. Small
  /// messages do not count.
  std::size_t max_unfinished_bytes = 128 << 20;
  /// Answers wait, and the other side takes nothing of them for so long: it is closed. So is one
  /// whose message has not become whole (large ones have longer).
  Duration write_timeout = std::chrono::seconds(10);
  /// Of the program, told to clients.
  std::string version;
  node::LogSink log_sink;
};

/// Of that many connections. A cluster has 64 members at most; when all of the others connect anew,
/// the old connection of each may still be there.
constexpr std::uint32_t ReservedForPeers(std::uint32_t max_connections) {
  return std::min<std::uint32_t>(2 * 64, max_connections / 2);
}

/// Lives on the loop: make and destroy it there.
class Server {
 public:
  virtual ~Server() = default;
  /// `loop` and `service` outlive the server. Unavailable: the port is in use.
  static Result<std::unique_ptr<Server>> Listen(EventLoop& loop, Service& service,
                                                ServerOptions options);

  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
  /// Of answers that wait to be taken by those who asked.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Of messages that are not whole yet.
  [[nodiscard]] virtual std::size_t unfinished_bytes() const = 0;
  /// Calls of peers whose returns can carry answers; lives as long as the server.
  [[nodiscard]] virtual HeldReplies& replies() = 0;
  /// Closes all connections, in a later turn; new ones are taken.
  virtual void CloseAll() = 0;
  /// Closes the connections of all other peers, in a later turn.
  virtual void KeepPeers(const std::set<NodeId>& peers) = 0;
};

}  // namespace raftkv::rpc
