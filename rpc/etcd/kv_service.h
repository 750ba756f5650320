// How are the calls of etcd's KV service carried out?
//
// Each write is one call of the member's KV, so that it is gathered with its neighbours into one
// request. What etcd refuses without a look at its store is refused here in etcd's order, the rest
// by the store.
#pragma once

#include <memory>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/range_read.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// On the loop only. It outlives the calls that are in progress at the transports; calls of the KV
/// that are open when it is destroyed stay without an answer here.
class KvService {
 public:
  explicit KvService(Backend& backend);
  KvService(const KvService&) = delete;
  KvService& operator=(const KvService&) = delete;

  /// `this` outlives `methods`.
  void Register(Methods& methods);

  void Range(const CallContext& context, RangeRequest request, Replier<RangeResponse> reply);
  void Put(const CallContext& context, PutRequest request, Replier<PutResponse> reply);
  void DeleteRange(const CallContext& context, DeleteRangeRequest request,
                   Replier<DeleteRangeResponse> reply);
  void Txn(const CallContext& context, TxnRequest request, Replier<TxnResponse> reply);
  void Compact(const CallContext& context, CompactionRequest request,
               Replier<CompactionResponse> reply);

 private:
  struct TxnCall;

  [[nodiscard]] RangeReads Reads() { return {backend_, life_, range_budget_}; }
  /// Reads the ranges of the transaction that are of a past revision, one after the other.
  void ReadPast(const std::shared_ptr<TxnCall>& call);
  void Commit(const std::shared_ptr<TxnCall>& call);

  Backend& backend_;
  const std::shared_ptr<node::CallBudget> range_budget_;
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
