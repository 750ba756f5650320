// Does etcdctl work as it does with etcd?
//
// With CHECK_PERF=s or CHECK_PERF=s,m in the environment its `check perf` has to pass as well.
#include <chrono>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "tests/process/etcd/client_scripts.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

void RunSession(EtcdCluster& cluster) {
  ASSERT_TRUE(cluster.StartAll());
  ClientScript session("etcdctl_session.sh", {cluster.endpoints()},
                       cluster.members().folder() / "session");
  const auto timeout = std::getenv("CHECK_PERF") == nullptr ? 300s : 1200s;
  EXPECT_EQ(session.Wait(timeout), 0) << session.Output();
  EXPECT_NE(session.Output().find("etcdctl: all as expected"), std::string::npos)
      << session.Output();
}

TEST(Etcdctl, ItsVerbsWorkWithThreeMembers) {
  EtcdCluster cluster;
  RunSession(cluster);
}

TEST(Etcdctl, ItsVerbsWorkWithOneMember) {
  EtcdCluster cluster(1);
  RunSession(cluster);
}

}  // namespace
}  // namespace raftkv::test
