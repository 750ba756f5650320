// Does `raftkv serve --etcd` open the door, say where, and close it in order?
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/etcd/h2_client.h"
#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// "ADDR" of " etcd=ADDR" at the end of a ready line.
std::string EtcdAddress(const std::string& ready) {
  const auto at = ready.find(" etcd=");
  return at == std::string::npos ? "" : ready.substr(at + 6);
}

class ServeEtcd : public testing::Test {
 protected:
  void Start(std::vector<std::string> flags) {
    cluster_ = std::make_unique<ProcessCluster>(
        ProcessClusterOptions{.members = 1, .flags = std::move(flags)});
    ASSERT_TRUE(cluster_->StartAll());
    const auto ready = cluster_->process(0).WaitForLine("ready ", 5s);
    ASSERT_TRUE(ready.has_value());
    address_ = EtcdAddress(*ready);
  }
  static void ExpectRefused(std::vector<std::string> flags, int exit_code,
                            const std::string& words) {
    flags.insert(flags.begin(), "serve");
    const RunResult run = RunRaftkv(std::move(flags));
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
    EXPECT_NE(run.err.find(words), std::string::npos) << run.err;
  }

  std::unique_ptr<ProcessCluster> cluster_;
  std::string address_;
};

TEST_F(ServeEtcd, TheReadyLineSaysWhere) {
  Start({"--etcd", "127.0.0.1:0"});
  EXPECT_EQ(address_.find("127.0.0.1:"), 0U) << address_;
  EXPECT_NE(address_, "127.0.0.1:0");
  const HttpAnswer version = HttpGet(address_, "/version");
  EXPECT_EQ(version.status, 200);
  EXPECT_EQ(version.body, R"({"etcdserver":"3.5.13","etcdcluster":"3.5.0"})");
  EXPECT_TRUE(WaitFor(10s, [&] { return HttpGet(address_, "/health").status == 200; }));
}

TEST_F(ServeEtcd, WithoutTheFlagNothingIsServed) {
  Start({});
  EXPECT_EQ(address_, "");
}

TEST_F(ServeEtcd, ItsConnectionsAreCounted) {
  const std::string http = FreeAddress();
  Start({"--etcd", "127.0.0.1:0", "--http", http});
  const auto shows = [&](const std::string& sample) {
    return WaitFor(10s, [&] {
      return HttpGet(http, "/metrics").body.find("\n" + sample + "\n") != std::string::npos;
    });
  };
  EXPECT_TRUE(shows("raftkv_etcd_connections 0"));
  {
    const RawConnection one(address_);
    EXPECT_TRUE(shows("raftkv_etcd_connections 1"));
  }
  EXPECT_TRUE(shows("raftkv_etcd_connections 0"));
}

TEST_F(ServeEtcd, ClientsAreToldWhenTheMemberStops) {
  Start({"--etcd", "127.0.0.1:0"});
  H2Client client(address_);
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", "").grpc_status(), "0");
  const std::int32_t watch =
      client.Open(H2Client::CallHeaders("/etcdserverpb.Watch/Watch"), "", /*end=*/false);
  // What comes later on the connection was answered: so the watch has arrived.
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", "").grpc_status(), "0");
  EXPECT_EQ(cluster_->Terminate(0, 20s), 0);
  EXPECT_TRUE(client.WaitForEnd());
  EXPECT_EQ(client.goaway(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_EQ(client.answer(watch).grpc_status(), "14");
}

TEST_F(ServeEtcd, AnAddressThatCannotBeServedIsRefused) {
  const TempFolder folder;
  const std::string data = folder / "data";
  for (const char* const bad : {"http://h:1", "::1:0", "h", "h:65536", "127.1:0"}) {
    ExpectRefused({"--data-dir", data, "--listen", "127.0.0.1:0", "--etcd", bad}, 128, "etcd API");
  }
  EXPECT_FALSE(std::filesystem::exists(data));
  const BusyPort busy;
  ExpectRefused({"--data-dir", data, "--listen", "127.0.0.1:0", "--etcd", busy.address()}, 1,
                busy.address());
  EXPECT_FALSE(std::filesystem::exists(data));
}

TEST_F(ServeEtcd, TheAddressMayComeFromAFileOrTheEnvironment) {
  const TempFolder folder;
  WriteFile(folder / "raftkv.toml", "etcd = \"127.0.0.1:0\"\n");
  Start({"--config", folder / "raftkv.toml"});
  EXPECT_EQ(HttpGet(address_, "/version").status, 200);
  ProcessClusterOptions options;
  options.members = 1;
  options.member_environment = {{{"RAFTKV_ETCD", "127.0.0.1:0"}}};
  ProcessCluster other(options);
  ASSERT_TRUE(other.StartAll());
  const auto ready = other.process(0).WaitForLine("ready ", 5s);
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(HttpGet(EtcdAddress(*ready), "/version").status, 200);
}

}  // namespace
}  // namespace raftkv::test
