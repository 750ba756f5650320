#include <limits>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/base/ids.h"
#include "lib/base/random.h"

namespace raftkv {
namespace {

TEST(Status, SaysCodeAndMessage) {
  EXPECT_EQ(Status::Ok().ToString(), "Ok");
  EXPECT_TRUE(Status::Ok().ok());
  const Status failed(Code::kNotFound, "no such key");
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(failed.ToString(), "NotFound: no such key");
}

TEST(Status, CodesKeepTheirNumbersForEver) {
  // The numbers are in logs and on the wire.
  const char* const names[] = {
      "Ok",          "NotFound",         "CompareFailed",   "NotLeader",       "UnknownOutcome",
      "Unavailable", "DeadlineExceeded", "NoSpace",         "Compacted",       "SessionExpired",
      "Corruption",  "IOError",          "InvalidArgument", "VersionMismatch", "PermissionDenied",
      "Cancelled"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    EXPECT_EQ(CodeName(static_cast<Code>(i)), names[i]);
  }
  EXPECT_EQ(CodeName(static_cast<Code>(std::size(names))), "Unknown");
}

TEST(Result, HoldsAValueOrAFailure) {
  Result<std::string> good(std::string("x"));
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, "x");
  EXPECT_EQ(good.code(), Code::kOk);
  const std::string moved = *std::move(good);
  EXPECT_EQ(moved, "x");
  const Result<std::string> bad(Status(Code::kIOError, "gone"));
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.code(), Code::kIOError);
}

TEST(ResultDeathTest, TheValueOfAFailureEndsTheProcess) {
  Result<int> bad(Status(Code::kIOError, "gone"));
  EXPECT_DEATH((void)*bad, "IOError: gone");
}

TEST(CheckDeathTest, ABrokenInvariantNamesItselfAndItsValues) {
  const int a = 1;
  EXPECT_DEATH(RAFTKV_CHECK(a == 2, a, 77), "base_test.cc.*a == 2; 1 77");
  RAFTKV_CHECK(a == 1, a);
}

TEST(Bytes, CopiesShareAndCompareByContent) {
  const Bytes a(std::string("hello"));
  const Bytes copy = a;  // NOLINT: a copy is what is tested
  EXPECT_EQ(copy.view().data(), a.view().data());
  EXPECT_EQ(a, Bytes(std::string("hello")));
  EXPECT_FALSE(a == Bytes(std::string("hallo")));
  EXPECT_TRUE(Bytes().empty());
  EXPECT_EQ(Bytes(), Bytes(std::string()));
}

TEST(Bytes, BigEndianKeepsTheOrderOfNumbers) {
  const std::uint64_t numbers[] = {0, 1, 255, 256, 65535, 1ULL << 31, 1ULL << 63, ~0ULL};
  std::string before;
  for (const std::uint64_t number : numbers) {
    std::string encoded;
    AppendBigEndian64(encoded, number);
    ASSERT_EQ(encoded.size(), 8U);
    if (!before.empty()) {
      EXPECT_LT(before, encoded);
    }
    before = encoded;
    std::string_view in = encoded;
    EXPECT_EQ(TakeBigEndian64(in), number);
    EXPECT_TRUE(in.empty());
  }
}

TEST(Bytes, ANumberThatIsCutOffIsNotTaken) {
  std::string encoded;
  AppendBigEndian32(encoded, 0x01020304);
  EXPECT_EQ(encoded, std::string("\x01\x02\x03\x04"));
  std::string_view in = encoded;
  EXPECT_EQ(TakeBigEndian64(in), std::nullopt);
  EXPECT_EQ(in.size(), 4U);
  EXPECT_EQ(TakeBigEndian32(in), 0x01020304U);
  EXPECT_EQ(TakeBigEndian32(in), std::nullopt);
}

TEST(Hex, IsSixteenDigitsWhateverTheId) {
  EXPECT_EQ(Hex(std::uint64_t{0}), "0000000000000000");
  EXPECT_EQ(Hex(std::uint64_t{0xabc}), "0000000000000abc");
  EXPECT_EQ(Hex(std::uint64_t{0x0123456789abcdef}), "0123456789abcdef");
  EXPECT_EQ(Hex(~std::uint64_t{0}), "ffffffffffffffff");
  EXPECT_EQ(Hex(NodeId(77)), "000000000000004d");
}

TEST(Random, TheSameSeedDrawsTheSame) {
  Random a(42);
  Random b(42);
  Random other(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t drawn = a.Next();
    EXPECT_EQ(drawn, b.Next());
    differs |= drawn != other.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(Random, BelowReachesEveryNumberBelowAndNoOther) {
  Random dice(1);
  std::set<std::uint64_t> drawn;
  for (int i = 0; i < 1000; ++i) drawn.insert(dice.Below(7));
  EXPECT_EQ(drawn.size(), 7U);
  EXPECT_EQ(*drawn.rbegin(), 6U);
}

TEST(Ids, CountAndCompare) {
  EXPECT_EQ(Index(4).Next(), Index(5));
  EXPECT_EQ(Index(4).Previous(), Index(3));
  EXPECT_EQ(Index(0).Previous(), Index(0));
  EXPECT_EQ(Index(9) - Index(4), 5U);
  EXPECT_EQ(Index(4) + 3, Index(7));
  EXPECT_LT(Term(1), Term(2));
  EXPECT_EQ(kNobody, NodeId(0));
  EXPECT_EQ(std::hash<Index>()(Index(5)), std::hash<Index>()(Index(5)));
}

}  // namespace
}  // namespace raftkv
