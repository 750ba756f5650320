// What does a node show over HTTP? /metrics, /livez and /readyz.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::rpc {

struct HttpOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  /// When there are as many, the oldest makes room for the next: a probe is not kept out by those
  /// who only connect. Fewer where the system gives this process few descriptors.
  std::uint32_t max_connections = 64;
  /// Of a whole request. A connection carries one.
  Duration request_timeout = std::chrono::seconds(5);
  /// Of a connection, whatever it does.
  Duration connection_life = std::chrono::seconds(60);
  node::LogSink log_sink;
};

/// Both run on the loop.
struct HttpHandlers {
  std::function<std::string()> metrics;
  /// Ok, or why the node cannot serve now.
  std::function<Status()> ready;
};

/// Lives on the loop: make and destroy it there.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  static Result<std::unique_ptr<HttpServer>> Listen(EventLoop& loop, HttpHandlers handlers,
                                                    HttpOptions options);
  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
};

}  // namespace raftkv::rpc
