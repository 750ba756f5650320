#include "rpc/etcd/lease_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include <raftkv/kv.h>

#include "rpc/etcd/current_revision.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/lease_keep_alive.h"

namespace raftkv::etcd {
namespace {

using std::chrono::seconds;

/// A lease of the store may be shorter than a second, and is there.
std::int64_t SecondsOf(std::chrono::milliseconds ttl) {
  return std::chrono::ceil<seconds>(ttl).count();
}

}  // namespace

void LeaseService::Register(Methods& methods) {
  constexpr const char* kService = "etcdserverpb.Lease";
  methods.AddUnary<LeaseGrantRequest, LeaseGrantResponse>(
      kService, "LeaseGrant", "lease/grant",
      [this](const auto& context, const auto& request, auto reply) {
        Grant(context, request, std::move(reply));
      });
  methods.AddUnary<LeaseRevokeRequest, LeaseRevokeResponse>(
      kService, "LeaseRevoke", "lease/revoke",
      [this](const auto& context, const auto& request, auto reply) {
        Revoke(context, request, std::move(reply));
      });
  methods.AddUnary<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse>(
      kService, "LeaseTimeToLive", "lease/timetolive",
      [this](const auto& context, const auto& request, auto reply) {
        TimeToLive(context, request, std::move(reply));
      });
  methods.AddUnary<LeaseLeasesRequest, LeaseLeasesResponse>(
      kService, "LeaseLeases", "lease/leases",
      [this](const auto& context, const auto& request, auto reply) {
        Leases(context, request, std::move(reply));
      });
  methods.AddStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>(
      kService, "LeaseKeepAlive", "lease/keepalive", /*client_streams=*/true,
      [this](const CallContext& context, StreamReplier<LeaseKeepAliveResponse> reply) {
        return std::make_unique<LeaseKeepAlive>(backend_, monitor_, context, std::move(reply));
      });
}

void LeaseService::Grant(const CallContext& context, const LeaseGrantRequest& request,
                         Replier<LeaseGrantResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  if (request.TTL > kMaxTtlSeconds) return reply(kLeaseTtlTooLarge);
  if (request.ID < 0) {
    return reply(Outcome{GrpcCode::kInvalidArgument,
                         "etcdserver: a lease cannot have an ID below zero: choose another one, "
                         "or 0 to have one chosen"});
  }
  const seconds ttl(std::max(request.TTL, kMinTtlSeconds));
  backend_.kv.GrantLeaseAsync(ttl, static_cast<std::uint64_t>(request.ID),
                              {.timeout = TimeoutOf(backend_, context)},
                              life_.Guard([this, context, reply](const Result<LeaseInfo>& lease) {
                                if (!lease.ok()) return reply(ToOutcome(lease.status()));
                                LeaseGrantResponse response;
                                response.ID = static_cast<std::int64_t>(lease->id);
                                response.TTL = SecondsOf(lease->ttl);
                                AnswerGrant(context, std::move(response), reply);
                              }));
}

void LeaseService::AnswerGrant(const CallContext& context, LeaseGrantResponse response,
                               const Replier<LeaseGrantResponse>& reply) {
  WithCurrentRevision(
      backend_, life_, TimeoutOf(backend_, context),
      [this, response = std::move(response), reply](const Result<std::uint64_t>& now) mutable {
        // The lease is there, whatever became of the question.
        response.header = MakeHeader(backend_, now.ok() ? *now : 0);
        reply(response);
      });
}

void LeaseService::Revoke(const CallContext& context, const LeaseRevokeRequest& request,
                          Replier<LeaseRevokeResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  if (request.ID <= 0) return reply(kLeaseNotFound);
  backend_.kv.RevokeLeaseAsync(static_cast<std::uint64_t>(request.ID),
                               {.timeout = TimeoutOf(backend_, context)},
                               life_.Guard([this, reply](const Result<DeleteResult>& result) {
                                 if (!result.ok()) return reply(ToOutcome(result.status()));
                                 LeaseRevokeResponse response;
                                 response.header = MakeHeader(backend_, result->revision);
                                 reply(response);
                               }));
}

void LeaseService::TimeToLive(const CallContext& context, const LeaseTimeToLiveRequest& request,
                              Replier<LeaseTimeToLiveResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  LeaseReadOptions options;
  options.timeout = TimeoutOf(backend_, context);
  options.with_keys = request.keys;
  backend_.kv.GetLeaseAsync(static_cast<std::uint64_t>(request.ID), options,
                            life_.Guard([this, reply, id = request.ID](Result<LeaseInfo> lease) {
                              const bool is_gone = lease.code() == Code::kNotFound;
                              if (!lease.ok() && !is_gone) return reply(ToOutcome(lease.status()));
                              LeaseTimeToLiveResponse response;
                              response.header = MakeHeader(backend_, 0);
                              response.ID = id;
                              response.TTL = -1;
                              if (!is_gone) {
                                response.TTL =
                                    std::chrono::floor<seconds>(lease->remaining).count();
                                response.grantedTTL = SecondsOf(lease->ttl);
                                response.keys = std::move(lease->keys);
                              }
                              reply(response);
                            }));
}

void LeaseService::Leases(const CallContext& context, const LeaseLeasesRequest& /*request*/,
                          Replier<LeaseLeasesResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  ReadOptions options;
  options.timeout = TimeoutOf(backend_, context);
  backend_.kv.ListLeasesAsync(
      options, life_.Guard([this, reply](Result<std::vector<LeaseInfo>> leases) {
        if (!leases.ok()) return reply(ToOutcome(leases.status()));
        // As etcd: the one that ends first comes first.
        std::stable_sort(
            leases->begin(), leases->end(),
            [](const LeaseInfo& a, const LeaseInfo& b) { return a.remaining < b.remaining; });
        LeaseLeasesResponse response;
        response.header = MakeHeader(backend_, 0);
        response.leases.reserve(leases->size());
        for (const LeaseInfo& lease : *leases) {
          response.leases.push_back({.ID = static_cast<std::int64_t>(lease.id)});
        }
        reply(response);
      }));
}

}  // namespace raftkv::etcd
