// Who may connect to this member, and what happens to connections that misbehave?
//
// One address for peers and clients. A connection completes a handshake as a peer or as a client,
// or it is closed at the deadline of the handshake. With TLS (rpc/tls/tls_port.h) that comes
// before, and who has not shown the certificate of a peer is not taken for one. There are limits
// for the number of connections; for the bytes of messages (each, and all incomplete ones together)
// and the time to complete one; for the number and bytes of calls; and for the bytes of answers and
// the time within which some of them must be read.
//
// Some of the connections are reserved for peers, so that clients cannot keep a cluster from
// working. The handshake shows which kind a connection is, so:
// - clients are refused, in their handshake, above max_connections - ReservedForPeers();
// - a connection without a handshake may use any free place; but when none is free, the oldest of
//   them makes room for the next one. A peer speaks as soon as it is connected, so it has completed
//   its handshake long before a hundred others connect after it; idle connections are the ones that
//   go.
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
#include "rpc/tls/tls_port.h"

namespace raftkv::rpc {

struct ServerOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  Limits limits;
  /// Fewer if this process may not have twice as many descriptors.
  std::uint32_t max_connections = 1024;
  Duration handshake_timeout = std::chrono::seconds(5);
  /// Bytes of answers that wait on all connections together; above this only small ones are kept.
  /// (The limit of one connection is in connection.h.)
  std::size_t max_queued_bytes = 256 << 20;
  /// Bytes of incomplete messages of clients; peers have as much for themselves. Small messages do
  /// not count.
  std::size_t max_unfinished_bytes = 128 << 20;
  /// A connection is closed if answers wait and the other side reads nothing of them for this long.
  /// So is one whose message stays incomplete (large ones have longer).
  Duration write_timeout = std::chrono::seconds(10);
  /// Shakes hands on all connections; outlives the server. Null: plain text.
  TlsPort* tls = nullptr;
  /// Plain text is what is wanted, whoever can connect.
  bool insecure = false;
  /// Version of the program, sent to clients.
  std::string version;
  node::LogSink log_sink;
};

/// Of that many connections. A cluster has 64 members at most; when all of the others reconnect,
/// the old connection of each may still be there.
constexpr std::uint32_t ReservedForPeers(std::uint32_t max_connections) {
  return std::min<std::uint32_t>(2 * 64, max_connections / 2);
}

/// Lives on the loop: create and destroy it there.
class Server {
 public:
  virtual ~Server() = default;
  /// `loop` and `service` outlive the server. Unavailable: the port is in use.
  static Result<std::unique_ptr<Server>> Listen(EventLoop& loop, Service& service,
                                                ServerOptions options);

  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
  /// Empty, or a warning: other machines can connect, and there is no TLS.
  [[nodiscard]] virtual const std::string& exposed() const = 0;
  /// Bytes of answers that wait to be read.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Bytes of incomplete messages.
  [[nodiscard]] virtual std::size_t unfinished_bytes() const = 0;
  /// Calls of peers whose returns can carry answers; lives as long as the server.
  [[nodiscard]] virtual HeldReplies& replies() = 0;
  /// Closes all connections, in a later turn; new ones are accepted.
  virtual void CloseAll() = 0;
  /// Closes the connections of all other peers, in a later turn.
  virtual void KeepPeers(const std::set<NodeId>& peers) = 0;
};

}  // namespace raftkv::rpc
