// Nobody is expelled by what a stranger says (known bug 71), and a member that seems to be rolled
// back can be trusted again.
#include <algorithm>
#include <filesystem>
#include <optional>
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

// Were both to take part, each could be counted on by one of the others: two majorities of three.
TEST(ExpelledMember, OfADataFolderAndItsCopyOneTakesPart) {
  ProcessCluster cluster({.steady = true});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "old"}).exit_code, 0);
  ASSERT_EQ(cluster.Terminate(2, 20s), 0);
  const auto copy = cluster.folder() / "copy";
  std::filesystem::copy(cluster.data_dir(2), copy, std::filesystem::copy_options::recursive);
  std::vector<std::string> command = cluster.Command(2);
  *(std::find(command.begin(), command.end(), "--data-dir") + 1) = copy;
  *(std::find(command.begin(), command.end(), "--listen") + 1) = FreeAddress();
  Process twin({.command = command,
                .environment = {},
                .stdin_content = {},
                .stdout_path = cluster.folder() / "twin.stdout",
                .stderr_path = cluster.folder() / "twin.stderr"});
  static_cast<void>(cluster.Start(2));

  std::optional<int> of_twin;
  std::optional<int> of_original;
  const auto one_ended = [&] {
    if (!of_twin) of_twin = twin.WaitForExit(10ms);
    if (!of_original) of_original = cluster.process(2).WaitForExit(10ms);
    return of_twin || of_original;
  };
  ASSERT_TRUE(WaitFor(60s, one_ended)) << twin.Stderr() << cluster.process(2).Stderr();
  Process& refused = of_twin ? twin : cluster.process(2);
  EXPECT_NE((of_twin ? of_twin : of_original).value_or(0), 0);
  EXPECT_NE(refused.Stderr().find("was rolled back or copied"), std::string::npos)
      << refused.Stderr();
  EXPECT_NE(refused.Stderr().find("--reset-boot"), std::string::npos) << refused.Stderr();

  // The other one, wherever it is, makes a majority with the first.
  cluster.Kill(1);
  const RunResult put = cluster.Cli({"put", "key", "new", "--timeout", "60s"},
                                    {.environment = {}, .stdin_content = {}, .timeout = 90s});
  EXPECT_EQ(put.exit_code, 0) << put.err << twin.Stderr() << cluster.process(2).Stderr();
  EXPECT_EQ(cluster.Cli({"get", "key", "--print-value-only", "--timeout", "30s"}).out, "new\n");
  EXPECT_NE(of_twin.has_value(), of_original.has_value());
}

}  // namespace
}  // namespace raftkv::test
