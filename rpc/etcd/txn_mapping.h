// How does a transaction of etcd become one of the store, and the store's answer one of etcd?
#pragma once

#include <cstddef>
#include <vector>

#include <raftkv/kv.h>

#include "rpc/etcd/messages.h"
#include "rpc/etcd/outcome.h"
#include "rpc/etcd/range_plan.h"

namespace raftkv::etcd {

/// What etcd refuses before it looks at its store.
Outcome CheckPut(const PutRequest& request);
Outcome CheckDeleteRange(const DeleteRangeRequest& request);
/// In etcd's order. A key that a branch writes twice is not looked for: the store refuses that.
/// `max_operations`: compares and operations, nested ones counted. (etcd counts each list, and
/// allows 128.)
Outcome CheckTxn(const TxnRequest& request, std::size_t max_operations);

/// The ranges of a transaction that name a revision, in the order of the request: first `success`,
/// with what is nested in it, then `failure`. What was at a revision does not change, so that they
/// are read before the transaction is sent.
std::vector<const RangeRequest*> PastRanges(const TxnRequest& request);

/// `request` has been checked. Its puts and compares are moved out of it; the rest stays, for
/// ToEtcd().
raftkv::TxnRequest ToStore(TxnRequest& request);

/// `request` as ToStore() left it. `past`: one for each of PastRanges(). The header has only the
/// revision of the store after it.
TxnResponse ToEtcd(const TxnRequest& request, TxnResult result, std::vector<RangeResponse> past);

}  // namespace raftkv::etcd
