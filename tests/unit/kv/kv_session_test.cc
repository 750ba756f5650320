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

std::vector<Operation> Increment() { return {IncrementOp{"n", 1}}; }

RequestHeader Header(std::uint64_t session, std::uint64_t sequence,
                     std::uint64_t acknowledged_below = 0, std::uint64_t opened_at_ms = kStart) {
  return {session, opened_at_ms, sequence, acknowledged_below};
}

// Known bug 13: a retry applied twice.
TEST(KvSession, ARetryGetsTheSameAnswerAndAppliesNothing) {
  AppliedLog log;
  log.Apply(Header(7, 1), Increment());
  const Bytes answer = log.last_answer();
  log.Apply(Header(7, 2), {PutOp{"p", "1"}});
  const Bytes plain = log.last_answer();
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    EXPECT_EQ(log.Apply(Header(7, 1), Increment()).results.at(0).number, 1);
    EXPECT_EQ(log.last_answer(), answer);
    log.Apply(Header(7, 2), {PutOp{"p", "1"}});
    EXPECT_EQ(log.last_answer(), plain) << "with the revision of the first time";
    EXPECT_EQ(log.Get("n"), "1");
  }
}

TEST(KvSession, SequencesMayComeInAnyOrder) {
  AppliedLog log;
  for (const std::uint64_t sequence : {5, 1, 3, 2, 4}) {
    EXPECT_EQ(log.Apply(Header(7, sequence), Increment()).code, Code::kOk);
  }
  for (const std::uint64_t sequence : {1, 2, 3, 4, 5}) log.Apply(Header(7, sequence), Increment());
  EXPECT_EQ(log.Get("n"), "5");
}

TEST(KvSession, SessionsDoNotMix) {
  AppliedLog log;
  log.Apply(Header(7, 1), Increment());
  log.Apply(Header(8, 1), Increment());
  EXPECT_EQ(log.Get("n"), "2");
}

TEST(KvSession, AnAcknowledgedRequestIsNeverCarriedOutAgain) {
  AppliedLog log;
  log.Apply(Header(7, 1), Increment());
  log.Apply(Header(7, 3, /*acknowledged_below=*/3), Increment());
  for (const std::uint64_t late : {1, 2}) {
    const Response response = log.Apply(Header(7, late), Increment());
    EXPECT_EQ(response.code, Code::kSessionExpired);
    EXPECT_NE(response.message.find("acknowledged"), std::string::npos);
  }
  EXPECT_EQ(log.Get("n"), "2") << "sequence 2 was given up before it arrived";
}

TEST(KvSession, TheAcknowledgementNeverGoesBack) {
  AppliedLog log;
  log.Apply(Header(7, 5, 5), Increment());
  log.Apply(Header(7, 6, 1), Increment());
  EXPECT_EQ(log.Apply(Header(7, 4, 1), Increment()).code, Code::kSessionExpired);
}

// Known bug 14: an expired session executes again.
TEST(KvSession, ASessionThatIsNotUsedExpiresByReplicatedTime) {
  AppliedLog log(StoreOptions{.session_life_ms = 1000});
  log.Apply(Header(7, 1), Increment());
  log.AdvanceMs(999);
  EXPECT_EQ(log.Apply(Header(7, 1), Increment()).code, Code::kOk);
  log.AdvanceMs(999);
  EXPECT_EQ(log.Apply(Header(7, 2), Increment()).code, Code::kOk) << "each use prolongs it";
  log.AdvanceMs(1000);
  EXPECT_EQ(log.Apply(Header(7, 2), Increment()).code, Code::kSessionExpired);
  EXPECT_EQ(log.Apply(Header(7, 3), Increment()).code, Code::kSessionExpired);
  EXPECT_EQ(log.Get("n"), "2");
}

// Known bug 46: the first request of a session is duplicated after the session expired.
TEST(KvSession, TheFirstRequestDuplicatedAfterExpiryIsRefused) {
  AppliedLog log(StoreOptions{.session_life_ms = 1000});
  log.Apply(Header(7, 1), Increment());
  log.AdvanceMs(5000);
  log.Apply(Header(8, 1, 0, kStart + 5000), {PutOp{"other", ""}});
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    EXPECT_EQ(log.Apply(Header(7, 1), Increment()).code, Code::kSessionExpired);
  }
  EXPECT_EQ(log.Get("n"), "1");
}

TEST(KvSession, ExpiredSessionsLeaveTheEngine) {
  AppliedLog log(StoreOptions{.session_life_ms = 1000});
  for (std::uint64_t session = 1; session <= 40; ++session) {
    log.Apply(Header(session, 1), {PutOp{"k", ""}});
  }
  const auto sessions = [&] {
    std::size_t count = 0;
    for (const auto& [key, record] : log.engine().content()) count += key[0] == 's' ? 1 : 0;
    return count;
  };
  EXPECT_EQ(sessions(), 40U);
  log.AdvanceMs(1000);
  for (int i = 0; i < 10 && sessions() > 0; ++i) {
    ASSERT_TRUE(
        log.store().Apply({test::NoopEntry(log.store().applied().value + 1, log.now_ms())}).ok());
  }
  EXPECT_EQ(sessions(), 0U);
}

TEST(KvSession, OnlyAYoungSessionIsOpened) {
  AppliedLog log(StoreOptions{.session_life_ms = 1000});
  EXPECT_EQ(log.Apply(Header(1, 1, 0, kStart + 1), Increment()).code, Code::kSessionExpired)
      << "from the future";
  EXPECT_EQ(log.Apply(Header(2, 1, 0, kStart - 1000), Increment()).code, Code::kSessionExpired)
      << "too old";
  EXPECT_EQ(log.Apply(Header(3, 1, 0, kStart - 999), Increment()).code, Code::kOk);
  EXPECT_EQ(log.Get("n"), "1");
}

TEST(KvSession, ARefusedRequestStillAdvancesPositionAndTime) {
  AppliedLog log(StoreOptions{.session_life_ms = 1000});
  log.AdvanceMs(5000);
  EXPECT_EQ(log.Apply(Header(1, 1), Increment()).code, Code::kSessionExpired);
  EXPECT_EQ(log.store().applied(), Index(1));
  EXPECT_EQ(log.store().replicated_time_ms(), kStart + 5000);
  EXPECT_EQ(log.Apply(Header(2, 1, 0, kStart + 5000), Increment()).code, Code::kOk);
}

TEST(KvSession, TheSameIdFromAnotherOpeningIsRefused) {
  AppliedLog log;
  log.Apply(Header(7, 1), Increment());
  EXPECT_EQ(log.Apply(Header(7, 2, 0, kStart - 1), Increment()).code, Code::kSessionExpired);
  EXPECT_EQ(log.Get("n"), "1");
}

TEST(KvSession, AFullTableDropsTheLeastRecentlyUsedAndNeverTakesItBack) {
  AppliedLog log(StoreOptions{.max_sessions = 3});
  for (std::uint64_t session = 1; session <= 3; ++session) {
    log.AdvanceMs(10);
    log.Apply(Header(session, 1, 0, log.now_ms()), Increment());
  }
  log.Apply(Header(1, 2, 0, kStart + 10), Increment());
  log.AdvanceMs(10);
  // Session 2 was not used for the longest time; it was opened at +20.
  EXPECT_EQ(log.Apply(Header(4, 1, 0, kStart + 40), Increment()).code, Code::kOk);
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    EXPECT_EQ(log.Apply(Header(2, 1, 0, kStart + 20), Increment()).code, Code::kSessionExpired);
    EXPECT_EQ(log.Apply(Header(9, 1, 0, kStart + 20), Increment()).code, Code::kSessionExpired)
        << "nor any other that was opened no later";
    EXPECT_EQ(log.Apply(Header(1, 2, 0, kStart + 10), Increment()).code, Code::kOk)
        << "those that stayed are not touched by the floor";
    EXPECT_EQ(log.Apply(Header(3, 1, 0, kStart + 30), Increment()).code, Code::kOk);
    EXPECT_EQ(log.Apply(Header(4, 1, 0, kStart + 40), Increment()).code, Code::kOk);
  }
  EXPECT_EQ(log.Get("n"), "5");
}

TEST(KvSession, TooManyRequestsUnderWayAreRefusedUntilSomeAreAcknowledged) {
  AppliedLog log(StoreOptions{.max_outstanding = 2});
  log.Apply(Header(7, 1), Increment());
  log.Apply(Header(7, 2), Increment());
  EXPECT_EQ(log.Apply(Header(7, 3), Increment()).code, Code::kUnavailable);
  EXPECT_EQ(log.Apply(Header(7, 2), Increment()).code, Code::kOk) << "a retry is no new request";
  EXPECT_EQ(log.Get("n"), "2");
  EXPECT_EQ(log.Apply(Header(7, 3, 2), Increment()).code, Code::kOk);
  EXPECT_EQ(log.Get("n"), "3");
}

TEST(KvSession, AnAnswerTooLargeToKeepIsUnknownNeverCarriedOutAgain) {
  AppliedLog log(StoreOptions{.max_response_bytes = 200});
  log.Apply(Header(7, 1), Increment());
  ASSERT_GT(log.last_answer().size(), 50U);
  log.Apply(Header(7, 2), {PutOp{"p", ""}});
  for (std::uint64_t sequence = 3; sequence <= 5; ++sequence) {
    EXPECT_EQ(log.Apply(Header(7, sequence), Increment()).code, Code::kOk);
  }
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    EXPECT_EQ(log.Apply(Header(7, 1), Increment()).code, Code::kUnknownOutcome);
    EXPECT_EQ(log.Apply(Header(7, 2), {PutOp{"p", ""}}).code, Code::kOk);
    EXPECT_EQ(log.Apply(Header(7, 5), Increment()).results.at(0).number, 4);
  }
  EXPECT_EQ(log.Get("n"), "4");
}

TEST(KvSessionRecord, ComesBackAsItWas) {
  Session session;
  session.opened_at_ms = 1;
  session.last_used_ms = 2;
  session.last_used_index = Index(3);
  session.acknowledged_below = 4;
  session.answers = {{4, Answer::Kind::kPlain, 9, {}},
                     {6, Answer::Kind::kResponse, 0, Bytes(std::string("answer"))},
                     {7, Answer::Kind::kLost, 0, {}}};
  session.response_bytes = 6;
  const std::string record = EncodeSession(session);
  const auto decoded = DecodeSession(11, record);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ(decoded->id, 11U);
  EXPECT_EQ(decoded->last_used_index, Index(3));
  EXPECT_EQ(decoded->response_bytes, 6U);
  ASSERT_EQ(decoded->answers.size(), 3U);
  EXPECT_EQ(decoded->answers[0].revision, 9U);
  EXPECT_EQ(decoded->answers[1].response.view(), "answer");
  EXPECT_EQ(decoded->answers[2].kind, Answer::Kind::kLost);
  EXPECT_EQ(EncodeSession(*decoded), record);
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_EQ(DecodeSession(11, record.substr(0, size)).code(), Code::kCorruption) << size;
  }
  EXPECT_EQ(DecodeSession(11, record + "x").code(), Code::kCorruption);
}

}  // namespace
}  // namespace raftkv::kv
