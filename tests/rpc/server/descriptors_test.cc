// What does a server do when the system has no descriptor for a connection?
#include "rpc/loop/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "rpc/http/http_server.h"
#include "rpc/server/server.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

/// Takes every descriptor that this process may have, until it goes.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    int highest = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      highest = std::max(highest, std::stoi(entry.path().filename()));
    }
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(highest) + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

/// Keeps a loop from doing anything, so that connections wait to be accepted.
class HeldLoop {
 public:
  explicit HeldLoop(EventLoop& loop) {
    std::promise<void> held;
    loop.Post([&held, go_on = go_on_.get_future().share()] {
      held.set_value();
      go_on.wait();
    });
    held.get_future().wait();
  }
  void GoOn() { go_on_.set_value(); }

 private:
  std::promise<void> go_on_;
};

TEST(Descriptors, WithoutThemTheServerClosesWhoeverComesAndServesTheOthers) {
  TestServer server;
  TestChannel channel({server.address()});
  ASSERT_TRUE(channel.Submit("before").status.ok());
  HeldLoop held(server.loop());
  std::vector<std::unique_ptr<RawSocket>> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(std::make_unique<RawSocket>(server.address()));
  {
    NoDescriptors none;
    held.GoOn();
    for (auto& socket : waiting) EXPECT_EQ(socket->ReadToEnd(), "") << "closed at once";
    EXPECT_TRUE(channel.Submit("meanwhile").status.ok());
    EXPECT_GE(server.log.Count("cannot accept a connection on " + server.address()), 1u);
    EXPECT_LE(server.log.Count("cannot accept a connection"), 20u) << "rate limited";
  }
  TestChannel after({server.address()});
  EXPECT_TRUE(after.Submit("after").status.ok());
}

TEST(Descriptors, WithoutThemAStrangerMakesRoomForTheNextConnection) {
  TestServer server("n1", 11, "127.0.0.1:0", [](ServerOptions& options) {
    options.handshake_timeout = std::chrono::minutes(10);
  });
  RawSocket stranger(server.address());
  ASSERT_TRUE(WaitFor([&] { return server.connections() == 1; }));
  HeldLoop held(server.loop());
  RawSocket next(server.address());
  NoDescriptors none;
  held.GoOn();
  EXPECT_EQ(stranger.ReadToEnd(), "");
  EXPECT_TRUE(WaitFor([&] { return server.connections() == 1; }));
  EXPECT_GE(server.log.Count("which had not completed its handshake: no file descriptor is left"),
            1u);
  EXPECT_EQ(next.ReadToEnd(std::chrono::milliseconds(100)), std::nullopt) << "it is kept";
}

TEST(Descriptors, WithoutThemHttpMakesRoomAsWell) {
  auto loop = StartLoop();
  std::unique_ptr<HttpServer> server;
  std::string address;
  LogLines log;
  loop->Call([&] {
    HttpOptions options;
    options.listen = "127.0.0.1:0";
    options.log_sink = log.Sink();
    server =
        std::move(HttpServer::Listen(
                      *loop, {[] { return std::string(); }, [] { return Status::Ok(); }}, options))
            .value();
    address = server->address();
  });
  RawSocket silent(address);
  RawSocket also_silent(address);
  silent.Write("GET /li");
  HeldLoop held(*loop);
  RawSocket probe(address);
  probe.Write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  {
    NoDescriptors none;
    held.GoOn();
    const auto answer = probe.ReadToEnd();
    EXPECT_NE(answer.value_or("").find("200 OK"), std::string::npos) << answer.value_or("(open)");
  }
  loop->Call([&] { server.reset(); });
  loop->Stop();
}

TEST(Descriptors, ConnectionsAreBoundedByHalfOfThem) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit limit = before;
  limit.rlim_cur = 256;
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(ConnectionsThatFit(1024), 128u);
  EXPECT_EQ(ConnectionsThatFit(100), 100u);
  TestServer server;
  EXPECT_EQ(server.log.Count("at most 128 connections instead of 1024"), 1u);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(Descriptors, WithoutThemAConnectionToAnotherMemberFailsAndIsTriedAgain) {
  TestServer one("n1", 11);
  TestServer two("n2", 12);
  Peers& peers = two.MakePeers({});
  const auto connected = [&] {
    return two.Get<bool>([&](FakeMember&) { return peers.Connected(NodeId(11)); });
  };
  {
    NoDescriptors none;
    two.On([&](FakeMember&) { peers.SetPeers({{NodeId(11), "n1", one.address()}}); });
    EXPECT_TRUE(WaitFor([&] { return two.log.Count("cannot connect to n1") > 0; }));
  }
  EXPECT_TRUE(WaitFor(connected));
}

}  // namespace
}  // namespace raftkv::rpc
