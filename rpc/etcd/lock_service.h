// What does etcd's Lock service answer? (v3lockpb: the member contends for the client)
#pragma once

#include "rpc/etcd/contender.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// On the loop. `recipes` outlives it and its calls.
class LockService {
 public:
  explicit LockService(Recipes& recipes) : recipes_(recipes) {}
  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  std::shared_ptr<void> Lock(LockRequest request, Replier<LockResponse> reply);
  void Unlock(const CallContext& context, UnlockRequest request, Replier<UnlockResponse> reply);

  Recipes& recipes_;
};

}  // namespace raftkv::etcd
