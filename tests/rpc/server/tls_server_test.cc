// Do clients and members reach a member over TLS, and nobody else?
#include <set>

#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::rpc {
namespace {

using std::chrono::seconds;

class TlsServerTest : public testing::Test {
 protected:
  std::unique_ptr<TestServer> Start(const NodeTlsOptions& tls, std::uint64_t id = 1,
                                    std::function<void(ServerOptions&)> change = nullptr) {
    return std::make_unique<TestServer>("n" + std::to_string(id), id, "127.0.0.1:0",
                                        std::move(change), tls);
  }
  /// Whether `from` reaches `to` as a member.
  static void Link(TestServer& from, TestServer& to) {
    Peers& peers = from.MakePeers();
    from.On([&](FakeMember&) { peers.SetPeers({{NodeId(2), "n2", to.address()}}); });
  }
  static bool Linked(TestServer& from, Peers& peers) {
    bool linked = false;
    from.On([&](FakeMember&) { linked = peers.Connected(NodeId(2)); });
    return linked;
  }
  static std::uint64_t Refused(TestServer& server, TlsFault fault) {
    return server.Get<std::uint64_t>([&](FakeMember&) {
      return server.tls().counts.refused.at(static_cast<std::size_t>(fault));
    });
  }

  test::TestCertificates kit_;
};

TEST_F(TlsServerTest, AClientIsServed) {
  const auto server = Start(kit_.node(/*client_auth=*/true));
  TestChannel channel({server->address()}, true, kit_.client());
  const std::string large(3 << 20, 'x');
  for (const std::string& request : {std::string("a request"), large}) {
    const node::SubmitOutcome outcome = channel.Submit(request);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
    EXPECT_TRUE(outcome.response.view() == request) << "an echo";
  }
}

TEST_F(TlsServerTest, AClientOfAnotherKindLearnsWhy) {
  const auto server = Start(kit_.node(/*client_auth=*/true));
  const test::TestCertificates other;
  ClientTlsOptions of_other_ca = kit_.client();
  of_other_ca.cert = other.crt("client");
  of_other_ca.key = other.key("client");
  const std::vector<std::pair<ClientTlsOptions, std::string>> cases = {
      {{}, "it speaks TLS and this side does not"},
      {kit_.client(""), "it requires one (a client: --cert and --key)"},
      {of_other_ca, "it is not signed by a CA that it knows"},
      {other.client(), "is not signed by the CA in " + other.crt("ca")},
  };
  for (const auto& [tls, words] : cases) {
    TestChannel channel({server->address()}, true, tls);
    const node::SubmitOutcome outcome = channel.Submit("x", seconds(2));
    EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
    EXPECT_NE(outcome.status.message().find(words), std::string::npos) << outcome.status.ToString();
  }
  EXPECT_GE(Refused(*server, TlsFault::kPlainText), 1U);
  EXPECT_GE(Refused(*server, TlsFault::kNoCertificate), 1U);
  EXPECT_GE(Refused(*server, TlsFault::kUnknownCa), 1U);
  EXPECT_GE(Refused(*server, TlsFault::kRefusedOurs), 1U);
  EXPECT_GE(server->log.Count("it speaks plain text, and this port TLS"), 1U);
  EXPECT_TRUE(WaitFor([&] { return server->connections() == 0; }));
}

TEST_F(TlsServerTest, AClientOfTlsOnAPlainPortLearnsWhy) {
  TestServer server;
  TestChannel channel({server.address()}, true, kit_.client());
  const node::SubmitOutcome outcome = channel.Submit("x", seconds(2));
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  const std::string& message = outcome.status.message();
  EXPECT_TRUE(message.find("it may not speak TLS") != std::string::npos ||
              message.find("and not TLS") != std::string::npos ||
              message.find("during the TLS handshake") != std::string::npos)
      << message;
  EXPECT_TRUE(
      WaitFor([&] { return server.log.Count("it speaks TLS and this side does not") > 0; }));
}

TEST_F(TlsServerTest, MembersReachEachOther) {
  const auto from = Start(kit_.node(), 1);
  const auto to = Start(kit_.node(), 2);
  Peers& peers = from->MakePeers();
  from->On([&](FakeMember&) { peers.SetPeers({{NodeId(2), "n2", to->address()}}); });
  EXPECT_TRUE(WaitFor([&] { return Linked(*from, peers); }));
  EXPECT_GE(to->Get<int>([](FakeMember& m) { return m.hellos; }), 1);
}

TEST_F(TlsServerTest, AMemberOfAnotherCaIsRefusedAtBothEnds) {
  const test::TestCertificates other;
  NodeTlsOptions strange = other.node();
  const auto from = Start(strange, 1);
  const auto to = Start(kit_.node(), 2);
  Link(*from, *to);
  EXPECT_TRUE(WaitFor([&] { return from->log.Count("is not signed by the CA in ") > 0; }));
  EXPECT_TRUE(WaitFor([&] { return to->log.Count("refused the TLS connection from ") > 0; }));
  EXPECT_EQ(to->Get<int>([](FakeMember& m) { return m.hellos; }), 0);
}

TEST_F(TlsServerTest, AMemberWithoutTlsIsRefusedAtBothEnds) {
  TestServer from("n1", 1);
  const auto to = Start(kit_.node(), 2);
  Link(from, *to);
  EXPECT_TRUE(WaitFor([&] { return from.log.Count("it speaks TLS and this side does not") > 0; }));
  EXPECT_TRUE(WaitFor([&] { return to->log.Count("it speaks plain text") > 0; }));
  EXPECT_EQ(to->Get<int>([](FakeMember& m) { return m.hellos; }), 0);
}

TEST_F(TlsServerTest, AClientsConnectionCarriesNoHelloOfAMember) {
  const auto server = Start(kit_.node());
  auto loop = StartLoop();
  const auto dialer = NewClientDialer(kit_.client());
  ASSERT_TRUE(dialer.ok()) << dialer.status().ToString();
  std::promise<std::string> refusal;
  std::unique_ptr<Outbound> connection;
  loop->Call([&] {
    loop->Spawn(Dial(*loop, server->address(), seconds(10), 1 << 20, *dialer)
                    .then([&](std::unique_ptr<Outbound>&& made) {
                      connection = std::move(made);
                      auto request = connection->bootstrap().peerRequest();
                      node::Hello hello;
                      hello.cluster = ClusterId(5);
                      hello.member = NodeId(1);
                      hello.name = "n1";
                      Encode(hello, request.initHello());
                      return request.send();
                    })
                    .then([&](capnp::Response<wire::Bootstrap::PeerResults>&& answer) {
                      refusal.set_value(answer.getAnswer().getRefusal().cStr());
                    }));
  });
  auto refused = refusal.get_future();
  ASSERT_EQ(refused.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_NE(refused.get().find("--peer-tls-cert"), std::string::npos);
  EXPECT_EQ(server->log.Count("only a connection between certificates of the peer CA"), 1U);
  EXPECT_EQ(server->Get<int>([](FakeMember& m) { return m.hellos; }), 0);
  loop->Call([&] { connection.reset(); });
  loop->Stop();
}

TEST_F(TlsServerTest, ConnectionsStayWhenTheFilesChange) {
  const auto server = Start(kit_.node(/*client_auth=*/true));
  TestChannel before({server->address()}, true, kit_.client());
  ASSERT_TRUE(before.Submit("one").status.ok());
  kit_.Renew();
  server->On([&](FakeMember&) { server->tls().Take(LoadTls(kit_.node(true), true)); });
  EXPECT_TRUE(before.Submit("two").status.ok());
  TestChannel after({server->address()}, true, kit_.client());
  EXPECT_TRUE(after.Submit("three").status.ok());
  EXPECT_EQ(
      server->Get<std::uint64_t>([&](FakeMember&) { return server->tls().counts.handshakes; }), 2U);
}

TEST_F(TlsServerTest, UnfinishedHandshakesMakeRoomForOthers) {
  const auto server =
      Start(kit_.node(), 1, [](ServerOptions& options) { options.max_connections = 8; });
  std::vector<std::unique_ptr<RawSocket>> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(std::make_unique<RawSocket>(server->address()));
  TestChannel channel({server->address()}, true, kit_.client());
  const node::SubmitOutcome outcome = channel.Submit("x");
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_GE(server->log.Count("closed a connection during its TLS handshake"), 1U);
}

TEST_F(TlsServerTest, APortThatOthersCanReachWithoutTlsIsExposed) {
  const auto exposed = [](TestServer& server) {
    return server.Get<std::string>([&](FakeMember&) { return server.server().exposed(); });
  };
  TestServer open("n1", 1, "0.0.0.0:0");
  EXPECT_NE(exposed(open).find("without TLS"), std::string::npos) << exposed(open);
  EXPECT_NE(exposed(open).find("--insecure"), std::string::npos) << exposed(open);
  TestServer silenced("n1", 1, "0.0.0.0:0",
                      [](ServerOptions& options) { options.insecure = true; });
  EXPECT_EQ(exposed(silenced), "");
  TestServer secure("n1", 1, "0.0.0.0:0", nullptr, kit_.node());
  EXPECT_EQ(exposed(secure), "");
  for (const std::string listen : {"127.0.0.1:0", "127.0.0.2:0", "localhost:0"}) {
    TestServer loopback("n1", 1, listen);
    EXPECT_EQ(exposed(loopback), "") << listen;
  }
}

}  // namespace
}  // namespace raftkv::rpc
