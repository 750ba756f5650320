// How much can those who begin a message, and do not finish it, take of a server?
#include "rpc/loop/outbound.h"
#include "rpc/server/connection.h"
#include "rpc/server/server.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

constexpr std::size_t kMessageBytes = 200 << 10;

/// Announces a message of kMessageBytes in one segment.
std::string Announcement() {
  constexpr auto kWords = static_cast<std::uint32_t>(kMessageBytes / 8);
  std::string head(8, '\0');
  for (int i = 0; i < 4; ++i) head[4 + i] = static_cast<char>(kWords >> (8 * i));
  return head;
}

class UnfinishedTest : public testing::Test {
 protected:
  static constexpr std::size_t kBudget = 5 * kMessageBytes;
  static constexpr std::chrono::milliseconds kPatience{2000};

  void Begin(int count) {
    for (int i = 0; i < count; ++i) {
      sockets.push_back(std::make_unique<RawSocket>(server.address()));
      sockets.back()->Write(Announcement() + std::string(kMessageBytes / 2, 'x'));
    }
  }
  std::size_t unfinished_bytes() {
    return server.Get<std::size_t>(
        [this](FakeMember&) { return server.server().unfinished_bytes(); });
  }

  TestServer server{"n1", 11, "127.0.0.1:0", [](ServerOptions& options) {
                      options.max_unfinished_bytes = kBudget;
                      options.handshake_timeout = std::chrono::minutes(10);
                      options.write_timeout = kPatience;
                    }};
  std::vector<std::unique_ptr<RawSocket>> sockets;
};

TEST_F(UnfinishedTest, AllTogetherStayWithinOneBudgetAndThenHaveToGo) {
  TestChannel channel({server.address()});
  ASSERT_TRUE(channel.Submit("before").status.ok());
  Begin(30);
  ASSERT_TRUE(WaitFor([&] { return unfinished_bytes() > kBudget - kMessageBytes; }));
  EXPECT_LE(unfinished_bytes(), kBudget);
  EXPECT_TRUE(channel.Submit("small ones pass").status.ok());
  // Those who hold the budget have had their time: a large one gets its turn.
  const std::string large(300 << 10, 'y');
  EXPECT_TRUE(WaitFor([&] { return channel.Submit(large).status.ok(); }, std::chrono::minutes(2)));
  for (auto& socket : sockets) EXPECT_TRUE(socket->ReadToEnd(std::chrono::seconds(60)).has_value());
  EXPECT_GE(server.log.Count("it did not finish a message in time"), 1u);
  EXPECT_TRUE(WaitFor([&] { return unfinished_bytes() == 0; }));
}

TEST_F(UnfinishedTest, PeersHaveTheirOwnBudget) {
  Begin(30);
  ASSERT_TRUE(WaitFor([&] { return unfinished_bytes() > kBudget - kMessageBytes; }));
  TestServer other("n2", 12);
  Peers& peers = other.MakePeers({});
  other.On([&](FakeMember&) { peers.SetPeers({{NodeId(11), "n1", server.address()}}); });
  ASSERT_TRUE(WaitFor(
      [&] { return other.Get<bool>([&](FakeMember&) { return peers.Connected(NodeId(11)); }); }));
}

/// A client that speaks for itself.
class BareClient {
 public:
  explicit BareClient(const std::string& address) : loop_(StartLoop()) {
    std::promise<void> dialed;
    loop_->Call([&] {
      loop_->Spawn(Dial(*loop_, address, std::chrono::seconds(10), 1 << 20)
                       .then([&](std::unique_ptr<Outbound>&& connection) {
                         connection_ = std::move(connection);
                         bootstrap_.emplace(connection_->bootstrap());
                         dialed.set_value();
                       }));
    });
    dialed.get_future().wait();
  }
  ~BareClient() {
    loop_->Call([this] {
      kept_.clear();
      service_.reset();
      bootstrap_.reset();
      connection_.reset();
    });
    loop_->Stop();
  }

  /// The refusal, or why there was no answer.
  std::string Connect() {
    auto answered = std::make_shared<std::promise<std::string>>();
    auto refusal = answered->get_future();
    loop_->Call([&] {
      auto request = bootstrap_->connectRequest();
      request.initHello().setProtocolMin(node::kProtocolMin);
      request.getHello().setProtocolMax(node::kProtocolMax);
      loop_->Spawn(request.send().then(
          [this, answered](capnp::Response<wire::Bootstrap::ConnectResults>&& response) {
            const std::string refused = response.getAnswer().getRefusal().cStr();
            if (refused.empty()) service_.emplace(response.getService());
            answered->set_value(refused);
          },
          [answered](kj::Exception&& lost) { answered->set_value(lost.getDescription().cStr()); }));
    });
    return refusal.get();
  }

  /// Keeps every answer, so that no call is finished; false: the connection was closed meanwhile.
  bool PingAndKeep(std::uint32_t count) {
    auto over = std::make_shared<std::promise<bool>>();
    auto served = over->get_future();
    loop_->Call([&] {
      auto left = std::make_shared<std::uint32_t>(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        loop_->Spawn(service_->pingRequest().send().then(
            [this, left, over](capnp::Response<wire::KvService::PingResults>&& response) {
              kept_.push_back(std::make_unique<capnp::Response<wire::KvService::PingResults>>(
                  kj::mv(response)));
              if (--*left == 0) over->set_value(true);
            },
            [left, over](kj::Exception&&) {
              if (*left > 0) over->set_value(false);
              *left = 0;
            }));
      }
    });
    return served.get();
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Outbound> connection_;
  std::optional<wire::Bootstrap::Client> bootstrap_;
  std::optional<wire::KvService::Client> service_;
  std::vector<std::unique_ptr<capnp::Response<wire::KvService::PingResults>>> kept_;
};

TEST(Session, ThereIsOneAConnection) {
  TestServer server;
  BareClient client(server.address());
  EXPECT_EQ(client.Connect(), "");
  EXPECT_NE(client.Connect().find("this connection has a session already"), std::string::npos);
  EXPECT_TRUE(client.PingAndKeep(1)) << "the first one goes on";
}

TEST(Session, WhoLetsGoOfNoAnswerIsClosed) {
  TestServer server;
  BareClient client(server.address());
  ASSERT_EQ(client.Connect(), "");
  EXPECT_TRUE(client.PingAndKeep(kMaxOpenCalls / 2));
  EXPECT_FALSE(client.PingAndKeep(kMaxOpenCalls));
  EXPECT_TRUE(
      WaitFor([&] { return server.log.Count("too many calls without a finished answer") == 1; }));
  BareClient next(server.address());
  EXPECT_EQ(next.Connect(), "");
}

}  // namespace
}  // namespace raftkv::rpc
