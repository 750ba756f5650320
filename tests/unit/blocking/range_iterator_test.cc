// Does an iterator show all pages of a range, from one state, and how far does it read ahead?
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

#include "tests/support/node/idle_kv.h"

namespace raftkv {
namespace {

/// Answers each page of a scan, at once or when told to, with what stands next in a list.
class ScriptedKv final : public test::IdleKv {
 public:
  void ScanAsync(KeyRange, ScanOptions options, Callback<ScanResult> done) override {
    asked.push_back(options);
    auto page = asked.size() <= pages.size()
                    ? pages[asked.size() - 1]
                    : Result<ScanResult>(Status(Code::kIOError, "no page"));
    if (!late) return done(std::move(page));
    open = [done = std::move(done), page = std::move(page)] { done(page); };
  }

  static ScanResult Page(const std::vector<std::string>& keys, std::string continuation) {
    ScanResult page;
    for (const std::string& key : keys) page.kvs.push_back({key, "v", 1});
    page.count = 100;
    page.more = !continuation.empty();
    page.revision = 7;
    page.store_revision = continuation.empty() ? 9 : 8;
    page.continuation = std::move(continuation);
    return page;
  }

  std::vector<Result<ScanResult>> pages;
  std::vector<ScanOptions> asked;
  bool late = false;
  std::function<void()> open;
};

std::string Rest(RangeIterator& it) {
  std::string keys;
  while (it.Next()) keys += it->key;
  return keys;
}

TEST(RangeIterator, ShowsAllPagesAndCountsThem) {
  ScriptedKv kv;
  kv.pages = {ScriptedKv::Page({"a", "b"}, "1"), ScriptedKv::Page({"c"}, "2"),
              ScriptedKv::Page({"d", "e"}, "")};
  RangeIterator it = kv.Range(KeyRange::Prefix(""));
  EXPECT_EQ(it.revision(), 0U);
  EXPECT_EQ(it.store_revision(), 0U);
  ASSERT_TRUE(it.Next());
  EXPECT_EQ(it.revision(), 7U);
  EXPECT_EQ(it.store_revision(), 8U);
  EXPECT_EQ((*it).key, "a");
  EXPECT_EQ(Rest(it), "bcde");
  EXPECT_EQ(it.store_revision(), 8U) << "as of the first page";
  EXPECT_TRUE(it.status().ok());
  EXPECT_EQ(it.count(), 5U);
  EXPECT_FALSE(it.more());
  EXPECT_FALSE(it.Next()) << "and stays there";
  EXPECT_EQ(kv.asked[2].continuation, "2");
  EXPECT_GT(kv.asked[0].page_bytes, 0U) << "pages are small";
  EXPECT_TRUE(kv.asked[0].skip_count) << "it counts what it shows";
}

TEST(RangeIterator, AsksForOnePageAheadAndNoMore) {
  ScriptedKv kv;
  kv.pages = {ScriptedKv::Page({"a", "b"}, "1"), ScriptedKv::Page({"c", "d"}, "2"),
              ScriptedKv::Page({"e"}, "")};
  RangeIterator it = kv.Range(KeyRange::Prefix(""));
  EXPECT_EQ(kv.asked.size(), 1U);
  for (const std::size_t asked : {2, 2, 3, 3, 3}) {
    ASSERT_TRUE(it.Next());
    EXPECT_EQ(kv.asked.size(), asked);
  }
  EXPECT_FALSE(it.Next());
  EXPECT_EQ(kv.asked.size(), 3U);
}

TEST(RangeIterator, StopsAtItsLimitOverPages) {
  for (std::uint64_t limit = 1; limit <= 5; ++limit) {
    ScriptedKv kv;
    // A server keeps to the limit of each page.
    std::vector<std::string> keys = {"a", "b", "c", "d"};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      kv.pages.emplace_back(
          ScriptedKv::Page({keys[i]}, i + 1 < keys.size() ? std::string("x") : std::string()));
    }
    ScanOptions options;
    options.limit = limit;
    RangeIterator it = kv.Range(KeyRange::Prefix(""), options);
    EXPECT_EQ(Rest(it).size(), std::min<std::uint64_t>(limit, 4)) << limit;
    EXPECT_EQ(it.more(), limit < 4) << limit;
    EXPECT_EQ(it.count(), 100U) << "of the whole range";
    EXPECT_EQ(kv.asked.back().limit, limit + 1 - kv.asked.size());
  }
}

TEST(RangeIterator, EndsWithWhatWentWrongAfterThePairsBeforeIt) {
  ScriptedKv kv;
  kv.pages = {ScriptedKv::Page({"a"}, "1"), Status(Code::kCompacted, "gone")};
  RangeIterator it = kv.Range(KeyRange::Prefix(""));
  EXPECT_EQ(Rest(it), "a");
  EXPECT_EQ(it.status().code(), Code::kCompacted);
  EXPECT_FALSE(it.Next());
  EXPECT_EQ(kv.asked.size(), 2U) << "nothing is begun again behind its back";
}

TEST(RangeIterator, ACountAndASortedRangeHaveOnePage) {
  ScriptedKv kv;
  kv.pages = {ScriptedKv::Page({}, "")};
  ScanOptions options;
  options.count_only = true;
  RangeIterator count = kv.Range(KeyRange::Prefix(""), options);
  EXPECT_FALSE(count.Next());
  EXPECT_EQ(count.count(), 100U);
  kv.asked.clear();
  kv.pages = {ScriptedKv::Page({"b", "a"}, "")};
  kv.pages[0]->more = true;  // the limit ended it
  options = {};
  options.order = OrderBy::kVersion;
  options.limit = 2;
  RangeIterator sorted = kv.Range(KeyRange::Prefix(""), options);
  EXPECT_EQ(Rest(sorted), "ba");
  EXPECT_TRUE(sorted.more());
  EXPECT_TRUE(sorted.status().ok());
}

TEST(RangeIterator, MayGoBeforeItsPageIsThere) {
  ScriptedKv kv;
  kv.late = true;
  kv.pages = {ScriptedKv::Page({"a"}, "1")};
  { const RangeIterator it = kv.Range(KeyRange::Prefix("")); }
  kv.open();
}

TEST(RangeIterator, MayBeMoved) {
  ScriptedKv kv;
  kv.pages = {ScriptedKv::Page({"a"}, "1"), ScriptedKv::Page({"b"}, "")};
  RangeIterator first = kv.Range(KeyRange::Prefix(""));
  ASSERT_TRUE(first.Next());
  RangeIterator second = std::move(first);
  EXPECT_EQ(second->key, "a");
  EXPECT_EQ(Rest(second), "b");
}

}  // namespace
}  // namespace raftkv
