// How does a call of the etcd API end?
#pragma once

#include <cstdint>
#include <string>

namespace raftkv::etcd {

/// The status codes of gRPC, with its numbers.
enum class GrpcCode : std::uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// The message is part of the protocol where the error is one of etcd's: clients match on it.
struct Outcome {
  GrpcCode code = GrpcCode::kOk;
  std::string message = {};
  [[nodiscard]] bool ok() const { return code == GrpcCode::kOk; }
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

}  // namespace raftkv::etcd
