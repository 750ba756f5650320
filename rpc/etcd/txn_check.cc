// Which transactions are refused before anything is asked of the store?
#include "rpc/etcd/errors.h"
#include "rpc/etcd/txn_mapping.h"

namespace raftkv::etcd {
namespace {

std::size_t CountOperations(const TxnRequest& request) {
  std::size_t count = request.compare.size() + request.success.size() + request.failure.size();
  for (const auto* const branch : {&request.success, &request.failure}) {
    for (const RequestOp& op : *branch) {
      if (op.request_txn.has_value()) count += CountOperations(*op.request_txn);
    }
  }
  return count;
}

Outcome CheckKeys(const TxnRequest& request);

Outcome CheckOp(const RequestOp& op) {
  if (op.request_range) return CheckRange(*op.request_range);
  if (op.request_put) return CheckPut(*op.request_put);
  if (op.request_delete_range) return CheckDeleteRange(*op.request_delete_range);
  if (op.request_txn.has_value()) return CheckKeys(*op.request_txn);
  return kKeyNotFound;  // nothing is asked for: this is what etcd says
}

Outcome CheckKeys(const TxnRequest& request) {
  for (const Compare& compare : request.compare) {
    if (compare.key.empty()) return kEmptyKey;
  }
  for (const auto* const branch : {&request.success, &request.failure}) {
    for (const RequestOp& op : *branch) {
      if (Outcome refused = CheckOp(op); !refused.ok()) return refused;
    }
  }
  return {};
}

}  // namespace

Outcome CheckPut(const PutRequest& request) {
  if (request.key.empty()) return kEmptyKey;
  if (request.ignore_value && !request.value.empty()) return kValueProvided;
  if (request.ignore_lease && request.lease != 0) return kLeaseProvided;
  return {};
}

Outcome CheckDeleteRange(const DeleteRangeRequest& request) {
  if (request.key.empty()) return kEmptyKey;
  return {};
}

Outcome CheckTxn(const TxnRequest& request, std::size_t max_operations) {
  if (CountOperations(request) > max_operations) return kTooManyOps;
  return CheckKeys(request);
}

}  // namespace raftkv::etcd
