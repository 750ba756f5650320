// Which services does the door have? (all of them, with what they share)
#pragma once

#include "rpc/etcd/auth_service.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/cluster_service.h"
#include "rpc/etcd/contender.h"
#include "rpc/etcd/election_service.h"
#include "rpc/etcd/health_service.h"
#include "rpc/etcd/kv_service.h"
#include "rpc/etcd/leader_monitor.h"
#include "rpc/etcd/lease_service.h"
#include "rpc/etcd/lock_service.h"
#include "rpc/etcd/maintenance_service.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/reflection_service.h"
#include "rpc/etcd/watch_service.h"

namespace raftkv::etcd {

struct ServicesOptions {
  /// Of the member: after three without a leader, streams that insist on one end.
  Duration election_timeout = std::chrono::milliseconds(300);
  WatchServiceOptions watch;
  RecipeOptions recipes;
  /// How a leader elsewhere is asked to change the members; tests only.
  LeaderCall::Ask ask_leader = nullptr;
};

/// Create and destroy it on the loop, after all calls of its methods: the door goes first. What
/// `backend` refers to outlives it.
class Services {
 public:
  explicit Services(Backend backend, ServicesOptions options = {});
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  [[nodiscard]] const Methods& methods() const { return methods_; }

 private:
  Backend backend_;
  Methods methods_;
  LeaderMonitor leader_;
  Recipes recipes_;
  KvService kv_;
  LeaseService lease_;
  WatchService watch_;
  ClusterService cluster_;
  MaintenanceService maintenance_;
  AuthService auth_;
  LockService lock_;
  ElectionService election_;
  HealthService health_;
  ReflectionService reflection_;
};

}  // namespace raftkv::etcd
