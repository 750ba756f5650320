// What does etcd's Cluster service answer?
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <raftkv/cluster.h>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/leader_call.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// On the loop. `backend` outlives it.
class ClusterService {
 public:
  /// `ask`: see LeaderCall.
  explicit ClusterService(Backend& backend, LeaderCall::Ask ask = nullptr);
  ClusterService(const ClusterService&) = delete;
  ClusterService& operator=(const ClusterService&) = delete;

  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  using Members = std::vector<ClusterMember>;
  /// Whether the list that this member knows has the change.
  using IsDone = std::function<bool(const Members&)>;
  using Then = std::function<void(const Members&)>;
  using Refuse = std::function<void(Outcome)>;

  void List(const CallContext& context, const MemberListRequest& request,
            const Replier<MemberListResponse>& reply);
  void Add(const CallContext& context, const MemberAddRequest& request,
           const Replier<MemberAddResponse>& reply);
  void Remove(const CallContext& context, const MemberRemoveRequest& request,
              const Replier<MemberRemoveResponse>& reply);
  void Update(const CallContext& context, const MemberUpdateRequest& request,
              const Replier<MemberUpdateResponse>& reply);
  void Promote(const CallContext& context, const MemberPromoteRequest& request,
               const Replier<MemberPromoteResponse>& reply);

  void Change(const CallContext& context, const rpc::MemberChange& change, IsDone is_done,
              Then then, Refuse refuse);
  void AwaitList(MonoTime until, const IsDone& is_done, const Then& then);
  [[nodiscard]] ResponseHeader Header() const;

  Backend& backend_;
  LeaderCall leader_;
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
