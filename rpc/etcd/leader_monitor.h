// When does a call end that insists on a leader? (`hasleader: true` of a client)
//
// A cluster without a leader tells a watcher nothing, and the client cannot see why. So a stream of
// a client that asked for it ends once no leader has been known for three election timeouts, as in
// etcd, and the client goes to another member.
#pragma once

#include <memory>

#include "lib/base/once_function.h"
#include "lib/base/time.h"
#include "rpc/etcd/backend.h"

namespace raftkv::etcd {

/// On the loop.
class LeaderMonitor {
 public:
  LeaderMonitor(Backend& backend, Duration election_timeout);
  ~LeaderMonitor();
  LeaderMonitor(const LeaderMonitor&) = delete;
  LeaderMonitor& operator=(const LeaderMonitor&) = delete;

  /// `lost` is called at most once: when there has been no leader for three election timeouts, and
  /// not once the returned object is gone.
  [[nodiscard]] std::shared_ptr<void> Watch(OnceFunction<void()> lost);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace raftkv::etcd
