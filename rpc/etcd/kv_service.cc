#include "rpc/etcd/kv_service.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "rpc/etcd/errors.h"
#include "rpc/etcd/key_range.h"
#include "rpc/etcd/range_plan.h"
#include "rpc/etcd/txn_mapping.h"

namespace raftkv::etcd {
namespace {

/// What the past ranges of a transaction may return: about as much as the others (1 MiB), and one
/// pair in any case.
constexpr std::size_t kMaxPastBytes = 2 << 20;

}  // namespace

/// A transaction whose past ranges are being read.
struct KvService::TxnCall {
  TxnCall(MonoTime until, TxnRequest txn, Replier<TxnResponse> replier)
      : deadline(until),
        request(std::move(txn)),
        reply(std::move(replier)),
        ranges(PastRanges(request)) {}

  const MonoTime deadline;
  TxnRequest request;
  const Replier<TxnResponse> reply;
  const std::vector<const RangeRequest*> ranges;  ///< of `request`
  std::vector<RangeResponse> past;                ///< of the first ones of them
  std::size_t past_bytes = 0;
};

KvService::KvService(Backend& backend)
    : backend_(backend), range_budget_(std::make_shared<node::CallBudget>(kMaxHeldRangeBytes)) {}

void KvService::Register(Methods& methods) {
  constexpr const char* kService = "etcdserverpb.KV";
  methods.AddUnary<RangeRequest, RangeResponse>(
      kService, "Range", "kv/range", [this](const auto& context, auto request, auto reply) {
        Range(context, std::move(request), std::move(reply));
      });
  methods.AddUnary<PutRequest, PutResponse>(kService, "Put", "kv/put",
                                            [this](const auto& context, auto request, auto reply) {
                                              Put(context, std::move(request), std::move(reply));
                                            });
  methods.AddUnary<DeleteRangeRequest, DeleteRangeResponse>(
      kService, "DeleteRange", "kv/deleterange",
      [this](const auto& context, auto request, auto reply) {
        DeleteRange(context, std::move(request), std::move(reply));
      });
  methods.AddUnary<TxnRequest, TxnResponse>(kService, "Txn", "kv/txn",
                                            [this](const auto& context, auto request, auto reply) {
                                              Txn(context, std::move(request), std::move(reply));
                                            });
  methods.AddUnary<CompactionRequest, CompactionResponse>(
      kService, "Compact", "kv/compaction", [this](const auto& context, auto request, auto reply) {
        Compact(context, std::move(request), std::move(reply));
      });
}

void KvService::Range(const CallContext& context, RangeRequest request,
                      Replier<RangeResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  if (Outcome refused = CheckRange(request); !refused.ok()) return reply(std::move(refused));
  const MonoTime deadline = backend_.loop.Now() + TimeoutOf(backend_, context);
  ReadRange(Reads(), request, deadline, [reply](Outcome outcome, const RangeResponse& answer) {
    if (!outcome.ok()) return reply(std::move(outcome));
    reply(answer);
  });
}

void KvService::Put(const CallContext& context, PutRequest request, Replier<PutResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  if (Outcome refused = CheckPut(request); !refused.ok()) return reply(std::move(refused));
  const WriteOptions options{.timeout = TimeoutOf(backend_, context),
                             .return_previous = request.prev_kv,
                             .lease = static_cast<std::uint64_t>(request.lease),
                             .keep_value = request.ignore_value,
                             .keep_lease = request.ignore_lease};
  backend_.kv.PutAsync(std::move(request.key), std::move(request.value), options,
                       life_.Guard([this, reply](Result<WriteResult> result) {
                         if (!result.ok()) return reply(ToOutcome(result.status()));
                         PutResponse response;
                         response.header = MakeHeader(backend_, result->revision);
                         if (result->previous) response.prev_kv = ToEtcd(*result->previous);
                         reply(response);
                       }));
}

void KvService::DeleteRange(const CallContext& context, DeleteRangeRequest request,
                            Replier<DeleteRangeResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  if (Outcome refused = CheckDeleteRange(request); !refused.ok()) return reply(std::move(refused));
  const WriteOptions options{.timeout = TimeoutOf(backend_, context),
                             .return_previous = request.prev_kv};
  auto done = life_.Guard([this, reply](Result<DeleteResult> result) {
    if (!result.ok()) return reply(ToOutcome(result.status()));
    DeleteRangeResponse response;
    response.header = MakeHeader(backend_, result->revision);
    response.deleted = static_cast<std::int64_t>(result->deleted);
    for (raftkv::KeyValue& kv : result->previous) {
      response.prev_kvs.push_back(ToEtcd(std::move(kv)));
    }
    reply(response);
  });
  NamedKeys keys = KeysOf(std::move(request.key), std::move(request.range_end));
  if (keys.kind == NamedKeys::Kind::kSingle) {
    backend_.kv.DeleteAsync(std::move(keys.range.begin), options, std::move(done));
  } else {
    backend_.kv.DeleteRangeAsync(std::move(keys.range), options, std::move(done));
  }
}

void KvService::Txn(const CallContext& context, TxnRequest request, Replier<TxnResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  Outcome refused = CheckTxn(request, backend_.limits.max_operations);
  if (!refused.ok()) return reply(std::move(refused));
  const MonoTime deadline = backend_.loop.Now() + TimeoutOf(backend_, context);
  ReadPast(std::make_shared<TxnCall>(deadline, std::move(request), std::move(reply)));
}

void KvService::ReadPast(const std::shared_ptr<TxnCall>& call) {
  if (call->past.size() == call->ranges.size()) return Commit(call);
  RangeReads reads = Reads();
  reads.max_answer_bytes = kMaxPastBytes - call->past_bytes;
  ReadRange(reads, *call->ranges[call->past.size()], call->deadline,
            [this, call](Outcome outcome, RangeResponse answer) {
              if (!outcome.ok()) return call->reply(std::move(outcome));
              for (const KeyValue& kv : answer.kvs) {
                const std::size_t bytes = kv.key.size() + kv.value.size();
                call->past_bytes += std::min(bytes, kMaxPastBytes - call->past_bytes);
              }
              call->past.push_back(std::move(answer));
              ReadPast(call);
            });
}

void KvService::Commit(const std::shared_ptr<TxnCall>& call) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(call->deadline - backend_.loop.Now());
  backend_.kv.TxnAsync(ToStore(call->request), {.timeout = left},
                       life_.Guard([this, call](Result<TxnResult> result) {
                         if (!result.ok()) return call->reply(ToOutcome(result.status()));
                         const std::uint64_t revision = result->revision;
                         TxnResponse response =
                             ToEtcd(call->request, *std::move(result), std::move(call->past));
                         response.header = MakeHeader(backend_, revision);
                         call->reply(response);
                       }));
}

void KvService::Compact(const CallContext& context, CompactionRequest request,
                        Replier<CompactionResponse> reply) {
  if (LacksLeader(backend_, context)) return reply(kNoLeader);
  const auto answer = [this, reply](std::uint64_t revision) {
    CompactionResponse response;
    response.header = MakeHeader(backend_, revision);
    reply(response);
  };
  if (request.revision <= 0) {
    // Revision 0 is where a store begins that nothing was compacted of, in etcd as well.
    const bool is_new = backend_.status().compacted_revision == 0;
    if (request.revision == 0 && is_new) return answer(0);
    return reply(kCompacted);
  }
  backend_.kv.CompactAsync(static_cast<std::uint64_t>(request.revision),
                           {.timeout = TimeoutOf(backend_, context)},
                           life_.Guard([reply, answer](Result<WriteResult> result) {
                             if (!result.ok()) return reply(ToOutcome(result.status()));
                             answer(result->revision);
                           }));
}

}  // namespace raftkv::etcd
