// When is what stands in memory written for no other reason than to give the memory back?
#include "storage/member/idle_flush.h"

#include <gtest/gtest.h>

namespace raftkv::storage {
namespace {

constexpr std::uint64_t kMuch = 100 << 20;
constexpr std::uint64_t kLittle = 1 << 20;

/// How many looks of `looks` said that it is to be flushed; `step` is written between two.
int Flushes(IdleFlush& idle, std::uint64_t from, std::uint64_t step, int looks) {
  int flushes = 0;
  for (int i = 0; i < looks; ++i) flushes += idle.Look(from + i * step) ? 1 : 0;
  return flushes;
}

TEST(IdleFlush, ComesSomeSecondsAfterABurst) {
  IdleFlush idle;
  EXPECT_EQ(Flushes(idle, 0, 4 << 20, 30), 0) << "while it is written";
  EXPECT_EQ(Flushes(idle, 30 * (4 << 20), 0, 10), 0) << "at once";
  EXPECT_EQ(Flushes(idle, 30 * (4 << 20), 0, 20), 1);
}

TEST(IdleFlush, LeavesALittleAlone) {
  IdleFlush idle;
  EXPECT_EQ(Flushes(idle, kLittle, 0, 1000), 0);
  EXPECT_EQ(Flushes(idle, kLittle, 1 << 10, 1000), 0) << "a trickle";
}

TEST(IdleFlush, ATrickleIsWrittenOnceItIsWorthwhileAndNotAllTheTime) {
  IdleFlush idle;
  std::uint64_t bytes = 0;
  int flushes = 0;
  for (int look = 0; look < 10'000; ++look) {
    bytes += 10 << 10;
    if (!idle.Look(bytes)) continue;
    ++flushes;
    bytes = 0;
  }
  EXPECT_GE(flushes, 3);
  EXPECT_LE(flushes, 7);
}

TEST(IdleFlush, IsTriedAgainWhereItCouldNotBeDone) {
  IdleFlush idle;
  EXPECT_EQ(Flushes(idle, kMuch, 0, 1 + 25 * 3), 3);
}

TEST(IdleFlush, AnotherFlushIsNoQuiet) {
  IdleFlush idle;
  Flushes(idle, kMuch, 0, 24);
  EXPECT_FALSE(idle.Look(kMuch / 2));
  EXPECT_EQ(Flushes(idle, kMuch / 2, 0, 24), 0);
  EXPECT_EQ(Flushes(idle, kMuch / 2, 0, 1), 1);
}

}  // namespace
}  // namespace raftkv::storage
