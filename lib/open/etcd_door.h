// How does a member serve the etcd API, if this build can?
//
// What stands between a member and rpc/etcd, which a build may leave out (the CMake option
// RAFTKV_ETCD).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <raftkv/kv.h>
#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/server/service.h"
#include "rpc/tls/tls_dialer.h"
#include "rpc/tls/tls_port.h"

namespace raftkv {

struct EtcdDoorOptions {
  /// "host:port"; port 0: any free one.
  std::string listen;
  /// Outlives the door; null: plain text.
  rpc::TlsPort* tls = nullptr;
  /// Of connections to the other members; null: plain text.
  std::shared_ptr<const rpc::TlsDialer> dialer = nullptr;
  Limits limits;
  std::chrono::milliseconds election_timeout;
  /// Ok, or why the member cannot serve now. Runs on the loop.
  std::function<Status()> ready;
  node::LogSink log_sink;
};

/// Lives on the loop: create and destroy it there.
class EtcdDoor {
 public:
  virtual ~EtcdDoor() = default;
  /// `loop` outlives the door. Unavailable: the port is in use; InvalidArgument: this build cannot.
  static Result<std::unique_ptr<EtcdDoor>> Listen(rpc::EventLoop& loop, EtcdDoorOptions options);

  /// From now on calls are answered. All of it outlives the door; once.
  virtual void Serve(KV& kv, rpc::Service& service, std::function<NodeStatus()> status) = 0;
  /// Tells the clients to go elsewhere; calls that are open go on.
  virtual void SayGoodbye() = 0;
  /// With the port that was chosen.
  [[nodiscard]] virtual const std::string& address() const = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
};

}  // namespace raftkv
