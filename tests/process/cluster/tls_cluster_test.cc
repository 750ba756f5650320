// Do real members form a cluster over TLS, let in nobody else, and go on while certificates change?
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> Flags(const NodeTlsOptions& tls) {
  std::vector<std::string> flags = {"--tls-cert",      tls.cert,        "--tls-key",
                                    tls.key,           "--tls-ca",      tls.ca,
                                    "--peer-tls-cert", tls.peer_cert,   "--peer-tls-key",
                                    tls.peer_key,      "--peer-tls-ca", tls.peer_ca};
  if (tls.client_cert_auth) flags.emplace_back("--client-cert-auth");
  return flags;
}

class TlsCluster : public testing::Test {
 protected:
  static ProcessClusterOptions Secure(const TestCertificates& kit) {
    return {
        .members = 3, .flags = Flags(kit.node(/*client_auth=*/true)), .client_tls = kit.client()};
  }

  TestCertificates kit_;
};

TEST_F(TlsCluster, FormsAndServesItsClients) {
  ProcessCluster cluster(Secure(kit_));
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli({"get", "key", "--print-value-only"}).out, "value\n");
  const auto client = cluster.Connect();
  EXPECT_TRUE(client->kv().Put("large", std::string(900'000, 'x')).ok());
  EXPECT_EQ(client->kv().Get("large")->value.size(), 900'000U);
  EXPECT_EQ(cluster.Cli({"endpoint", "health"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli({"bench", "put", "--total", "200", "--clients", "8"}).exit_code, 0);
  const std::string file = cluster.folder() / "backup.tar.zst";
  EXPECT_EQ(cluster.Cli({"snapshot", "save", file}).exit_code, 0);
  // A leader that goes is replaced, over new connections.
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  cluster.Kill(*leader);
  EXPECT_TRUE(client->kv().Put("key", "again", {10s}).ok());
  ASSERT_TRUE(cluster.Start(*leader));
  EXPECT_EQ(cluster.WaitUntilEqual(20s).size(), 3U);
}

TEST_F(TlsCluster, ClientsWithoutTheRightCertificateAreTold) {
  ProcessCluster cluster(Secure(kit_));
  ASSERT_TRUE(cluster.StartAll());
  const TestCertificates other;
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "speaks TLS"},
      {{"--cacert", kit_.crt("ca")}, "it requires one"},
      {{"--cacert", other.crt("ca")}, "is not signed by the CA in " + other.crt("ca")},
      {{"--cacert", kit_.crt("ca"), "--cert", other.crt("client"), "--key", other.key("client")},
       "it is not signed by a CA that it knows"},
  };
  for (const auto& [flags, words] : cases) {
    std::vector<std::string> arguments = {
        "put", "key", "value", "--timeout", "1s", "--endpoints", cluster.endpoints()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const RunResult run = RunRaftkv(arguments);
    EXPECT_NE(run.exit_code, 0);
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
    EXPECT_NE(run.err.find(words), std::string::npos) << run.err;
  }
  // Nothing else was disturbed.
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

TEST_F(TlsCluster, AMemberOfAnotherCaStaysOutside) {
  const TestCertificates other;
  ProcessClusterOptions options = Secure(kit_);
  options.flags = {};
  options.member_flags = {Flags(kit_.node(true)), Flags(kit_.node(true)), Flags(other.node(true))};
  ProcessCluster cluster(options);
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(cluster.Start(i));
  EXPECT_TRUE(cluster.process(2).WaitForStderr("is not signed by the CA in ", 20s));
  EXPECT_TRUE(cluster.process(0).WaitForStderr("refused the TLS connection from ", 20s));
  EXPECT_TRUE(cluster.process(0).WaitForStderr("not signed by", 20s));
}

TEST_F(TlsCluster, ACertificateOfAClientIsNotThatOfAMember) {
  NodeTlsOptions wrong = kit_.node();
  wrong.peer_cert = kit_.crt("client");
  wrong.peer_key = kit_.key("client");
  const TempFolder folder;
  std::vector<std::string> arguments = {
      "serve",
      "--data-dir",
      folder / "data",
      "--listen",
      "127.0.0.1:0",
      "--cluster",
      "default=127.0.0.1:7001,n2=127.0.0.1:7002,n3=127.0.0.1:7003"};
  const auto flags = Flags(wrong);
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const RunResult run = RunRaftkv(arguments);
  EXPECT_EQ(run.exit_code, 128) << run.err;
  EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
  EXPECT_NE(run.err.find("serverAuth and clientAuth"), std::string::npos) << run.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

/// How often each member has said that it read the files again.
std::vector<std::size_t> Reloads(ProcessCluster& cluster) {
  std::vector<std::size_t> reloads;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    const std::string log = cluster.process(i).Stderr();
    const std::string line = "read the TLS files again";
    reloads.push_back(0);
    for (std::size_t at = log.find(line); at != std::string::npos; at = log.find(line, at + 1)) {
      ++reloads.back();
    }
  }
  return reloads;
}

TEST_F(TlsCluster, CertificatesAreRotatedUnderLoadWithoutAFailedCall) {
  ProcessCluster cluster(Secure(kit_));
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  for (int round = 1; round <= 5; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    kit_.Renew();
    const std::vector<std::size_t> before = Reloads(cluster);
    for (std::size_t i = 0; i < 3; ++i) cluster.process(i).Signal(SIGHUP);
    ASSERT_TRUE(WaitFor(30s, [&] {
      const std::vector<std::size_t> now = Reloads(cluster);
      return now[0] > before[0] && now[1] > before[1] && now[2] > before[2];
    }));
    // A new connection, and those that were open.
    ASSERT_EQ(cluster.Cli({"put", "round", std::to_string(round)}).exit_code, 0);
    ASSERT_TRUE(workload.WaitForProgress(5, 20s));
  }
  // New connections between members, by the last certificates.
  EXPECT_EQ(cluster.Terminate(1, 10s), 0);
  ASSERT_TRUE(workload.WaitForProgress(5, 20s));
  ASSERT_TRUE(cluster.Start(1));
  EXPECT_TRUE(WaitFor(20s, [&] {
    const auto status = cluster.Status(1);
    return status.ok() && status->node.errors.empty();
  }));
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
}

TEST_F(TlsCluster, ChangedFilesAreNoticedWithoutASignal) {
  ProcessCluster cluster(
      {.members = 1, .flags = Flags(kit_.node(true)), .client_tls = kit_.client()});
  ASSERT_TRUE(cluster.StartAll());
  kit_.Renew();
  EXPECT_TRUE(cluster.process(0).WaitForStderr("read the TLS files again", 20s));
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  // What cannot be used is said, and what was read before stays in use.
  ReplaceFile(kit_.crt("server"), "no certificate");
  EXPECT_TRUE(cluster.process(0).WaitForStderr("new connections get what was read before", 20s));
  EXPECT_EQ(cluster.Cli({"put", "key", "again"}).exit_code, 0);
}

}  // namespace
}  // namespace raftkv::test
