// Writes of a KV: retries, sessions, deadlines.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/support/node/session_kv_fixture.h"

namespace raftkv::node {
namespace {

using std::chrono::milliseconds;
using test::FakeChannel;
using test::SessionKvTest;

TEST_F(SessionKvTest, EachKindOfWriteGetsItsOwnAnswer) {
  Open();
  test::Outcomes<DeleteResult> deletes;
  test::Outcomes<WriteResult> swaps;
  Put("a");
  Increment();
  kv_->IncrementAsync("a", 1, {}, increments_.Next());
  kv_->CompareAndSwapAsync("c", std::nullopt, "1", {}, swaps.Next());
  kv_->CompareAndSwapAsync("c", "2", "3", {}, swaps.Next());
  kv_->DeleteAsync("none", {}, deletes.Next());
  kv_->DeleteRangeAsync(KeyRange::Prefix(""), {}, deletes.Next());
  Run();
  ASSERT_EQ(channel_.submits.size(), 1U);
  channel_.ApplyAndAnswer(0);
  EXPECT_EQ(puts_.code(0), Code::kOk);
  EXPECT_EQ((*increments_.all[0])->value, 1);
  EXPECT_EQ(increments_.code(1), Code::kInvalidArgument);
  EXPECT_EQ(swaps.code(0), Code::kOk);
  EXPECT_EQ(swaps.code(1), Code::kCompareFailed);
  EXPECT_EQ((*deletes.all[0])->deleted, 0U);
  EXPECT_EQ((*deletes.all[1])->deleted, 3U);
  EXPECT_EQ((*puts_.all[0])->revision, 2U);
  EXPECT_EQ((*increments_.all[0])->revision, 3U);
  EXPECT_EQ((*swaps.all[0])->revision, 4U) << "the increment before it was refused";
  EXPECT_EQ((*deletes.all[0])->revision, 4U) << "it has changed nothing";
  EXPECT_EQ((*deletes.all[1])->revision, 5U);
}

TEST_F(SessionKvTest, WrongUseIsRefusedBeforeAnythingIsSent) {
  SessionKvOptions options;
  options.limits.max_value_bytes = 10;
  options.limits.max_operations = 2;
  Open(options);
  kv_->PutAsync("", "v", {}, puts_.Next());
  kv_->PutAsync("k", std::string(11, 'v'), {}, puts_.Next());
  kv_->WriteAsync(Batch(), {}, puts_.Next());
  kv_->WriteAsync(Batch().Put("a", "").Put("b", "").Put("c", ""), {}, puts_.Next());
  kv_->WriteAsync(Batch().Put("a", "").Delete(""), {}, puts_.Next());
  kv_->GetAsync("", {}, gets_.Next());
  EXPECT_EQ(puts_.ended(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(puts_.code(i), Code::kInvalidArgument) << i;
  EXPECT_EQ(gets_.code(0), Code::kInvalidArgument);
  Run();
  EXPECT_EQ(channel_.sessions_opened, 0);
  EXPECT_TRUE(channel_.submits.empty());
}

TEST_F(SessionKvTest, MoreThanMayWaitIsRefusedAndWhatWasSentMakesRoom) {
  SessionKvOptions options;
  options.max_queued_bytes = 1000;
  Open(options);
  const std::string value(300, 'v');
  for (int i = 0; i < 4; ++i) kv_->PutAsync("k", value, {}, puts_.Next());
  EXPECT_EQ(puts_.ended(), 2U);
  EXPECT_EQ(puts_.code(2), Code::kUnavailable);
  Run();
  kv_->PutAsync("k", value, {}, puts_.Next());
  EXPECT_FALSE(puts_.all[4].has_value());
}

TEST_F(SessionKvTest, CallsThatEndedMakeRoom) {
  SessionKvOptions options;
  options.max_queued_bytes = 1000;
  Open(options);
  channel_.session_failure = {Code::kUnavailable, "nobody there"};
  for (int round = 0; round < 300; ++round) {
    kv_->PutAsync("k", std::string(600, 'v'), {milliseconds(10)}, puts_.Next());
    AdvanceMs(11);
    ASSERT_EQ(puts_.code(puts_.all.size() - 1), Code::kDeadlineExceeded) << round;
  }
}

TEST_F(SessionKvTest, ARetryCarriesTheSameBytesAndIsCarriedOutOnce) {
  Open();
  Increment();
  Run();
  channel_.Apply(0);  // the answer is lost
  channel_.Answer(0, Code::kUnknownOutcome);
  Increment();  // does not get into the retry
  AdvanceMs(10);
  ASSERT_EQ(channel_.submits.size(), 2U);
  EXPECT_EQ(channel_.submits[0].request, channel_.submits[1].request);
  channel_.ApplyAndAnswer(1);
  EXPECT_EQ((*increments_.all[0])->value, 1);
  EXPECT_EQ(Stored("n"), "1");
  Run();
  channel_.ApplyAndAnswer(2);
  EXPECT_EQ((*increments_.all[1])->value, 2);
}

// Found by the simulator: members keep answers until all before them are acknowledged, within a
// bound. Requests that ran far ahead of one that waits for its next attempt would fill that up, and
// then the one that could make room is refused as well.
TEST_F(SessionKvTest, NoRequestRunsFarAheadOfOneThatWaitsForItsNextAttempt) {
  node::SessionKvOptions options;
  options.coalesce = false;
  options.max_outstanding = 4;
  Open(options);
  for (int i = 0; i < 20; ++i) Put("k" + std::to_string(i));
  Run();
  ASSERT_EQ(channel_.submits.size(), 4U);
  channel_.Answer(0, Code::kUnavailable);
  for (std::size_t i = 1; i < channel_.submits.size(); ++i) {
    channel_.ApplyAndAnswer(i);
    Run();
  }
  EXPECT_EQ(channel_.submits.size(), 8U) << "twice as many as may be under way";
  EXPECT_EQ(puts_.ended(), 7U);
  AdvanceMs(10);
  ASSERT_EQ(channel_.submits.size(), 9U);
  channel_.ApplyAndAnswer(8);
  Run();
  EXPECT_EQ(channel_.submits.size(), 13U);
  EXPECT_EQ(puts_.ended(), 8U);
}

TEST_F(SessionKvTest, RetriesBackOffUntilTheDeadline) {
  Open();
  Put("k", milliseconds(3000));
  Run();
  std::vector<MonoTime> at;
  for (std::size_t attempt = 0; loop_.Now() < MonoTime(std::chrono::hours(2)); ++attempt) {
    if (attempt >= channel_.submits.size()) break;
    at.push_back(loop_.Now());
    channel_.Answer(attempt, attempt % 2 == 0 ? Code::kNotLeader : Code::kUnavailable);
    for (int ms = 0; ms < 250 && channel_.submits.size() == attempt + 1; ++ms) AdvanceMs(1);
  }
  EXPECT_EQ(puts_.code(0), Code::kDeadlineExceeded) << "no attempt can have carried it out";
  EXPECT_GT(at.size(), 12U);
  EXPECT_LT(at.size(), 60U) << "no back-off";
  for (std::size_t i = 1; i < at.size(); ++i) {
    EXPECT_GE(at[i] - at[i - 1], milliseconds(2));
    EXPECT_LE(at[i] - at[i - 1], milliseconds(201));
  }
  EXPECT_NE(puts_.all[0]->status().message().find("scripted"), std::string::npos)
      << "the last failure is told: " << puts_.all[0]->status().ToString();
}

TEST_F(SessionKvTest, AWriteThatMayHaveBeenCarriedOutEndsUnknown) {
  Open();
  Put("answered unknown", milliseconds(100));
  Run();
  channel_.Answer(0, Code::kUnknownOutcome);
  AdvanceMs(10);
  channel_.Answer(1, Code::kNotLeader);  // says nothing of the first attempt
  AdvanceMs(100);
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome);
  const std::size_t attempt = channel_.submits.size();
  Put("never answered", milliseconds(100));
  AdvanceMs(101);
  ASSERT_GT(channel_.submits.size(), attempt);
  EXPECT_EQ(puts_.code(1), Code::kUnknownOutcome);
}

TEST_F(SessionKvTest, EachCallEndsAtItsOwnDeadline) {
  Open();
  Put("short", milliseconds(50));
  Put("long", milliseconds(500));
  Run();
  Put("waits", milliseconds(15));
  AdvanceMs(70);
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome);
  EXPECT_FALSE(puts_.all[1].has_value());
  EXPECT_EQ(puts_.code(2), Code::kDeadlineExceeded) << "it was never sent";
  channel_.ApplyAndAnswer(0);
  EXPECT_EQ(puts_.code(1), Code::kOk);
  EXPECT_EQ(channel_.submits.size(), 1U);
}

// Found by the simulator (seed 23 of its first day): the call was told that it had not been carried
// out, and then the request, which others kept alive, was sent again with all its operations.
TEST_F(SessionKvTest, ACallThatExpiresBetweenAttemptsMayStillBeCarriedOutForTheOthers) {
  Open();
  Put("short", milliseconds(40));
  Put("long", milliseconds(5000));
  Run();
  std::size_t answered = 0;
  for (int ms = 0; ms < 40; ++ms) {
    while (answered < channel_.submits.size()) channel_.Answer(answered++, Code::kUnavailable);
    AdvanceMs(1);
  }
  ASSERT_EQ(channel_.submits.size(), answered) << "it did not expire between two attempts";
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome);
  while (answered == channel_.submits.size()) AdvanceMs(1);
  channel_.ApplyAndAnswer(answered);
  EXPECT_EQ(puts_.code(1), Code::kOk);
  EXPECT_EQ(Stored("short"), "value of short") << "this is why its outcome was unknown";
}

TEST_F(SessionKvTest, AnAttemptIsGivenUpBeforeALongTimeout) {
  Open();
  Put("k", std::chrono::hours(1));
  Run();
  EXPECT_LE(channel_.submits[0].deadline - loop_.Now(), std::chrono::seconds(5));
  Put("impossible", milliseconds::max());
  Put("none", milliseconds(-5));
  AdvanceMs(1);
  EXPECT_EQ(puts_.code(2), Code::kDeadlineExceeded);
  EXPECT_FALSE(puts_.all[1].has_value());
}

TEST_F(SessionKvTest, WhatNobodyWaitsForIsNeverCarriedOutLate) {
  Open();
  Increment(milliseconds(100));
  AdvanceMs(101);
  EXPECT_EQ(increments_.code(0), Code::kUnknownOutcome);
  Increment();
  Run();
  ASSERT_EQ(channel_.submits.size(), 2U);
  channel_.ApplyAndAnswer(1);
  EXPECT_EQ((*increments_.all[1])->value, 1);
  channel_.Apply(0);  // a late copy of the first attempt
  EXPECT_EQ(Stored("n"), "1");
  channel_.submits[0].done({Status::Ok(), channel_.log.last_answer()});  // nobody cares
}

TEST_F(SessionKvTest, AnExpiredSessionIsReplacedWithoutTheCallerSeeingIt) {
  Open();
  Increment();
  Run();
  channel_.ApplyAndAnswer(0);
  channel_.log.AdvanceMs(60'001);
  Increment();
  Run();
  channel_.ApplyAndAnswer(1);
  Run();
  ASSERT_EQ(channel_.submits.size(), 3U);
  EXPECT_EQ(channel_.sessions_opened, 2);
  const auto before = FakeChannel::Header(channel_.submits[1].request);
  const auto after = FakeChannel::Header(channel_.submits[2].request);
  EXPECT_NE(before.session, after.session);
  EXPECT_EQ(after.sequence, 1U);
  channel_.ApplyAndAnswer(2);
  EXPECT_EQ((*increments_.all[1])->value, 2);
}

TEST_F(SessionKvTest, AnExpiredSessionIsNotReplacedWhereTheWriteMayBeDone) {
  Open();
  Increment();
  Run();
  channel_.Apply(0);
  channel_.Answer(0, Code::kUnknownOutcome);
  channel_.log.AdvanceMs(60'001);
  AdvanceMs(10);
  ASSERT_EQ(channel_.submits.size(), 2U);
  channel_.ApplyAndAnswer(1);  // answers SessionExpired
  Run();
  EXPECT_EQ(increments_.code(0), Code::kUnknownOutcome);
  EXPECT_EQ(channel_.submits.size(), 2U);
  Increment();
  Run();
  channel_.ApplyAndAnswer(2);
  EXPECT_EQ((*increments_.all[1])->value, 2) << "a new session serves what comes later";
}

TEST_F(SessionKvTest, SessionsThatExpireAgainAndAgainBackOff) {
  Open();
  Put("k", milliseconds(2000));
  Run();
  for (std::size_t i = 0; i < channel_.submits.size(); ++i) {
    channel_.Answer(i, Code::kSessionExpired);
    for (int ms = 0; ms < 250 && channel_.submits.size() == i + 1; ++ms) AdvanceMs(1);
  }
  EXPECT_EQ(puts_.code(0), Code::kDeadlineExceeded);
  EXPECT_GT(channel_.submits.size(), 5U);
  EXPECT_LT(channel_.submits.size(), 50U);
}

TEST_F(SessionKvTest, OpeningASessionIsTriedAgainUntilTheDeadline) {
  Open();
  channel_.session_failure = {Code::kUnavailable, "nobody there"};
  Put("late", milliseconds(100));
  Put("k", milliseconds(2000));
  AdvanceMs(1000);
  EXPECT_EQ(puts_.code(0), Code::kDeadlineExceeded);
  EXPECT_NE(puts_.all[0]->status().message().find("nobody there"), std::string::npos);
  EXPECT_GT(channel_.sessions_opened, 4);
  EXPECT_TRUE(channel_.submits.empty());
  channel_.session_failure = Status::Ok();
  AdvanceMs(250);
  ASSERT_EQ(channel_.submits.size(), 1U);
  channel_.ApplyAndAnswer(0);
  EXPECT_EQ(puts_.code(1), Code::kOk);
}

TEST_F(SessionKvTest, WhatNoRetryCanMendFailsAtOnce) {
  Open();
  Put("a");
  Run();
  channel_.Answer(0, Code::kPermissionDenied);
  EXPECT_EQ(puts_.code(0), Code::kPermissionDenied);
  kv_.reset();
  Open();
  channel_.session_failure = {Code::kVersionMismatch, "too old"};
  Put("b");
  Run();
  EXPECT_EQ(puts_.code(1), Code::kVersionMismatch);
}

TEST_F(SessionKvTest, AnAnswerThatIsDamagedIsUnknown) {
  Open();
  Put("a");
  Run();
  channel_.submits[0].done({Status::Ok(), Bytes(std::string("garbage!"))});
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome);
}

TEST_F(SessionKvTest, DestructionEndsEveryCallOnce) {
  Open();
  Put("under way");
  Run();
  Put("waits");
  Run();
  Put("posted");
  Get("k");
  kv_.reset();
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome);
  EXPECT_EQ(puts_.code(1), Code::kCancelled);
  Run();
  EXPECT_EQ(puts_.code(2), Code::kCancelled);
  EXPECT_EQ(gets_.code(0), Code::kCancelled);
  channel_.ApplyAndAnswer(0);
  AdvanceMs(10'000);
  EXPECT_EQ(puts_.ended(), 3U);
}

TEST_F(SessionKvTest, ALoopThatEndsEndsTheCallsThatItDrops) {
  Open();
  Put("k");
  Get("k");
  loop_.Drop();
  EXPECT_EQ(puts_.code(0), Code::kCancelled);
  EXPECT_EQ(gets_.code(0), Code::kCancelled);
}

TEST_F(SessionKvTest, ACallbackMayDestroyTheStore) {
  Open();
  kv_->PutAsync("a", "1", {}, [this](Result<WriteResult> result) {
    EXPECT_TRUE(result.ok());
    kv_.reset();
  });
  Put("b");
  Run();
  channel_.ApplyAndAnswer(0);
  EXPECT_EQ(puts_.code(0), Code::kUnknownOutcome) << "it was carried out";
}

TEST_F(SessionKvTest, NothingIsSentAfterACallThatWasTooLateDestroyedTheStore) {
  Open();
  Put("a");
  // Its time is over when requests are made of what gathered.
  kv_->PutAsync("late", "", {milliseconds(0)}, [this](const Result<WriteResult>& result) {
    EXPECT_EQ(result.code(), Code::kDeadlineExceeded);
    kv_.reset();
  });
  Run();
  EXPECT_EQ(kv_, nullptr);
  EXPECT_EQ(puts_.code(0), Code::kCancelled);
  EXPECT_TRUE(channel_.submits.empty()) << "its caller was told that it was not carried out";
}

TEST_F(SessionKvTest, EveryCallEndsOnceAndEveryWriteIsCarriedOutAtMostOnce) {
  std::size_t unknown = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random dice(seed);
    test::FakeLoop loop;
    FakeChannel channel(loop);
    SessionKvOptions options;
    options.coalesce = seed % 2 == 0;
    options.seed = seed;
    auto kv = NewSessionKv(loop, channel, options);
    test::Outcomes<IncrementResult> increments;
    increments.all.reserve(1000);
    std::size_t answered = 0;
    for (int step = 0; step < 400; ++step) {
      if (dice.Below(2) == 0) {
        kv->IncrementAsync("n", 1, {milliseconds(20 + dice.Below(300))}, increments.Next());
      }
      loop.Advance(milliseconds(dice.Below(8)));
      if (dice.Below(60) == 0) channel.log.AdvanceMs(60'001);
      if (answered >= channel.submits.size()) continue;
      const std::size_t i = answered++;
      switch (dice.Below(6)) {
        case 0: channel.Answer(i, Code::kNotLeader); break;
        case 1: channel.Answer(i, Code::kUnknownOutcome); break;
        case 2:
          channel.Apply(i);
          channel.Answer(i, Code::kUnknownOutcome);
          break;
        default: channel.ApplyAndAnswer(i);
      }
      // A late copy of something.
      if (dice.Below(4) == 0) channel.Apply(dice.Below(answered));
    }
    loop.Advance(std::chrono::seconds(1));
    ASSERT_EQ(increments.ended(), increments.all.size()) << "seed " << seed;
    std::uint64_t ok = 0;
    std::uint64_t maybe = 0;
    for (const auto& outcome : increments.all) {
      ok += (*outcome).ok() ? 1 : 0;
      maybe += outcome->code() == Code::kUnknownOutcome ? 1 : 0;
    }
    const std::string stored = channel.log.Get("n");
    const std::uint64_t count = stored == "(none)" ? 0 : std::stoull(stored);
    EXPECT_GE(count, ok) << "seed " << seed;
    EXPECT_LE(count, ok + maybe) << "seed " << seed << ": something was carried out twice";
    unknown += maybe;
    EXPECT_GT(ok, 5U) << "seed " << seed;
  }
  EXPECT_GT(unknown, 20U);
}

}  // namespace
}  // namespace raftkv::node
