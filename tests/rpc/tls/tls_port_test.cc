// Do those who do not finish a handshake, or come in a storm, keep out nobody else?
#include "rpc/tls/tls_port.h"

#include <optional>

#include "tests/rpc/tls/tls_fixture.h"

namespace raftkv::rpc {
namespace {

class TlsPortTest : public TlsTest {
 protected:
  ~TlsPortTest() noexcept override {}

  /// Somebody at the port.
  struct Visitor {
    kj::Own<kj::AsyncIoStream> end;  ///< ours
    bool accepted = false;
    std::string refused;
    kj::Promise<void> at_port = nullptr;
    kj::Promise<void> ours = nullptr;
  };

  void Open(TlsPortOptions options = {}) {
    options.accepts = Native();
    options.log = [this](const std::string& line) { log_.push_back(line); };
    port_ = std::make_unique<TlsPort>(timer_, source_, std::move(options));
  }
  void TearDown() override { port_ = nullptr; }

  /// Connects, and says nothing.
  std::unique_ptr<Visitor> Arrive() {
    auto pipe = kj::newTwoWayPipe();
    auto visitor = std::make_unique<Visitor>();
    visitor->end = kj::mv(pipe.ends[1]);
    Visitor& here = *visitor;
    here.at_port =
        port_->Accept(kj::mv(pipe.ends[0]), "10.0.0.9:1")
            .then([&here](kj::Own<TlsStream>&&) { here.accepted = true; },
                  [&here](kj::Exception&& why) { here.refused = why.getDescription().cStr(); })
            .eagerlyEvaluate(nullptr);
    scope_.poll();
    return visitor;
  }
  /// Begins a handshake as a client does.
  std::unique_ptr<Visitor> ArriveAsClient() {
    auto visitor = Arrive();
    auto client = kj::heap<TlsStream>(kj::mv(visitor->end), SetupOf(certificates_.client()),
                                      kTlsNative, "localhost");
    auto shaken = client->Handshake().ignoreResult();
    visitor->ours = shaken.attach(kj::mv(client)).eagerlyEvaluate(nullptr);
    scope_.poll();
    return visitor;
  }
  void Pass(kj::Duration time) {
    timer_.advanceTo(timer_.now() + time);
    scope_.poll();
  }
  std::uint64_t Refused(TlsFault fault) {
    return source_.counts.refused.at(static_cast<std::size_t>(fault));
  }

  kj::TimerImpl timer_{kj::origin<kj::TimePoint>()};
  TlsSource source_{SetupOf(certificates_.node())};
  std::vector<std::string> log_;
  std::unique_ptr<TlsPort> port_;
};

TEST_F(TlsPortTest, TakesAClient) {
  Open();
  const auto client = ArriveAsClient();
  EXPECT_TRUE(client->accepted) << client->refused;
  EXPECT_EQ(source_.counts.handshakes, 1U);
  EXPECT_EQ(port_->in_progress(), 0U);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TlsPortTest, ASilentConnectionHasTenSeconds) {
  Open();
  const auto silent = Arrive();
  Pass(9900 * kj::MILLISECONDS);
  EXPECT_EQ(silent->refused, "");
  Pass(200 * kj::MILLISECONDS);
  EXPECT_EQ(silent->refused, "it did not complete its TLS handshake in time");
  EXPECT_EQ(Refused(TlsFault::kTimeout), 1U);
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_EQ(log_[0],
            "refused the TLS connection from 10.0.0.9:1: it did not complete its TLS handshake in "
            "time");
  EXPECT_EQ(port_->in_progress(), 0U);
}

TEST_F(TlsPortTest, SilentConnectionsKeepAClientWaitingForASecondAtMost) {
  TlsPortOptions options;
  options.max_handshakes = 4;
  Open(options);
  std::vector<std::unique_ptr<Visitor>> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(Arrive());
  const auto client = ArriveAsClient();
  EXPECT_EQ(port_->in_progress(), 4U);
  EXPECT_FALSE(client->accepted);
  Pass(1100 * kj::MILLISECONDS);
  EXPECT_TRUE(client->accepted) << client->refused;
  EXPECT_GE(Refused(TlsFault::kTimeout), 1U);
}

TEST_F(TlsPortTest, WithoutOthersASlowHandshakeGoesOn) {
  TlsPortOptions options;
  options.max_handshakes = 1;
  Open(options);
  const auto slow = Arrive();
  Pass(5 * kj::SECONDS);
  EXPECT_EQ(slow->refused, "");
  EXPECT_EQ(port_->in_progress(), 1U);
}

TEST_F(TlsPortTest, WaitingIsBoundedAndThoseWhoGoMakeRoom) {
  TlsPortOptions options;
  options.max_handshakes = 1;
  options.max_waiting = 2;
  Open(options);
  const auto first = Arrive();
  auto second = Arrive();
  const auto third = Arrive();
  const auto fourth = Arrive();
  EXPECT_TRUE(Mentions(fourth->refused, "too many TLS handshakes")) << fourth->refused;
  EXPECT_EQ(Refused(TlsFault::kBusy), 1U);
  second = nullptr;
  const auto fifth = Arrive();
  EXPECT_EQ(fifth->refused, "");
}

TEST_F(TlsPortTest, AStormOfClientsGetsThroughATurnAtATime) {
  TlsPortOptions options;
  options.max_handshakes = 3;
  Open(options);
  std::vector<std::unique_ptr<Visitor>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(ArriveAsClient());
    EXPECT_LE(port_->in_progress(), 3U);
  }
  for (const auto& client : clients) EXPECT_TRUE(client->accepted) << client->refused;
  EXPECT_EQ(source_.counts.handshakes, 20U);
}

TEST_F(TlsPortTest, PlainTextIsAnsweredAndCounted) {
  Open();
  const auto plain = Arrive();
  auto sent = plain->end->write("GET / HTTP/1.1\r\n\r\n", 18).eagerlyEvaluate(nullptr);
  std::string answer(4096, '?');
  answer.resize(plain->end->tryRead(answer.data(), answer.size(), answer.size()).wait(scope_));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  scope_.poll();
  EXPECT_TRUE(Mentions(plain->refused, "plain text")) << plain->refused;
  EXPECT_EQ(Refused(TlsFault::kPlainText), 1U);
}

TEST_F(TlsPortTest, AReloadIsForNewConnections) {
  Open();
  EXPECT_TRUE(ArriveAsClient()->accepted);
  const test::TestCertificates other;
  source_.Take(LoadTls(other.node(), true));
  EXPECT_FALSE(ArriveAsClient()->accepted) << "the client does not know that CA";
  source_.Take(Result<TlsSetupPtr>(Status(Code::kInvalidArgument, "broken")));
  EXPECT_FALSE(ArriveAsClient()->accepted) << "what cannot be used changes nothing";
  source_.Take(LoadTls(certificates_.node(), true));
  EXPECT_TRUE(ArriveAsClient()->accepted);
  EXPECT_EQ(source_.counts.reloads, 2U);
  EXPECT_EQ(source_.counts.failed_reloads, 1U);
}

}  // namespace
}  // namespace raftkv::rpc
