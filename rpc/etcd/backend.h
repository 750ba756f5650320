// What do the methods of the etcd API need from the member behind them?
#pragma once

#include <functional>
#include <memory>

#include <raftkv/kv.h>
#include <raftkv/node.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/server/service.h"
#include "rpc/tls/tls_dialer.h"

namespace raftkv::etcd {

/// Used on the loop only. All of it outlives the door; callbacks of `kv` run on the loop, and may
/// still run once the door is gone.
struct Backend {
  rpc::EventLoop& loop;
  /// The member's own: no network is between.
  KV& kv;
  /// Status, members and their changes, backups.
  rpc::Service& service;
  /// The part of the status that costs nothing.
  std::function<NodeStatus()> status;
  /// Of connections to the other members; null: plain text.
  std::shared_ptr<const rpc::TlsDialer> dialer = nullptr;
  Limits limits = {};
  node::LogSink log_sink = {};
};

}  // namespace raftkv::etcd
