// Do IPv6 addresses, and names that stand for addresses of both families, work from the command
// line to the members and back?
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

bool HasV6Loopback() {
  const int file = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (file < 0) return false;
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool bound = bind(file, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) == 0;
  close(file);
  return bound;
}

/// The addresses that this machine has for "localhost", as a command line writes them.
std::set<std::string> LocalhostAddresses() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::set<std::string> all;
  if (getaddrinfo("localhost", nullptr, &hints, &found) != 0) return all;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family == AF_INET) all.insert("127.0.0.1");
    if (one->ai_family == AF_INET6 && HasV6Loopback()) all.insert("[::1]");
  }
  freeaddrinfo(found);
  return all;
}

TEST(Families, AClusterOnIPv6IsLikeAnyOther) {
  ProcessCluster cluster({.http = true}, "[::1]");
  if (!HasV6Loopback()) {
    const RunResult refused =
        RunRaftkv({"serve", "--data-dir", cluster.data_dir(0), "--listen", cluster.address(0)});
    EXPECT_EQ(refused.exit_code, 128) << refused.err;
    EXPECT_NE(refused.err.find("not an address of this machine"), std::string::npos);
    return;
  }
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "k", "v"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli({"get", "k", "--print-value-only"}).out, "v\n");
  const std::string list = cluster.Cli({"member", "list"}).out;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    EXPECT_NE(list.find(cluster.address(i)), std::string::npos) << list;
    // One that does not lead sends the client to the leader, by its address.
    const RunResult put =
        cluster.Cli({"put", "k", std::to_string(i), "--endpoints", cluster.address(i)});
    EXPECT_EQ(put.exit_code, 0) << put.err;
  }
  // Written out in full it is the same address.
  const std::string port = cluster.address(0).substr(cluster.address(0).rfind(':'));
  const RunResult full =
      cluster.Cli({"get", "k", "--print-value-only", "--endpoints", "[0:0:0:0:0:0:0:1]" + port});
  EXPECT_EQ(full.out, "2\n") << full.err;
  const RunResult status = cluster.Cli({"endpoint", "status", "--endpoints", cluster.address(1)});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  // The peers' connections are made anew as well.
  cluster.Kill(2);
  ASSERT_TRUE(cluster.Start(2));
  EXPECT_EQ(cluster.WaitUntilEqual(60s).size(), 3U);
}

TEST(Families, LocalhostIsEveryAddressThatItStandsFor) {
  ProcessCluster cluster({}, "localhost");
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "k", "v"}).exit_code, 0);
  const std::string port = cluster.address(0).substr(cluster.address(0).rfind(':'));
  const std::set<std::string> addresses = LocalhostAddresses();
  EXPECT_TRUE(addresses.contains("127.0.0.1"));
  for (const std::string& host : addresses) {
    const RunResult get =
        cluster.Cli({"get", "k", "--print-value-only", "--endpoints", host + port});
    EXPECT_EQ(get.out, "v\n") << host << ": " << get.err;
  }
}

}  // namespace
}  // namespace raftkv::test
