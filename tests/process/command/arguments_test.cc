// Is an argument taken as it stands, and one that cannot be meant refused?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

/// Refused before anybody is asked: one line with `words`.
void ExpectRefused(const Strings& arguments, const std::string& words,
                   const std::map<std::string, std::string>& environment = {}) {
  const RunResult run =
      RunRaftkv(arguments, {.environment = environment, .stdin_content = {}, .timeout = 20s});
  EXPECT_EQ(run.exit_code, 128) << testing::PrintToString(arguments) << run.err;
  EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
  EXPECT_NE(run.err.find(words), std::string::npos) << run.err << "lacks: " << words;
  EXPECT_EQ(run.out, "");
}

TEST(Arguments, NumbersHaveARange) {
  for (const std::string number :
       {"-1", "010", "18446744073709551617", "0x10", "+3", " 3", "3 ", "1e3", "1.5", "3k", ""}) {
    SCOPED_TRACE(number);
    const std::string words = "'" + number + "' is not a whole number";
    ExpectRefused({"get", "k", "--limit", number}, words);
    ExpectRefused({"bench", "put", "--rate", number}, words);
    ExpectRefused({"bench", "put", "--total", number}, words);
    ExpectRefused({"bench", "get", "--key-space", number}, words);
    ExpectRefused({"bench", "put", "--clients", number}, words);
    ExpectRefused({"bench", "put", "--connections", number}, words);
    ExpectRefused({"bench", "put", "--value-size", number}, words);
    ExpectRefused({"serve", "--data-dir", "/nowhere/at/all", "--log-keep-entries", number}, words);
  }
  ExpectRefused({"bench", "put", "--value-size", "1048577"}, "from 0 to 1048576");
  ExpectRefused({"bench", "put", "--value-size", "4294967297"}, "from 0 to 1048576");
  ExpectRefused({"bench", "put", "--rate", "1000000001"}, "from 0 to 1000000000");
  ExpectRefused({"serve", "--log-keep-entries", "0"}, "from 1 to ");
  ExpectRefused({"serve", "--data-dir", "/nowhere/at/all", "--quorum", "flexible:02,2"}, "02");
  ExpectRefused({"serve", "--data-dir", "/nowhere/at/all", "--clock-error", "010%"}, "010%");
}

TEST(Arguments, DurationsAndBytesHaveARange) {
  for (const std::string text : {"0", "0s", "-5s", "5", "05s", "1.5s", "8761h", "1e3s",
                                 "9223372036854775807ms", "18446744073709551617s", "5 s", "s"}) {
    ExpectRefused({"get", "k", "--timeout", text}, "'" + text + "' is not a duration");
    ExpectRefused({"get", "k", "--max-staleness", text}, "'" + text + "' is not a duration");
    ExpectRefused({"serve", "--heartbeat", text}, "'" + text + "' is not a duration");
    ExpectRefused({"get", "k"}, "'" + text + "' is not a duration", {{"RAFTKV_TIMEOUT", text}});
  }
  for (const std::string text : {"-1", "010", "1 MiB", "1MB", "17179869184GiB", "MiB", "1MiB/s"}) {
    ExpectRefused({"serve", "--disk-reserve", text}, "'" + text + "' is not a size in bytes");
  }
  ExpectRefused({"serve", "--snapshot-rate", "-1MiB/s"}, "'-1MiB/s' is not a size in bytes");
  ExpectRefused({"serve", "--scrub-rate", "1MiB/h"}, "'1MiB/h' is not a size in bytes");
}

TEST(Arguments, UnknownVerbsAndFlagsAreCalledThat) {
  ExpectRefused({"putt", "k"}, "raftkv has no verb 'putt'");
  ExpectRefused({"putt", "put", "k"}, "raftkv has no verb 'putt'");
  ExpectRefused({"endpoint", "stat"}, "raftkv endpoint has no verb 'stat' (see raftkv endpoint -");
  ExpectRefused({"member", "kick", "n1"}, "raftkv member has no verb 'kick'");
  ExpectRefused({"++"}, "raftkv has no verb '++'");
  ExpectRefused({"get", "k", "--end"}, "raftkv get has no flag --end (see raftkv get --help)");
  ExpectRefused({"snapshot", "status", "f", "--fast"}, "raftkv snapshot status has no flag --fast");
  ExpectRefused({"serve", "--listne", "127.0.0.1:1"}, "raftkv serve has no flag --listne");
}

TEST(Arguments, SurplusOnesAreNamedInTheirOrder) {
  ExpectRefused({"get", "a", "b", "c", "d", "e"}, "too many arguments for raftkv get: c d e");
  ExpectRefused({"put", "k", "v", "++", "x"}, "too many arguments for raftkv put: ++ x");
  ExpectRefused({"version", "1", "2"}, "too many arguments for raftkv version: 1 2");
  ExpectRefused({"put", "k", "v", "get", "k"}, "too many arguments for raftkv put: get k");
}

TEST(Arguments, AFlagWithoutAValueDoesNotTakeTheNextArgument) {
  ExpectRefused({"serve", "--zone=", "--join"}, "--zone= has no value");
  ExpectRefused({"get", "k", "--limit=", "5"}, "--limit= has no value");
  ExpectRefused({"get", "k"}, "'maybe' is neither true nor false", {{"RAFTKV_HEX", "maybe"}});
  ExpectRefused({"get", "k", "--hex=3"}, "is neither true nor false");
}

TEST(Arguments, KeysAndValuesAreTakenAsTheyStand) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  for (const std::string text : {"++", "+", "{}", "[a,b]", "[]", "%%", "-1", "a=b", "=", "\"q\"",
                                 "'", "\\n", "#", "--x=", " ", "put", "\xff"}) {
    const bool like_a_flag = text.starts_with("--");
    const auto put =
        like_a_flag ? cluster.Cli({"put", "--", text, text}) : cluster.Cli({"put", text, text});
    EXPECT_EQ(put.out, "OK\n") << text << put.err;
    const auto get = like_a_flag ? cluster.Cli({"get", "--", text}) : cluster.Cli({"get", text});
    EXPECT_EQ(get.out, text + "\n" + text + "\n") << get.err;
  }
  EXPECT_EQ(cluster.Cli({"put", "--", "--", "++"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli({"get", "--", "--"}).out, "--\n++\n");
  EXPECT_EQ(cluster.Cli({"cas", "++", "++", "+"}).out, "SUCCESS\n");
  EXPECT_EQ(cluster.Cli({"incr", "n", "++"}).exit_code, 3);
  EXPECT_EQ(cluster.Cli({"get", "+", "-w", "json", "--limit", "18446744073709551615"}).exit_code,
            0);
  // The longest time that there is, and more than 32 bits of milliseconds.
  for (const char* const timeout : {"8760h", "4294967297ms"}) {
    EXPECT_EQ(cluster.Cli({"get", "+", "--timeout", timeout}).out, "+\n+\n") << timeout;
    EXPECT_EQ(cluster.Cli({"put", "+", "+", "--timeout", timeout}).out, "OK\n") << timeout;
    EXPECT_EQ(cluster.Cli({"endpoint", "status", "--hash", "--timeout", timeout}).exit_code, 0);
    EXPECT_EQ(cluster.Cli({"endpoint", "health", "--timeout", timeout}).exit_code, 0);
    EXPECT_EQ(cluster.Cli({"member", "list", "--timeout", timeout}).exit_code, 0);
  }
}

}  // namespace
}  // namespace raftkv::test
