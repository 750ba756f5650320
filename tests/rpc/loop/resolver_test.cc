// Does the loop go on while a name is looked up, however long that takes?
#include "rpc/loop/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include <raftkv/client.h>

#include "rpc/loop/outbound.h"
#include "rpc/loop/sockets.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

std::atomic<bool> g_hangs{true};
std::atomic<int> g_looked_up{0};

int Hang(const char*, const char* port, const addrinfo* hints, addrinfo** found) {
  ++g_looked_up;
  while (g_hangs) {
    // check:allow sleep: it stands for a resolver that does not answer until the test lets it
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return getaddrinfo("127.0.0.1", port, hints, found);
}

class ResolverTest : public testing::Test {
 protected:
  void SetUp() override {
    g_hangs = true;
    g_looked_up = 0;
    SetLookUp(&Hang);
  }
  void TearDown() override {
    g_hangs = false;
    loop->Stop();
    SetLookUp(nullptr);
  }
  /// Empty, or why it failed.
  std::future<std::string> Connect(const std::string& address, Duration timeout) {
    auto done = std::make_shared<std::promise<std::string>>();
    loop->Call([&] {
      loop->Spawn(
          Dial(*loop, address, timeout, 1 << 20)
              .then([done](std::unique_ptr<Outbound>&&) { done->set_value(""); },
                    [done](kj::Exception&& why) { done->set_value(why.getDescription().cStr()); }));
    });
    return done->get_future();
  }

  // A name of its own for each test: a thread of an earlier one may still be under way.
  std::unique_ptr<EventLoop> loop = StartLoop();
};

TEST_F(ResolverTest, WhoeverAsksHasItsTimeoutAndTheNameIsAskedForOnce) {
  auto first = Connect("slow.example:7001", std::chrono::milliseconds(50));
  auto second = Connect("slow.example:7001", std::chrono::milliseconds(50));
  EXPECT_NE(first.get(), "");
  EXPECT_NE(second.get(), "");
  auto third = Connect("slow.example:7001", std::chrono::milliseconds(50));
  EXPECT_NE(third.get(), "");
  EXPECT_EQ(g_looked_up, 1);
  loop->Call([] {});  // it still runs
}

TEST_F(ResolverTest, AnswersAllWhoStillWait) {
  TestServer server;
  const std::string port = server.address().substr(server.address().rfind(':'));
  auto first = Connect("slow.example" + port, std::chrono::seconds(60));
  auto second = Connect("slow.example" + port, std::chrono::seconds(60));
  ASSERT_TRUE(WaitFor([] { return g_looked_up == 1; }));
  g_hangs = false;
  EXPECT_EQ(first.get(), "");
  EXPECT_EQ(second.get(), "");
}

TEST_F(ResolverTest, ALoopCanEndWhileANameIsLookedUp) {
  auto never = Connect("ending.example:7001", std::chrono::minutes(10));
  ASSERT_TRUE(WaitFor([] { return g_looked_up == 1; }));
  loop->Stop();
  g_hangs = false;  // its answer comes when nobody is there any more
}

TEST_F(ResolverTest, NumbersDoNotWaitForNames) {
  TestServer server;
  auto slow = Connect("other.example:7001", std::chrono::seconds(5));
  EXPECT_EQ(Connect(server.address(), std::chrono::seconds(60)).get(), "");
}

TEST_F(ResolverTest, WhoListensOnANameWaitsForItNoLongerThanItsPatience) {
  const auto listening = Listen("slow2.example:0", "--listen", std::chrono::milliseconds(50));
  EXPECT_EQ(listening.code(), Code::kUnavailable);
  EXPECT_NE(listening.status().message().find("slow2.example"), std::string::npos)
      << listening.status().ToString();
  EXPECT_NE(listening.status().message().find("resolver"), std::string::npos);
  g_hangs = false;
  EXPECT_TRUE(Listen("fast.example:0", "--listen", std::chrono::seconds(60)).ok());
}

// --- Names with several addresses.

/// Stands for 127.0.0.1 and 127.0.0.2, in this order; "both.example" for both families.
int LookUpTwo(const char* host, const char* port, const addrinfo* hints, addrinfo** found) {
  const bool both = std::string(host) == "both.example";
  addrinfo* second = nullptr;
  const int failed = getaddrinfo(both ? "::1" : "127.0.0.2", port, hints, &second);
  if (failed != 0) return failed;
  if (getaddrinfo("127.0.0.1", port, hints, found) != 0) return EAI_FAIL;
  addrinfo* last = *found;
  while (last->ai_next != nullptr) last = last->ai_next;
  last->ai_next = second;
  return 0;
}

class TwoAddresses : public ResolverTest {
 protected:
  void SetUp() override { SetLookUp(&LookUpTwo); }
  static std::string PortOf(const std::string& address) {
    return address.substr(address.rfind(':'));
  }
};

/// Listens, and answers nothing: nobody accepts, and there is no room for another connection.
class SilentAddress {
 public:
  explicit SilentAddress(const std::string& port) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port.substr(1))));
    const int on = 1;
    setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ok_ = bind(listening_, Address(), sizeof address_) == 0 && listen(listening_, 0) == 0;
    // A connection that is not made within a second is one too many.
    for (int i = 0; i < 8; ++i) {
      fillers_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      static_cast<void>(connect(fillers_.back(), Address(), sizeof address_));
    }
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const sockaddr* Address() const { return reinterpret_cast<const sockaddr*>(&address_); }

  sockaddr_in address_{};
  const kj::AutoCloseFd listening_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::vector<kj::AutoCloseFd> fillers_;
  bool ok_ = false;
};

TEST_F(TwoAddresses, AFirstThatIsSilentCostsItsHeadStart) {
  TestServer server("n1", 11, "127.0.0.2:0");
  const std::string port = PortOf(server.address());
  const SilentAddress silent(port);
  ASSERT_TRUE(silent.ok());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Connect("two.example" + port, std::chrono::seconds(60)).get(), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kHeadStart);
  // And so does a client that knows the member by this name alone.
  ClientOptions options;
  options.endpoints = {"two.example" + port};
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  const auto status =
      (*client)->Status("two.example" + port, std::chrono::seconds(60), /*with_hash=*/false);
  EXPECT_TRUE(status.ok()) << status.status().ToString();
}

TEST_F(TwoAddresses, AFirstThatRefusesCostsNothing) {
  TestServer server("n1", 11, "127.0.0.2:0");
  EXPECT_EQ(Connect("two.example" + PortOf(server.address()), std::chrono::seconds(60)).get(), "");
}

TEST_F(TwoAddresses, WithNoneThatAnswersTheTimeoutEndsIt) {
  TestServer server("n1", 11, "127.0.0.2:0");
  const SilentAddress silent(PortOf(server.address()));
  ASSERT_TRUE(silent.ok());
  EXPECT_NE(Connect("127.0.0.1" + PortOf(server.address()), std::chrono::milliseconds(300)).get(),
            "");
}

TEST_F(TwoAddresses, ANameOfBothFamiliesIsListenedOnAndReachedByBoth) {
  TestServer server("n1", 11, "both.example:0");
  const std::string port = PortOf(server.address());
  EXPECT_EQ(server.address(), "both.example" + port);
  EXPECT_EQ(Connect("127.0.0.1" + port, std::chrono::seconds(60)).get(), "");
  const auto v6 = Listen("[::1]:0", "--listen");
  // On a machine without IPv6 the other family is enough.
  if (v6.ok()) {
    EXPECT_EQ(Connect("[::1]" + port, std::chrono::seconds(60)).get(), "");
  }
  EXPECT_EQ(Connect("both.example" + port, std::chrono::seconds(60)).get(), "");
}

TEST_F(TwoAddresses, OfSeveralToListenOnNoneMayBeTaken) {
  const auto taken = Listen("127.0.0.2:0", "--listen");
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(Listen("two.example" + PortOf(taken->address), "--listen").code(), Code::kUnavailable);
}

}  // namespace
}  // namespace raftkv::rpc
