// How does a failure of the store become one of etcd's errors, and what heads an answer?
#pragma once

#include <chrono>
#include <cstdint>

#include <raftkv/status.h>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/messages.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/outcome.h"

namespace raftkv::etcd {

/// An error whose text clients match on. Converts to the Outcome of a call.
struct EtcdError {
  GrpcCode code;
  const char* text;
  operator Outcome() const { return {code, text}; }  // NOLINT: an error is an outcome
};

inline constexpr EtcdError kEmptyKey{GrpcCode::kInvalidArgument, "etcdserver: key is not provided"};
inline constexpr EtcdError kKeyNotFound{GrpcCode::kInvalidArgument, "etcdserver: key not found"};
inline constexpr EtcdError kValueProvided{GrpcCode::kInvalidArgument,
                                          "etcdserver: value is provided"};
inline constexpr EtcdError kLeaseProvided{GrpcCode::kInvalidArgument,
                                          "etcdserver: lease is provided"};
inline constexpr EtcdError kTooManyOps{GrpcCode::kInvalidArgument,
                                       "etcdserver: too many operations in txn request"};
inline constexpr EtcdError kDuplicateKey{GrpcCode::kInvalidArgument,
                                         "etcdserver: duplicate key given in txn request"};
inline constexpr EtcdError kInvalidSortOption{GrpcCode::kInvalidArgument,
                                              "etcdserver: invalid sort option"};
inline constexpr EtcdError kRequestTooLarge{GrpcCode::kInvalidArgument,
                                            "etcdserver: request is too large"};
inline constexpr EtcdError kCompacted{GrpcCode::kOutOfRange,
                                      "etcdserver: mvcc: required revision has been compacted"};
inline constexpr EtcdError kFutureRevision{
    GrpcCode::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"};
inline constexpr EtcdError kNoSpace{GrpcCode::kResourceExhausted,
                                    "etcdserver: mvcc: database space exceeded"};
inline constexpr EtcdError kTooManyRequests{GrpcCode::kResourceExhausted,
                                            "etcdserver: too many requests"};
inline constexpr EtcdError kLeaseNotFound{GrpcCode::kNotFound,
                                          "etcdserver: requested lease not found"};
inline constexpr EtcdError kLeaseExists{GrpcCode::kFailedPrecondition,
                                        "etcdserver: lease already exists"};
inline constexpr EtcdError kLeaseTtlTooLarge{GrpcCode::kOutOfRange,
                                             "etcdserver: too large lease TTL"};
inline constexpr EtcdError kNoLeader{GrpcCode::kUnavailable, "etcdserver: no leader"};
inline constexpr EtcdError kNotLeader{GrpcCode::kFailedPrecondition, "etcdserver: not leader"};
inline constexpr EtcdError kTimeout{GrpcCode::kUnavailable, "etcdserver: request timed out"};
inline constexpr EtcdError kTimeoutDueToLeaderFail{
    GrpcCode::kUnavailable,
    "etcdserver: request timed out, possibly due to previous leader failure"};
inline constexpr EtcdError kStopped{GrpcCode::kUnavailable, "etcdserver: server stopped"};
inline constexpr EtcdError kCorrupt{GrpcCode::kDataLoss, "etcdserver: corrupt cluster"};
inline constexpr EtcdError kPermissionDenied{GrpcCode::kPermissionDenied,
                                             "etcdserver: permission denied"};

/// What a call of the KV failed with, as etcd says it. NotFound is taken for a lease that is gone,
/// unless the message is kNoSuchKey. What etcd has no error for keeps its own message.
Outcome ToOutcome(const Status& status);

/// Of the store at `revision`; 0: at the one that this member has applied.
ResponseHeader MakeHeader(const Backend& backend, std::uint64_t revision);
/// Of an answer inside the answer of a transaction: nothing but the revision.
ResponseHeader RevisionOnly(std::uint64_t revision);

/// How long a call may take: until its own deadline, and at most as long as etcd takes.
std::chrono::milliseconds TimeoutOf(const Backend& backend, const CallContext& context);

/// The call insists on a leader, and none is known: it ends with kNoLeader.
bool LacksLeader(const Backend& backend, const CallContext& context);

}  // namespace raftkv::etcd
