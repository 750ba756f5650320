// What does etcd's Election service answer? (v3electionpb: the member campaigns for the client)
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <raftkv/kv.h>

#include "rpc/etcd/contender.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// On the loop. `recipes` outlives it and its calls.
class ElectionService {
 public:
  explicit ElectionService(Recipes& recipes) : recipes_(recipes) {}
  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  std::shared_ptr<void> Campaign(CampaignRequest request, Replier<CampaignResponse> reply);
  void Proclaim(const CallContext& context, ProclaimRequest request,
                Replier<ProclaimResponse> reply);
  void Resign(const CallContext& context, ResignRequest request, Replier<ResignResponse> reply);
  void Leader(const CallContext& context, const LeaderRequest& request,
              Replier<LeaderResponse> reply);
  /// `failed`: the store could not carry it out.
  void Commit(raftkv::TxnRequest txn, std::chrono::milliseconds timeout,
              std::function<void(const TxnResult&)> then, std::function<void(Outcome)> failed);

  Recipes& recipes_;
};

}  // namespace raftkv::etcd
