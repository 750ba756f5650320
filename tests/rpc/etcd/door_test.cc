// Who may connect to the door, and what is under its protocols?
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/door_fixture.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::etcd {
namespace {

using namespace std::chrono_literals;
using test::H2Client;
using test::HttpGet;
using test::RawConnection;

class DoorItself : public DoorTest {
 protected:
  std::unique_ptr<H2Client> Connect() {
    auto client = std::make_unique<H2Client>(address);
    EXPECT_EQ(client->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
    return client;
  }
  std::unique_ptr<H2Client> ConnectAndHold() {
    auto client = Connect();
    client->Open(H2Client::CallHeaders(kUnary), H2Client::Frame(UnaryRequest("hold")),
                 /*end=*/true);
    const std::size_t before = held();
    EXPECT_TRUE(client->Wait([&] { return held() == before + 1; }));
    return client;
  }
  std::size_t held() {
    return Get<std::size_t>([this] { return seen.held.size(); });
  }
};

TEST_F(DoorItself, TwoProtocolsShareOnePort) {
  Start();
  const auto client = Connect();
  EXPECT_EQ(HttpGet(address, "/version").status, 200);
  EXPECT_GE(connections(), 1U);
}

TEST_F(DoorItself, ThePrefaceMayComeByteByByte) {
  Start();
  RawConnection h2(address);
  for (const char c : std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) {
    ASSERT_TRUE(h2.Send(std::string(1, c), 5s));
  }
  // SETTINGS; then the end of the connection, which must answer with its own.
  ASSERT_TRUE(h2.Send(std::string("\0\0\0\x04\0\0\0\0\0", 9), 5s));
  ASSERT_TRUE(h2.Send(std::string("\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17), 5s));
  const std::string answer = h2.ReadToEnd(20s).value_or("");
  ASSERT_GE(answer.size(), 9U);
  EXPECT_EQ(answer[3], '\x04') << "SETTINGS";
  // "P" may be the begin of either.
  RawConnection post(address);
  for (const char c :
       std::string("PUT /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) {
    ASSERT_TRUE(post.Send(std::string(1, c), 5s));
  }
  EXPECT_NE(post.ReadToEnd(20s).value_or("").find("405"), std::string::npos);
}

TEST_F(DoorItself, SilentConnectionsAreClosed) {
  DoorOptions options = ImpatientDoor();
  options.ticks.handshake = 5;
  Start(options);
  const auto client = Connect();
  RawConnection silent(address);
  RawConnection half(address);
  ASSERT_TRUE(half.Send("PR", 5s));
  EXPECT_TRUE(silent.ReadToEnd(20s).has_value());
  EXPECT_TRUE(half.ReadToEnd(20s).has_value());
  EXPECT_GE(log.Count("it did not say anything in time"), 1U);
  EXPECT_EQ(client->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
}

TEST_F(DoorItself, ASilentConnectionMakesRoomFirst) {
  DoorOptions options;
  options.max_connections = 3;
  Start(options);
  const auto idle = Connect();
  RawConnection silent(address);
  const auto busy = ConnectAndHold();
  EXPECT_EQ(connections(), 3U);
  const auto late = Connect();
  EXPECT_TRUE(silent.ReadToEnd(20s).has_value());
  EXPECT_EQ(idle->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
  EXPECT_EQ(connections(), 3U);
  EXPECT_EQ(log.Count("which had not said anything: all 3 connections are in use"), 1U);
}

TEST_F(DoorItself, ThenTheOneThatIsIdleForLongestMakesRoom) {
  DoorOptions options = ImpatientDoor();
  options.max_connections = 3;
  Start(options);
  const auto busy = ConnectAndHold();
  const auto idle = Connect();
  // Until it has been seen to be idle.
  const auto later = std::chrono::steady_clock::now() + 200ms;
  idle->Wait([&] { return std::chrono::steady_clock::now() > later; });
  const auto fresh = Connect();
  const auto newest = Connect();
  EXPECT_TRUE(idle->WaitForEnd());
  EXPECT_EQ(idle->goaway(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_EQ(fresh->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
  EXPECT_FALSE(busy->over());
  EXPECT_EQ(log.Count("which had no call: all 3 connections are in use"), 1U);
}

TEST_F(DoorItself, BusyConnectionsAreKeptAndTheNewOneIsRefused) {
  DoorOptions options;
  options.max_connections = 2;
  Start(options);
  const auto first = ConnectAndHold();
  const auto second = ConnectAndHold();
  RawConnection refused(address);
  EXPECT_TRUE(refused.ReadToEnd(20s).has_value());
  EXPECT_EQ(log.Count("closed a new connection of an etcd client"), 1U);
  EXPECT_EQ(connections(), 2U);
  AnswerHeld();
  EXPECT_EQ(first->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
  EXPECT_EQ(second->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
}

TEST_F(DoorItself, ManyIdleConnectionsDisturbNobody) {
  Start();
  std::vector<std::unique_ptr<H2Client>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(Connect());
  EXPECT_EQ(connections(), 200U);
  const auto client = Connect();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(client->Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
  }
  idle.clear();
  EXPECT_TRUE(rpc::WaitFor([&] { return connections() == 1; }));
}

TEST_F(DoorItself, APortThatIsTakenIsNamed) {
  Start();
  loop->Call([this] {
    DoorOptions options;
    options.listen = address;
    const auto again = Door::Listen(*loop, options);
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.code(), Code::kUnavailable);
    EXPECT_NE(again.status().message().find("--etcd"), std::string::npos);
  });
}

// --- What a connection passes before it is read.

TEST_F(DoorItself, AWrapperSeesEveryConnectionAndMayChooseItsProtocol) {
  int wrapped = 0;
  std::string protocol;
  DoorOptions options;
  options.wrap = [&](kj::Own<kj::AsyncIoStream> stream) -> kj::Promise<WrappedStream> {
    ++wrapped;
    return WrappedStream{kj::mv(stream), protocol};
  };
  Start(options);
  EXPECT_EQ(HttpGet(address, "/version").status, 200);
  Connect();
  loop->Call([&] { protocol = "h2"; });
  Connect();
  loop->Call([&] { protocol = "http/1.1"; });
  EXPECT_EQ(HttpGet(address, "/version").status, 200);
  EXPECT_EQ(Get<int>([&] { return wrapped; }), 4);
}

TEST_F(DoorItself, AHandshakeThatFailsOrHangsEndsTheConnection) {
  bool hangs = false;
  DoorOptions options = ImpatientDoor();
  options.ticks.handshake = 5;
  options.wrap = [&](kj::Own<kj::AsyncIoStream> stream) -> kj::Promise<WrappedStream> {
    if (!hangs) return KJ_EXCEPTION(FAILED, "no common cipher");
    return kj::Promise<WrappedStream>(kj::NEVER_DONE).attach(kj::mv(stream));
  };
  Start(options);
  RawConnection fails(address);
  EXPECT_TRUE(fails.ReadToEnd(20s).has_value());
  loop->Call([&] { hangs = true; });
  RawConnection never_ends(address);
  EXPECT_TRUE(never_ends.ReadToEnd(20s).has_value());
  EXPECT_EQ(connections(), 0U);
}

}  // namespace
}  // namespace raftkv::etcd
