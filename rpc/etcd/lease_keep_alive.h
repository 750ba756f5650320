// How does a stream of keep-alives work?
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/leader_monitor.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// Each request is answered, in order. Those that arrive while a renewal is under way are renewed
/// together by the next one. On the loop only.
class LeaseKeepAlive final : public Conversation<LeaseKeepAliveRequest> {
 public:
  /// More that wait end the stream: RESOURCE_EXHAUSTED.
  static constexpr std::size_t kMaxWaiting = 4096;
  /// Of one renewal.
  static constexpr std::size_t kMaxTogether = 256;

  /// `monitor` ends the stream of a client that insists on a leader; may be null.
  LeaseKeepAlive(Backend& backend, LeaderMonitor* monitor, const CallContext& context,
                 StreamReplier<LeaseKeepAliveResponse> reply);

  void OnRequest(LeaseKeepAliveRequest request) override;
  void OnHalfClose() override;
  void OnDrained() override { Pump(); }

 private:
  using Results = Result<std::vector<LeaseInfo>>;

  /// Renews what waits, unless a renewal is under way or the client does not read.
  void Pump();
  void OnRenewed(const Results& leases);
  void Finish(Outcome outcome);

  // Constant after construction.
  Backend& backend_;
  const CallContext context_;
  const StreamReplier<LeaseKeepAliveResponse> reply_;

  /// What has arrived, with the header from then and without a TTL.
  std::deque<LeaseKeepAliveResponse> waiting_;
  std::size_t under_way_ = 0;  ///< the first ones of them
  bool begun_ = false;
  bool half_closed_ = false;
  bool finished_ = false;
  std::shared_ptr<void> leader_watch_;
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
