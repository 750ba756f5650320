// Does `txn` print, and exit with, what its documentation says? And the flags that go with it.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using Json = nlohmann::ordered_json;

class CliTxn : public testing::Test {
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
  static void Expect(const std::vector<std::string>& arguments, const std::string& input,
                     const std::string& out, int exit_code = 0) {
    const RunResult result = Run(arguments, input);
    EXPECT_EQ(result.out, out) << testing::PrintToString(arguments) << input;
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_EQ(result.err, "");
  }
  static Json RunJson(std::vector<std::string> arguments, const std::string& input, int exit_code) {
    arguments.insert(arguments.end(), {"-w", "json", "--json-strings"});
    const RunResult result = Run(arguments, input);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    return Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  static ProcessCluster* cluster_;
};
ProcessCluster* CliTxn::cluster_ = nullptr;

TEST_F(CliTxn, PrintsTheOutcomeAndEachResult) {
  Expect({"txn"},
         "create(\"t/a\") = \"0\"\n\n"
         "put t/a one\nput t/b \"two words\"\nget t/ --prefix\nincr t/n 5\nget t/x\n\n"
         "get t/a\n",
         "SUCCESS\n\nOK\n\nOK\n\nt/a\none\nt/b\ntwo words\n\n5\n\n");
  const RunResult refused = Run({"txn"}, "\n\nput t/a 1\ndel t/ --prefix\n");
  EXPECT_EQ(refused.exit_code, 3) << refused.err;
  EXPECT_NE(refused.err.find("duplicate key"), std::string::npos) << refused.err;
  Expect({"txn"},
         "create(\"t/a\") = \"0\"\n\n\nget t/a\nput t/a other --prev-kv\ndel t/b t/c --prev-kv\n",
         "FAILURE\n\nt/a\none\n\nOK\nt/a\none\n\n1\nt/b\ntwo words\n", 7);
  Expect({"txn"}, "", "SUCCESS\n");
}

TEST_F(CliTxn, JsonHasTheFieldsOfEtcd) {
  const Json done = RunJson({"txn"}, "\nput j/a 1\nget j/a\nincr j/n\ndel j/a0\n", 0);
  EXPECT_EQ(done["succeeded"], true);
  EXPECT_GT(done["header"]["revision"].get<std::uint64_t>(), 1U);
  ASSERT_EQ(done["responses"].size(), 4U);
  EXPECT_TRUE(done["responses"][0].contains("response_put"));
  const Json& range = done["responses"][1]["response_range"];
  EXPECT_EQ(range["kvs"][0]["value"], "1");
  EXPECT_EQ(range["kvs"][0]["mod_revision"], done["header"]["revision"]);
  EXPECT_EQ(range["count"], 1);
  EXPECT_EQ(done["responses"][2]["response_increment"]["value"], 1);
  EXPECT_EQ(done["responses"][3]["response_delete_range"]["deleted"], 0);
  const Json failed = RunJson({"txn"}, "value(\"j/a\") = \"2\"\n", 7);
  EXPECT_EQ(failed["succeeded"], false);
  EXPECT_EQ(failed["responses"].size(), 0U);
}

TEST_F(CliTxn, AnErrorInTheTextNamesItsLineAndChangesNothing) {
  const RunResult result = Run({"txn"}, "ver(\"e\") = \"0\"\n\nput e 1\nbad line\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "raftkv: line 4: 'bad' is none of put, get, del, incr\n");
  Expect({"get", "e", "--count-only"}, "", "0\n");
  EXPECT_EQ(Run({"put", "e/text", "x"}).exit_code, 0);
  const RunResult refused = Run({"txn"}, "\nput e 1\nincr e/text\n");
  EXPECT_EQ(refused.exit_code, 3) << refused.err;
  Expect({"get", "e", "--count-only"}, "", "0\n");
}

TEST_F(CliTxn, CasTakesARevision) {
  const Json put = RunJson({"put", "r", "1"}, "", 0);
  const std::string revision = put["header"]["revision"].dump();
  Expect({"cas", "r", "2", "--mod-revision", "1"}, "", "FAILURE\n", 7);
  const Json failed = RunJson({"cas", "r", "2", "--mod-revision", "1"}, "", 7);
  EXPECT_EQ(failed["kv"]["value"], "1");
  EXPECT_EQ(failed["kv"]["mod_revision"], put["header"]["revision"]);
  Expect({"cas", "r", "2", "--mod-revision", revision}, "", "SUCCESS\n");
  Expect({"cas", "r", "3", "--mod-revision", revision}, "", "FAILURE\n", 7);
  Expect({"cas", "r/new", "1", "--mod-revision", "0"}, "", "SUCCESS\n");
  EXPECT_EQ(Run({"cas", "r", "1", "2", "--mod-revision", "1"}).exit_code, 128);
  EXPECT_EQ(Run({"cas", "r", "1", "--absent", "--mod-revision", "1"}).exit_code, 128);
}

TEST_F(CliTxn, APutKeepsWhatItIsToIgnore) {
  Expect({"put", "kept", "1"}, "", "OK\n");
  Expect({"put", "kept", "--ignore-value", "--ignore-lease", "--prev-kv"}, "", "OK\nkept\n1\n");
  Expect({"get", "kept"}, "", "kept\n1\n");
  Expect({"put", "kept", "2", "--ignore-lease"}, "", "OK\n");
  Expect({"txn"}, "\nput kept --ignore-value\nget kept\n", "SUCCESS\n\nOK\n\nkept\n2\n");
  EXPECT_EQ(Run({"put", "never", "--ignore-value"}).exit_code, 8);
  EXPECT_EQ(Run({"put", "kept", "1", "--ignore-value"}).exit_code, 128);
  EXPECT_EQ(Run({"put", "kept", "1", "--ignore-lease", "--lease", "7"}).exit_code, 128);
}

TEST_F(CliTxn, PutAndDelReturnWhatWasThere) {
  Expect({"put", "p", "1", "--prev-kv"}, "", "OK\n");
  Expect({"put", "p", "2", "--prev-kv"}, "", "OK\np\n1\n");
  EXPECT_EQ(RunJson({"put", "p", "3", "--prev-kv"}, "", 0)["prev_kv"]["value"], "2");
  EXPECT_EQ(RunJson({"del", "p", "--prev-kv"}, "", 0)["prev_kvs"][0]["value"], "3");
  Expect({"del", "p", "--prev-kv"}, "", "0\n");
  EXPECT_EQ(Run({"bench", "txn", "--total", "20", "--clients", "4"}).exit_code, 0);
}

}  // namespace
}  // namespace raftkv::test
