// Does python3-etcd3 work as it does with etcd, at every member?
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/process/etcd/client_scripts.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

TEST(EtcdPython, KeysTransactionsLeasesWatchesAndMaintenanceWork) {
  EtcdCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ClientScript client("python_client.py", {cluster.endpoints()},
                      cluster.members().folder() / "client");
  EXPECT_EQ(client.Wait(240s), 0) << client.Output();
  EXPECT_NE(client.Output().find("etcd3: all as expected"), std::string::npos) << client.Output();
}

}  // namespace
}  // namespace raftkv::test
