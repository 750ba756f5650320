// Does a backup come over a connection whole, or with the reason why not?
#include <atomic>
#include <future>

#include <gtest/gtest.h>

#include "rpc/client/remote_backup.h"
#include "rpc/loop/outbound.h"
#include "rpc/server/backup_service.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBytes = 9'000'001;

char ByteAt(std::uint64_t offset) { return static_cast<char>(offset * 2'654'435'761 >> 20); }

class FakeBackup final : public node::BackupSource {
 public:
  explicit FakeBackup(EventLoop& loop) : loop_(loop) {
    head_.index = Index(12);
    head_.term = Term(3);
    head_.member_name = "n1";
    head_.members = {{7, "n1", "127.0.0.1:7001", "east", MemberRole::kLearner, false}};
    head_.stream_bytes = kBytes;
  }
  [[nodiscard]] const node::BackupHead& head() const override { return head_; }
  void Read(std::uint64_t offset, std::size_t bytes, node::Done<Bytes> done) override {
    if (hold_after != 0 && offset >= hold_after) {
      held.push_back(std::move(done));
      return;
    }
    if (refusals > 0) {
      --refusals;
      loop_.RunLater([done = std::move(done)]() mutable {
        done(raftkv::Status(Code::kUnavailable, "not now"));
      });
      return;
    }
    std::string data(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) data[i] = ByteAt(offset + i);
    loop_.RunLater(
        [done = std::move(done), data = Bytes(std::move(data))]() mutable { done(data); });
  }
  void Content(node::Done<node::BackupContent> done) override {
    loop_.RunLater([done = std::move(done)]() mutable { done(node::BackupContent{77, 5}); });
  }

  std::uint64_t hold_after = 0;
  int refusals = 0;
  std::vector<node::Done<Bytes>> held;

 private:
  EventLoop& loop_;
  node::BackupHead head_;
};

std::shared_ptr<FakeBackup> Give(TestServer& server) {
  auto backup = std::make_shared<FakeBackup>(server.loop());
  server.On([&](FakeMember& member) { member.backup = backup; });
  return backup;
}

/// All of the stream, or the failure.
Status ReadAll(node::BackupFeed& feed, std::uint64_t& done) {
  while (done < feed.head().stream_bytes) {
    const auto part = feed.Next();
    if (!part.ok()) return part.status();
    if (!part->has_value()) continue;
    for (const char byte : (*part)->view()) {
      if (byte != ByteAt(done++)) return {Code::kCorruption, "another byte came"};
    }
  }
  return Status::Ok();
}

TEST(RemoteBackup, ComesWholeAndInOrder) {
  TestServer server;
  Give(server)->refusals = 5;
  const auto loop = StartLoop();
  auto feed = BeginRemoteBackup(*loop, {server.address()}, std::make_shared<ClusterPin>(),
                                std::chrono::seconds(10));
  ASSERT_TRUE(feed.ok()) << feed.status().ToString();
  EXPECT_EQ((*feed)->head().index, Index(12));
  EXPECT_EQ((*feed)->head().cluster, ClusterId(5));
  EXPECT_EQ((*feed)->head().member, NodeId(11));
  ASSERT_EQ((*feed)->head().members.size(), 1U);
  EXPECT_EQ((*feed)->head().members[0].role, MemberRole::kLearner);
  std::uint64_t done = 0;
  const Status read = ReadAll(**feed, done);
  EXPECT_TRUE(read.ok()) << read.ToString();
  Result<std::optional<node::BackupContent>> content = std::optional<node::BackupContent>();
  ASSERT_TRUE(WaitFor([&] {
    content = (*feed)->Content();
    return !content.ok() || content->has_value();
  }));
  ASSERT_TRUE(content.ok()) << content.status().ToString();
  EXPECT_EQ((*content)->hash, 77U);
  EXPECT_EQ((*content)->keys, 5U);
  feed = Status(Code::kCancelled, "let go of it");
  loop->Stop();
}

TEST(RemoteBackup, GoesToTheNextMemberThatGivesOne) {
  TestServer none;
  TestServer gives("n2", 12);
  Give(gives);
  const auto loop = StartLoop();
  auto feed = BeginRemoteBackup(*loop, {"127.0.0.1:1", none.address(), gives.address()},
                                std::make_shared<ClusterPin>(), milliseconds(5000));
  ASSERT_TRUE(feed.ok()) << feed.status().ToString();
  EXPECT_EQ((*feed)->head().member, NodeId(12));
  feed = Status(Code::kCancelled, "let go of it");
  const auto refused =
      BeginRemoteBackup(*loop, {none.address()}, std::make_shared<ClusterPin>(), milliseconds(300));
  EXPECT_EQ(refused.code(), Code::kUnavailable) << refused.status().ToString();
  const auto nobody =
      BeginRemoteBackup(*loop, {"127.0.0.1:1"}, std::make_shared<ClusterPin>(), milliseconds(300));
  EXPECT_EQ(nobody.code(), Code::kDeadlineExceeded) << nobody.status().ToString();
  loop->Stop();
}

TEST(RemoteBackup, ALostMemberIsSaidToBeLost) {
  auto server = std::make_unique<TestServer>();
  Give(*server)->hold_after = kBytes / 2;
  const auto loop = StartLoop();
  auto feed = BeginRemoteBackup(*loop, {server->address()}, std::make_shared<ClusterPin>(),
                                milliseconds(5000));
  ASSERT_TRUE(feed.ok()) << feed.status().ToString();
  std::uint64_t done = 0;
  while (done < kBytes / 2 - (1 << 20)) {
    const auto part = (*feed)->Next();
    ASSERT_TRUE(part.ok());
    if (part->has_value()) done += (*part)->size();
  }
  server->On([](FakeMember& member) { member.backup = nullptr; });
  server.reset();
  Status read;
  ASSERT_TRUE(WaitFor([&] {
    read = (*feed)->Next().status();
    return !read.ok();
  }));
  EXPECT_EQ(read.code(), Code::kCancelled) << read.ToString();
  EXPECT_NE(read.message().find("lost"), std::string::npos) << read.ToString();
  feed = Status(Code::kCancelled, "let go of it");
  loop->Stop();
}

// The member's disk is not kept for who went to sleep.
TEST(BackupService, LeftAloneItLetsGo) {
  const auto loop = StartLoop();
  auto backup = std::make_shared<FakeBackup>(*loop);
  const std::weak_ptr<FakeBackup> held = backup;
  std::optional<wire::Backup::Client> client;
  loop->Call([&] {
    client.emplace(NewBackup(
        *loop, std::move(backup), std::make_shared<const bool>(true),
        [](std::size_t) { return true; }, milliseconds(50)));
  });
  EXPECT_TRUE(WaitFor([&] { return held.expired(); }));
  std::promise<Status> answered;
  loop->Post([&] {
    auto request = client->readRequest();
    request.setBytes(1);
    loop->Spawn(request.send().then([&](capnp::Response<wire::Backup::ReadResults>&& answer) {
      answered.set_value(Decode(answer.getOutcome()));
    }));
  });
  EXPECT_EQ(answered.get_future().get().code(), Code::kNotFound);
  loop->Call([&] { client.reset(); });
  loop->Stop();
}

TEST(BackupService, MoreThanItGivesAtOnceIsRefused) {
  const auto loop = StartLoop();
  auto backup = std::make_shared<FakeBackup>(*loop);
  backup->hold_after = 1;
  std::optional<wire::Backup::Client> client;
  std::vector<Code> codes(kMaxBackupReads + 2, Code::kOk);
  std::atomic<int> answers{0};
  const auto ask = [&](std::size_t i, std::uint32_t bytes) {
    auto request = client->readRequest();
    request.setOffset(1);
    request.setBytes(bytes);
    loop->Spawn(request.send().then([&, i](capnp::Response<wire::Backup::ReadResults>&& answer) {
      codes[i] = Decode(answer.getOutcome()).code();
      ++answers;
    }));
  };
  loop->Call([&] {
    client.emplace(NewBackup(*loop, backup, std::make_shared<const bool>(true),
                             [](std::size_t) { return true; }));
    ask(0, kMaxBackupReadBytes + 1);
    for (std::size_t i = 1; i < codes.size(); ++i) ask(i, 1);
  });
  ASSERT_TRUE(WaitFor([&] { return answers == 2; }));
  EXPECT_EQ(codes.front(), Code::kInvalidArgument);
  EXPECT_EQ(codes.back(), Code::kUnavailable);
  loop->Call([&] {
    for (auto& done : backup->held) done(Bytes("x"));
    backup->held.clear();
  });
  EXPECT_TRUE(WaitFor([&] { return answers == static_cast<int>(codes.size()); }));
  loop->Call([&] { client.reset(); });
  loop->Stop();
}

}  // namespace
}  // namespace raftkv::rpc
