#include <future>

#include <raftkv/client.h>

#include "lib/kv/response.h"
#include "rpc/loop/sockets.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

/// A member that carries every write out at once, on paper.
class WritingMember : public TestServer {
 public:
  WritingMember() {
    // SessionKv wants a Response, not its own request back.
    On([](FakeMember& m) { m.respond = Respond; });
  }
  static Bytes Respond(const Bytes&) {
    kv::Response response;
    response.revision = 41;
    return kv::EncodeResponse(response);
  }
};

ClientOptions OptionsFor(const std::string& endpoint) {
  ClientOptions options;
  options.endpoints = {endpoint};
  return options;
}

TEST(Client, PutsThroughARealConnection) {
  WritingMember server;
  auto client = Client::Connect(OptionsFor(server.address()));
  ASSERT_TRUE(client.ok());
  const auto put = (*client)->kv().Put("key", "value");
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_EQ(put->revision, 42u);
  const Client::Header header = (*client)->LastHeader();
  EXPECT_EQ(header.cluster_id, 5u);
  EXPECT_EQ(header.member_id, 11u);
  EXPECT_EQ(header.term, 3u);
}

TEST(Client, GathersConcurrentCallsAndSpreadsThemOverConnections) {
  WritingMember server;
  ClientOptions options = OptionsFor(server.address());
  options.connections = 4;
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  constexpr int kCalls = 2000;
  std::atomic<int> ok{0};
  std::atomic<int> ended{0};
  for (int i = 0; i < kCalls; ++i) {
    (*client)->kv().PutAsync("key" + std::to_string(i), "v", {}, [&](Result<WriteResult> result) {
      ok += result.ok();
      ++ended;
    });
  }
  ASSERT_TRUE(WaitFor([&] { return ended == kCalls; }));
  EXPECT_EQ(ok, kCalls);
  EXPECT_LT(server.Get<int>([](FakeMember& m) { return m.submits; }), kCalls / 4);
  EXPECT_EQ(server.connections(), 4u);
}

TEST(Client, TellsAMembersStatus) {
  TestServer server;
  auto client = Client::Connect(OptionsFor(server.address()));
  ASSERT_TRUE(client.ok());
  const auto status = (*client)->Status(server.address(), std::chrono::seconds(10), true);
  ASSERT_TRUE(status.ok()) << status.status().ToString();
  EXPECT_EQ(status->endpoint, server.address());
  EXPECT_EQ(status->node.name, "n1");
  EXPECT_EQ(status->node.role, Role::kLeader);
  EXPECT_EQ(status->node.cluster_id, 5u);
  EXPECT_EQ(status->content_hash, 77u);
  auto silent = Listen("127.0.0.1:0", "--listen");
  ASSERT_TRUE(silent.ok());
  const auto none = (*client)->Status(silent->address, std::chrono::milliseconds(100), false);
  EXPECT_EQ(none.code(), Code::kUnavailable);
  EXPECT_NE(none.status().message().find(silent->address), std::string::npos);
}

TEST(Client, NamesTheEndpointsThatCannotBeReached) {
  std::string dead;
  {
    TestServer gone;
    dead = gone.address();
  }
  auto client = Client::Connect(OptionsFor(dead));
  ASSERT_TRUE(client.ok());
  WriteOptions options;
  options.timeout = std::chrono::milliseconds(300);
  const auto put = (*client)->kv().Put("key", "value", options);
  EXPECT_FALSE(put.ok());
  EXPECT_NE(put.status().message().find(dead), std::string::npos) << put.status().ToString();
}

TEST(Client, ClosesWhileCallsWait) {
  TestServer server;
  server.On([](FakeMember& m) { m.hold = true; });
  auto client = Client::Connect(OptionsFor(server.address()));
  ASSERT_TRUE(client.ok());
  std::promise<Code> outcome;
  (*client)->kv().PutAsync("key", "value", {},
                           [&](Result<WriteResult> result) { outcome.set_value(result.code()); });
  ASSERT_TRUE(
      WaitFor([&] { return server.Get<int>([](FakeMember& m) { return m.submits; }) == 1; }));
  client->reset();
  EXPECT_EQ(outcome.get_future().get(), Code::kUnknownOutcome);
}

TEST(Client, RefusesWrongOptions) {
  EXPECT_EQ(Client::Connect({}).code(), Code::kInvalidArgument);
  for (const char* bad : {"", "localhost", "host:", "host:70000", ":7001", "host:0", "a b:1"}) {
    EXPECT_EQ(Client::Connect(OptionsFor(bad)).code(), Code::kInvalidArgument) << bad;
  }
  ClientOptions none = OptionsFor("127.0.0.1:7001");
  none.connections = 0;
  EXPECT_EQ(Client::Connect(none).code(), Code::kInvalidArgument);
}

TEST(Address, IsReadAndRefused) {
  const auto v6 = ParseHostPort("[::1]:7001");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 7001);
  const auto any = ParseHostPort(":80");
  ASSERT_TRUE(any.ok());
  EXPECT_EQ(any->host, "");
  for (const char* bad : {"::1:7001", "h:1x", "h:-1", "h,i:1", "h/:1"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace raftkv::rpc
