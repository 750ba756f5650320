// What does a node serve over HTTP? /metrics, /livez and /readyz.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/tls/tls_port.h"

namespace raftkv::rpc {

struct HttpOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  /// When this many are open, the oldest makes room for the next: idle connections cannot keep out
  /// a probe. Fewer if this process may have few descriptors.
  std::uint32_t max_connections = 64;
  /// For a complete request. A connection carries one.
  Duration request_timeout = std::chrono::seconds(5);
  /// For a connection, whatever it does.
  Duration connection_life = std::chrono::seconds(60);
  /// Shakes hands on all connections; outlives the server. Null: plain text.
  TlsPort* tls = nullptr;
  node::LogSink log_sink;
};

/// Both run on the loop.
struct HttpHandlers {
  std::function<std::string()> metrics;
  /// Ok, or why the node cannot serve now.
  std::function<Status()> ready;
};

/// Lives on the loop: create and destroy it there.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  static Result<std::unique_ptr<HttpServer>> Listen(EventLoop& loop, HttpHandlers handlers,
                                                    HttpOptions options);
  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
};

}  // namespace raftkv::rpc
