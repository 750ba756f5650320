#include "rpc/etcd/lease_keep_alive.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/errors.h"

namespace raftkv::etcd {

LeaseKeepAlive::LeaseKeepAlive(Backend& backend, LeaderMonitor* monitor, const CallContext& context,
                               StreamReplier<LeaseKeepAliveResponse> reply)
    : backend_(backend), context_(context), reply_(std::move(reply)) {
  if (monitor == nullptr || !context.needs_leader) return;
  leader_watch_ = monitor->Watch([this] { Finish(kNoLeader); });
}

void LeaseKeepAlive::OnRequest(LeaseKeepAliveRequest request) {
  if (finished_) return;
  // From then on a short time without one is no reason to end the stream.
  const bool is_first = !std::exchange(begun_, true);
  if (is_first && LacksLeader(backend_, context_)) return Finish(kNoLeader);
  if (waiting_.size() >= kMaxWaiting) return Finish(kTooManyRequests);
  LeaseKeepAliveResponse& answer = waiting_.emplace_back();
  // From before the renewal: a client that goes by the revision must not miss the lease's end.
  answer.header = MakeHeader(backend_, 0);
  answer.ID = request.ID;
  Pump();
}

void LeaseKeepAlive::OnHalfClose() {
  half_closed_ = true;
  if (waiting_.empty()) Finish({});
}

void LeaseKeepAlive::Pump() {
  if (finished_ || under_way_ > 0 || waiting_.empty() || reply_.full()) return;
  std::vector<std::uint64_t> ids;
  const std::size_t together = std::min(waiting_.size(), kMaxTogether);
  ids.reserve(together);
  for (std::size_t i = 0; i < together; ++i) {
    // A number below zero becomes one that no lease has.
    ids.push_back(static_cast<std::uint64_t>(waiting_[i].ID));
  }
  under_way_ = together;
  backend_.kv.KeepAliveAsync(std::move(ids), {.timeout = TimeoutOf(backend_, context_)},
                             life_.Guard([this](const Results& leases) { OnRenewed(leases); }));
}

void LeaseKeepAlive::OnRenewed(const Results& leases) {
  if (finished_) return;
  if (!leases.ok()) return Finish(ToOutcome(leases.status()));
  RAFTKV_CHECK(leases->size() == under_way_, leases->size(), under_way_);
  for (const LeaseInfo& lease : *leases) {
    LeaseKeepAliveResponse answer = std::move(waiting_.front());
    waiting_.pop_front();
    answer.TTL = std::chrono::ceil<std::chrono::seconds>(lease.ttl).count();
    reply_.Send(answer);
  }
  under_way_ = 0;
  if (half_closed_ && waiting_.empty()) return Finish({});
  Pump();
}

void LeaseKeepAlive::Finish(Outcome outcome) {
  if (std::exchange(finished_, true)) return;
  waiting_.clear();
  const auto reply = reply_;  // this object may be gone before it returns
  reply.Finish(std::move(outcome));
}

}  // namespace raftkv::etcd
