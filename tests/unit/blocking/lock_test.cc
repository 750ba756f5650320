// Does one contender at a time hold a lock, and does it know when it may no longer?
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/lock.h>

#include "lib/blocking/lease_term.h"
#include "tests/unit/blocking/lock_store.h"

namespace raftkv {
namespace {

using namespace std::chrono_literals;
using Fate = LockStore::Fate;

constexpr auto kLong = 60s;

std::unique_ptr<Session> Open(KV& kv, SessionOptions options = {}) {
  auto session = Session::Open(kv, std::move(options));
  EXPECT_TRUE(session.ok()) << session.status().ToString();
  return session.ok() ? *std::move(session) : nullptr;
}

TEST(LeaseTerm, CountsFromTheSendingAndNeverComesBack) {
  const MonoTime zero{};
  LeaseTerm term(zero, 300ms);
  EXPECT_TRUE(term.IsSure(zero + 299ms));
  EXPECT_FALSE(term.IsSure(zero + 300ms));
  term.Renew(zero + 100ms, zero + 250ms);
  EXPECT_EQ(term.Left(zero + 250ms), 150ms) << "the answer took its time";
  term.Renew(zero + 50ms, zero + 260ms);
  EXPECT_EQ(term.Left(zero + 250ms), 150ms) << "an older one changes nothing";
  term.Renew(zero + 390ms, zero + 400ms);
  EXPECT_FALSE(term.IsSure(zero + 400ms)) << "the answer came at the end";
}

TEST(Lock, HasOneHolderAndTheTokenRises) {
  LockStore store;
  const auto one = Open(store);
  const auto two = Open(store);
  Lock first(*one, "name");
  EXPECT_EQ(first.key(), "name/000000000000694d");
  EXPECT_FALSE(first.held());
  ASSERT_TRUE(first.Acquire(kLong).ok());
  EXPECT_TRUE(first.held());
  EXPECT_EQ(first.token(), 2U);
  EXPECT_EQ(first.Acquire(kLong).code(), Code::kInvalidArgument);
  Lock second(*two, "name");
  EXPECT_FALSE(*second.TryAcquire());
  EXPECT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 1; }));
  auto waiting = std::async(std::launch::async, [&] { return second.Acquire(kLong); });
  ASSERT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 2; }));
  EXPECT_FALSE(second.held());
  ASSERT_TRUE(first.Release().ok());
  EXPECT_FALSE(first.held());
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_TRUE(second.held());
  EXPECT_GT(second.token(), 2U);
  EXPECT_TRUE(first.Release().ok()) << "once more does no harm";
  EXPECT_TRUE(second.held());
}

TEST(Lock, EachWaitsForTheOneBeforeIt) {
  LockStore store;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<Lock>> locks;
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(Open(store));
    locks.push_back(std::make_unique<Lock>(*sessions.back(), "n"));
  }
  ASSERT_TRUE(locks[0]->Acquire(kLong).ok());
  auto second = std::async(std::launch::async, [&] { return locks[1]->Acquire(kLong); });
  ASSERT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 2; }));
  auto third = std::async(std::launch::async, [&] { return locks[2]->Acquire(kLong); });
  ASSERT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 3; }));
  locks[1]->Cancel();
  EXPECT_EQ(second.get().code(), Code::kCancelled);
  ASSERT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 2; }));
  EXPECT_EQ(third.wait_for(0s), std::future_status::timeout) << "the first one still holds it";
  EXPECT_FALSE(locks[2]->held());
  ASSERT_TRUE(locks[0]->Release().ok());
  EXPECT_TRUE(third.get().ok());
}

TEST(Lock, APlaceThatIsGivenUpLeavesNoKey) {
  LockStore store;
  const auto one = Open(store);
  const auto two = Open(store);
  Lock first(*one, "n");
  Lock second(*two, "n");
  ASSERT_TRUE(first.Acquire(kLong).ok());
  EXPECT_EQ(second.Acquire(20ms).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 1; }));
  EXPECT_TRUE(first.held());
  ASSERT_TRUE(first.Release().ok());
  EXPECT_TRUE(second.Acquire(kLong).ok());
}

TEST(Lock, AnAttemptOfUnknownOutcomeIsFoundAgain) {
  LockStore store;
  const auto session = Open(store);
  Lock lock(*session, "n");
  store.fates = {Fate::kLost, Fate::kUnknown, Fate::kUnknown};
  ASSERT_TRUE(lock.Acquire(kLong).ok());
  EXPECT_EQ(lock.token(), 2U) << "that of the first one that was carried out";
  ASSERT_TRUE(lock.Release().ok());
  EXPECT_EQ(store.size(), 0U);
  // Nobody learns of the key, and it is deleted all the same.
  store.fates = {Fate::kUnknown};
  EXPECT_EQ(lock.Acquire(0ms).code(), Code::kUnknownOutcome);
  EXPECT_TRUE(store.WaitUntil([](const auto& keys) { return keys.empty(); }));
  store.fates = {Fate::kUnknown, Fate::kLost};
  EXPECT_EQ(lock.Acquire(0ms).code(), Code::kUnknownOutcome);
  EXPECT_EQ(store.size(), 1U) << "it could not be deleted";
  ASSERT_TRUE(session->Close().ok());
  EXPECT_EQ(store.size(), 0U) << "but goes with the session";
}

TEST(Lock, TwoOfOneSessionAreRefused) {
  LockStore store;
  const auto session = Open(store);
  Lock one(*session, "n");
  Lock two(*session, "n");
  Lock other(*session, "m");
  ASSERT_TRUE(one.Acquire(kLong).ok());
  EXPECT_EQ(two.Acquire(kLong).code(), Code::kInvalidArgument);
  EXPECT_EQ(two.TryAcquire().code(), Code::kInvalidArgument);
  EXPECT_TRUE(other.Acquire(kLong).ok());
  ASSERT_TRUE(one.Release().ok());
  EXPECT_TRUE(two.Acquire(kLong).ok());
}

TEST(Lock, IsLostWithItsKeyAndWithItsLease) {
  LockStore store;
  const auto session = Open(store);
  Lock one(*session, "one");
  Lock two(*session, "two");
  ASSERT_TRUE(one.Acquire(kLong).ok());
  ASSERT_TRUE(two.Acquire(kLong).ok());
  EXPECT_EQ(one.WaitUntilLost(0ms).code(), Code::kDeadlineExceeded);
  ASSERT_TRUE(store.Delete(one.key()).ok());
  const Status lost = one.WaitUntilLost(kLong);
  EXPECT_EQ(lost.code(), Code::kSessionExpired);
  EXPECT_NE(lost.message().find("was deleted"), std::string::npos) << lost.message();
  EXPECT_FALSE(one.held());
  EXPECT_TRUE(two.held());
  ASSERT_TRUE(store.RevokeLease(session->lease()).ok());
  EXPECT_EQ(two.WaitUntilLost(kLong).code(), Code::kSessionExpired);
  EXPECT_FALSE(two.held());
  EXPECT_EQ(one.Acquire(kLong).code(), Code::kSessionExpired) << "there is no lease any more";
}

TEST(Lock, AWaitEndsWithTheSession) {
  LockStore store;
  const auto holder = Open(store);
  SessionOptions options;
  options.ttl = 200ms;
  store.ttl_of_renewals = 200ms;
  const auto waiter = Open(store, options);
  Lock held(*holder, "n");
  ASSERT_TRUE(held.Acquire(kLong).ok());
  store.SetRenews(false);
  Lock waits(*waiter, "n");
  EXPECT_EQ(waits.Acquire(kLong).code(), Code::kSessionExpired);
}

TEST(Session, IsKeptAliveUntilNobodyAnswers) {
  LockStore store;
  store.ttl_of_renewals = 1s;
  std::promise<Status> told;
  SessionOptions options;
  options.ttl = 1s;
  options.on_lost = [&](const Status& why) { told.set_value(why); };
  const auto session = Open(store, std::move(options));
  Lock lock(*session, "n");
  ASSERT_TRUE(lock.Acquire(kLong).ok());
  store.SetRenews(false);
  const Status lost = session->WaitUntilLost(kLong);
  EXPECT_EQ(lost.code(), Code::kSessionExpired);
  EXPECT_NE(lost.message().find("1000 ms"), std::string::npos) << lost.message();
  EXPECT_FALSE(session->alive());
  EXPECT_FALSE(lock.held());
  store.SetRenews(true);
  EXPECT_EQ(told.get_future().get().code(), Code::kSessionExpired);
  EXPECT_FALSE(session->alive()) << "it never comes back";
}

TEST(Session, ItsCallbackMayDestroyItAndMayNotBlock) {
  LockStore store;
  const auto refused = std::make_shared<std::promise<Code>>();  // outlives set_value
  std::unique_ptr<Session> session;
  std::promise<void> opened;
  SessionOptions options;
  options.on_lost = [&session, refused, ready = opened.get_future().share()](const Status&) {
    ready.wait();
    const Code code = Lock(*session, "n").Acquire(kLong).code();
    session.reset();
    refused->set_value(code);
  };
  options.ttl = 300ms;
  session = Open(store, std::move(options));
  const std::uint64_t lease = session->lease();
  opened.set_value();
  ASSERT_TRUE(store.RevokeLease(lease).ok());
  EXPECT_EQ(refused->get_future().get(), Code::kInvalidArgument);
}

TEST(Election, ShowsEachLeaderInTurn) {
  LockStore store;
  const auto one = Open(store);
  const auto two = Open(store);
  Election first(*one, "e");
  Election second(*two, "e");
  EXPECT_EQ(first.Leader().code(), Code::kNotFound);
  ElectionObserver observer = first.Observe();
  EXPECT_EQ(observer.Next(0ms).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(observer.begun());
  EXPECT_EQ(first.Proclaim("early").code(), Code::kSessionExpired);
  ASSERT_TRUE(first.Campaign("a", kLong).ok());
  EXPECT_EQ(first.Leader()->value, "a");
  auto waiting = std::async(std::launch::async, [&] { return second.Campaign("c", kLong); });
  ASSERT_TRUE(store.WaitUntil([](const auto& keys) { return keys.size() == 2; }));
  ASSERT_TRUE(first.Proclaim("b").ok());
  EXPECT_TRUE(first.leads());
  ASSERT_TRUE(first.Resign().ok());
  ASSERT_TRUE(waiting.get().ok());
  for (const std::string value : {"a", "b", "c"}) {
    const auto leader = observer.Next(kLong);
    ASSERT_TRUE(leader.ok()) << leader.status().ToString();
    EXPECT_EQ(leader->value, value);
  }
  EXPECT_EQ(observer.Next(0ms).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Election::Leader(store, "e")->create_revision, second.token());
  EXPECT_EQ(first.Proclaim("late").code(), Code::kSessionExpired);
}

}  // namespace
}  // namespace raftkv
