#include "rpc/server/server.h"

#include <future>

#include "rpc/client/client_link.h"
#include "rpc/loop/outbound.h"
#include "rpc/loop/sockets.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

TEST(Server, CarriesARequestToTheMemberAndItsAnswerBack) {
  TestServer server;
  TestChannel channel({server.address()});
  const auto outcome = channel.Submit("request");
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_EQ(outcome.response.view(), "request");
  server.On([](FakeMember& m) { m.submit_status = {Code::kNoSpace, "the disk is full"}; });
  const auto failed = channel.Submit("request");
  EXPECT_EQ(failed.status.code(), Code::kNoSpace);
  EXPECT_EQ(failed.status.message(), "the disk is full");
}

TEST(Server, CarriesLargeRequests) {
  TestServer server;
  TestChannel channel({server.address()});
  const std::string large(16 << 20, 'L');
  const auto outcome = channel.Submit(large);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_TRUE(outcome.response.view() == large);
}

TEST(Server, SaysWhoTakesThePort) {
  TestServer server;
  auto loop = StartLoop();
  FakeMember member(*loop, "n2", NodeId(2), ClusterId(5));
  ServerOptions options;
  options.listen = server.address();
  loop->Call([&] {
    const auto second = Server::Listen(*loop, member, options);
    EXPECT_EQ(second.code(), Code::kUnavailable);
    EXPECT_EQ(second.status().message(),
              "cannot listen on " + server.address() +
                  ": address already in use by another program; choose another --listen");
    options.listen = "no address";
    EXPECT_EQ(Server::Listen(*loop, member, options).code(), Code::kInvalidArgument);
    options.listen = "192.0.2.1:0";
    EXPECT_EQ(Server::Listen(*loop, member, options).code(), Code::kInvalidArgument);
  });
}

TEST(Server, GarbageEndsTheConnectionAndNothingElse) {
  TestServer server;
  TestChannel channel({server.address()});
  ASSERT_TRUE(channel.Submit("a").status.ok());
  RawSocket garbage(server.address());
  garbage.Write("GET / HTTP/1.1\r\nHost: raftkv\r\n\r\n");
  EXPECT_TRUE(garbage.ReadToEnd().has_value());
  RawSocket noise(server.address());
  noise.Write(std::string(100'000, '\xa7'));
  EXPECT_TRUE(noise.ReadToEnd().has_value());
  EXPECT_TRUE(channel.Submit("b").status.ok());
  EXPECT_TRUE(WaitFor([&] { return server.connections() == 1; }));
  EXPECT_EQ(server.log.Count("sent something other than a raftkv message"), 1u)
      << "one line a second";
}

std::string Announcing(std::uint32_t words) {
  std::string header(8, '\0');  // one segment
  for (int i = 0; i < 4; ++i) header[4 + i] = static_cast<char>(words >> (8 * i));
  return header;
}

TEST(Server, CutsOffWhoAnnouncesAHugeMessage) {
  TestServer server;
  // Before the handshake already 1 MiB is too much.
  RawSocket hostile(server.address());
  hostile.Write(Announcing(128 * 1024));
  EXPECT_TRUE(hostile.ReadToEnd().has_value());
  EXPECT_TRUE(WaitFor([&] { return server.log.Count("too large") == 1; }));
  EXPECT_EQ(server.connections(), 0u);
}

TEST(Server, CutsOffAClientWhoseRequestIsFarTooLarge) {
  TestServer server;
  auto loop = StartLoop();
  std::promise<std::string> failure;
  loop->Post([&] {
    auto link = ClientLink::Open(*loop, server.address(), std::make_shared<ClusterPin>(),
                                 std::chrono::seconds(5));
    loop->Spawn(link.then([&](std::shared_ptr<ClientLink>&& link) {
                      // A client that does not check sizes.
                      auto request = link->service().submitRequest();
                      request.initRequest(100 << 20);
                      return request.send().ignoreResult().attach(kj::mv(link));
                    })
                    .then([&] { failure.set_value("none"); },
                          [&](kj::Exception&& exception) {
                            failure.set_value(exception.getDescription().cStr());
                          }));
  });
  EXPECT_NE(failure.get_future().get(), "none");
  EXPECT_EQ(server.Get<int>([](FakeMember& m) { return m.submits; }), 0);
  TestChannel channel({server.address()});
  EXPECT_TRUE(channel.Submit("a").status.ok());
  // A client that does check says so without sending.
  const auto refused = channel.Submit(std::string(17 << 20, 'x'));
  EXPECT_EQ(refused.status.code(), Code::kInvalidArgument) << refused.status.ToString();
}

TEST(Server, ClosesIdleConnectionsWhileItServesOthers) {
  TestServer server("n1", 11, "127.0.0.1:0", [](ServerOptions& options) {
    options.handshake_timeout = std::chrono::milliseconds(300);
  });
  TestChannel channel({server.address()});
  ASSERT_TRUE(channel.Submit("before").status.ok());
  std::vector<std::unique_ptr<RawSocket>> idle;
  for (int i = 0; i < 300; ++i) idle.push_back(std::make_unique<RawSocket>(server.address()));
  ASSERT_TRUE(channel.Submit("meanwhile").status.ok());
  for (auto& socket : idle) ASSERT_TRUE(socket->ReadToEnd().has_value());
  EXPECT_TRUE(WaitFor([&] { return server.connections() == 1; }));
  EXPECT_TRUE(channel.Submit("after").status.ok());
  EXPECT_LE(server.log.Count("did not complete its handshake in time"), 3u)
      << "lines are rate limited";
  EXPECT_GE(server.log.Count("did not complete its handshake in time"), 1u);
}

TEST(Server, TheReasonOfARefusalReachesTheClientWhole) {
  TestServer server;
  auto loop = StartLoop();
  std::promise<std::string> answered;
  loop->Call([&] {
    auto outbound = Dial(*loop, server.address(), std::chrono::seconds(5), 1 << 20);
    loop->Spawn(outbound.then([&](std::unique_ptr<Outbound>&& connection) {
      auto request = connection->bootstrap().connectRequest();
      request.initHello().setProtocolMin(7);
      request.getHello().setProtocolMax(9);
      return request.send()
          .then([&](capnp::Response<wire::Bootstrap::ConnectResults>&& response) {
            answered.set_value(response.getAnswer().getRefusal().cStr());
          })
          .attach(std::move(connection));
    }));
  });
  EXPECT_EQ(answered.get_future().get(),
            "the client speaks protocol versions 7 to 9, this member 2 to 2; upgrade the older of "
            "the two");
  loop->Stop();
}

TEST(Server, ShortReasonsKeepSentencesAndDropDetails) {
  const auto reason = [](const char* text) {
    return ShortReason(kj::Exception(kj::Exception::Type::FAILED, "file", 1, kj::str(text)));
  };
  EXPECT_EQ(reason("connect(): Connection refused; address = 127.0.0.1"), "Connection refused");
  EXPECT_EQ(reason("refused: it is full; close some"), "refused: it is full; close some");
  EXPECT_EQ(reason("remote exception: gone; line = 7"), "gone");
}

TEST(Server, StopsWhileCallsWait) {
  auto server = std::make_unique<TestServer>();
  server->On([](FakeMember& m) { m.hold = true; });
  TestChannel channel({server->address()});
  std::thread stop([&] {
    EXPECT_TRUE(WaitFor([&] {
      return server->Get<int>([](FakeMember& m) { return static_cast<int>(m.held.size()); }) == 1;
    }));
    server.reset();
  });
  const auto outcome = channel.Submit("x");
  EXPECT_EQ(outcome.status.code(), Code::kUnknownOutcome) << outcome.status.ToString();
  stop.join();
}

TEST(Channel, GoesToTheLeaderThatAMemberNames) {
  TestServer leader("n1", 11);
  TestServer follower("n2", 12);
  follower.On([&](FakeMember& m) { m.leader_address = leader.address(); });
  TestChannel channel({follower.address()});
  ASSERT_TRUE(channel.Submit("x").status.ok());
  EXPECT_EQ(leader.Get<int>([](FakeMember& m) { return m.submits; }), 1);
  EXPECT_EQ(follower.Get<int>([](FakeMember& m) { return m.submits; }), 0);
  TestChannel stays({follower.address()}, false);
  ASSERT_TRUE(stays.Submit("x").status.ok());
  EXPECT_EQ(follower.Get<int>([](FakeMember& m) { return m.submits; }), 1);
}

TEST(Channel, TriesTheNextEndpointAndNamesThemAll) {
  std::string dead;
  {
    TestServer gone;
    dead = gone.address();
  }
  TestServer server;
  TestChannel channel({dead, server.address()});
  EXPECT_TRUE(channel.Submit("x").status.ok());
  TestChannel hopeless({dead});
  const auto outcome = hopeless.Submit("x");
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_EQ(outcome.status.message(),
            "no endpoint could be reached: " + dead + " (Connection refused)");
}

TEST(Channel, GivesUpAMemberThatAcceptsButDoesNotAnswer) {
  // A stopped process looks like this: the kernel accepts, nobody reads.
  auto silent = Listen("127.0.0.1:0", "--listen");
  ASSERT_TRUE(silent.ok());
  TestServer server;
  TestChannel channel({silent->address, server.address()});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(channel.Submit("x").status.ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Channel, GivesUpAMemberThatStopsAnswering) {
  TestServer first("n1", 11);
  TestServer second("n2", 12);
  TestChannel channel({first.address(), second.address()});
  ASSERT_TRUE(channel.Submit("x").status.ok());
  // The loop of the first one stands still, as in a stopped process.
  std::promise<void> go_on;
  first.loop().Post([&] { go_on.get_future().wait(); });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(channel.Submit("y").status.code(), Code::kUnknownOutcome);
  EXPECT_TRUE(channel.Submit("y").status.ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(second.Get<int>([](FakeMember& m) { return m.submits; }), 1);
  go_on.set_value();
}

TEST(Channel, ASlowAnswerOfALiveMemberIsAwaited) {
  TestServer server;
  server.On([](FakeMember& m) { m.hold = true; });
  TestChannel channel({server.address()});
  std::thread answer([&] {
    // Longer than a silent member would be waited for.
    // check:allow sleep: the time itself is what is tested
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    server.On([](FakeMember& m) {
      for (auto& done : m.held) done({Status::Ok(), Bytes(std::string("late"))});
    });
  });
  const auto outcome = channel.Submit("x");
  EXPECT_EQ(outcome.response.view(), "late") << outcome.status.ToString();
  answer.join();
}

}  // namespace
}  // namespace raftkv::rpc
