// Nobody is expelled by what a stranger says (known bug 71), and a member that seems to be rolled
// back can be trusted again.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <capnp/rpc-twoparty.h>
#include <gtest/gtest.h>
#include <kj/async-io.h>

#include "rpc/wire/codec.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// What `address` answers to this hello.
node::HelloAnswer Say(const std::string& address, const node::Hello& hello) {
  auto io = kj::setupAsyncIo();
  auto stream = io.provider->getNetwork()
                    .parseAddress(address.c_str())
                    .wait(io.waitScope)
                    ->connect()
                    .wait(io.waitScope);
  capnp::TwoPartyClient client(*stream);
  auto request = client.bootstrap().castAs<rpc::wire::Bootstrap>().peerRequest();
  rpc::Encode(hello, request.initHello());
  const auto answered = request.send().wait(io.waitScope);
  const auto answer = rpc::Decode(answered.getAnswer());
  EXPECT_TRUE(answer.ok()) << answer.status().ToString();
  return answer.ok() ? *answer : node::HelloAnswer{};
}

/// As the member `of` would say it to the member `to`, under a boot that it has not.
node::Hello Forged(ProcessCluster& cluster, std::size_t of, std::size_t to, std::uint64_t boot) {
  node::Hello hello;
  const auto victim = cluster.Status(of);
  EXPECT_TRUE(victim.ok()) << victim.status().ToString();
  if (!victim.ok()) return hello;
  hello.cluster = ClusterId(victim->node.cluster_id);
  hello.member = NodeId(victim->node.member_id);
  hello.name = cluster.name(of);
  hello.boot = {boot, 0x1234};
  hello.expected_name = cluster.name(to);
  hello.address = cluster.address(of);
  return hello;
}

/// `member` and one other are a majority; the write needs it.
void ExpectTakesPart(ProcessCluster& cluster, std::size_t member, std::size_t away) {
  cluster.Kill(away);
  const RunResult put = cluster.Cli({"put", "needs", cluster.name(member), "--timeout", "60s"},
                                    {.environment = {}, .stdin_content = {}, .timeout = 90s});
  EXPECT_EQ(put.exit_code, 0) << put.err << cluster.process(member).Stderr();
  ASSERT_TRUE(cluster.Start(away));
  EXPECT_EQ(cluster.WaitUntilEqual(60s).size(), 3U);
}

TEST(ExpelledMember, OneHelloUnderTheHighestBootExpelsNobody) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const node::Hello highest = Forged(cluster, 2, 0, ~std::uint64_t{0});
  const node::Hello next = Forged(cluster, 2, 0, 2);
  EXPECT_NE(Say(cluster.address(0), highest).refusal.find("--reset-boot"), std::string::npos);
  EXPECT_TRUE(Say(cluster.address(0), next).verifying);
  ExpectTakesPart(cluster, 2, 1);
  // Nor while it is away, nor where the one that was told so starts anew.
  cluster.Kill(2);
  for (const node::Hello& hello : {highest, next, highest}) {
    EXPECT_FALSE(Say(cluster.address(0), hello).refusal.empty());
  }
  cluster.Kill(0);
  ASSERT_TRUE(cluster.Start(0));
  ASSERT_TRUE(cluster.Start(2));
  ExpectTakesPart(cluster, 2, 1);
}

TEST(ExpelledMember, ADataFolderThatTheOperatorTrustsIsTakenAgain) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "old"}).exit_code, 0);
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const auto copy = cluster.folder() / "copy";
  std::filesystem::copy(cluster.data_dir(2), copy, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_EQ(cluster.Cli({"put", "key", "new"}).exit_code, 0);
  ASSERT_EQ(cluster.WaitUntilEqual(60s).size(), 3U);
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  std::filesystem::remove_all(cluster.data_dir(2));
  std::filesystem::rename(copy, cluster.data_dir(2));
  static_cast<void>(cluster.Start(2));
  ASSERT_TRUE(cluster.process(2).WaitForStderr("raftkv member update n3 --reset-boot", 60s));
  cluster.process(2).Signal(SIGKILL);

  const RunResult guarded = cluster.Cli({"member", "update", "n3", "--reset-boot"});
  EXPECT_EQ(guarded.exit_code, 128) << guarded.err;
  EXPECT_NE(guarded.err.find("--yes"), std::string::npos) << guarded.err;
  EXPECT_EQ(guarded.ErrorLines(), 1U) << guarded.err;
  const RunResult reset =
      cluster.Cli({"member", "update", "n3", "--reset-boot", "--yes", "--timeout", "30s"});
  EXPECT_EQ(reset.exit_code, 0) << reset.err;
  EXPECT_EQ(reset.out, "Member n3 updated\n");
  ASSERT_TRUE(cluster.process(2).WaitForExit(20s).has_value());
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_EQ(cluster.WaitUntilEqual(60s).size(), 3U) << cluster.process(2).Stderr();
  ExpectTakesPart(cluster, 2, 1);
}

/// The data folder of n3 of a cluster that runs without it, and a copy of it.
class TwinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.StartAll());
    ASSERT_EQ(cluster_.Cli({"put", "key", "old"}).exit_code, 0);
    ASSERT_EQ(cluster_.Terminate(2, 20s), 0);
    std::filesystem::copy(cluster_.data_dir(2), copy_, std::filesystem::copy_options::recursive);
  }

  void StartOriginal() { static_cast<void>(cluster_.Start(2)); }
  void StartCopy() {
    std::vector<std::string> command = cluster_.Command(2);
    *(std::find(command.begin(), command.end(), "--data-dir") + 1) = copy_;
    *(std::find(command.begin(), command.end(), "--listen") + 1) = FreeAddress();
    twin_ =
        std::make_unique<Process>(ProcessOptions{.command = command,
                                                 .environment = {},
                                                 .stdin_content = {},
                                                 .stdout_path = cluster_.folder() / "twin.stdout",
                                                 .stderr_path = cluster_.folder() / "twin.stderr"});
  }

  /// Both others have confirmed its boot, durably.
  static void ExpectAccepted(Process& process) {
    for (const char* other : {"connected to n1", "connected to n2"}) {
      EXPECT_TRUE(process.WaitForStderr(other, 60s)) << process.Stderr();
    }
  }
  static void ExpectRefused(Process& process) {
    const auto code = process.WaitForExit(60s);
    ASSERT_TRUE(code.has_value()) << process.Stderr();
    EXPECT_NE(*code, 0);
    for (const char* words : {"was rolled back or copied", "--reset-boot"}) {
      EXPECT_NE(process.Stderr().find(words), std::string::npos) << process.Stderr();
    }
  }
  /// n1 and it are a majority; the write needs both.
  void ExpectTakesPart(Process& process) {
    cluster_.Kill(1);
    const RunResult put = cluster_.Cli({"put", "key", "new", "--timeout", "60s"},
                                       {.environment = {}, .stdin_content = {}, .timeout = 90s});
    EXPECT_EQ(put.exit_code, 0) << put.err << process.Stderr();
    EXPECT_EQ(cluster_.Cli({"get", "key", "--print-value-only", "--timeout", "30s"}).out, "new\n");
    EXPECT_TRUE(process.Running());
  }

  ProcessCluster cluster_{{.steady = true}};
  const std::filesystem::path copy_ = cluster_.folder() / "copy";
  std::unique_ptr<Process> twin_;
};

// Were both to take part, each could be counted on by one of the others: two majorities of three.
TEST_F(TwinTest, ACopyBesideItsOriginalIsRefusedAndTheOriginalStays) {
  StartOriginal();
  ExpectAccepted(cluster_.process(2));
  StartCopy();
  ExpectRefused(*twin_);
  ExpectTakesPart(cluster_.process(2));
}

TEST_F(TwinTest, AnOriginalBesideItsCopyThatTookItsPlaceIsRefused) {
  StartCopy();
  ExpectAccepted(*twin_);
  StartOriginal();
  ExpectRefused(cluster_.process(2));
  ExpectTakesPart(*twin_);
}

}  // namespace
}  // namespace raftkv::test
