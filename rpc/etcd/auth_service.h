// What does etcd's Auth service answer where there are no users?
#pragma once

#include "rpc/etcd/backend.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// As an etcd whose authentication is off: it says so, and refuses everything else. Whoever reaches
/// the port may do everything. On the loop; `backend` outlives it.
class AuthService {
 public:
  explicit AuthService(Backend& backend) : backend_(backend) {}
  /// `methods` lives no longer than this.
  void Register(Methods& methods);

 private:
  Backend& backend_;
};

}  // namespace raftkv::etcd
