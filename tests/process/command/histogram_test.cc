// Does bench's histogram know a value to one percent, whatever its size?
#include "cmd/histogram.h"

#include <cstdint>
#include <memory>

#include <gtest/gtest.h>

namespace raftkv::cmd {
namespace {

TEST(Histogram, KnowsEachValueToOnePercent) {
  for (std::uint64_t value = 1; value < std::uint64_t{1} << 60; value = value * 5 / 3 + 1) {
    const auto histogram = std::make_unique<Histogram>();
    histogram->Record(value);
    histogram->Record(~std::uint64_t{0});  // else the maximum would hide the rounding
    const auto found = static_cast<double>(histogram->Quantile(0.5));
    EXPECT_GE(found, static_cast<double>(value));
    EXPECT_LE(found, static_cast<double>(value) * 1.01);
  }
}

TEST(Histogram, QuantilesOfManyValues) {
  const auto histogram = std::make_unique<Histogram>();
  EXPECT_EQ(histogram->Quantile(0.99), 0U);
  for (std::uint64_t value = 1; value <= 100; ++value) histogram->Record(value);
  EXPECT_EQ(histogram->count(), 100U);
  EXPECT_EQ(histogram->Quantile(0.5), 50U);
  EXPECT_EQ(histogram->Quantile(0.9), 90U);
  EXPECT_EQ(histogram->Quantile(0.99), 99U);
  EXPECT_EQ(histogram->Quantile(0.999), 100U);
  EXPECT_EQ(histogram->max(), 100U);
}

}  // namespace
}  // namespace raftkv::cmd
