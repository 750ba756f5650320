#include "rpc/http/http_server.h"
#include "rpc/http/metrics.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

class HttpTest : public testing::Test {
 protected:
  void Start(HttpOptions options = {}) {
    options.listen = "127.0.0.1:0";
    options.log_sink = log.Sink();
    HttpHandlers handlers;
    handlers.metrics = [this] { return metrics.Serialize(snapshot); };
    handlers.ready = [this] { return ready; };
    loop->Call([&] {
      auto made = HttpServer::Listen(*loop, handlers, options);
      ASSERT_TRUE(made.ok()) << made.status().ToString();
      server = std::move(made).value();
      address = server->address();
    });
  }
  void TearDown() override {
    loop->Call([this] { server.reset(); });
    loop->Stop();
  }
  std::string Get(const std::string& path, const std::string& method = "GET") {
    RawSocket socket(address);
    socket.Write(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return socket.ReadToEnd().value_or("(still open)");
  }

  LogLines log;
  std::unique_ptr<EventLoop> loop = StartLoop();
  Metrics metrics{"n1", "1.2.3"};
  MetricsSnapshot snapshot;
  Status ready;
  std::unique_ptr<HttpServer> server;
  std::string address;
};

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(HttpTest, ServesMetrics) {
  Start();
  loop->Call([this] {
    snapshot.node.role = Role::kLeader;
    snapshot.node.leader = "n1";
    snapshot.node.term = 7;
    snapshot.node.commit_index = 12;
    snapshot.peer_match = {{"n2", 11}, {"n3", 10}};
    metrics.Observe(node::Stage::kLogSync, std::chrono::microseconds(300));
    metrics.CountLogSync(3, 999);
    metrics.CountProposal(Code::kOk);
    metrics.CountProposal(Code::kUnavailable);
    metrics.CountElection();
  });
  const std::string page = Get("/metrics");
  EXPECT_TRUE(Has(page, "HTTP/1.1 200 OK")) << page;
  for (const char* line :
       {"raftkv_role{role=\"leader\"} 1\n", "raftkv_role{role=\"follower\"} 0\n", "raftkv_term 7\n",
        "raftkv_commit_index 12\n", "raftkv_leader{leader=\"n1\"} 1\n", "raftkv_is_leader 1\n",
        "raftkv_peer_match_index{peer=\"n2\"} 11\n", "raftkv_wal_syncs_total 1\n",
        "raftkv_wal_bytes_total 999\n", "raftkv_wal_sync_seconds_count 1\n",
        "raftkv_write_stage_seconds_bucket{stage=\"log_sync\",le=\"0.0005\"} 1\n",
        "raftkv_write_stage_seconds_bucket{stage=\"log_sync\",le=\"0.0002\"} 0\n",
        "raftkv_proposals_total{outcome=\"Ok\"} 1\n",
        "raftkv_proposals_total{outcome=\"Unavailable\"} 1\n", "raftkv_elections_total 1\n",
        "raftkv_info{name=\"n1\",version=\"1.2.3\"} 1\n"}) {
    EXPECT_TRUE(Has(page, line)) << line << page;
  }
  loop->Call([this] {
    snapshot.node.leader = "n3";
    snapshot.peer_match.clear();
  });
  const std::string later = Get("/metrics");
  EXPECT_FALSE(Has(later, "peer=\"n2\"")) << "a follower has no view of its peers";
  EXPECT_FALSE(Has(later, "leader=\"n1\""));
  EXPECT_TRUE(Has(later, "raftkv_leader{leader=\"n3\"} 1\n"));
}

TEST_F(HttpTest, SaysWhetherItLivesAndIsReady) {
  Start();
  EXPECT_TRUE(Has(Get("/livez"), "200 OK"));
  EXPECT_TRUE(Has(Get("/readyz?verbose"), "ok\n"));
  loop->Call([this] { ready = {Code::kUnavailable, "no leader is known"}; });
  const std::string page = Get("/readyz");
  EXPECT_TRUE(Has(page, "503 Service Unavailable")) << page;
  EXPECT_TRUE(Has(page, "no leader is known\n"));
  EXPECT_TRUE(Has(Get("/livez"), "200 OK"));
}

TEST_F(HttpTest, RefusesWhatItDoesNotHave) {
  Start();
  EXPECT_TRUE(Has(Get("/"), "404 Not Found"));
  EXPECT_TRUE(Has(Get("/metrics", "DELETE"), "405"));
  RawSocket garbage(address);
  garbage.Write("\x01\x02 nonsense\r\n\r\n");
  EXPECT_TRUE(garbage.ReadToEnd().has_value());
  EXPECT_TRUE(Has(Get("/livez"), "200 OK"));
}

TEST_F(HttpTest, BoundsConnectionsAndTheirPatience) {
  HttpOptions options;
  options.max_connections = 2;
  options.request_timeout = std::chrono::milliseconds(200);
  Start(options);
  RawSocket first(address);
  first.Write("GET /metr");
  RawSocket second(address);
  EXPECT_TRUE(first.ReadToEnd().has_value()) << "half a request is not waited for";
  EXPECT_TRUE(second.ReadToEnd().has_value());
  EXPECT_TRUE(WaitFor([&] { return Has(Get("/livez"), "200 OK"); }));
}

TEST_F(HttpTest, AProbeIsAnsweredBesideAnyNumberOfSilentConnections) {
  HttpOptions options;
  options.request_timeout = std::chrono::minutes(10);
  options.connection_life = std::chrono::minutes(10);
  Start(options);
  std::vector<std::unique_ptr<RawSocket>> silent;
  for (std::uint32_t i = 0; i < 2 * options.max_connections; ++i) {
    silent.push_back(std::make_unique<RawSocket>(address));
    if (i % 2 == 0) silent.back()->Write("GET /metr");
  }
  EXPECT_TRUE(Has(Get("/livez"), "200 OK"));
  EXPECT_TRUE(Has(Get("/readyz"), "200 OK"));
  EXPECT_TRUE(silent.front()->ReadToEnd().has_value()) << "the oldest makes room";
  EXPECT_EQ(silent.back()->ReadToEnd(std::chrono::milliseconds(50)), std::nullopt);
  EXPECT_GE(log.Count("closed the oldest HTTP connection: all 64 are in use"), 1u);
}

}  // namespace
}  // namespace raftkv::rpc
