#include "rpc/etcd/election_service.h"

#include <utility>

#include "rpc/etcd/election_observer.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/key_range.h"

namespace raftkv::etcd {

namespace {

constexpr char kElectionService[] = "v3electionpb.Election";

// The texts of etcd; their code is lost on the way through its own client.
const Outcome kMissingLeaderKey{GrpcCode::kUnknown, "\"leader\" field must be provided"};
const Outcome kElectionNotLeader{GrpcCode::kUnknown, "election: not leader"};
const Outcome kElectionNoLeader{GrpcCode::kUnknown, "election: no leader"};

/// What holds as long as `leader` leads.
raftkv::Compare StillThere(const LeaderKey& leader) {
  return raftkv::Compare::CreateRevision(leader.key, raftkv::Compare::kEqual,
                                         static_cast<std::uint64_t>(leader.rev));
}

}  // namespace

void ElectionService::Register(Methods& methods) {
  methods.AddHeldUnary<CampaignRequest, CampaignResponse>(
      kElectionService, "Campaign", "election/campaign",
      [this](const CallContext&, CampaignRequest request, Replier<CampaignResponse> reply) {
        return Campaign(std::move(request), std::move(reply));
      });
  methods.AddUnary<ProclaimRequest, ProclaimResponse>(
      kElectionService, "Proclaim", "election/proclaim",
      [this](const CallContext& context, ProclaimRequest request, Replier<ProclaimResponse> reply) {
        Proclaim(context, std::move(request), std::move(reply));
      });
  methods.AddUnary<LeaderRequest, LeaderResponse>(
      kElectionService, "Leader", "election/leader",
      [this](const CallContext& context, const LeaderRequest& request,
             Replier<LeaderResponse> reply) { Leader(context, request, std::move(reply)); });
  methods.AddStream<LeaderRequest, LeaderResponse>(
      kElectionService, "Observe", "election/observe", /*client_streams=*/false,
      [this](const CallContext&, StreamReplier<LeaderResponse> reply) {
        return ObserveElection(recipes_, std::move(reply));
      });
  methods.AddUnary<ResignRequest, ResignResponse>(
      kElectionService, "Resign", "election/resign",
      [this](const CallContext& context, ResignRequest request, Replier<ResignResponse> reply) {
        Resign(context, std::move(request), std::move(reply));
      });
}

std::shared_ptr<void> ElectionService::Campaign(CampaignRequest request,
                                                Replier<CampaignResponse> reply) {
  ContenderRequest contender;
  contender.name = request.name;
  contender.lease = request.lease;
  contender.value = std::move(request.value);
  contender.proclaims = true;
  contender.lost = "election: not leader";
  Backend& backend = recipes_.backend;
  return Contend(recipes_, std::move(contender),
                 [&backend, name = std::move(request.name), reply = std::move(reply)](
                     const Outcome& outcome, const Turn& turn) {
                   if (!outcome.ok()) return reply(outcome);
                   CampaignResponse response;
                   response.header = MakeHeader(backend, turn.queued);  // as etcd
                   LeaderKey& leader = response.leader.emplace();
                   leader.name = name;
                   leader.key = turn.key;
                   leader.rev = static_cast<std::int64_t>(turn.created);
                   leader.lease = static_cast<std::int64_t>(turn.lease);
                   reply(response);
                 });
}

void ElectionService::Proclaim(const CallContext& context, ProclaimRequest request,
                               Replier<ProclaimResponse> reply) {
  if (!request.leader.has_value()) return reply(kMissingLeaderKey);
  if (request.leader->key.empty()) return reply(kEmptyKey);
  const auto timeout = TimeoutOf(recipes_.backend, context);
  const std::int64_t lease_or_none = request.leader->lease;
  WithLease(
      recipes_, lease_or_none,
      [this, timeout, reply,
       request = std::move(request)](const Result<std::uint64_t>& lease) mutable {
        if (!lease.ok()) return reply(RecipeOutcome(lease.status()));
        raftkv::TxnRequest txn;
        txn.compares = {StillThere(*request.leader)};
        txn.success = {Op::Put(std::move(request.leader->key), std::move(request.value), *lease)};
        const auto then = [this, reply](const TxnResult& result) {
          if (!result.succeeded) return reply(kElectionNotLeader);
          ProclaimResponse response;
          response.header = MakeHeader(recipes_.backend, result.revision);
          reply(response);
        };
        Commit(std::move(txn), timeout, then, reply);
      });
}

void ElectionService::Resign(const CallContext& context, ResignRequest request,
                             Replier<ResignResponse> reply) {
  if (!request.leader.has_value()) return reply(kMissingLeaderKey);
  if (request.leader->key.empty()) return reply(kEmptyKey);
  raftkv::TxnRequest txn;
  txn.compares = {StillThere(*request.leader)};
  txn.success = {Op::Delete(std::move(request.leader->key))};
  // As etcd: who does not lead any more has resigned.
  const auto then = [this, reply](const TxnResult& result) {
    ResignResponse response;
    response.header = MakeHeader(recipes_.backend, result.revision);
    reply(response);
  };
  Commit(std::move(txn), TimeoutOf(recipes_.backend, context), then, reply);
}

void ElectionService::Commit(raftkv::TxnRequest txn, std::chrono::milliseconds timeout,
                             std::function<void(const TxnResult&)> then,
                             std::function<void(Outcome)> failed) {
  WriteOptions options;
  options.timeout = timeout;
  recipes_.backend.kv.TxnAsync(
      std::move(txn), options,
      recipes_.life.Guard(
          [then = std::move(then), failed = std::move(failed)](const Result<TxnResult>& result) {
            if (!result.ok()) return failed(RecipeOutcome(result.status()));
            then(*result);
          }));
}

void ElectionService::Leader(const CallContext& context, const LeaderRequest& request,
                             Replier<LeaderResponse> reply) {
  ScanOptions options;
  options.timeout = TimeoutOf(recipes_.backend, context);
  options.limit = 1;
  options.order = OrderBy::kCreateRevision;
  options.skip_count = true;
  recipes_.backend.kv.ScanAsync(KeyRange::Prefix(PrefixOf(request.name)), options,
                                recipes_.life.Guard([this, reply](const Result<ScanResult>& found) {
                                  if (!found.ok()) return reply(RecipeOutcome(found.status()));
                                  if (found->kvs.empty()) return reply(kElectionNoLeader);
                                  LeaderResponse response;
                                  response.header = MakeHeader(recipes_.backend, found->revision);
                                  response.kv = ToEtcd(found->kvs[0]);
                                  reply(response);
                                }));
}

}  // namespace raftkv::etcd
