// The flags of get that choose what is shown of a range, and in which order.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

// One cluster for all tests here, which write nothing. Revision 2: b; 3: a; 4: c; 5: d; 6: b again.
class GetRange : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 1, .flags = {}});
    ASSERT_TRUE(cluster_->StartAll());
    const auto client = cluster_->Connect();
    const std::vector<std::pair<std::string, std::string>> puts = {
        {"b", "1"}, {"a", "3"}, {"c", "9"}, {"d", "0"}, {"b", "2"}};
    for (const auto& [key, value] : puts) {
      const auto put = client->kv().Put(key, value);
      ASSERT_TRUE(put.ok()) << put.status().ToString();
    }
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  static RunResult Run(const Strings& flags) {
    Strings arguments = {"get"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return cluster_->Cli(arguments);
  }
  /// The keys in the order in which they are printed.
  static std::string Keys(Strings flags) {
    flags.emplace_back("--keys-only");
    const RunResult result = Run(flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::string keys = result.out;
    std::erase(keys, '\n');
    return keys;
  }
  static Json RunJson(Strings flags) {
    flags.insert(flags.end(), {"-w", "json", "--json-strings"});
    const RunResult result = Run(flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << "one line: " << result.out;
    return Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  static void ExpectContradiction(const Strings& flags, const std::string& says) {
    const RunResult result = Run(flags);
    EXPECT_EQ(result.exit_code, 128) << testing::PrintToString(flags);
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }

  static ProcessCluster* cluster_;
};
ProcessCluster* GetRange::cluster_ = nullptr;

TEST_F(GetRange, NamesKeysByRangePrefixAndFromKey) {
  EXPECT_EQ(Keys({"b", "d"}), "bc");
  EXPECT_EQ(Keys({"b", "--from-key"}), "bcd");
  EXPECT_EQ(Keys({"", "--from-key"}), "abcd");
  EXPECT_EQ(Keys({"", "--prefix"}), "abcd");
  EXPECT_EQ(Keys({"c"}), "c");
  EXPECT_EQ(Keys({"e", "--from-key"}), "");
}

TEST_F(GetRange, SortsByWhatIsAskedFor) {
  const std::vector<std::pair<std::string, std::string>> orders = {
      {"key", "abcd"}, {"create", "bacd"}, {"mod", "acdb"}, {"version", "acdb"}, {"value", "dbac"}};
  for (const auto& [name, ascending] : orders) {
    EXPECT_EQ(Keys({"", "--prefix", "--sort-by", name}), ascending) << name;
    EXPECT_EQ(Keys({"", "--prefix", "--sort-by", name, "--order", "ascend"}), ascending) << name;
    // Equal versions stay in the order of their keys.
    const std::string descending =
        name == "version" ? "bacd" : std::string(ascending.rbegin(), ascending.rend());
    EXPECT_EQ(Keys({"", "--prefix", "--sort-by", name, "--order", "descend"}), descending) << name;
    EXPECT_EQ(Keys({"", "--prefix", "--sort-by", name, "--reverse"}), descending) << name;
  }
  EXPECT_EQ(Keys({"", "--prefix", "--sort-by", "MODIFY", "--order", "DESCEND"}), "bdca")
      << "as etcdctl has them";
}

TEST_F(GetRange, FiltersByRevision) {
  EXPECT_EQ(Keys({"", "--prefix", "--min-mod-rev", "4"}), "bcd");
  EXPECT_EQ(Keys({"", "--prefix", "--max-mod-rev", "4"}), "ac");
  EXPECT_EQ(Keys({"", "--prefix", "--min-create-rev", "4"}), "cd");
  EXPECT_EQ(Keys({"", "--prefix", "--max-create-rev", "2"}), "b");
  EXPECT_EQ(Keys({"", "--prefix", "--min-mod-rev", "4", "--max-mod-rev", "4"}), "c");
  EXPECT_EQ(Keys({"", "--prefix", "--min-mod-rev", "7"}), "");
  EXPECT_EQ(Keys({"", "--prefix", "--min-mod-rev", "0", "--max-mod-rev", "0"}), "abcd") << "none";
}

TEST_F(GetRange, TakesTheLimitAfterFilterAndOrderAndCountsAll) {
  EXPECT_EQ(Keys({"", "--prefix", "--min-mod-rev", "4", "--limit", "2"}), "bc");
  EXPECT_EQ(Keys({"", "--prefix", "--sort-by", "mod", "--reverse", "--limit", "1"}), "b");
  EXPECT_EQ(Keys({"", "--prefix", "--reverse", "--limit", "3"}), "dcb");
  const Json limited = RunJson({"", "--prefix", "--limit", "3"});
  EXPECT_EQ(limited["kvs"].size(), 3U);
  EXPECT_EQ(limited["count"], 4);
  EXPECT_EQ(limited["more"], true);
  const Json at = RunJson({"", "--prefix", "--limit", "4"});
  EXPECT_EQ(at["more"], false);
  const Json filtered = RunJson({"", "--prefix", "--max-mod-rev", "4", "--limit", "2"});
  EXPECT_EQ(filtered["kvs"].size(), 2U);
  EXPECT_EQ(filtered["count"], 4) << "of the range, as in etcd";
  EXPECT_EQ(filtered["more"], false);
  EXPECT_EQ(filtered["header"]["revision"], 6);
}

TEST_F(GetRange, PrintsOnlyWhatIsAskedFor) {
  EXPECT_EQ(Run({"a", "c", "--print-value-only"}).out, "3\n2\n");
  EXPECT_EQ(Run({"", "--prefix", "--count-only"}).out, "4\n");
  EXPECT_EQ(Run({"", "--prefix", "--count-only", "--limit", "2", "--reverse"}).out, "4\n");
  const Json count = RunJson({"", "--prefix", "--count-only"});
  EXPECT_EQ(count["count"], 4);
  EXPECT_EQ(count["kvs"].size(), 0U);
  const Json none = RunJson({"x", "z"});
  EXPECT_EQ(none["count"], 0);
  EXPECT_EQ(none["more"], false);
  EXPECT_EQ(none["header"]["revision"], 6);
  EXPECT_EQ(Run({"", "--prefix", "--min-mod-rev", "9", "--fail-if-missing"}).exit_code, 8);
}

TEST_F(GetRange, RefusesFlagsThatContradictEachOther) {
  ExpectContradiction({"a", "b", "--prefix"}, "either END or --prefix, not both");
  ExpectContradiction({"a", "b", "--from-key"}, "either END or --from-key, not both");
  ExpectContradiction({"a", "--prefix", "--from-key"}, "either --prefix or --from-key, not both");
  ExpectContradiction({"a", "--keys-only", "--print-value-only"},
                      "either --keys-only or --print-value-only, not both");
  ExpectContradiction({"a", "--keys-only", "--count-only"},
                      "either --keys-only or --count-only, not both");
  ExpectContradiction({"a", "--count-only", "--print-value-only"},
                      "either --print-value-only or --count-only, not both");
  ExpectContradiction({"a", "--order", "ascend", "--reverse"},
                      "either --order or --reverse, not both");
  ExpectContradiction({"a", "--min-mod-rev", "3", "--max-mod-rev", "2"}, "--min-mod-rev is above");
  ExpectContradiction({"a", "--min-create-rev", "3", "--max-create-rev", "2"},
                      "--min-create-rev is above");
  ExpectContradiction({"a", ""}, "END is empty");
  ExpectContradiction({""}, "KEY is empty");
  EXPECT_EQ(Run({"a", "--sort-by", "size"}).exit_code, 128);
  EXPECT_EQ(Run({"a", "--order", "up"}).exit_code, 128);
}

TEST(DelRange, DeletesFromAKeyOn) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  for (const char* key : {"a", "b", "c"}) ASSERT_EQ(cluster.Cli({"put", key, "v"}).exit_code, 0);
  const RunResult both = cluster.Cli({"del", "b", "--from-key", "--prefix"});
  EXPECT_EQ(both.exit_code, 128);
  EXPECT_NE(both.err.find("either --prefix or --from-key, not both"), std::string::npos);
  EXPECT_EQ(cluster.Cli({"del", "b", "--from-key"}).out, "2\n");
  EXPECT_EQ(cluster.Cli({"get", "", "--prefix", "--keys-only"}).out, "a\n");
}

}  // namespace
}  // namespace raftkv::test
