#include "lib/kv/held_views.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/continuation.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using test::AppliedLog;

/// A member that keeps at most three views.
class KvHeldViews : public testing::Test {
 protected:
  KvHeldViews() { log_.Apply({PutOp{"a", "old"}, PutOp{"m", "old"}, PutOp{"z", "old"}}); }

  /// One page: with room for one pair unless told otherwise.
  Result<ScanResult> Page(const ReadOp& read, std::size_t max_bytes = 1) {
    const auto answer = kv::Read(log_.engine(), ReadTier::kAll, EncodeReadRequest({read}).view(),
                                 max_bytes, kMaxVisitedBytes, &views_);
    if (!answer.ok()) return answer.status();
    auto results = DecodeReadResponse(answer->view());
    if (!results.ok()) return results.status();
    return std::move(results->front());
  }
  Result<ScanResult> Next(const ScanResult& page, std::size_t max_bytes = 1) {
    ReadOp read = scan_;
    const auto revision = ContinueAt(page.continuation, read);
    if (!revision.ok()) return revision.status();
    EXPECT_EQ(*revision, page.revision);
    return Page(read, max_bytes);
  }
  ScanResult First() {
    auto page = Page(scan_);
    EXPECT_TRUE(page.ok()) << page.status().ToString();
    return page.ok() ? *std::move(page) : ScanResult();
  }
  void WriteAll(const std::string& value) {
    log_.Apply({PutOp{"a", value}, PutOp{"m", value}, PutOp{"z", value}});
  }

  const ReadOp scan_{Range::From(KeyRange::Prefix("")), 0, false, false, Hold::kWhereFull};
  MonoTime now_{};
  AppliedLog log_;
  HeldViews views_{7, [this] { return now_; }, {.max_views = 3}};
};

TEST_F(KvHeldViews, AllPagesOfAScanAreOfOneState) {
  ScanResult page = First();
  const std::uint64_t revision = page.revision;
  for (const char* key : {"a", "m", "z"}) {
    ASSERT_EQ(page.kvs.size(), 1U);
    EXPECT_EQ(page.kvs[0].key, key);
    EXPECT_EQ(page.kvs[0].value, "old");
    EXPECT_LE(page.kvs[0].mod_revision, page.revision);
    EXPECT_EQ(page.revision, revision);
    EXPECT_EQ(page.more, key[0] != 'z');
    WriteAll("new");
    log_.Apply({DeleteOp{Range::Single("z")}, PutOp{"n", "another"}});
    if (page.more) page = *Next(page);
  }
  EXPECT_TRUE(page.continuation.empty());
  EXPECT_EQ(First().kvs[0].value, "new");
}

TEST_F(KvHeldViews, OnlyAPageThatAnotherOneMayFollowKeepsItsState) {
  EXPECT_TRUE(Page(scan_, 1 << 20)->continuation.empty());
  ReadOp never = scan_;
  never.hold = Hold::kNever;
  EXPECT_TRUE(Page(never)->more);
  ReadOp limited = scan_;
  limited.limit = 1;
  EXPECT_TRUE(Page(limited, 1 << 20)->continuation.empty());
  ReadOp count = scan_;
  count.count_only = true;
  count.limit = 1;
  count.hold = Hold::kAlways;
  EXPECT_TRUE(Page(count)->continuation.empty());
  EXPECT_EQ(views_.size(), 0U);
  limited.hold = Hold::kAlways;
  EXPECT_FALSE(Page(limited, 1 << 20)->continuation.empty());
  EXPECT_EQ(views_.size(), 1U);
}

TEST_F(KvHeldViews, APageMayBeAskedForAgainAlsoTheLast) {
  const ScanResult first = First();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Next(first)->kvs[0].key, "m");
  WriteAll("new");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Next(first, 1 << 20)->kvs.back().value, "old");
  now_ += seconds(5);
  EXPECT_EQ(Next(first).code(), Code::kCompacted) << "the scan has ended";
  EXPECT_EQ(views_.size(), 0U);
}

TEST_F(KvHeldViews, AStateGoesWhenItIsIdleOrOld) {
  const ScanResult idle = First();
  now_ += seconds(29);
  EXPECT_TRUE(Next(idle).ok()) << "and is used by that";
  now_ += seconds(29);
  EXPECT_TRUE(Next(idle).ok());
  now_ += seconds(30);
  EXPECT_EQ(Next(idle).code(), Code::kCompacted);
  const ScanResult old = First();
  const MonoTime made = now_;
  for (now_ += seconds(20); now_ < made + minutes(10); now_ += seconds(20)) {
    ASSERT_TRUE(Next(old).ok());
  }
  EXPECT_EQ(Next(old).code(), Code::kCompacted) << "whatever is done with it";
}

TEST_F(KvHeldViews, WhatTimeHasEndedGoesWithoutBeingAskedFor) {
  First();
  First();
  now_ += seconds(29);
  views_.Sweep();
  EXPECT_EQ(views_.size(), 2U);
  now_ += seconds(1);
  views_.Sweep();
  EXPECT_EQ(views_.size(), 0U);
}

TEST_F(KvHeldViews, TooManyStatesEndTheOneThatWasNotUsedForTheLongestTime) {
  std::vector<ScanResult> pages;
  for (int i = 0; i < 3; ++i) {
    now_ += seconds(1);
    pages.push_back(First());
  }
  now_ += seconds(1);
  EXPECT_TRUE(Next(pages[0]).ok());
  First();
  EXPECT_EQ(views_.size(), 3U);
  EXPECT_EQ(Next(pages[1]).code(), Code::kCompacted);
  EXPECT_TRUE(Next(pages[0]).ok());
  EXPECT_TRUE(Next(pages[2], 1 << 20).ok()) << "to its end";
  First();
  EXPECT_EQ(Next(pages[2]).code(), Code::kCompacted) << "an ended one goes first";
  EXPECT_TRUE(Next(pages[0]).ok());
}

TEST_F(KvHeldViews, NoStateOfAnotherMemberOrAnEarlierOpenIsTaken) {
  const ScanResult page = First();
  HeldViews other{8, [this] { return now_; }};
  ReadOp next = scan_;
  ASSERT_TRUE(ContinueAt(page.continuation, next).ok());
  const Bytes request = EncodeReadRequest({next});
  EXPECT_EQ(kv::Read(log_.engine(), ReadTier::kAll, request.view(), 1, 1 << 20, &other).code(),
            Code::kCompacted);
  EXPECT_EQ(kv::Read(log_.engine(), ReadTier::kAll, request.view(), 1).code(), Code::kCompacted);
  views_.Clear();
  EXPECT_EQ(Next(page).code(), Code::kCompacted);
}

TEST_F(KvHeldViews, AContinuationIsCheckedWhereItEnters) {
  const ScanResult page = First();
  ReadOp read = scan_;
  EXPECT_EQ(ContinueAt("short", read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(page.continuation.substr(0, 16), read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(page.continuation.substr(0, 24), read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(std::string(25, '\0'), read).code(), Code::kInvalidArgument);
  for (const KeyRange& another : {KeyRange{"b", ""}, KeyRange{"", "a"}}) {
    read.range = Range::From(another);
    EXPECT_EQ(ContinueAt(page.continuation, read).code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace raftkv::kv
