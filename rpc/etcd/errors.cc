#include "rpc/etcd/errors.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "lib/base/time.h"
#include "lib/kv/refusals.h"

namespace raftkv::etcd {
namespace {

/// As etcd: 5 s and two election timeouts of 1 s.
constexpr std::chrono::milliseconds kMaxTimeout{7000};

Outcome WithMessage(GrpcCode code, const Status& status) {
  return {code, "etcdserver: " + status.message()};
}

Outcome OfInvalidArgument(const Status& status) {
  if (kv::IsFutureRevision(status)) return kFutureRevision;
  if (kv::IsDuplicateKey(status)) return kDuplicateKey;
  if (kv::IsLeaseTaken(status)) return kLeaseExists;
  if (kv::IsTooLarge(status)) return kRequestTooLarge;
  if (kv::IsAnswerTooLarge(status)) return WithMessage(GrpcCode::kResourceExhausted, status);
  return WithMessage(GrpcCode::kInvalidArgument, status);
}

}  // namespace

Outcome ToOutcome(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return {};
    case Code::kNotFound: return status.message() == kNoSuchKey ? kKeyNotFound : kLeaseNotFound;
    case Code::kCompareFailed: return WithMessage(GrpcCode::kFailedPrecondition, status);
    case Code::kNotLeader: return kNotLeader;
    case Code::kUnknownOutcome: return kTimeoutDueToLeaderFail;
    case Code::kUnavailable:
      if (kv::IsTooManyCalls(status)) return kTooManyRequests;
      return WithMessage(GrpcCode::kUnavailable, status);
    case Code::kDeadlineExceeded: return kTimeout;
    case Code::kNoSpace: return kNoSpace;
    case Code::kCompacted: return kCompacted;
    case Code::kSessionExpired: return WithMessage(GrpcCode::kUnavailable, status);
    case Code::kCorruption: return kCorrupt;
    case Code::kIOError: return WithMessage(GrpcCode::kInternal, status);
    case Code::kInvalidArgument: return OfInvalidArgument(status);
    case Code::kVersionMismatch: return WithMessage(GrpcCode::kFailedPrecondition, status);
    case Code::kPermissionDenied: return kPermissionDenied;
    case Code::kCancelled: return kStopped;
  }
  return WithMessage(GrpcCode::kUnknown, status);
}

ResponseHeader MakeHeader(const Backend& backend, std::uint64_t revision) {
  const NodeStatus status = backend.status();
  return {.cluster_id = status.cluster_id,
          .member_id = status.member_id,
          .revision = static_cast<std::int64_t>(revision == 0 ? status.revision : revision),
          .raft_term = status.term};
}

ResponseHeader RevisionOnly(std::uint64_t revision) {
  ResponseHeader header;
  header.revision = static_cast<std::int64_t>(revision);
  return header;
}

std::chrono::milliseconds TimeoutOf(const Backend& backend, const CallContext& context) {
  if (context.deadline == kNever) return kMaxTimeout;
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.deadline - backend.loop.Now());
  return std::clamp(left, std::chrono::milliseconds(0), kMaxTimeout);
}

bool LacksLeader(const Backend& backend, const CallContext& context) {
  return context.needs_leader && backend.status().leader.empty();
}

}  // namespace raftkv::etcd
