// Does each end learn why there is no TLS connection, in words that say what to mend?
#include <algorithm>

#include "tests/rpc/tls/tls_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::hours;

class TlsRefusalTest : public TlsTest {
 protected:
  ~TlsRefusalTest() noexcept override {}

  std::unique_ptr<Shaken> ConnectPeers(const NodeTlsOptions& server, const NodeTlsOptions& client,
                                       const std::string& host = "127.0.0.1") {
    return Connect(SetupOf(server), SetupOf(client), Native(), kTlsPeer, host);
  }
  /// With TLS 1.3 a client may learn only after its own part of the handshake that it was refused.
  std::string WhatTheClientLearns(const std::unique_ptr<Shaken>& shaken) {
    return shaken->at_client.ok() ? ReadUntilItEnds(*shaken->client) : shaken->at_client.why;
  }
  /// Another CA's certificates.
  test::TestCertificates other_;
};

TEST_F(TlsRefusalTest, AServerOfAnotherCa) {
  const auto shaken =
      Connect(SetupOf(other_.node()), SetupOf(certificates_.client("")), Native(), kTlsNative);
  EXPECT_EQ(shaken->at_client.fault, TlsFault::kUnknownCa);
  EXPECT_EQ(shaken->at_client.why,
            "its certificate ('localhost', '127.0.0.1', 'server') is not signed by the CA in " +
                certificates_.crt("ca"));
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kRefusedOurs);
  EXPECT_TRUE(Mentions(shaken->at_server.why, "not signed by a CA that it knows"))
      << shaken->at_server.why;
}

TEST_F(TlsRefusalTest, AClientOfAnotherCa) {
  ClientTlsOptions client = certificates_.client("");
  client.cert = other_.crt("client");
  client.key = other_.key("client");
  for (const char* const version : {"1.2", "1.3"}) {
    NodeTlsOptions server = certificates_.node();
    server.min_version = version;
    const auto shaken = Connect(SetupOf(server), SetupOf(client), Native(), kTlsNative);
    const std::string learned = WhatTheClientLearns(shaken);
    EXPECT_EQ(shaken->at_server.fault, TlsFault::kUnknownCa);
    EXPECT_TRUE(Mentions(learned, "not signed by a CA that it knows")) << learned;
  }
}

TEST_F(TlsRefusalTest, AClientWithoutACertificateWhereOneIsRequired) {
  const auto shaken = Connect(SetupOf(certificates_.node(/*client_auth=*/true)),
                              SetupOf(certificates_.client("")), Native(), kTlsNative);
  const std::string learned = WhatTheClientLearns(shaken);
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kNoCertificate);
  EXPECT_TRUE(Mentions(shaken->at_server.why, "--cert and --key")) << shaken->at_server.why;
  EXPECT_TRUE(Mentions(learned, "it requires one")) << learned;
  EXPECT_TRUE(Mentions(learned, "--cert and --key")) << learned;
}

TEST_F(TlsRefusalTest, NobodyWhoHasNoCertificateWhereNoneIsRequired) {
  const auto shaken = ConnectClient(certificates_.client(""));
  EXPECT_TRUE(shaken->at_server.ok()) << shaken->at_server.why;
  EXPECT_TRUE(shaken->at_client.ok()) << shaken->at_client.why;
  EXPECT_TRUE(shaken->server->identity().names.empty());
}

TEST_F(TlsRefusalTest, ACertificateThatExpiresWhileItIsInUse) {
  // What is loaded is valid; what the other side presents may be older.
  certificates_.Issue("short", {.common_name = "short",
                                .hosts = {"127.0.0.1"},
                                .server = true,
                                .ends = std::chrono::seconds(1)});
  NodeTlsOptions server = certificates_.node();
  server.cert = certificates_.crt("short");
  server.key = certificates_.key("short");
  const TlsSetupPtr loaded = SetupOf(server);
  const TlsSetupPtr client = SetupOf(certificates_.client(""));
  std::string why;
  ASSERT_TRUE(test::WaitFor(std::chrono::seconds(20), [&] {
    const auto shaken = Connect(loaded, client, Native(), kTlsNative);
    why = shaken->at_client.why;
    return shaken->at_client.fault == TlsFault::kExpired &&
           shaken->at_server.fault == TlsFault::kRefusedOurs &&
           Mentions(shaken->at_server.why, "it has expired: renew it");
  })) << why;
  EXPECT_TRUE(Mentions(why, "its certificate ('127.0.0.1', 'short') expired on 2")) << why;
  EXPECT_TRUE(Mentions(why, "UTC: renew it")) << why;
}

TEST_F(TlsRefusalTest, AServerOfAnotherName) {
  for (const std::string host : {"127.0.0.2", "n1.example.org", "::1"}) {
    const auto shaken = Connect(SetupOf(certificates_.node()), SetupOf(certificates_.client()),
                                Native(), kTlsNative, host);
    EXPECT_EQ(shaken->at_client.fault, TlsFault::kWrongName) << host;
    EXPECT_TRUE(Mentions(shaken->at_client.why, "is not for '" + host + "'"))
        << shaken->at_client.why;
    EXPECT_EQ(shaken->at_server.fault, TlsFault::kRefusedOurs);
  }
}

TEST_F(TlsRefusalTest, NoServerOfTheRightName) {
  certificates_.Issue("many", {.common_name = "n1.example.org",
                               .hosts = {"*.example.org", "::1", "10.0.0.1"},
                               .server = true});
  NodeTlsOptions server = certificates_.node();
  server.cert = certificates_.crt("many");
  server.key = certificates_.key("many");
  for (const std::string host :
       {"n1.example.org", "N2.example.org", "n2.example.org.", "::1", "10.0.0.1"}) {
    const auto shaken =
        Connect(SetupOf(server), SetupOf(certificates_.client()), Native(), kTlsNative, host);
    EXPECT_TRUE(shaken->at_client.ok()) << host << ": " << shaken->at_client.why;
  }
  for (const std::string host : {"example.org", "a.b.example.org", "127.0.0.1", "10.0.0.1.x"}) {
    const auto shaken =
        Connect(SetupOf(server), SetupOf(certificates_.client()), Native(), kTlsNative, host);
    EXPECT_EQ(shaken->at_client.fault, TlsFault::kWrongName) << host;
  }
}

TEST_F(TlsRefusalTest, TheCommonNameIsNoHost) {
  certificates_.Issue("bare", {.common_name = "localhost", .server = true});
  NodeTlsOptions server = certificates_.node();
  server.cert = certificates_.crt("bare");
  server.key = certificates_.key("bare");
  const auto shaken =
      Connect(SetupOf(server), SetupOf(certificates_.client()), Native(), kTlsNative, "localhost");
  EXPECT_EQ(shaken->at_client.fault, TlsFault::kWrongName);
}

TEST_F(TlsRefusalTest, AMemberIsKnownAtBothEnds) {
  const auto shaken = ConnectPeers(certificates_.node(true), certificates_.node(true));
  EXPECT_TRUE(shaken->at_server.ok()) << shaken->at_server.why;
  EXPECT_TRUE(shaken->at_client.ok()) << shaken->at_client.why;
  EXPECT_TRUE(shaken->server->is_peer());
  EXPECT_TRUE(shaken->client->is_peer());
  EXPECT_EQ(shaken->server->protocol(), kTlsPeer);
  EXPECT_EQ(shaken->client->identity().names.back(), "peer") << "not what clients are shown";
  EXPECT_EQ(shaken->server->identity().names.back(), "peer");
}

TEST_F(TlsRefusalTest, AMemberOfAnotherCa) {
  const auto shaken = ConnectPeers(certificates_.node(), other_.node());
  EXPECT_EQ(shaken->at_client.fault, TlsFault::kUnknownCa) << "both know only their own";
  NodeTlsOptions trusting = other_.node();
  trusting.peer_ca = certificates_.crt("ca");
  // It would not even start with a certificate that its own CA did not sign.
  EXPECT_FALSE(LoadTls(trusting, true).ok());
}

/// A setup that presents `name` to members, which LoadTls would refuse.
TlsSetupPtr Forged(const test::TestCertificates& certificates, const std::string& name) {
  ClientTlsOptions client = certificates.client(name);
  return SetupOf(client);
}

TEST_F(TlsRefusalTest, AClientThatSaysThatItIsAMember) {
  // By the same CA, but its certificate is only that of a client.
  const auto shaken =
      Connect(SetupOf(certificates_.node()), Forged(certificates_, "client"), Native(), kTlsPeer);
  const std::string learned = WhatTheClientLearns(shaken);
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kWrongPurpose);
  EXPECT_TRUE(Mentions(shaken->at_server.why, "its certificate ('client') is for another use"))
      << shaken->at_server.why;
  EXPECT_TRUE(Mentions(learned, "it is for another use")) << learned;
  const auto nobody =
      Connect(SetupOf(certificates_.node()), Forged(certificates_, ""), Native(), kTlsPeer);
  EXPECT_TRUE(Mentions(WhatTheClientLearns(nobody), "it requires one"));
  EXPECT_EQ(nobody->at_server.fault, TlsFault::kNoCertificate);
}

TEST_F(TlsRefusalTest, AMemberWhereThereIsNoCaForMembers) {
  NodeTlsOptions server = certificates_.node();
  server.ca = server.peer_cert = server.peer_key = server.peer_ca = "";
  auto alone = LoadTls(server, /*has_peers=*/false);
  ASSERT_TRUE(alone.ok()) << alone.status().ToString();
  const auto shaken = Connect(*alone, SetupOf(certificates_.node()), Native(), kTlsPeer);
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kProtocol);
  EXPECT_TRUE(Mentions(shaken->at_server.why, "--peer-tls-ca")) << shaken->at_server.why;
  EXPECT_EQ(shaken->at_client.fault, TlsFault::kProtocol);
}

TEST_F(TlsRefusalTest, AMemberOnAPortThatIsNotForMembers) {
  const auto shaken = Connect(SetupOf(certificates_.node()), SetupOf(certificates_.node()),
                              {.protocols = {kTlsHttp1}, .peers = false}, kTlsPeer);
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kProtocol);
  EXPECT_TRUE(Mentions(shaken->at_server.why, "this port is not for members"));
}

TEST_F(TlsRefusalTest, APortOfAnotherProtocol) {
  const auto shaken = Connect(SetupOf(certificates_.node()), SetupOf(certificates_.client()),
                              {.protocols = {kTlsHttp2, kTlsHttp1}}, kTlsNative);
  EXPECT_EQ(shaken->at_server.fault, TlsFault::kProtocol);
  EXPECT_EQ(shaken->at_client.fault, TlsFault::kProtocol);
  const auto second = Connect(SetupOf(certificates_.node()), SetupOf(certificates_.client()),
                              {.protocols = {kTlsHttp2, kTlsHttp1}}, kTlsHttp1);
  EXPECT_TRUE(second->at_server.ok()) << second->at_server.why;
  EXPECT_EQ(second->server->protocol(), kTlsHttp1);
}

TEST_F(TlsRefusalTest, AnOldVersion) {
  // A client that is made to speak 1.2 alone.
  const TlsSetupPtr old = SetupOf(certificates_.client());
  SSL_CTX_set_max_proto_version(old->dial.get(), TLS1_2_VERSION);
  NodeTlsOptions server = certificates_.node();
  const auto refused = Connect(SetupOf(server), old, Native(), kTlsNative);
  EXPECT_EQ(refused->at_server.fault, TlsFault::kVersion) << refused->at_server.why;
  EXPECT_EQ(refused->at_client.fault, TlsFault::kVersion) << refused->at_client.why;
  EXPECT_TRUE(Mentions(refused->at_client.why, "--tls-min-version")) << refused->at_client.why;
  server.min_version = "1.2";
  const auto taken = Connect(SetupOf(server), old, Native(), kTlsNative);
  EXPECT_TRUE(taken->at_server.ok()) << taken->at_server.why;
}

// --- Plain text.

class PlainTextTest : public TlsTest {
 protected:
  ~PlainTextTest() noexcept override {}

  /// What a port of TLS says to somebody who begins with `bytes`.
  std::string AnswerTo(const std::string& bytes) {
    auto pipe = kj::newTwoWayPipe();
    TlsStream server(kj::mv(pipe.ends[0]), SetupOf(certificates_.node()), Native());
    auto at_server = server.Handshake().eagerlyEvaluate(nullptr);
    auto sent = pipe.ends[1]->write(bytes.data(), bytes.size()).eagerlyEvaluate(nullptr);
    std::string answer(4096, '?');
    answer.resize(pipe.ends[1]->tryRead(answer.data(), 1, answer.size()).wait(scope_));
    failure_ = at_server.wait(scope_);
    return answer;
  }

  TlsFailure failure_;
};

TEST_F(PlainTextTest, OnAPortOfTlsIsToldByAnAlert) {
  const std::string message("\0\0\0\0\4\0\0\0bootstrap", 17);
  EXPECT_EQ(AnswerTo(message), std::string("\x15\x03\x03\x00\x02\x02\x46", 7))
      << "which a client of raftkv understands";
  EXPECT_EQ(failure_.fault, TlsFault::kPlainText);
  EXPECT_TRUE(Mentions(failure_.why, "--cacert")) << failure_.why;
}

TEST_F(PlainTextTest, OfHttpOnAPortOfTlsIsToldInHttp) {
  const std::string answer = AnswerTo("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_TRUE(Mentions(answer, "https")) << answer;
  EXPECT_EQ(failure_.fault, TlsFault::kPlainText);
}

TEST_F(PlainTextTest, WhereAClientExpectsTls) {
  auto pipe = kj::newTwoWayPipe();
  TlsStream client(kj::mv(pipe.ends[1]), SetupOf(certificates_.client()), kTlsNative, "localhost");
  auto at_client = client.Handshake().eagerlyEvaluate(nullptr);
  std::string hello(4096, '?');
  auto read = pipe.ends[0]->tryRead(hello.data(), 1, hello.size()).wait(scope_);
  ASSERT_GT(read, 0U);
  auto sent = pipe.ends[0]->write("\0\0\0\0what", 8).eagerlyEvaluate(nullptr);
  const TlsFailure failure = at_client.wait(scope_);
  EXPECT_EQ(failure.fault, TlsFault::kPlainText);
  EXPECT_EQ(failure.why, "it speaks plain text there, and not TLS");
}

TEST_F(PlainTextTest, AnEndDuringTheHandshakeIsALostConnection) {
  for (const bool at_once : {true, false}) {
    auto pipe = kj::newTwoWayPipe();
    TlsStream server(kj::mv(pipe.ends[0]), SetupOf(certificates_.node()), Native());
    auto at_server = server.Handshake().eagerlyEvaluate(nullptr);
    if (!at_once) pipe.ends[1]->write("\x16\x03\x01\x02\x00", 5).wait(scope_);
    pipe.ends[1] = nullptr;
    EXPECT_EQ(at_server.wait(scope_).fault, TlsFault::kLost);
  }
}

}  // namespace
}  // namespace raftkv::rpc
