// Does each verb print, and exit with, what its documentation says?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

// One cluster for all tests here: each uses keys of its own.
class Cli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 1, .flags = {}});
    ASSERT_TRUE(cluster_->StartAll());
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  static RunResult Run(std::vector<std::string> arguments, const std::string& input = "") {
    return cluster_->Cli(std::move(arguments), {.environment = {}, .stdin_content = input});
  }
  static void Expect(const std::vector<std::string>& arguments, const std::string& out,
                     int exit_code = 0) {
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.out, out) << testing::PrintToString(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_EQ(result.err, "");
  }
  static void ExpectError(const std::vector<std::string>& arguments, int exit_code) {
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_TRUE(result.err.starts_with("raftkv: ")) << result.err;
    EXPECT_EQ(result.out, "");
  }
  static Json RunJson(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.insert(arguments.end(), {"-w", "json"});
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << "one line: " << result.out;
    return Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  static std::vector<std::string> Names(const Json& json) {
    std::vector<std::string> names;
    for (const auto& [name, value] : json.items()) names.push_back(name);
    return names;
  }
  using Strings = std::vector<std::string>;

  static ProcessCluster* cluster_;
};
ProcessCluster* Cli::cluster_ = nullptr;

TEST_F(Cli, PutGetDel) {
  Expect({"put", "a/1", "one"}, "OK\n");
  Expect({"put", "a/2", "two"}, "OK\n");
  Expect({"put", "a/3", ""}, "OK\n");
  Expect({"get", "a/1"}, "a/1\none\n");
  Expect({"get", "a/1", "a/3"}, "a/1\none\na/2\ntwo\n");
  Expect({"get", "a/", "--prefix"}, "a/1\none\na/2\ntwo\na/3\n\n");
  Expect({"get", "a/", "--prefix", "--limit", "1"}, "a/1\none\n");
  Expect({"get", "a/", "--prefix", "--keys-only"}, "a/1\na/2\na/3\n");
  Expect({"get", "a/", "--prefix", "--print-value-only"}, "one\ntwo\n\n");
  Expect({"get", "a/", "--prefix", "--count-only"}, "3\n");
  Expect({"get", "a/1", "--consistency", "local"}, "a/1\none\n");
  Expect({"get", "a/1", "--hex"}, "\\x61\\x2f\\x31\n\\x6f\\x6e\\x65\n");
  Expect({"del", "a/1"}, "1\n");
  Expect({"del", "a/1"}, "0\n");
  Expect({"del", "a/2", "a/3"}, "1\n");
  Expect({"put", "a/4", "x"}, "OK\n");
  Expect({"del", "a/", "--prefix"}, "2\n");
  Expect({"get", "a/", "--prefix", "--count-only"}, "0\n");
}

TEST_F(Cli, AMissingKeyIsNoErrorUnlessAsked) {
  Expect({"get", "missing"}, "");
  ExpectError({"get", "missing", "--fail-if-missing"}, 8);
  ExpectError({"get", "missing", "--prefix", "--fail-if-missing"}, 8);
}

TEST_F(Cli, ValuesFromStdinAndOddBytes) {
  const std::string bytes("line\nline\0\xff\x80 end", 17);
  EXPECT_EQ(Run({"put", "stdin"}, bytes).out, "OK\n");
  EXPECT_EQ(Run({"get", "stdin", "--print-value-only"}).out, bytes + "\n");
  EXPECT_EQ(Run({"put", "large"}, std::string(1024 * 1024, 'x')).exit_code, 0);
  EXPECT_EQ(Run({"get", "large", "--print-value-only"}).out.size(), 1024U * 1024 + 1);
  EXPECT_EQ(Run({"put", "large"}, std::string(1024 * 1024 + 1, 'x')).exit_code, 3);
  Expect({"put", std::string(65536, 'k'), "v"}, "OK\n");
  Expect({"get", std::string(65536, 'k'), "--print-value-only"}, "v\n");
  ExpectError({"put", std::string(65537, 'k'), "v"}, 3);
  Expect({"put", "--", "-k", "--v"}, "OK\n");
  Expect({"get", "--", "-k"}, "-k\n--v\n");
  Expect({"put", "get", "put"}, "OK\n");
  Expect({"get", "get"}, "get\nput\n");
}

TEST_F(Cli, MoreThanOneAnswerHolds) {
  // 20 MiB do not fit into one answer; the program goes on from where it ended.
  const std::string value(1024 * 1024, 'x');
  for (int i = 10; i < 30; ++i) {
    ASSERT_EQ(Run({"put", "page/" + std::to_string(i)}, value).exit_code, 0);
  }
  const RunResult all = Run({"get", "page/", "--prefix", "--print-value-only"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_EQ(all.out.size(), 20 * (value.size() + 1));
  const Json json = RunJson({"get", "page/", "--prefix", "--limit", "18"});
  EXPECT_EQ(json["count"], 20) << "of the whole range";
  EXPECT_EQ(json["more"], true);
  EXPECT_EQ(json["kvs"].size(), 18U);
  Expect({"del", "page/", "--prefix"}, "20\n");
}

TEST_F(Cli, Cas) {
  Expect({"cas", "c", "first", "--absent"}, "SUCCESS\n");
  Expect({"cas", "c", "other", "--absent"}, "FAILURE\n", 7);
  Expect({"cas", "c", "wrong", "second"}, "FAILURE\n", 7);
  Expect({"cas", "c", "first", ""}, "SUCCESS\n");
  Expect({"cas", "c", "", "third"}, "SUCCESS\n");
  Expect({"get", "c", "--print-value-only"}, "third\n");
  const Json failed = RunJson({"cas", "c", "no", "x"}, 7);
  EXPECT_EQ(failed["succeeded"], false);
  // Nothing was written, so that there is no revision, least of all 0.
  EXPECT_EQ(Names(failed["header"]), Strings({"cluster_id", "member", "term"}));
  EXPECT_EQ(Names(RunJson({"member", "list"})["header"]),
            Strings({"cluster_id", "member", "term"}));
  EXPECT_EQ(RunJson({"cas", "c", "third", "x"})["succeeded"], true);
  ExpectError({"cas", "c", "x"}, 128);
}

TEST_F(Cli, Incr) {
  Expect({"incr", "i"}, "1\n");
  Expect({"incr", "i", "41"}, "42\n");
  Expect({"incr", "i", "-50"}, "-8\n");
  EXPECT_EQ(RunJson({"incr", "i", "9"})["value"], 1);
  ExpectError({"incr", "i", "nine"}, 3);
  ExpectError({"incr", "i", "9223372036854775807"}, 3);
  Expect({"put", "i", "text"}, "OK\n");
  ExpectError({"incr", "i"}, 3);
}

TEST_F(Cli, JsonOfReadsAndWrites) {
  const Json put = RunJson({"put", "j", "value"});
  EXPECT_EQ(Names(put), Strings({"header"}));
  EXPECT_EQ(Names(put["header"]), Strings({"cluster_id", "member", "revision", "term"}));
  EXPECT_GT(put["header"]["cluster_id"].get<std::uint64_t>(), 0U);
  EXPECT_GT(put["header"]["member"].get<std::uint64_t>(), 0U);
  EXPECT_GT(put["header"]["term"].get<std::uint64_t>(), 0U);
  const Json get = RunJson({"get", "j"});
  EXPECT_EQ(Names(get), Strings({"header", "kvs", "count", "more"}));
  EXPECT_EQ(Names(get["kvs"][0]),
            Strings({"key", "value", "create_revision", "mod_revision", "version", "lease"}));
  EXPECT_EQ(get["kvs"][0]["key"], "ag==");
  EXPECT_EQ(get["kvs"][0]["value"], "dmFsdWU=");
  EXPECT_EQ(get["kvs"][0]["mod_revision"], put["header"]["revision"]);
  EXPECT_EQ(get["kvs"][0]["create_revision"], put["header"]["revision"]);
  EXPECT_EQ(get["kvs"][0]["version"], 1);
  EXPECT_EQ(get["kvs"][0]["lease"], 0);
  EXPECT_EQ(get["header"]["revision"], put["header"]["revision"]);
  EXPECT_EQ(get["count"], 1);
  EXPECT_EQ(get["more"], false);
  EXPECT_EQ(RunJson({"get", "j", "--json-strings"})["kvs"][0]["value"], "value");
  EXPECT_EQ(RunJson({"get", "nothing"})["kvs"], Json::array());
  EXPECT_EQ(RunJson({"del", "j"})["deleted"], 1);
}

TEST_F(Cli, EndpointStatusAndHealth) {
  const Json status = RunJson({"endpoint", "status", "--hash"});
  EXPECT_EQ(Names(status),
            Strings({"endpoint",        "name",           "cluster_id",     "member_id",
                     "version",         "leader",         "role",           "term",
                     "commit_index",    "applied_index",  "revision",       "compacted_revision",
                     "log_first_index", "log_last_index", "snapshot_index", "db_bytes",
                     "suspect",         "members",        "errors",         "content_hash",
                     "hash_index"}));
  EXPECT_EQ(status["endpoint"], cluster_->address(0));
  EXPECT_EQ(status["name"], "n1");
  EXPECT_EQ(status["leader"], "n1");
  EXPECT_EQ(status["role"], "leader");
  EXPECT_EQ(status["suspect"], false);
  EXPECT_EQ(status["members"].size(), 1U);
  EXPECT_EQ(status["members"][0]["name"], "n1");
  EXPECT_EQ(status["errors"], Json::array());
  EXPECT_EQ(Names(RunJson({"endpoint", "status"})).size(), 19U);
  EXPECT_EQ(Run({"endpoint", "status"}).out.find(cluster_->address(0) + ", n1, "), 0U);

  const std::string nobody = FreeAddress();
  EXPECT_EQ(RunJson({"endpoint", "health"})["health"], true);
  const RunResult health = Run({"endpoint", "health", "--endpoints",
                                cluster_->address(0) + "," + nobody, "--timeout", "1s"});
  EXPECT_EQ(health.exit_code, 5) << health.err;
  EXPECT_NE(health.out.find(cluster_->address(0) + " is healthy"), std::string::npos) << health.out;
  EXPECT_NE(health.out.find(nobody + " is unhealthy"), std::string::npos) << health.out;
  const RunResult down = Run({"endpoint", "status", "--endpoints", nobody, "--timeout", "500ms"});
  EXPECT_EQ(down.exit_code, 2);
  EXPECT_EQ(down.err, "raftkv: " + nobody + ": Connection refused\n");
}

TEST_F(Cli, Tables) {
  Expect({"put", "t", "v"}, "OK\n");
  const RunResult get = Run({"get", "t", "-w", "table"});
  EXPECT_NE(get.out.find("| KEY | VALUE | MOD_REVISION |"), std::string::npos) << get.out;
  EXPECT_NE(get.out.find("| t   | v     |"), std::string::npos) << get.out;
  const RunResult status = Run({"endpoint", "status", "-w", "table"});
  EXPECT_NE(status.out.find("| " + cluster_->address(0) + " | n1 "), std::string::npos);
}

TEST_F(Cli, Bench) {
  const Json put = RunJson({"bench", "put", "--total", "2000", "--clients", "8", "--connections",
                            "2", "--value-size", "100", "--key-space", "50"});
  EXPECT_EQ(Names(put),
            Strings({"op", "clients", "connections", "value_size", "ops", "errors", "seconds",
                     "ops_per_s", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"}));
  EXPECT_EQ(put["op"], "put");
  EXPECT_EQ(put["ops"], 2000);
  EXPECT_EQ(put["errors"], 0);
  EXPECT_GT(put["ops_per_s"], 0);
  EXPECT_GE(put["max_ms"], put["p50_ms"]);
  Expect({"get", "bench/", "--prefix", "--count-only"}, "50\n");
  const Json get = RunJson({"bench", "get", "--duration", "300ms", "--clients", "4"});
  EXPECT_GT(get["ops"], 0);
  EXPECT_EQ(get["errors"], 0);
  const Json paced = RunJson({"bench", "put", "--rate", "100", "--total", "30", "--no-coalesce"});
  EXPECT_EQ(paced["ops"], 30);
  EXPECT_GE(paced["seconds"], 0.29);
  EXPECT_EQ(Run({"bench", "put", "--total", "10"}).exit_code, 0);
  ExpectError({"bench", "put", "--clients", "0"}, 128);
}

TEST_F(Cli, WrongArguments) {
  ExpectError({}, 128);
  ExpectError({"no-such-verb"}, 128);
  ExpectError({"get"}, 128);
  ExpectError({"get", "k", "--no-such-flag"}, 128);
  ExpectError({"get", "k", "-w", "xml"}, 128);
  ExpectError({"get", "k", "--timeout", "5"}, 128);
  ExpectError({"get", "k", "--endpoints", "nonsense"}, 128);
  ExpectError({"get", "k", "--consistency", "eventual"}, 128);
  ExpectError({"get", "k", "z", "--prefix"}, 128);
  ExpectError({"get", "k", "--endpoints", FreeAddress(), "--timeout", "300ms"}, 2);
  ExpectError({"put", "k", "v", "--endpoints", FreeAddress(), "--timeout", "300ms"}, 2);
}

TEST_F(Cli, HelpAndVersion) {
  for (const Strings& arguments : {Strings{"--help"}, Strings{"get", "--help"}}) {
    const RunResult help = Run(arguments);
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_NE(help.out.find("--endpoints"), arguments.size() == 1 ? std::string::npos : 0U);
    EXPECT_EQ(help.err, "");
  }
  const RunResult version = Run({"version"});
  EXPECT_EQ(version.out.find("raftkv "), 0U) << version.out;
  EXPECT_EQ("raftkv " + RunJson({"version"})["version"].get<std::string>() + "\n", version.out);
}

TEST_F(Cli, FlagsComeFromTheEnvironmentToo) {
  const RunResult get = cluster_->Cli(
      {"get", "nothing"}, {.environment = {{"RAFTKV_WRITE_OUT", "json"}}, .stdin_content = {}});
  EXPECT_EQ(get.out.find(R"({"header":)"), 0U) << get.out;
  // The command line wins.
  const RunResult flag =
      cluster_->Cli({"get", "nothing", "-w", "simple"},
                    {.environment = {{"RAFTKV_WRITE_OUT", "json"}}, .stdin_content = {}});
  EXPECT_EQ(flag.out, "");
}

}  // namespace
}  // namespace raftkv::test
