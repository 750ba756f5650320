// Who may connect to the etcd API of this member, and by which protocol is a connection served?
//
// gRPC (HTTP/2) and the JSON gateway (HTTP/1.1) share one port: HTTP/2 without TLS begins with a
// preface that is no request of HTTP/1.1. When all places are taken, a connection that has not
// begun to speak makes room for the next one, then the one that has been without a call for
// longest; if every connection has a call, the new one is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <kj/async-io.h>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/etcd/http2_limits.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/ticks.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::etcd {

/// A connection whose handshake, if it has one, is complete.
struct WrappedStream {
  kj::Own<kj::AsyncIoStream> stream;
  /// Of ALPN: "h2" or "http/1.1"; empty: the first bytes decide.
  std::string protocol = {};
};

struct DoorOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  /// Fewer if this process may not have twice as many descriptors.
  std::uint32_t max_connections = 4096;
  Http2Limits http2 = {};
  ConnectionTicks ticks = {};
  /// Bytes of answers that wait on all connections together; above this only small ones are kept.
  std::size_t max_queued_bytes = 256 << 20;
  /// Bytes of incomplete messages on all connections together; half of them for messages that are
  /// not small.
  std::size_t max_unfinished_bytes = 256 << 20;
  /// What a connection passes before a byte of it is read, such as TLS. Unset: nothing. Runs on the
  /// loop; a promise that is not fulfilled in time is dropped.
  std::function<kj::Promise<WrappedStream>(kj::Own<kj::AsyncIoStream>)> wrap = {};
  /// For GET /health. Runs on the loop; unset: always healthy.
  std::function<Status()> healthy = {};
  node::LogSink log_sink = {};
};

/// Lives on the loop: create and destroy it there. Its destructor ends all calls with UNAVAILABLE.
class Door {
 public:
  virtual ~Door() = default;
  /// `loop` outlives the door. Until Serve(), calls are answered with UNAVAILABLE. Unavailable: the
  /// port is in use.
  static Result<std::unique_ptr<Door>> Listen(rpc::EventLoop& loop, DoorOptions options);

  /// From now on calls are served by `methods`, which outlives the door.
  virtual void Serve(const Methods& methods) = 0;
  /// Tells the clients to open no more calls here; those that are open go on.
  virtual void SayGoodbye() = 0;

  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
  /// Bytes of answers that wait to be read.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Bytes of incomplete messages.
  [[nodiscard]] virtual std::size_t unfinished_bytes() const = 0;
};

}  // namespace raftkv::etcd
