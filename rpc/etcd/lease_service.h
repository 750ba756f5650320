// How are the calls of etcd's Lease service carried out?
#pragma once

#include <cstdint>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/leader_monitor.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// Times to live are in seconds. A shorter one is granted as this one, which is what etcd grants
/// with its default election timeout.
inline constexpr std::int64_t kMinTtlSeconds = 2;
inline constexpr std::int64_t kMaxTtlSeconds = 9'000'000'000;

/// On the loop only. It outlives the calls that are in progress at the transports; calls of the KV
/// that are open when it is destroyed stay without an answer here.
class LeaseService {
 public:
  /// `monitor` ends keep-alives of clients that insist on a leader; null: nothing does.
  explicit LeaseService(Backend& backend, LeaderMonitor* monitor = nullptr)
      : backend_(backend), monitor_(monitor) {}
  LeaseService(const LeaseService&) = delete;
  LeaseService& operator=(const LeaseService&) = delete;

  /// `this` outlives `methods`.
  void Register(Methods& methods);

  void Grant(const CallContext& context, const LeaseGrantRequest& request,
             Replier<LeaseGrantResponse> reply);
  void AnswerGrant(const CallContext& context, LeaseGrantResponse response,
                   const Replier<LeaseGrantResponse>& reply);
  void Revoke(const CallContext& context, const LeaseRevokeRequest& request,
              Replier<LeaseRevokeResponse> reply);
  void TimeToLive(const CallContext& context, const LeaseTimeToLiveRequest& request,
                  Replier<LeaseTimeToLiveResponse> reply);
  void Leases(const CallContext& context, const LeaseLeasesRequest& request,
              Replier<LeaseLeasesResponse> reply);

 private:
  Backend& backend_;
  LeaderMonitor* const monitor_;
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
