// Can this member serve calls? (grpc.health.v1)
//
// Serving: it knows a leader. Known services are "", which is the server as a whole, and those of
// the table of methods, which have the same state. Lives on the loop.
#pragma once

#include <memory>

#include "lib/base/time.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

class HealthService {
 public:
  /// A client that watches hears of a change within `period`.
  explicit HealthService(Backend& backend, Duration period = std::chrono::seconds(1));
  ~HealthService();
  HealthService(const HealthService&) = delete;
  HealthService& operator=(const HealthService&) = delete;

  /// Once; `methods` outlives all calls.
  void Register(Methods& methods);

 private:
  class Health;
  class Watch;
  /// Shared with the streams, which may end after the service.
  const std::shared_ptr<Health> health_;
};

}  // namespace raftkv::etcd
