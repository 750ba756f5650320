// Does one process at a time hold a lock or lead, also if holders are killed and paused?
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

/// Generous: what is waited for comes within a few seconds, unless the machine is very slow.
constexpr auto kLong = 60s;

class LockVerbs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 3, .flags = {}, .steady = true});
    ASSERT_TRUE(cluster_->StartAll());
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  /// Runs a verb whose output goes to files of its own.
  static std::unique_ptr<Process> Begin(std::vector<std::string> command) {
    static int number = 0;
    const std::string name = "out" + std::to_string(++number);
    ProcessOptions options;
    options.command = std::move(command);
    options.stdout_path = cluster_->folder() / name;
    options.stderr_path = cluster_->folder() / (name + ".err");
    return std::make_unique<Process>(std::move(options));
  }
  static std::unique_ptr<Process> BeginVerb(const std::string& verb,
                                            const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {RAFTKV_BINARY, verb, "--endpoints", cluster_->endpoints()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Begin(std::move(command));
  }
  /// The key that it prints once it holds the lock; empty: it does not.
  static std::string WaitForKey(Process& process, const std::string& name) {
    return process.WaitForLine(name + "/", kLong).value_or("");
  }
  static std::size_t KeysBelow(const std::string& name) {
    const RunResult result = cluster_->Cli({"get", name + "/", "--prefix", "--count-only"});
    return result.exit_code == 0 ? std::stoul(result.out) : 99;
  }
  static bool WaitForKeys(const std::string& name, std::size_t count) {
    return WaitFor(kLong, [&] { return KeysBelow(name) == count; });
  }
  static void ExpectOutput(Process& process, const std::string& text) {
    EXPECT_TRUE(WaitFor(kLong, [&] { return process.Stdout() == text; }))
        << process.Stdout() << process.Stderr();
  }

  static ProcessCluster* cluster_;
};

ProcessCluster* LockVerbs::cluster_ = nullptr;

TEST_F(LockVerbs, NoTwoCommandsOverlapAndTheTokenRises) {
  const std::string folder = cluster_->folder() / "counter";
  const std::string step = "mkdir " + folder + "/busy || echo overlap >> " + folder +
                           "/overlaps; n=$(cat " + folder + "/n); echo $RAFTKV_LOCK_REV >> " +
                           folder + "/tokens; echo $((n+1)) > " + folder + "/n; rmdir " + folder +
                           "/busy";
  const std::string loop = "for i in 1 2 3 4 5; do \"$0\" lock --endpoints " +
                           cluster_->endpoints() + " counter -- sh -c '" + step +
                           "' || exit 1; done";
  std::filesystem::create_directory(folder);
  WriteFile(folder + "/n", "0\n");
  std::vector<std::unique_ptr<Process>> contenders;
  for (int i = 0; i < 3; ++i) contenders.push_back(Begin({"/bin/sh", "-c", loop, RAFTKV_BINARY}));
  for (const auto& each : contenders) {
    EXPECT_EQ(each->WaitForExit(120s), 0) << each->Stderr();
    EXPECT_EQ(each->Stderr(), "");
    EXPECT_EQ(each->Stdout(), "");
  }
  EXPECT_EQ(ReadFile(folder + "/n"), "15\n");
  EXPECT_FALSE(std::filesystem::exists(folder + "/overlaps"));
  std::istringstream tokens(ReadFile(folder + "/tokens"));
  std::vector<std::uint64_t> seen;
  for (std::uint64_t token = 0; tokens >> token;) seen.push_back(token);
  EXPECT_EQ(seen.size(), 15U);
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end(), std::greater_equal<>()), seen.end())
      << ReadFile(folder + "/tokens");
  EXPECT_EQ(KeysBelow("counter"), 0U);
}

TEST_F(LockVerbs, TheExitCodeAndTheEnvironmentOfTheCommand) {
  const RunResult code = cluster_->Cli({"lock", "code", "--", "sh", "-c", "exit 42"});
  EXPECT_EQ(code.exit_code, 42);
  EXPECT_EQ(code.err, "");
  EXPECT_EQ(cluster_->Cli({"lock", "code", "--", "sh", "-c", "kill -9 $$"}).exit_code, 137);
  // The key exists while the command runs, with the token as its create_revision.
  const std::string get = std::string(RAFTKV_BINARY) + " --endpoints " + cluster_->endpoints() +
                          " get \"$RAFTKV_LOCK_KEY\" -w json; echo $RAFTKV_LOCK_REV";
  const RunResult shown = cluster_->Cli({"lock", "code", "--", "sh", "-c", get});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  const std::size_t line = shown.out.find('\n');
  const Json json = Json::parse(shown.out.substr(0, line), nullptr, /*allow_exceptions=*/false);
  ASSERT_FALSE(json.is_discarded()) << shown.out;
  EXPECT_EQ(std::to_string(json["kvs"][0]["create_revision"].get<std::uint64_t>()) + "\n",
            shown.out.substr(line + 1));
  EXPECT_EQ(KeysBelow("code"), 0U);
  EXPECT_EQ(cluster_->Cli({"lock", "code", "--", "/no/such/program"}).exit_code, 1);
  EXPECT_EQ(KeysBelow("code"), 0U);
}

TEST_F(LockVerbs, WrongUse) {
  EXPECT_EQ(cluster_->Cli({"lock"}).exit_code, 128);
  EXPECT_EQ(cluster_->Cli({"lock", ""}).exit_code, 128);
  EXPECT_EQ(cluster_->Cli({"lock", "n", "--", ""}).exit_code, 128);
  EXPECT_EQ(cluster_->Cli({"lock", "n", "--ttl", "soon"}).exit_code, 128);
  EXPECT_EQ(cluster_->Cli({"lock", "n", "--ttl", "99ms"}).exit_code, 3);
  EXPECT_EQ(cluster_->Cli({"elect", "n"}).exit_code, 128);
  EXPECT_EQ(cluster_->Cli({"elect", "n", "v", "--listen"}).exit_code, 128);
  EXPECT_EQ(RunRaftkv({"lock", "n", "--endpoints", FreeAddress(), "--timeout", "500ms"}).exit_code,
            2);
}

TEST_F(LockVerbs, IsHeldUntilASignalAndHandedOver) {
  const auto first = BeginVerb("lock", {"signal"});
  const std::string key = WaitForKey(*first, "signal");
  EXPECT_EQ(key.size(), std::string("signal/").size() + 16) << key << first->Stderr();
  const auto second = BeginVerb("lock", {"signal", "-w", "json", "--json-strings"});
  const auto third = BeginVerb("lock", {"signal"});
  ASSERT_TRUE(WaitForKeys("signal", 3));
  third->Signal(SIGINT);
  EXPECT_EQ(third->WaitForExit(kLong), 1) << "it was not its turn";
  EXPECT_EQ(second->Stdout(), "");
  first->Signal(SIGTERM);
  EXPECT_EQ(first->WaitForExit(kLong), 0) << first->Stderr();
  EXPECT_EQ(first->Stdout(), key + "\n");
  const auto line = second->WaitForLine("{", kLong);
  ASSERT_TRUE(line.has_value()) << second->Stderr();
  const Json json = Json::parse(*line, nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(json["key"].get<std::string>().starts_with("signal/")) << *line;
  EXPECT_GT(json["rev"], 1);
  second->Signal(SIGINT);
  EXPECT_EQ(second->WaitForExit(kLong), 0) << second->Stderr();
  EXPECT_EQ(KeysBelow("signal"), 0U);
}

TEST_F(LockVerbs, AKilledHolderFreesTheLock) {
  const auto first = BeginVerb("lock", {"killed", "--ttl", "2s"});
  ASSERT_NE(WaitForKey(*first, "killed"), "") << first->Stderr();
  const auto second = BeginVerb("lock", {"killed"});
  ASSERT_TRUE(WaitForKeys("killed", 2));
  first->Kill();
  EXPECT_NE(WaitForKey(*second, "killed"), "") << second->Stderr();
}

TEST_F(LockVerbs, APausedHolderLosesItAndStopsItsCommand) {
  const std::string stopped = cluster_->folder() / "stopped";
  const auto first = BeginVerb(
      "lock", {"paused", "--ttl", "2s", "--", "sh", "-c",
               "trap 'echo $RAFTKV_LOCK_REV > " + stopped +
                   "; exit 0' TERM; echo started; for i in $(seq 1000); do sleep 0.1; done"});
  ASSERT_TRUE(first->WaitForLine("started", kLong).has_value()) << first->Stderr();
  const auto second = BeginVerb("lock", {"paused", "-w", "json"});
  ASSERT_TRUE(WaitForKeys("paused", 2));
  first->Signal(SIGSTOP);
  const auto line = second->WaitForLine("{", kLong);
  ASSERT_TRUE(line.has_value()) << second->Stderr();
  first->Signal(SIGCONT);
  EXPECT_EQ(first->WaitForExit(kLong), 4);
  EXPECT_NE(first->Stderr().find("the lock paused was lost while sh ran, which was stopped"),
            std::string::npos)
      << first->Stderr();
  // The command could still have written something, but with a token that is lower.
  const Json json = Json::parse(*line, nullptr, /*allow_exceptions=*/false);
  const std::string token = ReadFile(stopped);
  ASSERT_NE(token, "");
  EXPECT_LT(std::stoull(token), json["rev"].get<std::uint64_t>());
  EXPECT_TRUE(second->Running());
}

TEST_F(LockVerbs, ACommandThatDoesNotStopIsKilledOnceTheKeyIsDeleted) {
  const auto holder =
      BeginVerb("lock", {"deleted", "--", "sh", "-c",
                         "trap '' TERM; echo started; for i in $(seq 1000); do sleep 0.1; done"});
  ASSERT_TRUE(holder->WaitForLine("started", kLong).has_value()) << holder->Stderr();
  EXPECT_EQ(cluster_->Cli({"del", "deleted/", "--prefix"}).out, "1\n");
  EXPECT_EQ(holder->WaitForExit(kLong), 4);
  EXPECT_NE(holder->Stderr().find("was deleted"), std::string::npos) << holder->Stderr();
}

TEST_F(LockVerbs, ASignalGoesToTheCommandAndTheLockIsFreed) {
  const auto holder = BeginVerb(
      "lock", {"passed", "--", "sh", "-c",
               "trap 'exit 7' TERM; echo started; for i in $(seq 1000); do sleep 0.1; done"});
  ASSERT_TRUE(holder->WaitForLine("started", kLong).has_value()) << holder->Stderr();
  holder->Signal(SIGTERM);
  EXPECT_EQ(holder->WaitForExit(kLong), 7) << holder->Stderr();
  EXPECT_EQ(KeysBelow("passed"), 0U);
}

TEST_F(LockVerbs, AnElectionIsHandedOverAndHeard) {
  const auto listener = BeginVerb("elect", {"chair", "--listen"});
  const auto first = BeginVerb("elect", {"chair", "one", "--ttl", "2s"});
  const std::string key = WaitForKey(*first, "chair");
  ASSERT_NE(key, "") << first->Stderr();
  ExpectOutput(*first, key + "\none\n");
  ExpectOutput(*listener, key + "\none\n");
  const auto second = BeginVerb("elect", {"chair", "two"});
  ASSERT_TRUE(WaitForKeys("chair", 2));
  first->Kill();
  const std::string next = WaitForKey(*second, "chair");
  ASSERT_NE(next, "") << second->Stderr();
  const auto third = BeginVerb("elect", {"chair", "three"});
  ASSERT_TRUE(WaitForKeys("chair", 2));
  second->Signal(SIGTERM);
  EXPECT_EQ(second->WaitForExit(kLong), 0) << second->Stderr();
  EXPECT_EQ(second->Stdout(), next + "\ntwo\n");
  const std::string last = WaitForKey(*third, "chair");
  ASSERT_NE(last, "") << third->Stderr();
  ExpectOutput(*listener, key + "\none\n" + next + "\ntwo\n" + last + "\nthree\n");
  listener->Signal(SIGINT);
  EXPECT_EQ(listener->WaitForExit(kLong), 0) << listener->Stderr();
}

TEST_F(LockVerbs, AreHeldOverTheDeathOfALeader) {
  const auto holder = BeginVerb("lock", {"leader", "--ttl", "30s"});
  ASSERT_NE(WaitForKey(*holder, "leader"), "") << holder->Stderr();
  const auto waiter = BeginVerb("lock", {"leader", "--ttl", "30s"});
  ASSERT_TRUE(WaitForKeys("leader", 2));
  const auto leader = cluster_->WaitForLeader(kLong);
  ASSERT_TRUE(leader.has_value());
  cluster_->Kill(*leader);
  ASSERT_TRUE(cluster_->Start(*leader));
  ASSERT_TRUE(WaitForKeys("leader", 2));
  EXPECT_TRUE(holder->Running());
  EXPECT_EQ(waiter->Stdout(), "");
  holder->Signal(SIGTERM);
  EXPECT_EQ(holder->WaitForExit(kLong), 0) << holder->Stderr();
  EXPECT_NE(WaitForKey(*waiter, "leader"), "") << waiter->Stderr();
}

}  // namespace
}  // namespace raftkv::test
