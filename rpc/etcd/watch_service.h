// What does etcd's Watch service answer?
#pragma once

#include <memory>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/leader_monitor.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/watch_stream.h"

namespace raftkv::etcd {

/// On the loop. `backend` and `leader` outlive it and its streams.
class WatchService {
 public:
  WatchService(Backend& backend, LeaderMonitor& leader, const WatchServiceOptions& options = {});
  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  Backend& backend_;
  LeaderMonitor& leader_;
  const std::shared_ptr<WatchShared> shared_;
};

}  // namespace raftkv::etcd
