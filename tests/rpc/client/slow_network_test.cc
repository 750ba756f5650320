// Does a large message come over a slow network, on the connection that it began on?
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include <raftkv/client.h>

#include "lib/kv/command.capnp.h"
#include "lib/kv/message_builder.h"
#include "lib/kv/response.h"
#include "rpc/client/client_link.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

/// Small buffers: what the other side has sent is not far ahead of what is passed on.
void Shrink(int fd) {
  const int size = 16 << 10;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/// Passes bytes on, both ways, at a bounded rate for each way of each connection.
class SlowRelay {
 public:
  SlowRelay(const std::string& target, std::size_t bytes_per_second)
      : target_port_(static_cast<std::uint16_t>(std::stoi(target.substr(target.find(':') + 1)))),
        bytes_per_step_(bytes_per_second / kStepsPerSecond),
        listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    Shrink(listener_);
    sockaddr_in address = Loopback(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~SlowRelay() {
    stop_ = true;
    thread_.join();
    close(listener_);
    for (const auto& way : ways_) close(way.from);
  }
  const std::string& address() const { return address_; }
  int connections() const { return connections_; }
  /// Nothing is passed on any more.
  void Halt() { halted_ = true; }

 private:
  static constexpr std::size_t kStepsPerSecond = 50;
  struct Way {
    int from;
    int to;
    std::string waits;
    bool ended = false;
  };

  void Run() {
    auto next = std::chrono::steady_clock::now();
    while (!stop_) {
      const int accepted = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) Connect(accepted);
      for (Way& way : ways_) {
        if (!halted_) Step(way);
      }
      next += milliseconds(1000 / kStepsPerSecond);
      // check:allow sleep: the rate of the relay
      std::this_thread::sleep_until(next);
    }
  }
  void Connect(int accepted) {
    const int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Shrink(out);
    sockaddr_in address = Loopback(target_port_);
    EXPECT_EQ(connect(out, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ++connections_;
    ways_.push_back({accepted, out, {}});
    ways_.push_back({out, accepted, {}});
  }
  void Step(Way& way) {
    char buffer[64 << 10];
    const std::size_t room = bytes_per_step_ - std::min(bytes_per_step_, way.waits.size());
    if (!way.ended && room > 0) {
      const ssize_t got = recv(way.from, buffer, std::min(room, sizeof buffer), MSG_DONTWAIT);
      if (got > 0) way.waits.append(buffer, static_cast<std::size_t>(got));
      if (got == 0) way.ended = true;
    }
    const ssize_t sent =
        send(way.to, way.waits.data(), way.waits.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) way.waits.erase(0, static_cast<std::size_t>(sent));
    if (way.ended && way.waits.empty()) shutdown(way.to, SHUT_WR);
  }

  const std::uint16_t target_port_;
  const std::size_t bytes_per_step_;
  const int listener_;
  std::string address_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> halted_{false};
  std::atomic<int> connections_{0};
  std::vector<Way> ways_;  // of the thread
  std::thread thread_;
};

constexpr std::size_t kHalfMiB = 512 << 10;

void RespondToWrites(TestServer& server) {
  server.On([](FakeMember& m) {
    m.respond = [](const Bytes&) {
      kv::Response response;
      response.revision = 42;
      return kv::EncodeResponse(response);
    };
  });
}

/// Every read is answered with one value of `bytes`.
void RespondToReads(TestServer& server, std::size_t bytes) {
  server.On([bytes](FakeMember& m) {
    m.respond = [bytes](const Bytes&) {
      return kv::BuildMessage(bytes / 8 + 64, [bytes](capnp::MessageBuilder& message) {
        auto answer = message.initRoot<kv::wire::ReadResponse>();
        answer.setFormatVersion(kv::kRequestFormatVersion);
        auto kvs = answer.initResults(1)[0].initKvs(1);
        answer.getResults()[0].setCount(1);
        const std::string value(bytes, 'v');
        kvs[0].setKey(AsData("k"));
        kvs[0].setValue(AsData(value));
        kvs[0].setModRevision(1);
      });
    };
  });
}

std::unique_ptr<Client> ConnectTo(const SlowRelay& relay) {
  ClientOptions options;
  options.endpoints = {relay.address()};
  auto client = Client::Connect(options);
  EXPECT_TRUE(client.ok());
  return std::move(client).value();
}

TEST(SlowNetwork, ALargeWriteEndsOnTheConnectionThatItBeganOn) {
  TestServer server;
  RespondToWrites(server);
  SlowRelay relay(server.address(), kHalfMiB);
  const auto client = ConnectTo(relay);
  const auto put = client->kv().Put("k", std::string(kHalfMiB, 'v'), {.timeout = seconds(30)});
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_LE(relay.connections(), 2);
  EXPECT_EQ(server.Get<int>([](FakeMember& m) { return m.submits; }), 1);
}

TEST(SlowNetwork, ALargeAnswerComesOnTheConnectionThatWasAsked) {
  TestServer server;
  RespondToReads(server, 1 << 20);
  SlowRelay relay(server.address(), kHalfMiB);
  const auto client = ConnectTo(relay);
  ReadOptions options;
  options.timeout = seconds(30);
  const auto get = client->kv().Get("k", options);
  ASSERT_TRUE(get.ok()) << get.status().ToString();
  EXPECT_EQ(get->value.size(), 1u << 20);
  EXPECT_LE(relay.connections(), 2);
  EXPECT_EQ(server.Get<int>([](FakeMember& m) { return m.reads; }), 1);
}

// It takes far longer than an attempt does otherwise.
TEST(SlowNetwork, AWriteOfManySecondsIsNotBegunAgain) {
  TestServer server;
  RespondToWrites(server);
  SlowRelay relay(server.address(), 128 << 10);
  const auto client = ConnectTo(relay);
  const auto put = client->kv().Put("k", std::string(kHalfMiB, 'v'), {.timeout = seconds(60)});
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_EQ(server.Get<int>([](FakeMember& m) { return m.submits; }), 1);
}

TEST(SlowNetwork, ASmallCallBehindALargeOneWaitsForItsTurn) {
  TestServer server;
  RespondToWrites(server);
  SlowRelay relay(server.address(), 256 << 10);
  ClientOptions options;
  options.endpoints = {relay.address()};
  options.coalesce = false;
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  std::promise<Code> large;
  (*client)->kv().PutAsync("large", std::string(kHalfMiB, 'v'), {.timeout = seconds(60)},
                           [&](Result<WriteResult> result) { large.set_value(result.code()); });
  const auto small = (*client)->kv().Put("small", "v", {.timeout = seconds(60)});
  EXPECT_TRUE(small.ok()) << small.status().ToString();
  EXPECT_EQ(large.get_future().get(), Code::kOk);
  EXPECT_LE(relay.connections(), 2);
}

// Slow is not dead: where nothing moves any more the connection is given up as quickly as ever.
TEST(SlowNetwork, ATransferThatStopsIsGivenUp) {
  TestServer server;
  RespondToWrites(server);
  SlowRelay relay(server.address(), 128 << 10);
  ClientOptions options;
  options.endpoints = {relay.address(), server.address()};
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  std::promise<Code> large;
  (*client)->kv().PutAsync("large", std::string(kHalfMiB, 'v'), {.timeout = seconds(60)},
                           [&](Result<WriteResult> result) { large.set_value(result.code()); });
  ASSERT_TRUE(WaitFor([&] { return relay.connections() > 0; }));
  relay.Halt();
  EXPECT_EQ(large.get_future().get(), Code::kOk);
}

// A client that was paused, or got no processor, has not listened: silence says nothing then.
TEST(SlowNetwork, AClientThatDidNotRunForAWhileDoesNotGiveUpItsMember) {
  TestServer server;
  TestChannel channel({server.address()});
  server.On([](FakeMember& member) { member.hold = true; });
  std::promise<node::SubmitOutcome> ended;
  std::thread caller([&] { ended.set_value(channel.Submit("held")); });
  EXPECT_TRUE(WaitFor([&] {
    return server.Get<std::size_t>([](FakeMember& member) { return member.held.size(); }) == 1;
  }));
  channel.loop().Call([] {
    // check:allow sleep: the loop does not run meanwhile
    std::this_thread::sleep_for(ClientLink::kPingAfter + ClientLink::kPingLimit +
                                milliseconds(200));
  });
  server.On([](FakeMember& member) {
    EXPECT_EQ(member.submits, 1) << "the attempt was given up and made again";
    for (auto& done : member.held) done({raftkv::Status::Ok(), Bytes("late")});
    member.held.clear();
  });
  caller.join();
  const node::SubmitOutcome outcome = ended.get_future().get();
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_EQ(outcome.response.view(), "late");
}

}  // namespace
}  // namespace raftkv::rpc
