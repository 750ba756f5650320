// What does a client cost that asks for much and does not read the answers?
#include <sys/socket.h>

#include <algorithm>

#include "rpc/loop/outbound.h"
#include "rpc/server/connection.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

constexpr std::size_t kAnswerBytes = 1 << 20;
constexpr std::size_t kChunk = 64 * 1024;  // what a slow reader takes at a time

/// A connection on which reading can be stopped, or be slow, while writing goes on.
class SlowStream final : public kj::AsyncIoStream {
 public:
  SlowStream(kj::Timer& timer, kj::Own<kj::AsyncIoStream> inner)
      : timer_(timer), inner_(kj::mv(inner)) {
    const int small = 64 * 1024;  // of what the kernel takes for us
    inner_->setsockopt(SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }

  void StopReading() { deaf_ = true; }
  void ReadAgain() {
    deaf_ = false;
    if (waiting_) waiting_->fulfill();
  }
  void PauseBetweenReads(kj::Duration pause) { pause_ = pause; }

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min, std::size_t max) override {
    return MayRead()
        .then([this, buffer, max] { return inner_->tryRead(buffer, 1, std::min(max, kChunk)); })
        .then([this, buffer, min, max](std::size_t size) -> kj::Promise<std::size_t> {
          if (size == 0 || size >= min) return size;
          auto rest = tryRead(static_cast<char*>(buffer) + size, min - size, max - size);
          return rest.then([size](std::size_t more) { return size + more; });
        });
  }
  kj::Promise<void> write(const void* buffer, std::size_t size) override {
    return inner_->write(buffer, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }

 private:
  kj::Promise<void> MayRead() {
    if (pause_ > 0 * kj::SECONDS) return timer_.afterDelay(pause_);
    if (!deaf_) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    waiting_ = kj::mv(paf.fulfiller);
    return kj::mv(paf.promise);
  }

  kj::Timer& timer_;
  kj::Own<kj::AsyncIoStream> inner_;
  bool deaf_ = false;
  kj::Duration pause_ = 0 * kj::SECONDS;
  kj::Own<kj::PromiseFulfiller<void>> waiting_;
};

/// A client that sends whatever it likes, and reads when it likes.
class RudeClient {
 public:
  struct Answers {
    int ok = 0;
    int unavailable = 0;
    int unknown = 0;
    int lost = 0;
    int all() const { return ok + unavailable + unknown + lost; }
  };

  explicit RudeClient(const std::string& address) : loop_(StartLoop()) {
    std::promise<void> connected;
    loop_->Call([&] {
      body_ = std::make_unique<Body>();
      loop_->Spawn(Connect(address).then([&] { connected.set_value(); }));
    });
    connected.get_future().wait();
  }
  ~RudeClient() {
    loop_->Call([this] { body_.reset(); });
    loop_->Stop();
  }

  void On(const std::function<void(SlowStream&)>& work) {
    loop_->Call([&] { work(*body_->stream); });
  }
  void Read(int count) {
    loop_->Call([&] {
      for (int i = 0; i < count; ++i) Send(body_->service->readRequest());
    });
  }
  void Submit(int count) {
    loop_->Call([&] {
      for (int i = 0; i < count; ++i) Send(body_->service->submitRequest());
    });
  }
  Answers answers() {
    Answers result;
    loop_->Call([&] { result = body_->answers; });
    return result;
  }

 private:
  struct Body {
    SlowStream* stream = nullptr;
    std::unique_ptr<Outbound> connection;
    std::optional<wire::KvService::Client> service;
    Answers answers;
  };

  kj::Promise<void> Connect(const std::string& address) {
    return loop_->network()
        .parseAddress(address.c_str())
        .then([](kj::Own<kj::NetworkAddress>&& resolved) {
          auto connecting = resolved->connect();
          return connecting.attach(kj::mv(resolved));
        })
        .then([this](kj::Own<kj::AsyncIoStream>&& stream) {
          auto slow = kj::heap<SlowStream>(loop_->timer(), kj::mv(stream));
          body_->stream = slow.get();
          body_->connection = std::make_unique<Outbound>(kj::mv(slow), 64 << 20);
          auto request = body_->connection->bootstrap().connectRequest();
          request.initHello().setProtocolMin(node::kProtocolMin);
          request.getHello().setProtocolMax(node::kProtocolMax);
          return request.send();
        })
        .then([this](capnp::Response<wire::Bootstrap::ConnectResults>&& response) {
          body_->service = response.getService();
        });
  }

  template <class Request>
  void Send(Request&& request) {
    request.initRequest(8);
    request.setTimeoutMs(60'000);
    loop_->Spawn(request.send().then(
        [this](auto&& response) {
          if (body_ == nullptr) return;
          switch (static_cast<Code>(response.getOutcome().getCode())) {
            case Code::kOk: ++body_->answers.ok; break;
            case Code::kUnavailable: ++body_->answers.unavailable; break;
            case Code::kUnknownOutcome: ++body_->answers.unknown; break;
            default: ADD_FAILURE() << response.getOutcome().getMessage().cStr();
          }
        },
        [this](kj::Exception&&) {
          if (body_ != nullptr) ++body_->answers.lost;
        }));
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Body> body_;
};

/// A member that answers everything with a megabyte.
class StuckClientTest : public testing::Test {
 protected:
  void Start(std::chrono::milliseconds write_timeout = std::chrono::minutes(10),
             std::size_t max_queued_bytes = ServerOptions().max_queued_bytes) {
    server = std::make_unique<TestServer>("n1", 11, "127.0.0.1:0", [=](ServerOptions& options) {
      options.write_timeout = write_timeout;
      options.max_queued_bytes = max_queued_bytes;
    });
    server->On([this](FakeMember& m) {
      m.respond = [this](const Bytes& request) {
        max_queued = std::max(max_queued, server->queued_bytes());
        return request.size() == 8 ? Bytes(std::string(answer_bytes, 'a')) : request;
      };
    });
  }
  void ExpectOthersServed() {
    TestChannel other({server->address()});
    EXPECT_TRUE(other.Submit("of another client").status.ok());
  }
  void ExpectBounded() {
    server->On([this](FakeMember&) {
      // One answer more than the bound, and the overhead of each.
      EXPECT_LE(max_queued, kMaxQueuedBytes + answer_bytes + (1 << 18));
      EXPECT_GT(max_queued, kMaxQueuedBytes / 2) << "nothing was ever queued";
    });
  }

  std::unique_ptr<TestServer> server;
  std::size_t answer_bytes = kAnswerBytes;
  std::size_t max_queued = 0;  // on the server's loop
};

TEST_F(StuckClientTest, ItsCallsAreLeftUnreadWhileAnswersWait) {
  Start();
  RudeClient client(server->address());
  client.On([](SlowStream& stream) { stream.StopReading(); });
  constexpr int kCalls = 200;
  client.Read(kCalls);
  ASSERT_TRUE(WaitFor([&] { return server->queued_bytes() > kMaxQueuedBytes; }));
  ExpectOthersServed();
  EXPECT_LT(server->Get<int>([](FakeMember& m) { return m.reads; }), kCalls / 2);
  ExpectBounded();
  // Nothing is lost: once the client reads, its calls go on.
  client.On([](SlowStream& stream) { stream.ReadAgain(); });
  ASSERT_TRUE(WaitFor([&] { return client.answers().all() == kCalls; })) << client.answers().all();
  EXPECT_EQ(client.answers().ok + client.answers().unavailable, kCalls);
  EXPECT_GE(client.answers().ok, kCalls / 2);
  ExpectBounded();
  EXPECT_TRUE(WaitFor([&] { return server->queued_bytes() == 0; }));
}

TEST_F(StuckClientTest, TheAnswersOfItsOpenCallsAreNotAllKept) {
  Start();
  RudeClient client(server->address());
  server->On([](FakeMember& m) { m.hold = true; });
  constexpr int kCalls = 100;
  client.Submit(kCalls);
  ASSERT_TRUE(
      WaitFor([&] { return server->Get<int>([](FakeMember& m) { return m.submits; }) == kCalls; }));
  client.On([](SlowStream& stream) { stream.StopReading(); });
  // All at once, with nobody who reads.
  server->On([](FakeMember& m) {
    m.hold = false;
    for (auto& done : m.held) done({Status::Ok(), m.respond(Bytes(std::string(8, 'x')))});
  });
  // The kernel takes a part of it.
  ASSERT_TRUE(WaitFor([&] { return server->queued_bytes() > kMaxQueuedBytes / 2; }));
  ExpectOthersServed();
  EXPECT_LE(server->queued_bytes(), kMaxQueuedBytes + answer_bytes);
  client.On([](SlowStream& stream) { stream.ReadAgain(); });
  ASSERT_TRUE(WaitFor([&] { return client.answers().all() == kCalls; })) << client.answers().all();
  EXPECT_GE(client.answers().ok, 16);
  // They were carried out, so nothing that says otherwise may be answered.
  EXPECT_EQ(client.answers().ok + client.answers().unknown, kCalls);
  EXPECT_LT(client.answers().ok, kCalls / 2) << "more than the bound was kept";
}

TEST_F(StuckClientTest, TheAnswersOfAllTogetherAreBounded) {
  constexpr std::size_t kTogether = 6 << 20;
  Start(std::chrono::minutes(10), kTogether);
  std::vector<std::unique_ptr<RudeClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RudeClient>(server->address()));
    clients.back()->On([](SlowStream& stream) { stream.StopReading(); });
    clients.back()->Read(12);
  }
  ASSERT_TRUE(WaitFor([&] { return server->queued_bytes() > kTogether; }));
  TestChannel other({server->address()});
  EXPECT_TRUE(other.Submit("small").status.ok());
  EXPECT_EQ(other.Submit("of eight").status.code(), Code::kUnknownOutcome) << "a large answer";
  EXPECT_LE(server->queued_bytes(), kTogether + answer_bytes + (1 << 18));
  for (auto& client : clients) client->On([](SlowStream& stream) { stream.ReadAgain(); });
  EXPECT_TRUE(WaitFor([&] { return server->queued_bytes() == 0; }));
  EXPECT_TRUE(other.Submit("of eight").status.ok());
}

TEST_F(StuckClientTest, ItIsClosedWhenItTakesNothing) {
  Start(std::chrono::milliseconds(300));
  RudeClient client(server->address());
  client.On([](SlowStream& stream) { stream.StopReading(); });
  client.Read(60);
  ASSERT_TRUE(WaitFor(
      [&] { return server->log.Count("does not read the answers that it asked for") == 1; }));
  EXPECT_TRUE(WaitFor([&] { return server->connections() == 0; }));
  EXPECT_EQ(server->queued_bytes(), 0u);
  ExpectOthersServed();
}

TEST_F(StuckClientTest, WhoReadsSlowlyIsNotClosed) {
  constexpr std::chrono::milliseconds kWriteTimeout(400);
  Start(kWriteTimeout);
  answer_bytes = 15 << 20;  // one message: it is the progress inside it that counts
  RudeClient client(server->address());
  client.On([](SlowStream& stream) { stream.PauseBetweenReads(6 * kj::MILLISECONDS); });
  const auto start = std::chrono::steady_clock::now();
  client.Read(1);
  ASSERT_TRUE(WaitFor([&] { return client.answers().all() == 1; }));
  EXPECT_EQ(client.answers().ok, 1);
  EXPECT_GT(std::chrono::steady_clock::now() - start, 3 * kWriteTimeout) << "it was not slow";
}

}  // namespace
}  // namespace raftkv::rpc
