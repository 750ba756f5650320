// Who may connect to this member, and what happens to those who do not behave?
//
// One address for peers and clients. A connection has one of three lives: it shakes hands as a
// peer, or as a client, or it is closed at the handshake's deadline. Connections are bounded in
// number, their messages in bytes, their calls in number and bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/event_loop.h"
#include "rpc/held_replies.h"
#include "rpc/service.h"

namespace raftkv::rpc {

struct ServerOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  Limits limits;
  std::uint32_t max_connections = 1024;
  Duration handshake_timeout = std::chrono::seconds(5);
  /// Of the program, told to clients.
  std::string version;
  node::LogSink log_sink;
};

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
  /// Calls of peers whose returns can carry answers; lives as long as the server.
  [[nodiscard]] virtual HeldReplies& replies() = 0;
};

}  // namespace raftkv::rpc
