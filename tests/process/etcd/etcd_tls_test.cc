// Do etcd's clients reach a member over TLS?
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/process/etcd/client_scripts.h"
#include "tests/support/process/process_cluster.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(EtcdTls, ClientsWorkAndEachGetsTheProtocolThatItSpeaks) {
  const TestCertificates kit;
  const std::string address = FreeAddress();
  ProcessClusterOptions options;
  options.members = 1;
  options.flags = {"--etcd",          address,    "--tls-cert",  kit.crt("server"),   "--tls-key",
                   kit.key("server"), "--tls-ca", kit.crt("ca"), "--client-cert-auth"};
  options.client_tls = kit.client();
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  const std::string folder = std::filesystem::path(kit.crt("ca")).parent_path();
  ClientScript script("tls_client.py", {address, folder}, cluster.folder() / "script");
  EXPECT_EQ(script.Wait(120s), 0) << script.Output();
  EXPECT_NE(script.Output().find("tls: all as expected"), std::string::npos) << script.Output();
}

}  // namespace
}  // namespace raftkv::test
