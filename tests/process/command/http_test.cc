// What does a member show over HTTP?
#include <chrono>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

// The value of the first sample whose line starts with `sample`; -1 if there is none.
double Sample(const std::string& metrics, const std::string& sample) {
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    const auto space = line.rfind(' ');
    if (line.starts_with(sample) && space != std::string::npos) {
      return std::stod(line.substr(space + 1));
    }
  }
  return -1;
}

class Http : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.StartAll());
    for (int i = 0; i < 10; ++i) ASSERT_EQ(cluster_.Cli({"put", "key", "value"}).exit_code, 0);
    ASSERT_EQ(cluster_.Cli({"get", "key"}).exit_code, 0);
    leader_ = cluster_.WaitForLeader(10s).value();
  }
  std::string Metrics(std::size_t member) {
    const HttpAnswer answer = HttpGet(cluster_.http_address(member), "/metrics");
    EXPECT_EQ(answer.status, 200);
    EXPECT_NE(answer.headers.find("text/plain"), std::string::npos) << answer.headers;
    return answer.body;
  }

  ProcessCluster cluster_{{.members = 3, .http = true, .steady = true}};
  std::size_t leader_ = 0;
};

TEST_F(Http, MetricsAreInThePrometheusTextFormat) {
  const std::regex sample(R"re([a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+0-9.eE]+(Inf|NaN)?)re");
  const std::string metrics = Metrics(leader_);
  std::istringstream lines(metrics);
  int samples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    EXPECT_TRUE(std::regex_match(line, sample)) << line;
    ++samples;
  }
  EXPECT_GT(samples, 20);
}

TEST_F(Http, TheLeaderShowsItsRoleItsWritesAndItsPeers) {
  const std::string metrics = Metrics(leader_);
  EXPECT_EQ(Sample(metrics, "raftkv_is_leader"), 1);
  EXPECT_EQ(Sample(metrics, "raftkv_role{role=\"leader\"}"), 1);
  EXPECT_EQ(Sample(metrics, "raftkv_leader{"), 1);
  EXPECT_GE(Sample(metrics, "raftkv_term"), 1);
  const double commit = Sample(metrics, "raftkv_commit_index");
  EXPECT_GE(commit, 10);
  EXPECT_GE(Sample(metrics, "raftkv_applied_index"), 10);
  EXPECT_GE(Sample(metrics, "raftkv_revision"), 10);
  EXPECT_EQ(Sample(metrics, "raftkv_compacted_revision"), 0);
  EXPECT_GE(Sample(metrics, "raftkv_proposals_total{outcome=\"Ok\"}"), 10);
  EXPECT_GE(Sample(metrics, "raftkv_wal_sync_seconds_count"), 10);
  EXPECT_NE(metrics.find("# TYPE raftkv_wal_sync_seconds histogram"), std::string::npos);
  EXPECT_NE(metrics.find("# TYPE raftkv_write_stage_seconds histogram"), std::string::npos);
  EXPECT_GE(Sample(metrics, "raftkv_write_stage_seconds_count"), 1);
  for (std::size_t i = 0; i < 3; ++i) {
    if (i == leader_) continue;
    // Which follower has what may take a heartbeat to be known.
    EXPECT_TRUE(WaitFor(5s, [&] {
      const std::regex peer("raftkv_peer_match_index\\{[^}]*" + cluster_.name(i) +
                            "[^}]*\\} (\\d+)");
      std::smatch match;
      const std::string now = Metrics(leader_);
      return std::regex_search(now, match, peer) && std::stod(match[1]) >= commit;
    })) << cluster_.name(i);
  }
}

TEST_F(Http, AFollowerShowsWhomItFollows) {
  const std::string metrics = Metrics((leader_ + 1) % 3);
  EXPECT_EQ(Sample(metrics, "raftkv_is_leader"), 0);
  EXPECT_EQ(Sample(metrics, "raftkv_has_leader"), 1);
  EXPECT_EQ(Sample(metrics, "raftkv_role{role=\"follower\"}"), 1);
}

TEST_F(Http, LiveReadyAndNotFound) {
  const std::string& address = cluster_.http_address(0);
  EXPECT_EQ(HttpGet(address, "/livez").status, 200);
  EXPECT_EQ(HttpGet(address, "/readyz").status, 200);
  EXPECT_EQ(HttpGet(address, "/nothing").status, 404);
  EXPECT_EQ(HttpGet(address, "/").status, 404);

  // Without a quorum a member lives, but is not ready.
  cluster_.Kill(1);
  cluster_.Kill(2);
  EXPECT_TRUE(WaitFor(10s, [&] { return HttpGet(address, "/readyz").status == 503; }));
  EXPECT_EQ(HttpGet(address, "/livez").status, 200);
}

TEST_F(Http, GarbageAndIdleConnectionsDoNotStopIt) {
  const std::string& address = cluster_.http_address(0);
  std::vector<RawConnection> idle;
  for (int i = 0; i < 20; ++i) idle.emplace_back(address);
  RawConnection garbage(address);
  ASSERT_TRUE(garbage.connected());
  garbage.Send(std::string(100'000, '\xff') + "\r\n\r\n", 2s);
  EXPECT_EQ(HttpGet(address, "/livez").status, 200);
  EXPECT_EQ(cluster_.Cli({"put", "key", "value"}).exit_code, 0);
}

}  // namespace
}  // namespace raftkv::test
