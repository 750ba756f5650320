// Ranges in every order, with filters, limits and counts: what is shown of them, and in which
// pages?
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/continuation.h"
#include "lib/kv/order.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

constexpr std::size_t kRoom = 1 << 20;

std::string Keys(const std::vector<KeyValue>& kvs) {
  std::string keys;
  for (const KeyValue& kv : kvs) keys += kv.key + " ";
  return keys;
}

std::uint64_t NumberOf(const KeyValue& kv, OrderBy by) {
  switch (by) {
    case OrderBy::kModRevision: return kv.mod_revision;
    case OrderBy::kCreateRevision: return kv.create_revision;
    default: return kv.version;
  }
}

/// A store, and beside it a plain map of what it has to hold.
class KvOrder : public testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value) {
    Apply(PutOp{key, value});
    ++revision_;
    KeyValue& kv = expected_[key];
    kv.key = key;
    kv.value = value;
    kv.mod_revision = revision_;
    if (kv.version++ == 0) kv.create_revision = revision_;
  }
  void Apply(const Operation& operation) {
    ++sequence_;
    log_.Apply({.session = 7,
                .opened_at_ms = test::AppliedLog::kStartMs,
                .sequence = sequence_,
                .acknowledged_below = sequence_},
               {operation});
  }
  void Delete(const std::string& key) {
    Apply(DeleteOp{Range::Single(key)});
    if (expected_.erase(key) > 0) ++revision_;
  }
  void Fill(Random& random) {
    for (int i = 0; i < 120; ++i) {
      const std::string key = "k" + std::to_string(10 + random.Below(40));
      if (random.Below(5) == 0) {
        Delete(key);
      } else {
        Put(key, std::string(random.Below(4), static_cast<char>('a' + random.Below(3))));
      }
    }
  }

  [[nodiscard]] bool IsInRange(const Range& range, const std::string& key) const {
    if (range.kind == Range::Kind::kSingle) return key == range.begin;
    return key >= range.begin && (range.kind == Range::Kind::kUnbounded || key < range.end);
  }
  [[nodiscard]] std::uint64_t CountOf(const Range& range) const {
    std::uint64_t count = 0;
    for (const auto& [key, kv] : expected_) count += IsInRange(range, key) ? 1 : 0;
    return count;
  }
  /// All pairs that `read` may show, in its order; the limit is not taken.
  [[nodiscard]] std::vector<KeyValue> All(const ReadOp& read) const {
    const Order& order = read.order;
    const auto within = [](std::uint64_t number, std::uint64_t min, std::uint64_t max) {
      return number >= min && (max == 0 || number <= max);
    };
    std::vector<KeyValue> all;
    for (const auto& [key, kv] : expected_) {
      if (IsInRange(read.range, key) &&
          within(kv.mod_revision, order.min_mod_revision, order.max_mod_revision) &&
          within(kv.create_revision, order.min_create_revision, order.max_create_revision)) {
        all.push_back(kv);
      }
    }
    std::stable_sort(all.begin(), all.end(), [&](const KeyValue& x, const KeyValue& y) {
      const KeyValue& a = order.descending ? y : x;
      const KeyValue& b = order.descending ? x : y;
      if (order.by == OrderBy::kKey) return a.key < b.key;
      if (order.by == OrderBy::kValue) return a.value < b.value;
      return NumberOf(a, order.by) < NumberOf(b, order.by);
    });
    if (read.keys_only) {
      for (KeyValue& kv : all) kv.value.clear();
    }
    return all;
  }

  Result<std::vector<ReadAnswer>> Ask(const std::vector<ReadOp>& reads, std::size_t max_bytes,
                                      std::size_t max_visited_bytes = kMaxVisitedBytes) {
    const Bytes request = EncodeReadRequest(reads);
    EXPECT_TRUE(ValidateReadRequest(request.view(), Limits()).ok());
    const auto answer =
        kv::Read(log_.engine(), ReadTier::kAll, request.view(), max_bytes, max_visited_bytes);
    if (!answer.ok()) return answer.status();
    auto results = DecodeReadResponse(answer->view());
    for (std::size_t i = 0; results.ok() && i < results->size(); ++i) {
      CompletePage(reads[i], (*results)[i]);
    }
    return results;
  }
  ScanResult One(const ReadOp& read, std::size_t max_bytes = kRoom,
                 std::size_t max_visited_bytes = kMaxVisitedBytes) {
    auto results = Ask({read}, max_bytes, max_visited_bytes);
    EXPECT_TRUE(results.ok()) << results.status().ToString();
    return results.ok() ? std::move(results->front()) : ScanResult();
  }
  /// Page after page, each as SessionKv asks for it.
  ScanResult AllPages(const ReadOp& read, std::size_t max_bytes, std::size_t max_visited_bytes) {
    ScanResult all = One(read, max_bytes, max_visited_bytes);
    std::string continuation = all.continuation;
    while (!continuation.empty()) {
      ReadOp next = read;
      EXPECT_TRUE(ContinueAt(continuation, next).ok());
      next.uncounted = true;
      ScanResult page = One(next, max_bytes, max_visited_bytes);
      CarryCount(continuation, page);
      EXPECT_EQ(page.count, all.count);
      all.kvs.insert(all.kvs.end(), page.kvs.begin(), page.kvs.end());
      all.more = page.more;
      continuation = page.continuation;
    }
    return all;
  }

  static Range DrawRange(Random& random) {
    const auto bound = [&] { return "k" + std::to_string(8 + random.Below(45)); };
    switch (random.Below(4)) {
      case 0: return Range::Single(bound());
      case 1: return {Range::Kind::kUnbounded, bound(), {}};
      case 2: return {Range::Kind::kUnbounded, {}, {}};
      default: return {Range::Kind::kBounded, bound(), bound()};
    }
  }
  ReadOp Draw(Random& random) {
    ReadOp read{.range = DrawRange(random)};
    read.keys_only = random.Below(3) == 0;
    read.order.by = static_cast<OrderBy>(random.Below(5));
    read.order.descending = random.Below(2) == 0;
    std::uint64_t* const bounds[] = {&read.order.min_mod_revision, &read.order.max_mod_revision,
                                     &read.order.min_create_revision,
                                     &read.order.max_create_revision};
    for (std::uint64_t* const bound : bounds) {
      if (random.Below(4) == 0) *bound = random.Below(revision_ + 3);
    }
    // Around what there is: one below, at, one above.
    const std::uint64_t size = All(read).size();
    switch (random.Below(4)) {
      case 0: read.limit = size + random.Below(3); break;
      case 1: read.limit = size > 0 ? size - 1 : 0; break;
      case 2: read.limit = 1 + random.Below(size + 1); break;
      default: break;
    }
    return read;
  }
  static std::string Describe(const ReadOp& read) {
    return "order " + std::to_string(static_cast<int>(read.order.by)) +
           (read.order.descending ? " descending" : "") + ", limit " + std::to_string(read.limit) +
           ", mod " + std::to_string(read.order.min_mod_revision) + ".." +
           std::to_string(read.order.max_mod_revision) + ", create " +
           std::to_string(read.order.min_create_revision) + ".." +
           std::to_string(read.order.max_create_revision);
  }
  static void ExpectPairs(const std::vector<KeyValue>& found, const std::vector<KeyValue>& all,
                          std::size_t shown) {
    ASSERT_EQ(found.size(), shown) << Keys(found) << "of " << Keys(all);
    for (std::size_t i = 0; i < shown; ++i) {
      EXPECT_EQ(found[i].key, all[i].key) << Keys(found) << "of " << Keys(all);
      EXPECT_EQ(found[i].value, all[i].value);
      EXPECT_EQ(found[i].mod_revision, all[i].mod_revision);
      EXPECT_EQ(found[i].create_revision, all[i].create_revision);
      EXPECT_EQ(found[i].version, all[i].version);
    }
  }

  test::AppliedLog log_;
  std::map<std::string, KeyValue> expected_;
  std::uint64_t revision_ = 1;
  std::uint64_t sequence_ = 0;
};

TEST_F(KvOrder, ShowsWhatAPlainSortAndFilterOfTheSameKeysDoes) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Random random{seed};
    Fill(random);
    for (int i = 0; i < 400; ++i) {
      const ReadOp read = Draw(random);
      SCOPED_TRACE(Describe(read) + ", seed " + std::to_string(seed));
      const std::vector<KeyValue> all = All(read);
      const ScanResult found = One(read);
      const bool cut = read.limit != 0 && all.size() > read.limit;
      ExpectPairs(found.kvs, all, cut ? read.limit : all.size());
      EXPECT_EQ(found.more, cut);
      EXPECT_EQ(found.count, CountOf(read.range));
      ReadOp uncounted = read;
      uncounted.uncounted = true;
      EXPECT_EQ(One(uncounted).count, found.kvs.size());
      EXPECT_EQ(One(uncounted).more, cut);
      ReadOp count = read;
      count.count_only = true;
      EXPECT_EQ(One(count).count, CountOf(read.range)) << "whatever the limit and the filters";
      EXPECT_FALSE(One(count).more);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST_F(KvOrder, PagesInTheOrderOfTheKeysRepeatAndSkipNothing) {
  Random random{77};
  Fill(random);
  for (int i = 0; i < 600; ++i) {
    ReadOp read = Draw(random);
    read.order.by = OrderBy::kKey;
    read.limit = 0;
    if (read.range.kind == Range::Kind::kSingle) read.range = {Range::Kind::kUnbounded, "", ""};
    const bool by_size = random.Below(2) == 0;
    if (random.Below(3) == 0) read.max_bytes = 1 + static_cast<std::uint32_t>(random.Below(400));
    SCOPED_TRACE(Describe(read));
    const ScanResult found = AllPages(read, by_size ? 1 + random.Below(400) : kRoom,
                                      by_size ? kMaxVisitedBytes : 1 + random.Below(6000));
    const std::vector<KeyValue> all = All(read);
    ExpectPairs(found.kvs, all, all.size());
    EXPECT_EQ(found.count, CountOf(read.range));
    EXPECT_FALSE(found.more);
    if (testing::Test::HasFailure()) return;
  }
}

TEST_F(KvOrder, PagesOfALimitRepeatAndSkipNothing) {
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(key, "v");
  for (const bool reverse : {false, true}) {
    for (std::uint64_t limit = 1; limit <= 6; ++limit) {
      ReadOp read{.range = {Range::Kind::kUnbounded, "", ""}, .limit = limit};
      read.order.descending = reverse;
      const ScanResult found = AllPages(read, kRoom, kMaxVisitedBytes);
      EXPECT_EQ(Keys(found.kvs), reverse ? "e d c b a " : "a b c d e ") << limit;
      EXPECT_EQ(found.count, 5U);
    }
  }
}

TEST_F(KvOrder, AReverseScanStaysInItsRange) {
  for (const char* key : {"a", "b", "b1", "c", "\xff\xff"}) Put(key, "v");
  const auto keys = [&](const Range& range) {
    ReadOp read{.range = range};
    read.order.descending = true;
    return Keys(One(read).kvs);
  };
  EXPECT_EQ(keys(Range::From(KeyRange::Prefix("b"))), "b1 b ");
  EXPECT_EQ(keys(Range::From(KeyRange::FromKey("b1"))), "\xff\xff c b1 ");
  EXPECT_EQ(keys(Range::From(KeyRange::Single("b"))), "b ");
  EXPECT_EQ(keys(Range::From({"a", "a"})), "");
  EXPECT_EQ(keys(Range::From({"c", "a"})), "");
  EXPECT_EQ(keys(Range::From(KeyRange::Prefix("\xff"))), "\xff\xff ");
  EXPECT_EQ(keys(Range::From(KeyRange::Prefix("x"))), "");
}

class KvSort : public KvOrder {
 protected:
  /// What each counts for: six words, its key and its value.
  static constexpr std::size_t kPairBytes = 8 * (6 + 1 + 1);
  KvSort() {
    for (const char* key : {"a", "b", "c", "d", "e"}) Put(key, "v");
  }
  static ReadOp Newest(std::uint64_t limit) {
    ReadOp read{.range = {Range::Kind::kUnbounded, "", ""}, .limit = limit};
    read.order = {.by = OrderBy::kModRevision, .descending = true};
    return read;
  }
};

TEST_F(KvSort, WhatDoesNotFitIsRefusedAndNotShownInPart) {
  EXPECT_EQ(Keys(One(Newest(0), 5 * kPairBytes).kvs), "e d c b a ");
  const auto refused = Ask({Newest(0)}, 5 * kPairBytes - 1);
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("order by key"), std::string::npos)
      << refused.status().ToString();
  EXPECT_EQ(Keys(One(Newest(2), 2 * kPairBytes).kvs), "e d ") << "a limit needs only as much";
  EXPECT_EQ(Ask({Newest(3)}, 2 * kPairBytes).code(), Code::kInvalidArgument);
  EXPECT_EQ(Keys(One(Newest(1), 1).kvs), "e ") << "one pair always has room";
  ReadOp keys_only = Newest(0);
  keys_only.keys_only = true;
  EXPECT_EQ(Keys(One(keys_only, 5 * (kPairBytes - 8)).kvs), "e d c b a ");
}

TEST_F(KvSort, OnlyTheFirstOfARequestIsRefusedLaterOnesAreLeftOut) {
  const ReadOp get{.range = Range::Single("a")};
  const auto results = Ask({get, Newest(0), get}, 3 * kPairBytes);
  ASSERT_TRUE(results.ok()) << results.status().ToString();
  EXPECT_TRUE((*results)[1].more);
  EXPECT_TRUE((*results)[1].kvs.empty());
  EXPECT_EQ((*results)[1].count, 0U);
  EXPECT_EQ(Keys((*results)[2].kvs), "a ") << "it took no room";
}

TEST_F(KvSort, TooMuchWorkLeavesALaterOneOutAndNeverTheFirst) {
  const ReadOp get{.range = Range::Single("a")};
  EXPECT_EQ(Keys(One(Newest(1), kRoom, /*max_visited_bytes=*/1).kvs), "e ");
  const auto results = Ask({get, Newest(1)}, kRoom, /*max_visited_bytes=*/600);
  ASSERT_TRUE(results.ok());
  EXPECT_TRUE((*results)[1].more);
  EXPECT_EQ((*results)[1].count, 0U);
}

TEST_F(KvSort, HasNoFurtherPages) {
  const ScanResult found = One(Newest(2));
  EXPECT_TRUE(found.more);
  EXPECT_EQ(found.continuation, "");
}

TEST_F(KvOrder, AFilterThatFindsLittleGetsOnWithBoundedWork) {
  for (int i = 0; i < 50; ++i) Put("k" + std::to_string(10 + i), "v");
  Put("k30", "new");
  Put("k55", "new");
  ReadOp read{.range = {Range::Kind::kUnbounded, "", ""}};
  read.uncounted = true;
  read.order.min_mod_revision = revision_ - 1;
  const ScanResult first = One(read, kRoom, /*max_visited_bytes=*/600);
  EXPECT_EQ(Keys(first.kvs), "k30 ") << "the first read gets on until it has a pair";
  EXPECT_TRUE(first.more);
  EXPECT_EQ(Keys(AllPages(read, kRoom, 600).kvs), "k30 k55 ");
  const ReadOp get{.range = Range::Single("k10")};
  const auto later = Ask({get, read}, kRoom, 2000);
  ASSERT_TRUE(later.ok());
  EXPECT_TRUE((*later)[1].kvs.empty());
  EXPECT_TRUE((*later)[1].more) << "asked for again, where it is the first";
}

TEST_F(KvOrder, APageKeepsToItsBytesAndHasAPair) {
  for (const char* key : {"a", "b", "c"}) Put(key, "12345678");
  ReadOp read{.range = {Range::Kind::kUnbounded, "", ""}};
  const std::vector<std::pair<std::uint32_t, std::string>> pages = {
      {1, "a "}, {127, "a "}, {128, "a b "}, {129, "a b "}, {191, "a b "}, {192, "a b c "}};
  for (const auto& [bytes, keys] : pages) {
    read.max_bytes = bytes;
    const ScanResult page = One(read);
    EXPECT_EQ(Keys(page.kvs), keys) << bytes;
    EXPECT_EQ(page.more, keys != "a b c ") << bytes;
    EXPECT_EQ(page.continuation.empty(), !page.more) << bytes;
    EXPECT_EQ(page.count, 3U);
  }
}

TEST_F(KvOrder, ThePastIsShownInEveryOrderAndCounted) {
  for (const char* key : {"b", "a", "c"}) Put(key, "old");
  const std::uint64_t past = revision_;
  for (const char* key : {"c", "d", "a"}) Put(key, "new");
  ReadOp read{.range = {Range::Kind::kUnbounded, "", ""}, .revision = past};
  EXPECT_EQ(Keys(One(read).kvs), "a b c ");
  read.order.descending = true;
  read.limit = 2;
  const ScanResult reverse = One(read);
  EXPECT_EQ(Keys(reverse.kvs), "c b ");
  EXPECT_EQ(reverse.kvs.at(0).value, "old");
  EXPECT_EQ(reverse.count, 3U);
  EXPECT_TRUE(reverse.more);
  read.order.by = OrderBy::kModRevision;
  EXPECT_EQ(Keys(One(read).kvs), "c a ");
  read.order.max_mod_revision = past - 1;
  EXPECT_EQ(Keys(One(read).kvs), "a b ");
  read.count_only = true;
  EXPECT_EQ(One(read).count, 3U);
  read.revision = 0;
  EXPECT_EQ(One(read).count, 4U);
  read.revision = revision_ + 1;
  EXPECT_EQ(Ask({read}, kRoom).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::kv
