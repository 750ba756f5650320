// Addresses and names that can never work: exit 128 with a line that says why, nothing on disk.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

class Addresses : public ::testing::Test {
 protected:
  /// `raftkv serve` with these flags besides its folder.
  void ExpectRefused(std::vector<std::string> flags, const std::string& said) {
    const std::string dir = folder_ / "data";
    std::vector<std::string> arguments = {"serve", "--data-dir", dir};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const RunResult result = cluster_.Cli(arguments);
    EXPECT_EQ(result.exit_code, 128) << flags.back() << ": " << result.err;
    EXPECT_NE(result.err.find(said), std::string::npos) << flags.back() << ": " << result.err;
    EXPECT_FALSE(std::filesystem::exists(dir)) << flags.back();
  }

  const TempFolder folder_;
  const ProcessCluster cluster_{ProcessClusterOptions{.members = 1}};
};

TEST_F(Addresses, ThatCannotWorkAreRefusedInTheClusterList) {
  for (const auto& [second, said] :
       std::vector<std::pair<std::string, std::string>>{{" n2=127.0.0.1:1", "space"},
                                                        {"n2= 127.0.0.1:1", "space"},
                                                        {"n2=http://h:1", "scheme"},
                                                        {"n2=::1:7001", "brackets"},
                                                        {"n2=h:0", "port 0"},
                                                        {"n2=unix:/x:1", "colon"},
                                                        {"n2=0.0.0.0:7001", "every address"},
                                                        {"n2=[::]:7001", "every address"},
                                                        {"n2=010.0.0.1:7001", "leading zeros"},
                                                        {"n\x1b[1m=h:1", "control character"},
                                                        {"n2=LOCALHOST:01", "twice"}}) {
    ExpectRefused({"--name", "n1", "--listen", "127.0.0.1:0", "--cluster",
                   "n1=127.0.0.1:9," + second + ",n3=localhost:1"},
                  said);
  }
}

TEST_F(Addresses, AWildcardNeedsAnAddressThatOthersAreTold) {
  for (const char* listen : {"0.0.0.0:0", "[::]:0", ":0"}) {
    ExpectRefused({"--listen", listen}, "--advertise");
  }
  for (const char* advertise :
       {"0.0.0.0:7001", "[::]:7001", ":7001", "h:0", "http://h:1", "h h:1"}) {
    ExpectRefused({"--listen", "127.0.0.1:0", "--advertise", advertise}, "advertised address");
  }
}

TEST_F(Addresses, OfListenAndHttpAndNamesAreRefusedToo) {
  for (const char* bad : {"http://h:1", "::1:0", "h", "h:65536", "127.1:0"}) {
    ExpectRefused({"--listen", bad}, "to listen on");
    ExpectRefused({"--listen", "127.0.0.1:0", "--http", bad}, "HTTP address");
  }
  for (const char* bad : {"n\n1", " n1", "n1 ", "n=1", "n,1"}) {
    ExpectRefused({"--listen", "127.0.0.1:0", "--name", bad}, "name");
  }
  ExpectRefused({"--listen", "127.0.0.1:0", "--zone", "a\nb"}, "zone");
}

TEST_F(Addresses, OfEndpointsAndOfNewMembersAreRefusedBeforeAnybodyIsAsked) {
  for (const char* bad : {"0.0.0.0:1", "127.0.0.1:0", "http://h:1", "::1:1", "[::]:1"}) {
    EXPECT_EQ(cluster_.Cli({"get", "k", "--endpoints", bad}).exit_code, 128) << bad;
    EXPECT_EQ(cluster_.Cli({"member", "add", "n2", bad}).exit_code, 128) << bad;
  }
  EXPECT_EQ(cluster_.Cli({"member", "add", "n\n2", "h:1"}).exit_code, 128);
}

TEST_F(Addresses, RestoreRefusesThemBeforeItLooksAtTheBackup) {
  const std::string dir = folder_ / "restored";
  for (const char* bad : {"n1=h:0", "n1=::1:1", "n1=http://h:1", " n1=h:1", "n1=0.0.0.0:1"}) {
    const RunResult result = cluster_.Cli({"snapshot", "restore", folder_ / "none", "--data-dir",
                                           dir, "--name", "n1", "--cluster", bad});
    EXPECT_EQ(result.exit_code, 128) << bad << ": " << result.err;
    EXPECT_FALSE(std::filesystem::exists(dir)) << bad;
  }
}

}  // namespace
}  // namespace raftkv::test
