// What is served over HTTP/1.1 on the door? The methods as JSON, /version and /health.
//
// As the gateway of etcd: POST of a request's JSON to /v3/, /v3beta/ or /v3alpha/ and the method's
// path. Connections are kept alive between requests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include <kj/async-io.h>
#include <kj/compat/http.h>

#include <raftkv/status.h>

#include "rpc/etcd/door_connection.h"

namespace raftkv::etcd {

/// For all connections of one door. Lives on the loop.
class Gateway final {
 public:
  /// `healthy` runs on the loop. `owner` outlives the gateway.
  Gateway(SessionOwner& owner, std::function<Status()> healthy);
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// `first`: what was read from `stream` before. The gateway outlives the connection.
  std::unique_ptr<DoorConnection> Accept(kj::Own<kj::AsyncIoStream> stream, std::string_view first);

 private:
  class Connection;

  SessionOwner& owner_;
  const std::function<Status()> healthy_;
  kj::HttpHeaderId timeout_;
  kj::HttpHeaderId has_leader_;
  kj::HttpHeaderId expect_;
  kj::Own<kj::HttpHeaderTable> table_;
};

}  // namespace raftkv::etcd
