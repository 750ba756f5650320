// Does the cache only ever say what is so, and does it keep what is used within its bound?
#include "lib/kv/counts_cache.h"

#include <map>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "lib/base/random.h"

namespace raftkv::kv {
namespace {

Counts Of(std::uint64_t revision, std::uint64_t version = 1) {
  return {.mod_revision = revision, .create_revision = 1, .version = version, .lease = 0};
}

/// nullopt: not known.
std::optional<Counts> Found(CountsCache& cache, const std::string& key) {
  const Counts* const found = cache.Find(key);
  return found == nullptr ? std::nullopt : std::optional<Counts>(*found);
}

std::string Key(std::uint64_t number) { return "key" + std::to_string(number); }

TEST(CountsCache, SaysWhatWasPutLast) {
  CountsCache cache(64 << 10);
  EXPECT_FALSE(Found(cache, "a").has_value());
  cache.Put("a", Of(2));
  cache.Put("", Of(3));
  cache.Put("a", Of(4, 2));
  EXPECT_EQ(Found(cache, "a"), Of(4, 2));
  EXPECT_EQ(Found(cache, ""), Of(3));
  EXPECT_EQ(cache.size(), 2U);
}

TEST(CountsCache, KnowsThatAKeyIsAbsent) {
  CountsCache cache(64 << 10);
  cache.Forget("a");
  EXPECT_FALSE(Found(cache, "a").has_value()) << "nothing was known of it";
  cache.Put("a", Of(2));
  cache.Forget("a");
  EXPECT_EQ(Found(cache, "a"), Counts());
}

TEST(CountsCache, WithoutMemoryItHoldsNothing) {
  for (const std::size_t bytes : {0, 1, 63, 64, 150}) {
    CountsCache cache(bytes);
    cache.Put("a", Of(2));
    cache.Forget("a");
    EXPECT_FALSE(Found(cache, "a").has_value()) << bytes;
  }
}

TEST(CountsCache, AKeyThatIsLargeForItIsNotKept) {
  CountsCache cache(64 << 10);
  cache.Put("small", Of(2));
  cache.Put(std::string(60 << 10, 'k'), Of(3));
  EXPECT_FALSE(Found(cache, std::string(60 << 10, 'k')).has_value());
  EXPECT_EQ(Found(cache, "small"), Of(2));
}

// Every size of cache, every place where the ring may wrap.
TEST(CountsCache, NeverSaysWhatIsNotSo) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Random dice(seed);
    CountsCache cache(200 + dice.Below(3000));
    std::map<std::string, Counts> model;
    std::uint64_t found = 0;
    for (std::uint64_t step = 1; step <= 3000; ++step) {
      std::string key = Key(dice.Below(60));
      if (dice.Below(8) == 0) key += std::string(dice.Below(90), 'x');
      const std::uint64_t draw = dice.Below(8);
      if (draw == 0) {
        cache.Forget(key);
        model[key] = {};
      } else if (draw < 4) {
        model[key] = Of(step, step);
        cache.Put(key, model[key]);
      } else if (const auto known = Found(cache, key); known.has_value()) {
        ASSERT_EQ(*known, model.at(key)) << "seed " << seed << " step " << step;
        ++found;
      }
    }
    ASSERT_GT(found, 0U) << "seed " << seed;
  }
}

TEST(CountsCache, KeepsWhatIsUsedWhileOthersPass) {
  CountsCache cache(16 << 10);
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    cache.Put("once" + std::to_string(i), Of(i + 1));
    const std::string often = Key(i % 20);
    if (Found(cache, often).has_value()) {
      ++kept;
    } else {
      cache.Put(often, Of(i + 1));
    }
  }
  EXPECT_GT(kept, 9'900U);
  EXPECT_FALSE(Found(cache, "once1").has_value());
}

TEST(CountsCache, HoldsAboutAsManyAsItHasRoomFor) {
  CountsCache cache(1 << 20);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    cache.Put("a key of thirty-five bytes, " + std::to_string(1'000'000 + i), Of(i + 1));
  }
  EXPECT_GT(cache.size(), (1U << 20) / 90);
  EXPECT_LT(cache.size(), (1U << 20) / 80);
}

}  // namespace
}  // namespace raftkv::kv
