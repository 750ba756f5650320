// Does the checker accept what a store may do, and see what it may not? By hand.
#include "tests/support/linearizability/linearizability.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/linearizability/history.h"

namespace raftkv::test {
namespace {

using ::testing::HasSubstr;
using Op = ClientOp;
using Answer = ClientAnswer;

/// A history in which a client is one letter of the test.
class LinearizabilityTest : public ::testing::Test {
 protected:
  /// Called and answered before anything else happens.
  void Do(std::uint32_t client, Op op, Answer answer = Answer::Done()) {
    history_.Ok(history_.Invoke(client, std::move(op)), std::move(answer));
  }
  void Reads(std::uint32_t client, std::string key, std::optional<std::string> value) {
    Do(client, Op::Get(std::move(key)), Answer::Value(std::move(value)));
  }
  History::Id Begin(std::uint32_t client, Op op) { return history_.Invoke(client, std::move(op)); }

  void ExpectGood() {
    const CheckResult result = CheckLinearizability(history_);
    EXPECT_EQ(result.verdict, Verdict::kLinearizable) << result.explanation;
    EXPECT_EQ(result.explanation, "");
  }
  std::string ExpectBad() {
    const CheckResult result = CheckLinearizability(history_);
    EXPECT_EQ(result.verdict, Verdict::kNotLinearizable);
    EXPECT_THAT(result.explanation, HasSubstr("not linearizable"));
    return result.explanation;
  }

  History history_;
};

TEST_F(LinearizabilityTest, NothingHappened) { ExpectGood(); }

TEST_F(LinearizabilityTest, ReadsWhatWasWritten) {
  Reads(1, "a", std::nullopt);
  Do(1, Op::Put("a", "1"));
  Reads(2, "a", "1");
  Do(2, Op::Delete("a"), Answer::Number(1));
  Reads(1, "a", std::nullopt);
  ExpectGood();
}

TEST_F(LinearizabilityTest, StaleRead) {
  Do(1, Op::Put("a", "1"));
  Do(1, Op::Put("a", "2"));
  Reads(2, "a", "1");
  const std::string explanation = ExpectBad();
  EXPECT_THAT(explanation, HasSubstr("the state is\n  \"a\" = 2;"));
  EXPECT_THAT(explanation, HasSubstr("#2 client 2, events 4 to 5: get \"a\" -> ok \"1\""));
}

TEST_F(LinearizabilityTest, AReadMayBeOldWhileTheWriteIsUnderWay) {
  Do(1, Op::Put("a", "1"));
  const auto write = Begin(1, Op::Put("a", "2"));
  Reads(2, "a", "1");
  Reads(3, "a", "2");
  history_.Ok(write);
  ExpectGood();
}

TEST_F(LinearizabilityTest, TimeDoesNotGoBackForTwoReaders) {
  Do(1, Op::Put("a", "1"));
  const auto write = Begin(1, Op::Put("a", "2"));
  Reads(2, "a", "2");
  Reads(3, "a", "1");
  history_.Ok(write);
  ExpectBad();
}

TEST_F(LinearizabilityTest, LostUpdate) {
  Do(1, Op::Put("a", "1"));
  Reads(2, "a", std::nullopt);
  ExpectBad();
}

TEST_F(LinearizabilityTest, TwoReadersSeeTwoWritesInOneOrder) {
  const auto one = Begin(1, Op::Put("a", "1"));
  const auto two = Begin(2, Op::Put("a", "2"));
  Reads(3, "a", "1");
  Reads(4, "a", "2");
  history_.Ok(one);
  history_.Ok(two);
  ExpectGood();
  Reads(3, "a", "1");
  ExpectBad();
}

TEST_F(LinearizabilityTest, AWriteDoesNotTakeEffectBeforeItsCall) {
  const auto read = Begin(1, Op::Get("a"));
  history_.Ok(read, Answer::Value("1"));
  Do(2, Op::Put("a", "1"));
  ExpectBad();
}

TEST_F(LinearizabilityTest, RealTimeOrderOfOtherClientsCounts) {
  const auto slow = Begin(1, Op::Put("a", "1"));
  Do(2, Op::Put("a", "2"));
  Do(3, Op::Put("a", "3"));
  history_.Ok(slow);
  Reads(4, "a", "2");  // 2 was over before 3 began
  ExpectBad();
}

TEST_F(LinearizabilityTest, DoubleIncrement) {
  Do(1, Op::Increment("n", 1), Answer::Number(1));
  Reads(2, "n", "2");
  EXPECT_THAT(ExpectBad(), HasSubstr("nobody wrote what this found"));
}

TEST_F(LinearizabilityTest, ARetriedIncrementThatWasCarriedOutTwice) {
  Do(1, Op::Increment("n", 1), Answer::Number(1));
  history_.Unknown(Begin(1, Op::Increment("n", 1)));
  Do(2, Op::Increment("n", 1), Answer::Number(3));
  ExpectGood();
  Do(2, Op::Increment("n", 1), Answer::Number(5));  // only one was in doubt
  ExpectBad();
}

TEST_F(LinearizabilityTest, IncrementsOfNumbersAlone) {
  Do(1, Op::Put("n", "07"));
  Do(1, Op::Increment("n", -2), Answer::Number(5));
  Do(1, Op::Put("n", "x"));
  Do(1, Op::Increment("n", 1), Answer::Refused());
  Do(1, Op::Put("n", "9223372036854775807"));
  Do(1, Op::Increment("n", 1), Answer::Refused());
  Reads(1, "n", "9223372036854775807");
  ExpectGood();
  Do(1, Op::Increment("n", -1), Answer::Refused());
  ExpectBad();
}

TEST_F(LinearizabilityTest, ReadOfAFailedWrite) {
  history_.Fail(Begin(1, Op::Put("a", "1")));
  Reads(2, "a", std::nullopt);
  ExpectGood();
  Reads(2, "a", "1");
  EXPECT_THAT(ExpectBad(), HasSubstr("nobody wrote what this found"));
}

TEST_F(LinearizabilityTest, TwoSwapsFromOneValue) {
  Do(1, Op::Put("a", "1"));
  const auto one = Begin(1, Op::CompareAndSwap("a", "1", "2"));
  const auto two = Begin(2, Op::CompareAndSwap("a", "1", "3"));
  history_.Ok(one);
  History refused = history_;
  refused.Ok(two, Answer::Found("2"));
  EXPECT_EQ(CheckLinearizability(refused).verdict, Verdict::kLinearizable);
  history_.Ok(two);
  ExpectBad();
}

TEST_F(LinearizabilityTest, ASwapIsRefusedForAReason) {
  Do(1, Op::CompareAndSwap("a", std::nullopt, "1"));
  Do(1, Op::CompareAndSwap("a", std::nullopt, "2"), Answer::Refused());
  ExpectGood();
  Do(1, Op::CompareAndSwap("a", "1", "2"), Answer::Refused());
  ExpectBad();
}

TEST_F(LinearizabilityTest, BatchSeenHalf) {
  Do(1, Op::Write(Batch().Put("a", "1").Put("b", "1")));
  const auto batch = Begin(1, Op::Write(Batch().Put("a", "2").Put("b", "2")));
  Reads(2, "a", "2");
  Reads(2, "b", "1");
  history_.Ok(batch);
  const std::string explanation = ExpectBad();
  EXPECT_THAT(explanation, HasSubstr("on 2 keys: \"a\" \"b\""));
}

TEST_F(LinearizabilityTest, BatchSeenHalfInOneRead) {
  const auto batch = Begin(1, Op::Write(Batch().Put("a", "2").Put("b", "2")));
  const auto read = Begin(2, Op::MultiGet({"a", "b"}));
  history_.Ok(read, Answer::Pairs({{"b", "2"}}));
  history_.Ok(batch);
  ExpectBad();
}

TEST_F(LinearizabilityTest, TheLastOfABatchCounts) {
  Do(1, Op::Write(Batch().Put("a", "1").Put("a", "2").Put("b", "1").Delete("b")));
  Do(2, Op::Scan(KeyRange{"a", "c"}), Answer::Pairs({{"a", "2"}}));
  ExpectGood();
}

TEST_F(LinearizabilityTest, KeysThatABatchJoinsThroughTime) {
  // Each key by itself has an order; b was 2 only before a was 2, and a was read first.
  Do(1, Op::Write(Batch().Put("a", "1").Put("b", "1")));
  const auto a = Begin(1, Op::Write(Batch().Put("a", "2").Put("b", "3")));
  const auto b = Begin(2, Op::Put("b", "2"));
  Reads(3, "a", "2");
  Reads(3, "b", "2");
  Reads(3, "b", "3");
  history_.Ok(a);
  history_.Ok(b);
  ExpectBad();
}

TEST_F(LinearizabilityTest, UnknownThatTookEffectLate) {
  history_.Unknown(Begin(1, Op::Put("a", "1")));
  Reads(2, "a", std::nullopt);
  Do(1, Op::Put("a", "2"));
  Reads(2, "a", "2");
  Reads(2, "a", "1");
  ExpectGood();
  Reads(2, "a", "2");  // once only
  ExpectBad();
}

TEST_F(LinearizabilityTest, UnknownThatNeverTookEffect) {
  history_.Unknown(Begin(1, Op::Put("a", "1")));
  history_.Unknown(Begin(2, Op::Delete("a")));
  Do(3, Op::Put("a", "2"));
  for (int i = 0; i < 10; ++i) Reads(3, "a", "2");
  ExpectGood();
}

TEST_F(LinearizabilityTest, UnknownIsNotBeforeItsCall) {
  Reads(2, "a", "1");
  history_.Unknown(Begin(1, Op::Put("a", "1")));
  ExpectBad();
}

TEST_F(LinearizabilityTest, AnUnseenUnknownWriteIsNeededByARefusedSwap) {
  // Nobody ever reads "2", but only it can have been in the way.
  Do(1, Op::Put("a", "1"));
  history_.Unknown(Begin(1, Op::Put("a", "2")));
  Do(2, Op::CompareAndSwap("a", "1", "3"), Answer::Refused());
  ExpectGood();
}

TEST_F(LinearizabilityTest, UnknownWritesThatNeedEachOther) {
  history_.Unknown(Begin(1, Op::CompareAndSwap("a", "2", "3")));
  history_.Unknown(Begin(2, Op::Increment("a", 1)));
  history_.Unknown(Begin(3, Op::Put("a", "1")));
  Reads(4, "a", "3");
  ExpectGood();
  Reads(4, "a", "2");
  ExpectBad();
}

TEST_F(LinearizabilityTest, AnUnknownIncrementBringsBackWhatWasDeleted) {
  Do(1, Op::Increment("n", 1), Answer::Number(1));
  Do(1, Op::Delete("n"), Answer::Number(1));
  history_.Unknown(Begin(2, Op::Increment("n", 1)));
  Reads(3, "n", "1");
  ExpectGood();
}

TEST_F(LinearizabilityTest, AnUnknownBatchOfWhichOneHalfWasOverwrittenUnseen) {
  history_.Unknown(Begin(1, Op::Write(Batch().Put("a", "1").Put("b", "1"))));
  const auto write = Begin(2, Op::Put("a", "2"));
  Reads(3, "a", "2");
  Reads(3, "b", "1");
  Reads(3, "a", "2");
  history_.Ok(write);
  ExpectGood();
}

TEST_F(LinearizabilityTest, ManyUnknownWritesAreNoBurden) {
  for (int i = 0; i < 200; ++i) {
    history_.Unknown(Begin(1, Op::Write(Batch().Put("a", std::to_string(i)).Put("b", "x"))));
    history_.Unknown(Begin(1, Op::Put("a", "p" + std::to_string(i))));
    history_.Unknown(Begin(2, Op::Increment("n", 1)));
    Do(3, Op::Put("a", "q" + std::to_string(i)));
  }
  Reads(3, "a", "p17");
  Reads(3, "n", "100");
  ExpectGood();
  Reads(3, "n", "201");
  ExpectBad();
}

TEST_F(LinearizabilityTest, RangesSeeOneInstant) {
  Do(1, Op::Put("a1", "1"));
  Do(1, Op::Put("a2", "1"));
  Do(1, Op::Scan(KeyRange{"a", "b"}), Answer::Pairs({{"a1", "1"}}, true));
  Do(1, Op::Scan(KeyRange{"a", "b"}), Answer::Number(2));
  Do(1, Op::DeleteRange(KeyRange{"a2", ""}), Answer::Number(1));
  Do(1, Op::Scan(KeyRange{"a", "b"}), Answer::Pairs({{"a1", "1"}}));
  ExpectGood();
  History more = history_;
  more.Ok(more.Invoke(2, Op::Scan(KeyRange{"c", "d"})), Answer::Number(1));
  EXPECT_EQ(CheckLinearizability(more).verdict, Verdict::kNotLinearizable);
  Do(1, Op::Scan(KeyRange{"a", "b"}), Answer::Pairs({{"a1", "1"}, {"a2", "1"}}));
  ExpectBad();
}

TEST_F(LinearizabilityTest, OneBadKeyIsExplainedAlone) {
  for (int i = 0; i < 20; ++i) {
    const std::string value = std::to_string(i);
    Do(1, Op::Write(Batch().Put("a", value).Put("b", value).Put("c", value)));
  }
  Reads(2, "b", "3");
  EXPECT_THAT(ExpectBad(), HasSubstr("on 1 keys: \"b\"\n"));
}

Op Transfer(std::optional<std::string> a, std::optional<std::string> b, std::string new_a,
            std::string new_b) {
  return Op::Txn({{"a", std::move(a)}, {"b", std::move(b)}},
                 Batch().Put("a", std::move(new_a)).Put("b", std::move(new_b)));
}

TEST_F(LinearizabilityTest, ATransactionChangesAllOrTellsWhatItFound) {
  Do(1, Transfer(std::nullopt, std::nullopt, "1", "2"));
  Do(2, Transfer("1", "3", "x", "y"), Answer::FoundPairs({{"a", "1"}, {"b", "2"}}));
  Do(2, Op::MultiGet({"a", "b"}), Answer::Pairs({{"a", "1"}, {"b", "2"}}));
  Do(3, Transfer("1", "2", "3", "4"));
  const History::Id open = Begin(4, Transfer("3", "4", "5", "6"));
  Reads(5, "a", "3");
  Reads(5, "b", "6");
  history_.Unknown(open);
  ExpectGood();
}

/// Reads one key and writes another.
Op Copy(std::string from, std::optional<std::string> value, std::string to, std::string written) {
  return Op::Txn({{std::move(from), std::move(value)}},
                 Batch().Put(std::move(to), std::move(written)));
}

TEST_F(LinearizabilityTest, ATransactionMayReadAKeyThatItDoesNotWrite) {
  Do(1, Copy("a", std::nullopt, "b", "1"));
  const History::Id one = Begin(1, Copy("a", std::nullopt, "b", "2"));
  const History::Id two = Begin(2, Copy("b", "2", "a", "3"));
  history_.Ok(one);
  history_.Ok(two);
  Do(3, Op::Txn({{"a", "3"}, {"b", "2"}}, Batch()));
  Reads(3, "b", "2");
  // It expects what was never there, but nobody says that it was carried out.
  history_.Unknown(Begin(4, Copy("c", "x", "b", "4")));
  Reads(3, "b", "4");
  Reads(3, "a", "3");
  ExpectGood();
}

TEST_F(LinearizabilityTest, TwoTransactionsThatEachReadWhatTheOtherWritesAreBad) {
  const History::Id one = Begin(1, Copy("a", std::nullopt, "b", "1"));
  const History::Id two = Begin(2, Copy("b", std::nullopt, "a", "2"));
  history_.Ok(one);
  history_.Ok(two);
  ExpectBad();
}

TEST_F(LinearizabilityTest, ATransactionThatReadsWhatIsGoneIsBad) {
  Do(1, Op::Put("a", "1"));
  Do(1, Op::Put("a", "2"));
  Do(2, Copy("a", "1", "b", "3"));
  ExpectBad();
}

TEST_F(LinearizabilityTest, ATransactionThatTakesTheWrongBranchIsBad) {
  Do(1, Op::Put("a", "1"));
  Do(2, Transfer("1", std::nullopt, "3", "4"), Answer::FoundPairs({{"a", "1"}}));
  ExpectBad();
}

TEST_F(LinearizabilityTest, ATransactionThatOverwritesWhatItDidNotExpectIsBad) {
  Do(1, Op::Put("a", "1"));
  Do(2, Transfer("2", std::nullopt, "3", "4"));
  ExpectBad();
}

TEST_F(LinearizabilityTest, ATransactionIsSeenAsAWhole) {
  Do(1, Transfer(std::nullopt, std::nullopt, "1", "2"));
  Do(2, Transfer("1", "2", "3", "4"));
  Do(3, Op::MultiGet({"a", "b"}), Answer::Pairs({{"a", "3"}, {"b", "2"}}));
  ExpectBad();
}

TEST_F(LinearizabilityTest, GivesUpWhenItsBudgetIsSpent) {
  std::vector<History::Id> ids;
  for (std::uint32_t i = 0; i < 12; ++i) ids.push_back(Begin(i, Op::Put("a", "1")));
  for (std::uint32_t i = 12; i < 24; ++i) ids.push_back(Begin(i, Op::Put("a", "2")));
  for (const History::Id id : ids) history_.Ok(id);
  for (int i = 0; i < 2; ++i) {
    Reads(30, "a", "1");
    Reads(30, "a", "2");
  }
  const CheckResult result = CheckLinearizability(history_, 100);
  EXPECT_EQ(result.verdict, Verdict::kGaveUp);
  EXPECT_THAT(result.explanation, HasSubstr("undecided after"));
}

TEST_F(LinearizabilityTest, GivingUpOnOneKeyDoesNotHideAnother) {
  std::vector<History::Id> ids;
  for (std::uint32_t i = 0; i < 24; ++i) {
    ids.push_back(Begin(i, Op::Put("a", i < 12 ? "1" : "2")));
  }
  for (const History::Id id : ids) history_.Ok(id);
  for (int i = 0; i < 2; ++i) {
    Reads(30, "a", "1");
    Reads(30, "a", "2");
  }
  for (int i = 0; i < 40; ++i) Do(1, Op::Put("b", std::to_string(i)));
  Reads(1, "b", "5");
  const CheckResult result = CheckLinearizability(history_, 200);
  EXPECT_EQ(result.verdict, Verdict::kNotLinearizable);
}

}  // namespace
}  // namespace raftkv::test
