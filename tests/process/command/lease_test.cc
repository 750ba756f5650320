// Do the verbs for leases print, and exit with, what their documentation says?
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

/// No lease of this time ends during a test.
const std::string kLong = "3600";

class LeaseVerbs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 3, .flags = {}, .steady = true});
    ASSERT_TRUE(cluster_->StartAll());
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }
  static void Expect(const std::vector<std::string>& arguments, const std::string& out,
                     int exit_code = 0, const std::string& input = "") {
    const RunResult result = cluster_->Cli(arguments, {.environment = {}, .stdin_content = input});
    EXPECT_EQ(result.out, out) << testing::PrintToString(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_EQ(result.err, "") << testing::PrintToString(arguments);
  }
  static void ExpectError(const std::vector<std::string>& arguments, int exit_code,
                          const std::string& text) {
    const RunResult result = cluster_->Cli(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_EQ(result.out, "");
  }
  static Json RunJson(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.insert(arguments.end(), {"-w", "json"});
    const RunResult result = cluster_->Cli(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    return Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  static void Grant(const std::string& id, const std::string& ttl = kLong) {
    const RunResult result = cluster_->Cli({"lease", "grant", ttl, "--id", id});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  /// Of `get KEY`.
  static std::string LeaseOf(const std::string& key) {
    const Json json = RunJson({"get", key});
    return json.is_discarded() || json["kvs"].empty() ? "none" : json["kvs"][0]["lease"].dump();
  }

  static ProcessCluster* cluster_;
};
ProcessCluster* LeaseVerbs::cluster_ = nullptr;

TEST_F(LeaseVerbs, PrintAsEtcdctlDoes) {
  Expect({"lease", "grant", "7200", "--id", "694d77aa9e38260f"},
         "lease 694d77aa9e38260f granted with TTL(7200s)\n");
  Expect({"lease", "grant", "3600500ms", "--id", "0x1A"},
         "lease 000000000000001a granted with TTL(3600500ms)\n");
  Expect({"lease", "grant", "10m", "--id", "00000000000000000001b"},
         "lease 000000000000001b granted with TTL(600s)\n");
  Expect({"lease", "list"},
         "found 3 leases\n000000000000001a\n000000000000001b\n694d77aa9e38260f\n");
  Expect({"put", "p/b", "1", "--lease", "1a"}, "OK\n");
  Expect({"put", "p/a", "1", "--lease", "1a"}, "OK\n");
  const auto expect_time_to_live = [](std::vector<std::string> arguments, const std::string& end) {
    arguments.insert(arguments.begin(), {"lease", "timetolive"});
    const RunResult left = cluster_->Cli(arguments);
    EXPECT_EQ(left.exit_code, 0) << left.err;
    EXPECT_TRUE(left.out.ends_with(end)) << left.out;
    const std::string begin = "lease 000000000000001a granted with TTL(3600500ms), remaining(";
    EXPECT_TRUE(left.out.starts_with(begin)) << left.out;
  };
  expect_time_to_live({"1a"}, "ms)\n");
  expect_time_to_live({"1a", "--keys"}, "ms), attached keys([p/a p/b])\n");
  expect_time_to_live({"1a", "--keys", "--hex"},
                      "ms), attached keys([\\x70\\x2f\\x61 \\x70\\x2f\\x62])\n");
  Expect({"lease", "keep-alive", "694d77aa9e38260f", "--once"},
         "lease 694d77aa9e38260f keepalived with TTL(7200s)\n");
  Expect({"lease", "revoke", "1a"}, "lease 000000000000001a revoked\n");
  Expect({"lease", "revoke", "1b"}, "lease 000000000000001b revoked\n");
  Expect({"lease", "revoke", "694D77AA9E38260F"}, "lease 694d77aa9e38260f revoked\n");
  Expect({"lease", "list"}, "found 0 leases\n");
  Expect({"get", "p/", "--prefix", "--count-only"}, "0\n");
}

TEST_F(LeaseVerbs, PrintTheNumberThatTheStoreChooses) {
  const RunResult granted = cluster_->Cli({"lease", "grant", kLong});
  ASSERT_EQ(granted.exit_code, 0) << granted.err;
  ASSERT_TRUE(granted.out.starts_with("lease ")) << granted.out;
  const std::string id = granted.out.substr(6, 16);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
  EXPECT_EQ(granted.out, "lease " + id + " granted with TTL(3600s)\n");
  Expect({"lease", "list"}, "found 1 leases\n" + id + "\n");
  Expect({"lease", "revoke", id}, "lease " + id + " revoked\n");
}

TEST_F(LeaseVerbs, JsonHasNumbers) {
  const Json granted = RunJson({"lease", "grant", kLong, "--id", "7fffffffffffffff"});
  EXPECT_TRUE(granted["header"].contains("cluster_id"));
  EXPECT_EQ(granted["id"], 9223372036854775807);
  EXPECT_EQ(granted["ttl_ms"], 3'600'000);
  EXPECT_EQ(granted["remaining_ms"], 3'600'000);
  Expect({"put", "j", "1", "--lease", "7fffffffffffffff"}, "OK\n");
  EXPECT_EQ(LeaseOf("j"), "9223372036854775807");
  const Json left = RunJson({"lease", "timetolive", "7fffffffffffffff", "--keys"});
  EXPECT_EQ(left["id"], 9223372036854775807);
  EXPECT_EQ(left["ttl_ms"], 3'600'000);
  EXPECT_GT(left["remaining_ms"], 0);
  EXPECT_LE(left["remaining_ms"], 3'600'000);
  EXPECT_EQ(left["keys"], Json::parse(R"(["ag=="])"));
  EXPECT_FALSE(RunJson({"lease", "timetolive", "7fffffffffffffff"}).contains("keys"));
  EXPECT_EQ(RunJson({"lease", "keep-alive", "7fffffffffffffff", "--once"})["ttl_ms"], 3'600'000);
  const Json list = RunJson({"lease", "list"});
  ASSERT_EQ(list["leases"].size(), 1U);
  EXPECT_EQ(list["leases"][0]["id"], 9223372036854775807);
  EXPECT_EQ(list["leases"][0]["ttl_ms"], 3'600'000);
  const Json revoked = RunJson({"lease", "revoke", "7fffffffffffffff"});
  EXPECT_EQ(revoked["id"], 9223372036854775807);
  EXPECT_EQ(revoked["deleted"], 1);
  EXPECT_GT(revoked["header"]["revision"], 1);
  const Json gone = RunJson({"lease", "timetolive", "7fffffffffffffff"}, 8);
  EXPECT_EQ(gone["ttl_ms"], 0);
}

TEST_F(LeaseVerbs, OfALeaseThatThereIsNot) {
  Expect({"lease", "timetolive", "dead"}, "lease 000000000000dead already expired\n", 8);
  Expect({"lease", "timetolive", "dead", "--keys"}, "lease 000000000000dead already expired\n", 8);
  Expect({"lease", "keep-alive", "dead"}, "lease 000000000000dead expired or revoked.\n", 8);
  Expect({"lease", "keep-alive", "dead", "--once"}, "lease 000000000000dead expired or revoked.\n",
         8);
  const std::string missing = "there is no lease 000000000000dead";
  ExpectError({"lease", "revoke", "dead"}, 8, missing);
  ExpectError({"put", "missing", "1", "--lease", "dead"}, 8, missing);
  ExpectError({"cas", "missing", "1", "--absent", "--lease", "dead"}, 8, missing);
  ExpectError({"incr", "missing", "--lease", "dead"}, 8, missing);
  Expect({"get", "missing", "--count-only"}, "0\n");
}

TEST_F(LeaseVerbs, RefuseWhatIsOutsideTheLimits) {
  ExpectError({"lease", "grant", "99ms"}, 3, "100 ms");
  ExpectError({"lease", "grant", "0"}, 3, "100 ms");
  ExpectError({"lease", "grant", "9000000001"}, 3, "9000000000 s");
  ExpectError({"lease", "grant", "9000000000001ms"}, 3, "9000000000 s");
  ExpectError({"lease", "grant", "18446744073709551615"}, 3, "9000000000 s");
  for (const std::string ttl : {"", "soon", "1.5s", "60 s", "60x", "18446744073709551616"}) {
    ExpectError({"lease", "grant", ttl}, 3, "500ms, 60s or 10m");
  }
  EXPECT_EQ(cluster_->Cli({"lease", "grant", "100ms"}).exit_code, 0);
  EXPECT_EQ(cluster_->Cli({"lease", "grant", "101ms"}).exit_code, 0);
  Expect({"lease", "grant", "9000000000", "--id", "1"},
         "lease 0000000000000001 granted with TTL(9000000000s)\n");
  Expect({"lease", "grant", "8999999999999ms", "--id", "2"},
         "lease 0000000000000002 granted with TTL(8999999999999ms)\n");
  ExpectError({"lease", "grant", kLong, "--id", "1"}, 3, "there is a lease 0000000000000001");
  Grant("7ffffffffffffffe");
  Grant("7fffffffffffffff");
  ExpectError({"lease", "grant", kLong, "--id", "8000000000000000"}, 3, "at most");
  const std::string no_id = "16 hexadecimal digits";
  ExpectError({"lease", "grant", kLong, "--id", "10000000000000000"}, 128, no_id);
  ExpectError({"lease", "grant", kLong, "--id", "lease"}, 128, no_id);
  ExpectError({"put", "k", "v", "--lease", "0x"}, 128, no_id);
  ExpectError({"lease", "revoke", "10000000000000000"}, 3, no_id);
  ExpectError({"lease", "timetolive", "1g"}, 3, no_id);
  ExpectError({"lease", "timetolive"}, 128, "ID");
  ExpectError({"lease"}, 128, "lease --help");
  for (const std::string id : {"1", "2", "7ffffffffffffffe", "7fffffffffffffff"}) {
    EXPECT_EQ(cluster_->Cli({"lease", "revoke", id}).exit_code, 0) << id;
  }
}

TEST_F(LeaseVerbs, EveryWriteOfAKeyAttachesItAgain) {
  Grant("a1");
  Grant("a2");
  Expect({"put", "w", "1", "--lease", "a1"}, "OK\n");
  EXPECT_EQ(LeaseOf("w"), "161");
  Expect({"incr", "w", "1", "--lease", "a2"}, "2\n");
  EXPECT_EQ(LeaseOf("w"), "162");
  Expect({"incr", "w"}, "3\n");
  EXPECT_EQ(LeaseOf("w"), "0");
  Expect({"cas", "w", "3", "4", "--lease", "a1"}, "SUCCESS\n");
  EXPECT_EQ(LeaseOf("w"), "161");
  Expect({"cas", "w", "3", "5", "--lease", "a2"}, "FAILURE\n", 7);
  EXPECT_EQ(LeaseOf("w"), "161");
  Expect({"cas", "w", "4", "5"}, "SUCCESS\n");
  EXPECT_EQ(LeaseOf("w"), "0");
  Expect({"cas", "w2", "1", "--absent", "--lease", "a2"}, "SUCCESS\n");
  EXPECT_EQ(LeaseOf("w2"), "162");
  Expect({"lease", "revoke", "a1"}, "lease 00000000000000a1 revoked\n");
  Expect({"get", "w", "--print-value-only"}, "5\n");
  Expect({"lease", "revoke", "a2"}, "lease 00000000000000a2 revoked\n");
  EXPECT_EQ(LeaseOf("w2"), "none");
  EXPECT_EQ(cluster_->Cli({"del", "w"}).exit_code, 0);
}

TEST_F(LeaseVerbs, TxnTextTakesLeases) {
  Grant("b1");
  Expect({"txn"}, "SUCCESS\n\nOK\n\nOK\n", 0,
         "lease(\"t\") = \"0\"\n\nput t 1 --lease=b1\nput t2 1 --lease 00b1\n");
  EXPECT_EQ(LeaseOf("t"), "177");
  Expect({"txn"}, "SUCCESS\n", 0, "lease(\"t\") = \"00000000000000b1\"\nlease(\"t2\") > \"b0\"\n");
  Expect({"txn"}, "FAILURE\n", 7, "lease(\"t\") = \"177\"\n");
  const auto refused = [](const std::string& input, int exit_code, const std::string& text) {
    const RunResult result = cluster_->Cli({"txn"}, {.environment = {}, .stdin_content = input});
    EXPECT_EQ(result.exit_code, exit_code) << input;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  };
  refused("\nput t 2 --lease=dead\n", 8, "there is no lease 000000000000dead");
  refused("\nput t 2 --lease=xyz\n", 3, "line 2: --lease: 'xyz' is not the ID of a lease");
  refused("\nget t --lease=b1\n", 3,
          "line 2: --lease, --ignore-value and --ignore-lease are flags of put");
  refused("lease(\"t\") = \"t\"\n", 3, "line 1: 't' is not the ID of a lease");
  Expect({"get", "t", "--print-value-only"}, "1\n");
  Expect({"lease", "revoke", "b1"}, "lease 00000000000000b1 revoked\n");
  Expect({"get", "t", "t3", "--count-only"}, "0\n");
}

TEST_F(LeaseVerbs, KeepAliveGoesOnUntilTheLeaseIsRevoked) {
  Grant("c1", "1500ms");
  Expect({"put", "kept", "1", "--lease", "c1"}, "OK\n");
  std::vector<std::string> command = {RAFTKV_BINARY, "--endpoints", cluster_->endpoints(),
                                      "lease",       "keep-alive",  "c1"};
  ProcessOptions options;
  options.command = command;
  options.stdout_path = cluster_->folder() / "keep-alive.out";
  options.stderr_path = cluster_->folder() / "keep-alive.err";
  Process keeper(options);
  const std::string line = "lease 00000000000000c1 keepalived with TTL(1500ms)\n";
  ASSERT_TRUE(WaitFor(60s, [&] { return keeper.Stdout().starts_with(line + line + line); }))
      << keeper.Stdout() << keeper.Stderr();
  ASSERT_EQ(cluster_->Cli({"lease", "revoke", "c1"}).exit_code, 0);
  EXPECT_EQ(keeper.WaitForExit(60s), 8);
  EXPECT_TRUE(keeper.Stdout().ends_with("lease 00000000000000c1 expired or revoked.\n"))
      << keeper.Stdout();
  EXPECT_EQ(keeper.Stderr(), "");
  Expect({"get", "kept", "--count-only"}, "0\n");
}

TEST_F(LeaseVerbs, KeysGoWithALeaseThatNobodyKeepsAlive) {
  Grant("d1", "2s");
  const RunResult put = cluster_->Cli({"put", "gone", "1", "--lease", "d1"});
  // On a machine that is so slow it has ended before.
  EXPECT_TRUE(put.exit_code == 0 || put.exit_code == 8) << put.err;
  EXPECT_TRUE(WaitFor(60s, [&] {
    return cluster_->Cli({"lease", "list"}).out == "found 0 leases\n";
  }));
  Expect({"get", "gone", "--count-only"}, "0\n");
  Expect({"lease", "timetolive", "d1"}, "lease 00000000000000d1 already expired\n", 8);
}

void ExpectLeaseAndKey(const ProcessCluster& cluster) {
  const RunResult left = cluster.Cli({"lease", "timetolive", "e1", "--keys"});
  EXPECT_EQ(left.exit_code, 0) << left.out << left.err;
  EXPECT_TRUE(left.out.ends_with("s), attached keys([key])\n")) << left.out;
  EXPECT_EQ(cluster.Cli({"get", "key", "--print-value-only"}).out, "value\n");
}

TEST(LeasesOnDisk, OutliveARestartOfAllMembersAndABackup) {
  ProcessCluster cluster({.members = 3, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"lease", "grant", kLong, "--id", "e1"}).exit_code, 0);
  ASSERT_EQ(cluster.Cli({"put", "key", "value", "--lease", "e1"}).exit_code, 0);
  for (std::size_t member = 0; member < 3; ++member) cluster.Kill(member);
  ASSERT_TRUE(cluster.StartAll());
  ExpectLeaseAndKey(cluster);
  const auto statuses = cluster.WaitUntilEqual(60s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses.front().content_hash);
  }
  const std::string file = (cluster.folder() / "backup").string();
  const RunResult saved = cluster.Cli({"snapshot", "save", file});
  ASSERT_EQ(saved.exit_code, 0) << saved.err;

  ProcessCluster restored({.members = 3, .flags = {}});
  for (std::size_t i = 0; i < restored.size(); ++i) {
    const RunResult result =
        RunRaftkv({"snapshot", "restore", file, "--data-dir", restored.data_dir(i).string(),
                   "--name", restored.name(i), "--cluster", restored.cluster_flag()});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  ASSERT_TRUE(restored.StartAll());
  ExpectLeaseAndKey(restored);
  EXPECT_EQ(restored.Cli({"lease", "revoke", "e1"}).out, "lease 00000000000000e1 revoked\n");
  EXPECT_EQ(restored.Cli({"get", "key", "--count-only"}).out, "0\n");
}

}  // namespace
}  // namespace raftkv::test
