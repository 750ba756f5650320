// Do the judges of Maelstrom's transactions accept what a store may tell, and see what it may not?
// By hand.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/support/maelstrom/maelstrom_workload.h"

namespace raftkv::test::maelstrom {
namespace {

using ::testing::HasSubstr;

/// Transactions are written as their lists of operations.
class Told {
 public:
  explicit Told(const std::string& workload) : workload_(NewWorkload(workload)) {}

  std::uint64_t Ask(const std::string& operations) {
    return workload_->Ask(1, ++now_ms_, {{"type", "txn"}, {"txn", Json::parse(operations)}});
  }
  void Ok(std::uint64_t request, const std::string& operations) {
    workload_->Answer(request, ++now_ms_, {{"type", "txn_ok"}, {"txn", Json::parse(operations)}});
  }
  void Fail(std::uint64_t request, int code = 30) {
    workload_->Answer(request, ++now_ms_, {{"type", "error"}, {"code", code}, {"text", "no"}});
  }
  void GiveUp(std::uint64_t request) { workload_->GiveUp(request, ++now_ms_); }
  /// Asked and answered before anything else happens.
  void Do(const std::string& told) {
    Json asked = Json::parse(told);
    for (Json& operation : asked) {
      if (operation[0] == "r") operation[2] = nullptr;
    }
    Ok(Ask(asked.dump()), told);
  }

  void ExpectGood() { EXPECT_EQ(Problems(), ""); }
  void ExpectBad(const std::string& found) { EXPECT_THAT(Problems(), HasSubstr(found)); }

 private:
  std::string Problems() {
    std::string text;
    for (const std::string& problem : workload_->Judge()) text += problem + "\n";
    return text;
  }

  std::unique_ptr<Workload> workload_;
  std::uint64_t now_ms_ = 0;
};

constexpr char kRegister[] = "txn-rw-register";
constexpr char kList[] = "txn-list-append";
constexpr char kNoOrder[] = "not linearizable";
constexpr char kCircle[] = "each of these transactions comes before the next one";

// --- Registers.

TEST(MaelstromTxnRegister, AcceptsWhatIsRight) {
  Told told(kRegister);
  told.Do(R"([["r",1,null],["w",1,"a"],["r",1,"a"],["w",2,"b"]])");
  told.Do(R"([["r",1,"a"],["r",2,"b"],["r",3,null],["r",1,"a"]])");
  // The last of two writes counts.
  told.Do(R"([["w",1,"c"],["r",1,"c"],["w",1,"d"]])");
  // At the same time, in the other order.
  const auto first = told.Ask(R"([["r",1,null],["w",2,"e"]])");
  const auto second = told.Ask(R"([["w",1,"f"],["r",2,null]])");
  told.Ok(first, R"([["r",1,"f"],["w",2,"e"]])");
  told.Ok(second, R"([["w",1,"f"],["r",2,"b"]])");
  // Of unknown fate: one is seen much later, one never; one that failed is not.
  told.GiveUp(told.Ask(R"([["w",1,"g"],["r",2,null],["w",2,"h"]])"));
  told.GiveUp(told.Ask(R"([["w",1,"i"]])"));
  told.GiveUp(told.Ask(R"([["r",1,null]])"));
  told.Fail(told.Ask(R"([["w",1,"j"]])"));
  told.Do(R"([["r",1,"f"],["r",2,"e"]])");
  told.Do(R"([["r",1,"g"],["r",2,"h"]])");
  told.Do("[]");
  told.ExpectGood();
}

TEST(MaelstromTxnRegister, FindsALostWrite) {
  Told told(kRegister);
  told.Do(R"([["w",1,"a"]])");
  told.Do(R"([["w",1,"b"]])");
  told.Do(R"([["r",1,"a"]])");
  told.ExpectBad(kNoOrder);
}

TEST(MaelstromTxnRegister, FindsAFracturedRead) {
  Told told(kRegister);
  told.Do(R"([["w",1,"a"],["w",2,"b"]])");
  const auto both = told.Ask(R"([["w",1,"c"],["w",2,"d"]])");
  told.Do(R"([["r",1,"c"],["r",2,"b"]])");
  told.Ok(both, R"([["w",1,"c"],["w",2,"d"]])");
  told.ExpectBad(kNoOrder);
}

TEST(MaelstromTxnRegister, FindsHalfOfATransactionOfUnknownFate) {
  Told told(kRegister);
  told.GiveUp(told.Ask(R"([["w",1,"a"],["w",2,"b"]])"));
  told.Do(R"([["r",1,"a"],["r",2,null]])");
  told.ExpectBad(kNoOrder);
}

TEST(MaelstromTxnRegister, FindsWriteSkew) {
  Told told(kRegister);
  const auto first = told.Ask(R"([["r",1,null],["w",2,"a"]])");
  const auto second = told.Ask(R"([["r",2,null],["w",1,"b"]])");
  told.Ok(first, R"([["r",1,null],["w",2,"a"]])");
  told.Ok(second, R"([["r",2,null],["w",1,"b"]])");
  told.ExpectBad(kNoOrder);
}

TEST(MaelstromTxnRegister, FindsWhatNobodyMaySee) {
  Told failed(kRegister);
  failed.Fail(failed.Ask(R"([["w",1,"a"]])"));
  failed.Do(R"([["r",1,"a"]])");
  failed.ExpectBad(kNoOrder);
  // A value that its own transaction writes over.
  Told between(kRegister);
  between.Do(R"([["w",1,"a"],["w",1,"b"]])");
  between.Do(R"([["r",1,"a"]])");
  between.ExpectBad(kNoOrder);
}

TEST(MaelstromTxnRegister, FindsATransactionThatMissesItsOwnWriteOrReadsTwoStates) {
  Told own(kRegister);
  own.Do(R"([["w",1,"a"]])");
  own.Do(R"([["w",1,"b"],["r",1,"a"]])");
  own.ExpectBad("changes within a transaction");
  Told twice(kRegister);
  twice.Do(R"([["w",1,"a"]])");
  const auto write = twice.Ask(R"([["w",1,"b"]])");
  twice.Do(R"([["r",1,"a"],["r",1,"b"]])");
  twice.Ok(write, R"([["w",1,"b"]])");
  twice.ExpectBad("changes within a transaction");
}

// --- Lists.

TEST(MaelstromTxnList, AcceptsWhatIsRight) {
  Told told(kList);
  told.Do(R"([["r",1,null],["append",1,"a"],["r",1,["a"]],["append",2,"b"]])");
  told.Do(R"([["append",1,"c"],["append",1,["d"]],["r",2,["b"]]])");
  told.Do(R"([["r",1,["a","c",["d"]]],["r",3,null],["append",1,"e"]])");
  const auto first = told.Ask(R"([["r",1,null],["append",2,"f"]])");
  const auto second = told.Ask(R"([["append",1,"g"],["r",2,null]])");
  told.Ok(first, R"([["r",1,["a","c",["d"],"e","g"]],["append",2,"f"]])");
  told.Ok(second, R"([["append",1,"g"],["r",2,["b"]]])");
  // Of unknown fate: one is seen much later, one never; one that failed is not.
  told.GiveUp(told.Ask(R"([["append",2,"h"],["append",3,"i"]])"));
  told.GiveUp(told.Ask(R"([["append",1,"j"]])"));
  told.GiveUp(told.Ask(R"([["r",1,null]])"));
  told.Fail(told.Ask(R"([["append",1,"k"]])"));
  told.Do(R"([["r",2,["b","f"]],["r",3,null]])");
  told.Do(R"([["r",2,["b","f","h"]],["r",3,["i"]]])");
  // Nobody reads it any more.
  told.Do(R"([["append",1,"l"]])");
  told.Do(R"([["append",1,"m"],["append",3,"n"]])");
  told.Do("[]");
  told.ExpectGood();
}

TEST(MaelstromTxnList, FindsALostAppend) {
  Told told(kList);
  told.Do(R"([["append",1,"a"]])");
  told.Do(R"([["append",1,"b"]])");
  told.Do(R"([["append",1,"c"],["r",1,["a","c"]]])");
  told.ExpectBad(kCircle);
  // Nobody has seen an element of the key.
  Told first(kList);
  first.Do(R"([["append",1,"a"]])");
  first.Do(R"([["r",1,null]])");
  first.ExpectBad(kCircle);
  // Of two at once one is written over by the other.
  Told one_of_two(kList);
  const auto left = one_of_two.Ask(R"([["r",1,null],["append",1,"a"],["r",1,null]])");
  const auto right = one_of_two.Ask(R"([["r",1,null],["append",1,"b"],["r",1,null]])");
  one_of_two.Ok(left, R"([["r",1,null],["append",1,"a"],["r",1,["a"]]])");
  one_of_two.Ok(right, R"([["r",1,null],["append",1,"b"],["r",1,["b"]]])");
  one_of_two.ExpectBad("neither is a beginning of the other");
}

TEST(MaelstromTxnList, FindsAStaleReadAfterAnAppendHasEnded) {
  Told told(kList);
  told.Do(R"([["append",1,"a"]])");
  const auto early = told.Ask(R"([["r",1,null]])");
  told.Do(R"([["append",1,"b"]])");
  const auto late = told.Ask(R"([["r",1,null]])");
  told.Ok(early, R"([["r",1,["a"]]])");  // it was asked before
  told.Do(R"([["r",1,["a","b"]]])");
  told.ExpectGood();
  told.Ok(late, R"([["r",1,["a"]]])");
  told.ExpectBad("read key 1 without \"b\", which #2 appended");
  told.ExpectBad("ended before #3 was asked");
}

TEST(MaelstromTxnList, FindsReadsThatGoBack) {
  Told told(kList);
  const auto append = told.Ask(R"([["append",1,"a"]])");
  told.Do(R"([["r",1,["a"]]])");
  told.Do(R"([["r",1,null]])");
  told.GiveUp(append);
  told.ExpectBad(kCircle);
}

TEST(MaelstromTxnList, FindsAFracturedRead) {
  Told told(kList);
  const auto both = told.Ask(R"([["append",1,"a"],["append",2,"b"]])");
  told.Do(R"([["r",1,["a"]],["r",2,null]])");
  told.Ok(both, R"([["append",1,"a"],["append",2,"b"]])");
  told.ExpectBad("read key 2 without \"b\", which #0 appended");
  told.ExpectBad("appended \"a\", the last that #1 read of key 1");
  // Also if its fate is unknown otherwise.
  Told unknown(kList);
  unknown.GiveUp(unknown.Ask(R"([["append",1,"a"],["append",2,"b"]])"));
  unknown.Do(R"([["r",1,["a"]],["r",2,null]])");
  unknown.ExpectBad(kCircle);
}

TEST(MaelstromTxnList, FindsWriteSkew) {
  Told told(kList);
  const auto first = told.Ask(R"([["r",1,null],["append",2,"a"]])");
  const auto second = told.Ask(R"([["r",2,null],["append",1,"b"]])");
  told.Ok(first, R"([["r",1,null],["append",2,"a"]])");
  told.Ok(second, R"([["r",2,null],["append",1,"b"]])");
  told.Do(R"([["r",1,["b"]],["r",2,["a"]]])");
  told.ExpectBad(kCircle);
}

TEST(MaelstromTxnList, FindsACircleOfThreeThatTimeCloses) {
  Told told(kList);
  const auto long_one = told.Ask(R"([["r",1,null],["append",2,"a"]])");
  told.Do(R"([["append",1,"b"]])");           // which the first one has not seen
  told.Do(R"([["r",2,null],["r",3,null]])");  // nor has this one seen the first
  told.Ok(long_one, R"([["r",1,null],["append",2,"a"]])");
  told.ExpectBad("#1 ended before #2 was asked");
  told.ExpectBad("#2 read key 2 without \"a\", which #0 appended");
  told.ExpectBad("#0 read key 1 without \"b\", which #1 appended");
  told.ExpectBad(kCircle);
}

TEST(MaelstromTxnList, FindsElementsThatMustNotBeThere) {
  Told failed(kList);
  failed.Fail(failed.Ask(R"([["append",1,"a"]])"));
  failed.Do(R"([["r",1,["a"]]])");
  failed.ExpectBad("of a transaction that failed");
  Told twice(kList);
  twice.Do(R"([["append",1,"a"]])");
  twice.Do(R"([["r",1,["a","a"]]])");
  twice.ExpectBad("is there twice");
  Told nobodys(kList);
  nobodys.Do(R"([["r",1,["a"]]])");
  nobodys.ExpectBad("was appended by nobody");
  Told elsewhere(kList);
  elsewhere.Do(R"([["append",1,"a"]])");
  elsewhere.Do(R"([["r",2,["a"]]])");
  elsewhere.ExpectBad("was appended to key 1");
  Told no_list(kList);
  no_list.Do(R"([["r",1,7]])");
  no_list.ExpectBad("is no list");
}

TEST(MaelstromTxnList, FindsATransactionThatIsNotOneStep) {
  Told between(kList);
  between.Do(R"([["append",1,"a"],["append",1,"b"]])");
  between.Do(R"([["r",1,["a","b"]]])");
  between.ExpectGood();
  between.Do(R"([["r",1,["a"]]])");
  between.ExpectBad("between two appends of one transaction");
  Told apart(kList);
  const auto two = apart.Ask(R"([["append",1,"a"],["append",1,"b"]])");
  apart.Do(R"([["append",1,"c"]])");
  apart.Ok(two, R"([["append",1,"a"],["append",1,"b"]])");
  apart.Do(R"([["r",1,["a","c","b"]]])");
  apart.ExpectBad("not next to each other");
  Told reversed(kList);
  reversed.Do(R"([["append",1,"a"],["append",1,"b"]])");
  reversed.Do(R"([["r",1,["b","a"]]])");
  reversed.ExpectBad("not next to each other");
}

TEST(MaelstromTxnList, FindsATransactionThatMissesItsOwnAppendsOrReadsTwoStates) {
  Told own(kList);
  own.Do(R"([["append",1,"a"],["r",1,null]])");
  own.ExpectBad("does not fit what its own transaction");
  Told twice(kList);
  const auto append = twice.Ask(R"([["append",1,"a"]])");
  twice.Do(R"([["r",1,null],["r",1,["a"]]])");
  twice.Ok(append, R"([["append",1,"a"]])");
  twice.ExpectBad("does not fit what its own transaction");
  Told slipped(kList);
  const auto other = slipped.Ask(R"([["append",1,"a"]])");
  slipped.Do(R"([["r",1,null],["append",1,"b"],["r",1,["a","b"]]])");
  slipped.Ok(other, R"([["append",1,"a"]])");
  slipped.ExpectBad("does not fit what its own transaction");
}

TEST(MaelstromTxnBoth, FindAnAnswerToSomethingElse) {
  for (const char* const wrong : {R"([["r",1,null]])", R"([["r",2,null],["append",1,1]])",
                                  R"([["r",1,null],["append",1,2]])", R"({"a":1})", "[1,2]"}) {
    Told told(kList);
    told.Ok(told.Ask(R"([["r",1,null],["append",1,1]])"), wrong);
    told.ExpectBad("the answer to");
  }
  Told blamed(kRegister);
  blamed.Fail(blamed.Ask(R"([["w",1,1]])"), 12);
  blamed.ExpectBad("the answer to");
}

/// Of what they draw, every operation is one that the protocol knows, and no value comes twice.
TEST(MaelstromTxnBoth, DrawTransactionsOfFewKeysWithUniqueValues) {
  for (const char* const name : {kRegister, kList}) {
    const auto workload = NewWorkload(name);
    Random random{1};
    std::vector<std::string> values;
    for (int i = 0; i < 2000; ++i) {
      const Json body = workload->Draw(random);
      ASSERT_EQ(body.at("type"), "txn");
      ASSERT_GE(body.at("txn").size(), 1U);
      ASSERT_LE(body.at("txn").size(), 4U);
      for (const Json& operation : body.at("txn")) {
        ASSERT_EQ(operation.size(), 3U);
        ASSERT_EQ(operation[0] == "r", operation[2].is_null());
        if (operation[0] == "r") continue;
        ASSERT_EQ(operation[0], name == kList ? "append" : "w");
        values.push_back(operation[2].dump());
      }
    }
    const std::size_t drawn = values.size();
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    EXPECT_EQ(values.size(), drawn);
    EXPECT_FALSE(workload->FinalRequests().empty());
  }
}

}  // namespace
}  // namespace raftkv::test::maelstrom
