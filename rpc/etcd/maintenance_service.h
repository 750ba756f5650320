// What does etcd's Maintenance service answer?
#pragma once

#include <cstdint>
#include <memory>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// On the loop. `backend` outlives it and its calls.
class MaintenanceService {
 public:
  explicit MaintenanceService(Backend& backend) : backend_(backend) {}
  MaintenanceService(const MaintenanceService&) = delete;
  MaintenanceService& operator=(const MaintenanceService&) = delete;

  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  void Status(const Replier<StatusResponse>& reply);
  void Alarm(const AlarmRequest& request, const Replier<AlarmResponse>& reply);
  void Hash(const Replier<HashResponse>& reply);
  std::shared_ptr<void> HashKV(const HashKVRequest& request, const Replier<HashKVResponse>& reply);
  void MoveLeader(const CallContext& context, const MoveLeaderRequest& request,
                  const Replier<MoveLeaderResponse>& reply);

  Backend& backend_;
  /// Of HashKV, in progress.
  const std::shared_ptr<int> hashes_ = std::make_shared<int>(0);
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
