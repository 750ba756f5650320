// Does the loop go on while a name is looked up, however long that takes?
#include "rpc/loop/resolver.h"

#include <netdb.h>

#include <atomic>
#include <future>

#include "rpc/loop/outbound.h"
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

}  // namespace
}  // namespace raftkv::rpc
