// Does what all sessions store together keep to its bound, the same way on every member, without a
// request ever being carried out twice?
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/session.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

constexpr std::uint64_t kStart = AppliedLog::kStartMs;
/// Of answers that say nothing but a revision.
constexpr std::size_t kRoomForFour = 4 * kAnswerBytes;

/// Each session was opened at a time of its own.
RequestHeader Header(std::uint64_t session, std::uint64_t sequence,
                     std::uint64_t acknowledged_below = 0) {
  return {session, kStart + session, sequence, acknowledged_below};
}

/// Whether it was carried out again shows in the revision of its key.
std::vector<Operation> Put(std::uint64_t session) {
  return {PutOp{"k" + std::to_string(session), "v"}};
}

class KvSessionBound : public testing::Test {
 protected:
  KvSessionBound() { log_.AdvanceMs(100); }

  Response Apply(std::uint64_t session, std::uint64_t sequence,
                 std::uint64_t acknowledged_below = 0) {
    return log_.Apply(Header(session, sequence, acknowledged_below), Put(session));
  }
  /// Of the store, before the key of `session` was put.
  std::uint64_t Revision(std::uint64_t session) {
    const Bytes request =
        EncodeReadRequest({{Range::Single("k" + std::to_string(session)), 0, false, false}});
    const auto answer = kv::Read(log_.engine(), ReadTier::kAll, request.view(), 1 << 20);
    const auto results = DecodeReadResponse(answer->view());
    return results->front().kvs.empty() ? 0 : results->front().kvs.front().mod_revision - 1;
  }
  std::size_t SessionRecords() {
    std::size_t count = 0;
    for (const auto& [key, record] : log_.engine().content()) count += key[0] == 's' ? 1 : 0;
    return count;
  }

  AppliedLog log_{StoreOptions{.max_stored_bytes = kRoomForFour}};
};

TEST_F(KvSessionBound, WhoWasNotUsedForTheLongestTimeGoesAndIsNeverCarriedOutAgain) {
  for (std::uint64_t session = 1; session <= 4; ++session) {
    EXPECT_EQ(Apply(session, 1).revision, session);
  }
  EXPECT_EQ(Apply(1, 1).revision, 1U) << "a retry: nothing is stored, and 2 is the oldest now";
  EXPECT_EQ(SessionRecords(), 4U) << "as much as there may be";
  EXPECT_EQ(Apply(5, 1).code, Code::kOk);
  EXPECT_EQ(SessionRecords(), 4U);
  for (const bool reopened : {false, true}) {
    if (reopened) log_.Reopen();
    const Response late = Apply(2, 1);
    EXPECT_EQ(late.code, Code::kSessionExpired) << "not carried out, and the client can tell";
    EXPECT_EQ(Apply(2, 2).code, Code::kSessionExpired) << "nor is a new request of it";
    EXPECT_EQ(Revision(2), 2U);
    for (const std::uint64_t kept : {3, 4, 1, 5}) {
      EXPECT_EQ(Apply(kept, 1).code, Code::kOk);
      EXPECT_EQ(Revision(kept), kept) << "a retry at the bound was carried out";
    }
  }
}

TEST_F(KvSessionBound, ARequestIsAlwaysCarriedOutAndASessionNeverDropsItself) {
  for (std::uint64_t sequence = 1; sequence <= 6; ++sequence) {
    EXPECT_EQ(Apply(1, sequence).revision, sequence);
  }
  EXPECT_EQ(Apply(1, 1).revision, 1U) << "alone it keeps to its own bounds only";
  EXPECT_EQ(Apply(2, 1).code, Code::kOk);
  EXPECT_EQ(SessionRecords(), 1U);
  EXPECT_EQ(Apply(1, 6).code, Code::kSessionExpired);
  EXPECT_EQ(Revision(1), 6U);
}

TEST_F(KvSessionBound, WhatIsAcknowledgedOrExpiredTakesNoRoom) {
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
    for (std::uint64_t session = 1; session <= 4; ++session) {
      EXPECT_EQ(Apply(session, sequence, sequence).code, Code::kOk);
    }
  }
  EXPECT_EQ(SessionRecords(), 4U);
  log_.AdvanceMs(StoreOptions().session_life_ms);
  for (std::uint64_t session = 1; session <= 4; ++session) {
    RequestHeader header = Header(10 + session, 1);
    header.opened_at_ms = log_.now_ms();
    EXPECT_EQ(log_.Apply(header, Put(session)).code, Code::kOk);
  }
  for (std::uint64_t session = 1; session <= 4; ++session) {
    RequestHeader header = Header(10 + session, 1);
    header.opened_at_ms = log_.now_ms();
    const std::uint64_t before = Revision(session);
    EXPECT_EQ(log_.Apply(header, Put(session)).code, Code::kOk);
    EXPECT_EQ(Revision(session), before);
  }
}

TEST_F(KvSessionBound, TheBytesOfAnswersCount) {
  AppliedLog log(StoreOptions{.max_stored_bytes = 1000});
  log.AdvanceMs(100);
  const std::vector<Operation> increment = {IncrementOp{"n", 1}};
  log.Apply(Header(1, 1), increment);
  const std::size_t each = kAnswerBytes + log.last_answer().size();
  const std::uint64_t fit = 1000 / each;
  ASSERT_LT(fit, 1000 / kAnswerBytes);
  for (std::uint64_t session = 2; session <= fit; ++session) {
    log.Apply(Header(session, 1), increment);
  }
  EXPECT_EQ(log.Apply(Header(1, 1), increment).code, Code::kOk) << "all are kept";
  log.Apply(Header(fit + 1, 1), increment);
  EXPECT_EQ(log.Apply(Header(1, 1), increment).code, Code::kOk) << "it was used";
  EXPECT_EQ(log.Apply(Header(2, 1), increment).code, Code::kSessionExpired);
  EXPECT_EQ(log.Get("n"), std::to_string(fit + 1));
}

/// The client of a dropped session opens another one, under which the request is carried out once.
TEST_F(KvSessionBound, WhoWasDroppedOpensAnewAndGoesOn) {
  for (std::uint64_t session = 1; session <= 5; ++session) Apply(session, 1);
  ASSERT_EQ(Apply(1, 2).code, Code::kSessionExpired);
  RequestHeader header = Header(100, 1);
  header.opened_at_ms = log_.store().replicated_time_ms();
  EXPECT_EQ(log_.Apply(header, Put(1)).code, Code::kOk);
}

// A restart at the bound, before each entry in turn, changes nothing: neither content nor answers.
TEST_F(KvSessionBound, MembersAgreeWhereverTheyWereRestarted) {
  const auto run = [](std::size_t restart_before) {
    AppliedLog log(StoreOptions{.max_stored_bytes = kRoomForFour});
    log.AdvanceMs(100);
    std::string answers;
    std::size_t entry = 0;
    for (std::uint64_t round = 1; round <= 4; ++round) {
      for (const std::uint64_t session : {1, 2, 3, 1, 4, 5, 2, 6, 7}) {
        if (entry++ == restart_before) log.Reopen();
        log.Apply(Header(session, round), Put(session));
        answers += std::string(log.last_answer().view());
      }
    }
    return std::tuple(log.engine().content(), HashContent(log.engine())->hash, answers);
  };
  const auto never = run(1000);
  for (std::size_t restart_before = 0; restart_before < 36; ++restart_before) {
    EXPECT_EQ(run(restart_before), never) << "restarted before entry " << restart_before;
  }
}

}  // namespace
}  // namespace raftkv::kv
