// Does the member queue up for its clients as they would themselves?
#include "rpc/etcd/lock_service.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

constexpr char kLockPath[] = "/v3lockpb.Lock/Lock";
constexpr char kUnlockPath[] = "/v3lockpb.Lock/Unlock";

class LockServiceTest : public StreamsTest {
 protected:
  static LockRequest LockOf(const std::string& name, std::int64_t lease) {
    LockRequest request;
    request.name = name;
    request.lease = lease;
    return request;
  }
  /// Its key, once the lock is acquired.
  std::string Acquired(OpenedCall& call) {
    EXPECT_TRUE(AwaitEnd(call));
    EXPECT_EQ(EndOf(call), Outcome()) << EndOf(call).message;
    return At<LockResponse>(call, 0).key;
  }
  void Unlock(const std::string& key) {
    UnlockRequest request;
    request.key = key;
    Get<UnlockResponse>(kUnlockPath, request);
  }
  [[nodiscard]] bool AwaitQueue(std::size_t length) {
    return rpc::WaitFor([&] { return KeysBelow("l/").size() == length; });
  }
};

TEST_F(LockServiceTest, AFreeLockIsAcquiredUnderTheKeyOfEtcdsClients) {
  Start();
  Grant(0xabc);
  OpenedCall& call = Ask(kLockPath, LockOf("l", 0xabc));
  EXPECT_EQ(Acquired(call), "l/abc");
  EXPECT_EQ(At<LockResponse>(call, 0).header->revision, 2);
  EXPECT_EQ(KeysBelow("l/"), (std::vector<std::string>{"l/abc"}));
}

TEST_F(LockServiceTest, ContendersGetTheLockInTheOrderInWhichTheyCame) {
  Start();
  for (std::int64_t lease = 1; lease <= 3; ++lease) Grant(lease);
  EXPECT_EQ(Acquired(Ask(kLockPath, LockOf("l", 1))), "l/1");
  OpenedCall& second = Ask(kLockPath, LockOf("l", 3));
  ASSERT_TRUE(AwaitQueue(2));
  OpenedCall& third = Ask(kLockPath, LockOf("l", 2));
  ASSERT_TRUE(AwaitQueue(3));
  EXPECT_EQ(AnswersOf(second), 0U);
  Unlock("l/1");
  EXPECT_EQ(Acquired(second), "l/3");
  EXPECT_EQ(AnswersOf(third), 0U);
  Unlock("l/3");
  EXPECT_EQ(Acquired(third), "l/2");
}

TEST_F(LockServiceTest, AContenderThatGivesUpBeforeAnotherOneIsNotMistakenForTheOwner) {
  Start();
  for (std::int64_t lease = 1; lease <= 3; ++lease) Grant(lease);
  Acquired(Ask(kLockPath, LockOf("l", 1)));
  OpenedCall& second = Ask(kLockPath, LockOf("l", 2));
  ASSERT_TRUE(AwaitQueue(2));
  OpenedCall& third = Ask(kLockPath, LockOf("l", 3));
  ASSERT_TRUE(AwaitQueue(3));
  // Its client is gone: so is its place.
  Drop(second);
  ASSERT_TRUE(AwaitQueue(2));
  EXPECT_EQ(KeysBelow("l/"), (std::vector<std::string>{"l/1", "l/3"}));
  EXPECT_EQ(AnswersOf(third), 0U);
  Unlock("l/1");
  EXPECT_EQ(Acquired(third), "l/3");
  EXPECT_FALSE(EndOf(second).ok());
}

TEST_F(LockServiceTest, TheEndOfAnAnsweredCallReleasesNothing) {
  Start();
  Grant(1);
  OpenedCall& call = Ask(kLockPath, LockOf("l", 1));
  Acquired(call);
  Drop(call);
  Put("other", "x");
  EXPECT_EQ(KeysBelow("l/"), (std::vector<std::string>{"l/1"}));
}

TEST_F(LockServiceTest, TheSameSessionHoldsTheLockAlready) {
  Start();
  Grant(1);
  Acquired(Ask(kLockPath, LockOf("l", 1)));
  EXPECT_EQ(Acquired(Ask(kLockPath, LockOf("l", 1))), "l/1");
}

TEST_F(LockServiceTest, AWaitOutlivesPagesWithoutEvents) {
  ServicesOptions options;
  options.recipes.page_timeout = std::chrono::milliseconds(5);
  Start(options);
  Grant(1);
  Grant(2);
  Acquired(Ask(kLockPath, LockOf("l", 1)));
  OpenedCall& second = Ask(kLockPath, LockOf("l", 2));
  int watches = 0;
  ASSERT_TRUE(Await([&] {
    watches = channel_->watches;
    return watches >= 3;
  }));
  Unlock("l/1");
  EXPECT_EQ(Acquired(second), "l/2");
}

TEST_F(LockServiceTest, WithoutALeaseOneIsGranted) {
  Start();
  OpenedCall& call = Ask(kLockPath, LockOf("l", 0));
  const std::string key = Acquired(call);
  EXPECT_EQ(key.substr(0, 2), "l/");
  EXPECT_EQ(Get<LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases", LeaseLeasesRequest())
                .leases.size(),
            1U);
}

TEST_F(LockServiceTest, AMissingLeaseIsTheErrorOfEtcd) {
  Start();
  EXPECT_EQ(Failure(kLockPath, LockOf("l", 77)),
            (Outcome{GrpcCode::kUnknown, "etcdserver: requested lease not found"}));
}

TEST_F(LockServiceTest, AContenderWhoseLeaseEndedMeanwhileDoesNotGetTheLock) {
  Start();
  Grant(1);
  Grant(2);
  Acquired(Ask(kLockPath, LockOf("l", 1)));
  OpenedCall& second = Ask(kLockPath, LockOf("l", 2));
  ASSERT_TRUE(AwaitQueue(2));
  Revoke(2);
  Unlock("l/1");
  ASSERT_TRUE(AwaitEnd(second));
  EXPECT_EQ(EndOf(second), (Outcome{GrpcCode::kUnknown, "mutex: session is expired"}));
}

TEST_F(LockServiceTest, ThoseThatWaitAreBounded) {
  ServicesOptions options;
  options.recipes.max_waiting = 1;
  Start(options);
  Grant(1);
  OpenedCall& first = Ask(kLockPath, LockOf("l", 1));
  Acquired(first);
  EXPECT_EQ(Failure(kLockPath, LockOf("m", 1)), Outcome(kTooManyRequests));
  Drop(first);
  EXPECT_EQ(Acquired(Ask(kLockPath, LockOf("m", 1))), "m/1");
}

TEST_F(LockServiceTest, AnUnlockNeedsAKey) {
  Start();
  EXPECT_EQ(Failure(kUnlockPath, UnlockRequest()), Outcome(kEmptyKey));
}

}  // namespace
}  // namespace raftkv::etcd
