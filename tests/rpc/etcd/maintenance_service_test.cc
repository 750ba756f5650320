// Does a member tell its state, and give a copy of it, as etcd's tools expect it?
#include "rpc/etcd/maintenance_service.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "rpc/etcd/version.h"
#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

constexpr char kStatusPath[] = "/etcdserverpb.Maintenance/Status";
constexpr char kAlarmPath[] = "/etcdserverpb.Maintenance/Alarm";
constexpr char kHashKvPath[] = "/etcdserverpb.Maintenance/HashKV";
constexpr char kSnapshotPath[] = "/etcdserverpb.Maintenance/Snapshot";
constexpr char kMovePath[] = "/etcdserverpb.Maintenance/MoveLeader";

/// A backup of `bytes`, of which every second read has to be repeated.
class FakeBackup final : public node::BackupSource {
 public:
  FakeBackup(rpc::EventLoop& loop, std::string bytes) : loop_(loop), bytes_(std::move(bytes)) {
    head_.stream_bytes = bytes_.size();
  }
  [[nodiscard]] const node::BackupHead& head() const override { return head_; }
  void Read(std::uint64_t offset, std::size_t bytes, node::Done<Bytes> done) override {
    ++reads;
    loop_.RunLater([this, offset, bytes, done = std::move(done)]() mutable {
      if (reads % 2 == 0) return done(Status(Code::kUnavailable, "not now"));
      done(Bytes(bytes_.substr(offset, bytes)));
    });
  }
  void Content(node::Done<node::BackupContent> /*done*/) override {}

  int reads = 0;

 private:
  rpc::EventLoop& loop_;
  const std::string bytes_;
  node::BackupHead head_;
};

class MaintenanceServiceTest : public StreamsTest {
 protected:
  static HashKVRequest HashAt(std::int64_t revision) {
    HashKVRequest request;
    request.revision = revision;
    return request;
  }
  static MoveLeaderRequest MoveTo(std::uint64_t id) {
    MoveLeaderRequest request;
    request.targetID = id;
    return request;
  }
  void ListThree() {
    On([&] {
      member_->members = {
          {.id = kMemberId, .name = "n1", .address = "h1:1", .zone = "", .leads = true},
          {.id = 0xa2, .name = "n2", .address = "h2:1", .zone = ""},
          {.id = 0xa3, .name = "n3", .address = "h3:1", .zone = "", .role = MemberRole::kLearner}};
    });
  }
};

TEST_F(MaintenanceServiceTest, TheStatusNamesTheVersionThatClientsDecideBy) {
  Start();
  ListThree();
  const auto status = Get<StatusResponse>(kStatusPath, StatusRequest());
  EXPECT_EQ(status.version, kEtcdVersion);
  EXPECT_EQ(status.leader, kMemberId);
  EXPECT_FALSE(status.isLearner);
}

TEST_F(MaintenanceServiceTest, AFullDiskIsAnAlarmUntilThereIsSpace) {
  Start();
  EXPECT_TRUE(Get<AlarmResponse>(kAlarmPath, AlarmRequest()).alarms.empty());
  On([&] { status_.no_space = true; });
  const auto alarms = Get<AlarmResponse>(kAlarmPath, AlarmRequest()).alarms;
  ASSERT_EQ(alarms.size(), 1U);
  EXPECT_EQ(alarms[0].memberID, kMemberId);
  EXPECT_EQ(alarms[0].alarm, AlarmTypeNames::kNoSpace);
  AlarmRequest corrupt;
  corrupt.alarm = AlarmTypeNames::kCorrupt;
  EXPECT_TRUE(Get<AlarmResponse>(kAlarmPath, corrupt).alarms.empty());
  AlarmRequest off;
  off.action = AlarmActionNames::kDeactivate;
  off.memberID = kMemberId;
  off.alarm = AlarmTypeNames::kNoSpace;
  EXPECT_TRUE(Get<AlarmResponse>(kAlarmPath, off).alarms.empty());
  EXPECT_EQ(Get<AlarmResponse>(kAlarmPath, AlarmRequest()).alarms.size(), 1U);
}

TEST_F(MaintenanceServiceTest, AHashIsOfTheKeysAtARevision) {
  Start();
  Put("a", "1");
  const std::int64_t first = Put("b", std::string(1000, 'x'));
  const auto before = Get<HashKVResponse>(kHashKvPath, HashAt(0));
  EXPECT_EQ(before.header->revision, first);
  Put("a", "2");
  const auto after = Get<HashKVResponse>(kHashKvPath, HashAt(0));
  EXPECT_NE(after.hash, before.hash);
  EXPECT_EQ(Get<HashKVResponse>(kHashKvPath, HashAt(first)).hash, before.hash);
  Put("a", "1");
  EXPECT_NE(Get<HashKVResponse>(kHashKvPath, HashAt(0)).hash, before.hash)
      << "the same value, at another revision";
  EXPECT_EQ(Failure(kHashKvPath, HashAt(99)), Outcome(kFutureRevision));
  Compact(first + 1);
  EXPECT_EQ(Failure(kHashKvPath, HashAt(first)), Outcome(kCompacted));
  EXPECT_EQ(Get<HashKVResponse>(kHashKvPath, HashAt(0)).compact_revision, first + 1);
}

TEST_F(MaintenanceServiceTest, AHashOfManyPagesIsThatOfOneState) {
  Start();
  std::set<std::uint32_t> hashes;
  for (int i = 0; i < 40; ++i) Put("key" + std::to_string(i), std::string(30'000, 'v'));
  const auto header = Get<HashKVResponse>(kHashKvPath, HashAt(0)).header;
  for (int i = 0; i < 3; ++i) {
    hashes.insert(Get<HashKVResponse>(kHashKvPath, HashAt(header->revision)).hash);
    Put("key0", "changed");
  }
  EXPECT_EQ(hashes.size(), 1U);
}

TEST_F(MaintenanceServiceTest, ASnapshotHasTheFormThatEtcdctlExpects) {
  Start();
  std::string content(700'000, 'c');
  content += "end";
  On([&] { member_->backup = std::make_shared<FakeBackup>(*loop_, content); });
  OpenedCall& call = Ask(kSnapshotPath, SnapshotRequest());
  ASSERT_TRUE(AwaitEnd(call));
  EXPECT_EQ(EndOf(call), Outcome());
  std::string whole;
  const std::size_t count = AnswersOf(call);
  ASSERT_GT(count, 2U);
  std::uint64_t remaining = ~std::uint64_t{0};
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const auto part = At<SnapshotResponse>(call, i);
    EXPECT_LT(part.remaining_bytes, remaining);
    remaining = part.remaining_bytes;
    whole += part.blob;
  }
  EXPECT_EQ(remaining, 0U);
  EXPECT_EQ(whole.size() % 512, 0U);
  EXPECT_EQ(whole.substr(0, content.size()), content);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(whole.data()), whole.size(), digest);
  EXPECT_EQ(At<SnapshotResponse>(call, count - 1).blob,
            std::string(reinterpret_cast<const char*>(digest), sizeof digest));
}

TEST_F(MaintenanceServiceTest, ASnapshotWaitsForItsReader) {
  Start();
  auto backup = std::make_shared<FakeBackup>(*loop_, std::string(1'000'000, 'c'));
  On([&] { member_->backup = backup; });
  OpenedCall& call = Open(kSnapshotPath);
  On([&] {
    call.record->queued = Sink::kMaxQueuedBytes;
    call.Ask(SnapshotRequest());
    call.handler->OnHalfClose();
  });
  // check:allow sleep: nothing is to happen meanwhile
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  On([&] {
    EXPECT_EQ(backup->reads, 0);
    call.record->queued = 0;
    call.handler->OnDrained();
  });
  EXPECT_TRUE(AwaitEnd(call));
  Drop(call);
  On([&] { member_->backup = nullptr; });
  EXPECT_EQ(backup.use_count(), 1) << "nothing keeps it from being removed";
}

TEST_F(MaintenanceServiceTest, OnlyTheLeaderHandsOverAndOnlyToAVoter) {
  Start();
  ListThree();
  const Outcome bad{GrpcCode::kFailedPrecondition, "etcdserver: bad leader transferee"};
  EXPECT_EQ(Failure(kMovePath, MoveTo(5)), bad);
  EXPECT_EQ(Failure(kMovePath, MoveTo(0xa3)), bad);
  Get<MoveLeaderResponse>(kMovePath, MoveTo(kMemberId));
  On([&] { EXPECT_TRUE(member_->changes.empty()); });
  Get<MoveLeaderResponse>(kMovePath, MoveTo(0xa2));
  On([&] {
    ASSERT_EQ(member_->changes.size(), 1U);
    EXPECT_EQ(member_->changes[0].kind, rpc::MemberChange::Kind::kMoveLeader);
    EXPECT_EQ(member_->changes[0].name, "n2");
    status_.role = Role::kFollower;
  });
  EXPECT_EQ(Failure(kMovePath, MoveTo(0xa2)),
            (Outcome{GrpcCode::kFailedPrecondition, "etcdserver: not leader"}));
}

TEST_F(MaintenanceServiceTest, ThereAreNoUsers) {
  Start();
  EXPECT_FALSE(
      Get<AuthStatusResponse>("/etcdserverpb.Auth/AuthStatus", AuthStatusRequest()).enabled);
  const Outcome off{GrpcCode::kFailedPrecondition, "etcdserver: authentication is not enabled"};
  AuthenticateRequest user;
  user.name = "root";
  EXPECT_EQ(Failure("/etcdserverpb.Auth/Authenticate", user), off);
  EXPECT_EQ(Failure("/etcdserverpb.Auth/UserAdd", user), off) << "whatever is in the request";
}

}  // namespace
}  // namespace raftkv::etcd
