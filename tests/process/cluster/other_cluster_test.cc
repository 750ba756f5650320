// Two clusters, each in a network namespace of its own, whose members have the same addresses: does
// a client on the host of one of them, that was given a member of the other, keep to that one?
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using std::chrono::seconds;

bool Run(const std::string& command) { return std::system(command.c_str()) == 0; }

/// Two namespaces with a cable between them; gone with this object.
class TwoHosts {
 public:
  TwoHosts() {
    ok_ = Run("ip netns add " + a() + " && ip netns add " + b() + " && ip link add veth0 netns " +
              a() + " type veth peer name veth0 netns " + b()) &&
          SetUp(a(), "10.99.7.1") && SetUp(b(), "10.99.7.2");
  }
  ~TwoHosts() {
    Run("ip netns del " + a() + " 2>/dev/null");
    Run("ip netns del " + b() + " 2>/dev/null");
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string a() const { return prefix_ + "a"; }
  [[nodiscard]] std::string b() const { return prefix_ + "b"; }

 private:
  static bool SetUp(const std::string& host, const std::string& address) {
    const std::string in = "ip -n " + host;
    return Run(in + " link set lo up && " + in + " addr add " + address + "/24 dev veth0 && " + in +
               " link set veth0 up");
  }

  const std::string prefix_ = "raftkv-" + std::to_string(getpid()) + "-";
  bool ok_ = false;
};

std::string LocalAddress(int member) { return "127.0.0.1:710" + std::to_string(member); }

/// Three members that know each other as 127.0.0.1:7101 to 7103, and listen on all addresses.
class Cluster {
 public:
  Cluster(std::string host, const TempFolder& folder) : host_(std::move(host)) {
    const std::string list =
        "n1=" + LocalAddress(1) + ",n2=" + LocalAddress(2) + ",n3=" + LocalAddress(3);
    for (int i = 1; i <= 3; ++i) {
      const std::string name = "n" + std::to_string(i);
      const std::string place = folder / (host_ + "-" + name);
      ProcessOptions options;
      options.command = {
          "/usr/sbin/ip", "netns",         "exec",      host_,
          RAFTKV_BINARY,  "serve",         "--name",    name,
          "--data-dir",   place,           "--listen",  "0.0.0.0:710" + std::to_string(i),
          "--advertise",  LocalAddress(i), "--cluster", list};
      options.stdout_path = place + ".out";
      options.stderr_path = place + ".err";
      members_.push_back(std::make_unique<Process>(std::move(options)));
    }
  }
  [[nodiscard]] bool Ready() {
    for (const auto& member : members_) {
      if (!member->WaitForLine("ready ", seconds(60))) return false;
    }
    return true;
  }

 private:
  const std::string host_;
  std::vector<std::unique_ptr<Process>> members_;
};

/// The output of `raftkv ARGUMENTS...` on `host`; nothing if it failed.
std::optional<std::string> Ask(const std::string& host, const TempFolder& folder,
                               std::vector<std::string> arguments) {
  static int number = 0;
  const std::string place = folder / ("client" + std::to_string(++number));
  ProcessOptions options;
  options.command = {"/usr/sbin/ip", "netns", "exec", host, RAFTKV_BINARY};
  for (std::string& argument : arguments) options.command.push_back(std::move(argument));
  options.stdout_path = place + ".out";
  options.stderr_path = place + ".err";
  Process process(std::move(options));
  if (process.WaitForExit(seconds(90)) != 0) {
    ADD_FAILURE() << process.Stderr();
    return std::nullopt;
  }
  return process.Stdout();
}

TEST(OtherCluster, AClientOnItsHostKeepsToTheClusterThatItWasGiven) {
  const TwoHosts hosts;
  ASSERT_TRUE(hosts.ok()) << "network namespaces cannot be made; run this test as root";
  const TempFolder folder;
  Cluster a(hosts.a(), folder);
  Cluster b(hosts.b(), folder);
  ASSERT_TRUE(a.Ready());
  ASSERT_TRUE(b.Ready());
  const std::string local = LocalAddress(1) + "," + LocalAddress(2) + "," + LocalAddress(3);
  ASSERT_TRUE(
      Ask(hosts.b(), folder, {"--endpoints", local, "--timeout", "60s", "put", "who", "b"}));
  ASSERT_TRUE(
      Ask(hosts.a(), folder, {"--endpoints", local, "--timeout", "60s", "put", "who", "a"}));
  // Two of the three are followers, whose leader's address reaches B from here.
  for (int i = 1; i <= 3; ++i) {
    const std::string far = "10.99.7.1:710" + std::to_string(i);
    const std::string key = "key" + std::to_string(i);
    EXPECT_TRUE(
        Ask(hosts.b(), folder, {"--endpoints", far, "--timeout", "60s", "put", key, "from b"}));
    EXPECT_EQ(Ask(hosts.b(), folder, {"--endpoints", far, "--timeout", "60s", "get", "who"}),
              "who\na\n");
  }
  EXPECT_EQ(
      Ask(hosts.a(), folder,
          {"--endpoints", local, "--timeout", "60s", "get", "--prefix", "key", "--count-only"}),
      "3\n");
  EXPECT_EQ(
      Ask(hosts.b(), folder,
          {"--endpoints", local, "--timeout", "60s", "get", "--prefix", "key", "--count-only"}),
      "0\n");
}

}  // namespace
}  // namespace raftkv::test
