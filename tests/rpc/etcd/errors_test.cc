// Which of etcd's errors does a failure of the store become?
#include "rpc/etcd/errors.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/lease_table.h"
#include "lib/kv/refusals.h"
#include "lib/kv/request.h"
#include "lib/kv/revisions.h"

namespace raftkv::etcd {
namespace {

TEST(EtcdErrors, StatesOfTheStoreHaveEtcdsTexts) {
  const std::vector<std::pair<Status, Outcome>> expected = {
      {Status::Ok(), {}},
      {{Code::kNotFound, std::string(kNoSuchKey)}, kKeyNotFound},
      {kv::NoSuchLease(7), kLeaseNotFound},
      {kv::FutureRevision(9, 5), kFutureRevision},
      {kv::CompactedStatus(3, 5), kCompacted},
      {{Code::kNoSpace, "the disk is full"}, kNoSpace},
      {{Code::kUnknownOutcome, "no answer"}, kTimeoutDueToLeaderFail},
      {{Code::kDeadlineExceeded, "too late"}, kTimeout},
      {{Code::kCancelled, "closed"}, kStopped},
      {{Code::kCorruption, "damaged"}, kCorrupt},
      {{Code::kNotLeader, "another one leads"}, kNotLeader},
      {{Code::kPermissionDenied, "no"}, kPermissionDenied},
  };
  for (const auto& [status, outcome] : expected) {
    EXPECT_EQ(ToOutcome(status), outcome) << status.ToString();
  }
}

TEST(EtcdErrors, ARefusalOfTheStoreIsToldFromTheOthersOfItsCode) {
  Limits limits;
  limits.max_value_bytes = 2;
  const Status large = kv::CheckOperation(kv::PutOp{"k", "large"}, limits);
  EXPECT_EQ(ToOutcome(large), kRequestTooLarge) << large.ToString();
  const std::vector<Op> twice = {Op::Put("k", "1"), Op::Put("k", "2")};
  const Status duplicate = kv::CheckOperation(kv::TxnOp{{{}, twice, {}}}, Limits());
  EXPECT_EQ(ToOutcome(duplicate), kDuplicateKey) << duplicate.ToString();
  const Status ranges = kv::CheckWholeRanges(kv::kMaxWholeRanges + 1);
  EXPECT_EQ(ToOutcome(ranges).code, GrpcCode::kInvalidArgument);
  EXPECT_EQ(ToOutcome(ranges).message, "etcdserver: " + ranges.message());
}

TEST(EtcdErrors, WhatEtcdHasNoErrorForKeepsItsMessage) {
  const Outcome outcome = ToOutcome({Code::kUnavailable, "a transfer is in progress"});
  EXPECT_EQ(outcome, (Outcome{GrpcCode::kUnavailable, "etcdserver: a transfer is in progress"}));
  EXPECT_EQ(ToOutcome({Code::kVersionMismatch, "upgrade"}).code, GrpcCode::kFailedPrecondition);
  EXPECT_EQ(ToOutcome({Code::kIOError, "read"}).code, GrpcCode::kInternal);
}

}  // namespace
}  // namespace raftkv::etcd
