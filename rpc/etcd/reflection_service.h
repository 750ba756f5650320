// How does a client without .proto files learn what there is to call?
//
// gRPC's server reflection, as v1alpha and v1. Lives on the loop.
#pragma once

#include <memory>

#include "rpc/etcd/method.h"

namespace raftkv::etcd {

class ReflectionService {
 public:
  ReflectionService();
  ~ReflectionService();
  ReflectionService(const ReflectionService&) = delete;
  ReflectionService& operator=(const ReflectionService&) = delete;

  /// It describes all services that `methods` has when the first request comes. Once; `methods`
  /// outlives all calls.
  void Register(Methods& methods);

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace raftkv::etcd
