// Does the text of a transaction mean what it means to etcdctl, and does an error name its line?
#include "cmd/txn_text.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace raftkv::cmd {
namespace {

TxnRequest Parse(const std::string& text) {
  const auto txn = ParseTxnText(text);
  EXPECT_TRUE(txn.ok()) << text << ": " << txn.status().ToString();
  return txn.ok() ? *txn : TxnRequest();
}

Compare OneCompare(const std::string& line) {
  const TxnRequest txn = Parse(line);
  EXPECT_EQ(txn.compares.size(), 1U) << line;
  return txn.compares.empty() ? Compare() : txn.compares.front();
}

Op OneOp(const std::string& line) {
  const TxnRequest txn = Parse("\n" + line);
  EXPECT_EQ(txn.success.size(), 1U) << line;
  return txn.success.empty() ? Op() : txn.success.front();
}

TEST(TxnText, EmptyLinesDivideTheParts) {
  const TxnRequest txn =
      Parse("value(\"a\") = \"1\"\nmod(\"b\") > \"0\"\n\nput a 2\nget b\n\ndel a\n");
  EXPECT_EQ(txn.compares.size(), 2U);
  EXPECT_EQ(txn.success.size(), 2U);
  EXPECT_EQ(txn.failure.size(), 1U);
  EXPECT_TRUE(Parse("").compares.empty());
  EXPECT_EQ(Parse("\n\nput a 1").failure.size(), 1U) << "without compares and then part";
  EXPECT_EQ(Parse(" \t\r\nput a 1\r\n\r\n\r\n\n\n").success.size(), 1U)
      << "spaces make no line, and empty lines may follow";
}

TEST(TxnText, ComparesHaveTheNamesOfEtcdctl) {
  using Target = Compare::Target;
  const std::vector<std::pair<std::string, Target>> names = {{"create", Target::kCreateRevision},
                                                             {"c", Target::kCreateRevision},
                                                             {"mod", Target::kModRevision},
                                                             {"m", Target::kModRevision},
                                                             {"version", Target::kVersion},
                                                             {"ver", Target::kVersion},
                                                             {"lease", Target::kLease}};
  for (const auto& [name, target] : names) {
    for (const std::string quote : {"\"", "'", "`", ""}) {
      const bool is_lease = target == Target::kLease;
      const std::string most = is_lease ? "ffffffffffffffff" : "18446744073709551615";
      const std::string number = quote + most + quote;
      const Compare compare = OneCompare(name + "(" + quote + "key" + quote + ") > " + number);
      EXPECT_EQ(compare.target, target);
      EXPECT_EQ(compare.op, Compare::kGreater);
      EXPECT_EQ(compare.key, "key");
      EXPECT_EQ(compare.number, UINT64_MAX);
    }
  }
  EXPECT_EQ(OneCompare("val(k) = v").target, Target::kValue);
  EXPECT_EQ(OneCompare("value( \"k\" )!=\"v\"").op, Compare::kNotEqual);
  EXPECT_EQ(OneCompare("value(\"k\")<\"v\"").op, Compare::kLess);
  EXPECT_EQ(OneCompare("  value (\"k\")  =  \"a b = c\"  ").value, "a b = c");
  EXPECT_EQ(OneCompare("value(\"k)\") = \"\"").key, "k)");
}

TEST(TxnText, QuotesAreThoseOfGo) {
  const std::vector<std::pair<std::string, std::string>> words = {
      {"\"\\n\\t\\\\\\\"\"", "\n\t\\\""},
      {"\"\\x00\\xff\\101\"", std::string("\0\xff", 2) + "A"},
      {"\"\\u00e9\\u20ac\\U0001f600\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"'a\\n\"b'", "a\\n\"b"},
      {"`it's`", "it's"},
      {"\"\"", ""},
      {"plain\\n", "plain\\n"},
      {"it's", "it's"}};
  for (const auto& [text, word] : words) {
    EXPECT_EQ(OneOp("put k " + text).value, word) << text;
    EXPECT_EQ(OneOp("put " + text + "  v").key, word) << text;
  }
}

TEST(TxnText, OperationsTakeTheFlagsOfTheirVerbs) {
  EXPECT_TRUE(OneOp("put k v --prev-kv").return_previous);
  EXPECT_EQ(OneOp("put -- --prev-kv v").key, "--prev-kv");
  EXPECT_EQ(OneOp("put k '--prev-kv'").value, "--prev-kv") << "quoted, it is a word";
  EXPECT_TRUE(OneOp("put k --ignore-value").keep_value);
  EXPECT_EQ(OneOp("put k --ignore-value").value, "");
  EXPECT_FALSE(OneOp("put k --ignore-value").keep_lease);
  EXPECT_TRUE(OneOp("put k v --ignore-lease").keep_lease);
  EXPECT_EQ(OneOp("put k v --ignore-lease").value, "v");
  EXPECT_TRUE(OneOp("put --ignore-lease --ignore-value k").keep_lease);
  EXPECT_EQ(OneOp("incr n -5").delta, -5);
  EXPECT_EQ(OneOp("incr n").delta, 1);
  EXPECT_EQ(OneOp("del k").kind, Op::Kind::kDelete);
  EXPECT_EQ(OneOp("del k l").end, "l");
  EXPECT_EQ(OneOp("del k --prefix --prev-kv").end, "l");
  EXPECT_EQ(OneOp("get k").end, std::string("k\0", 2));
  EXPECT_EQ(OneOp("get --prefix k").end, "l");
  EXPECT_EQ(OneOp("get '' --prefix").end, "");
  EXPECT_EQ(OneOp("get a z --limit 5").options.limit, 5U);
  EXPECT_EQ(OneOp("get a z --limit=6").options.limit, 6U);
  EXPECT_TRUE(OneOp("get a z --keys-only").options.keys_only);
  EXPECT_TRUE(OneOp("get a z --count-only").options.count_only);
}

TEST(TxnText, AnErrorNamesItsLine) {
  const std::vector<std::string> compares = {"value",
                                             "value(",
                                             "value(\"k\"",
                                             "value(\"k\")",
                                             "value(\"k\") =",
                                             "value(\"k\") ~ \"v\"",
                                             "value(\"k\") = \"v\" x",
                                             "value(\"k) = v",
                                             "size(\"k\") = \"1\"",
                                             "mod(\"k\") = \"x\"",
                                             "mod(\"k\") = \"-1\"",
                                             "mod(\"k\") = \"\"",
                                             "mod(\"k\") = 18446744073709551616",
                                             "put k v",
                                             "= \"v\"",
                                             "value(\"\\q\") = \"v\"",
                                             "value(\"\\x4\") = \"v\"",
                                             "value(\"\\400\") = \"v\""};
  for (const std::string& line : compares) {
    const Status status = ParseTxnText("ver(\"k\") = \"0\"\n" + line + "\n").status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << line;
    EXPECT_TRUE(status.message().starts_with("line 2: ")) << line << ": " << status.message();
  }
  const std::vector<std::string> operations = {"put k",
                                               "put k v w",
                                               "get",
                                               "get a b c",
                                               "del",
                                               "incr",
                                               "incr k x",
                                               "incr k 1 2",
                                               "put 'k v",
                                               "txn",
                                               "value(\"k\") = \"v\"",
                                               "get a b --prefix",
                                               "get a ''",
                                               "put k v --prefix",
                                               "put k v --limit 1",
                                               "put k v --ignore-value",
                                               "put --ignore-value",
                                               "put k v --ignore-lease --lease 1",
                                               "put k --ignore-lease",
                                               "get k --ignore-value",
                                               "del k --ignore-lease",
                                               "get k --prev-kv",
                                               "incr k --prev-kv",
                                               "get k --limit",
                                               "get k --limit x",
                                               "get k --limit -1",
                                               "get k --rev 5",
                                               "del k --keys-only",
                                               "put \"k\"v w",
                                               "get k --limit \"5\"x",
                                               "--prev-kv",
                                               "''"};
  for (const std::string& line : operations) {
    const Status in_then = ParseTxnText("\n" + line).status();
    EXPECT_TRUE(in_then.message().starts_with("line 2: ")) << line << ": " << in_then.message();
    const Status in_else = ParseTxnText("\nget a\n\n" + line).status();
    EXPECT_TRUE(in_else.message().starts_with("line 4: ")) << line << ": " << in_else.message();
  }
  EXPECT_TRUE(ParseTxnText("\n\n\nput a 1").status().message().starts_with("line 4: "));
}

TEST(TxnText, AnErrorIsOneShortLineWhateverTheTextIs) {
  const std::string clear_screen = "\x1b[2J";
  const std::string long_word(1 << 20, 'w');
  for (const std::string& word :
       {std::string(R"("a\nb")"), std::string(R"("\0")"), clear_screen, long_word}) {
    for (const std::string& text :
         {word + "(k) = v", "mod(k) = " + word, "\n" + word + " k", "\nincr k " + word,
          "\nget k --limit " + word, "\nget k --" + word, "\nput \"\\" + word + "\" v"}) {
      const Status status = ParseTxnText(text).status();
      ASSERT_EQ(status.code(), Code::kInvalidArgument) << text.substr(0, 100);
      EXPECT_LT(status.message().size(), 512U);
      for (const char c : status.message()) EXPECT_GE(static_cast<unsigned char>(c), ' ') << text;
    }
  }
}

}  // namespace
}  // namespace raftkv::cmd
