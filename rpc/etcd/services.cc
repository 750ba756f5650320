#include "rpc/etcd/services.h"

#include <utility>

namespace raftkv::etcd {

Services::Services(Backend backend, ServicesOptions options)
    : backend_(std::move(backend)),
      leader_(backend_, options.election_timeout),
      recipes_(backend_, options.recipes),
      kv_(backend_),
      lease_(backend_, &leader_),
      watch_(backend_, leader_, options.watch),
      cluster_(backend_, std::move(options.ask_leader)),
      maintenance_(backend_),
      auth_(backend_),
      lock_(recipes_),
      election_(recipes_),
      health_(backend_) {
  kv_.Register(methods_);
  lease_.Register(methods_);
  watch_.Register(methods_);
  cluster_.Register(methods_);
  maintenance_.Register(methods_);
  auth_.Register(methods_);
  lock_.Register(methods_);
  election_.Register(methods_);
  health_.Register(methods_);
  // It describes what is there before it.
  reflection_.Register(methods_);
}

}  // namespace raftkv::etcd
