// Are all pages of a scan of one revision, whatever is written meanwhile and whichever store
// answers?
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/continuation.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

class KvPages : public testing::Test {
 protected:
  KvPages() { WriteAll("old"); }

  /// One page of `log`: with room for one pair unless told otherwise.
  static Result<ScanResult> Page(AppliedLog& log, const ReadOp& read, std::size_t max_bytes = 1) {
    const auto answer =
        kv::Read(log.engine(), ReadTier::kAll, EncodeReadRequest({read}).view(), max_bytes);
    if (!answer.ok()) return answer.status();
    auto results = DecodeReadResponse(answer->view());
    if (!results.ok()) return results.status();
    CompletePage(read, results->front());
    return std::move(results->front());
  }
  Result<ScanResult> Next(AppliedLog& log, const ScanResult& page, std::size_t max_bytes = 1) {
    ReadOp read = scan_;
    if (Status status = ContinueAt(page.continuation, read); !status.ok()) return status;
    return Page(log, read, max_bytes);
  }
  ScanResult First() {
    auto page = Page(log_, scan_);
    EXPECT_TRUE(page.ok()) << page.status().ToString();
    return page.ok() ? *std::move(page) : ScanResult();
  }
  void WriteAll(const std::string& value) {
    log_.Apply({PutOp{"a", value}, PutOp{"m", value}, PutOp{"z", value}});
  }

  ReadOp scan_{.range = Range::From(KeyRange::Prefix(""))};
  AppliedLog log_;
};

TEST_F(KvPages, ShowOneRevision) {
  for (const bool reverse : {false, true}) {
    scan_.order.descending = reverse;
    WriteAll("old");
    ScanResult page = First();
    const std::uint64_t revision = page.revision;
    const std::vector<std::string> keys = {"a", "m", "z"};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      ASSERT_EQ(page.kvs.size(), 1U);
      EXPECT_EQ(page.kvs[0].key, keys[reverse ? 2 - i : i]);
      EXPECT_EQ(page.kvs[0].value, "old");
      EXPECT_LE(page.kvs[0].mod_revision, page.revision);
      EXPECT_EQ(page.revision, revision);
      EXPECT_EQ(page.more, i < 2);
      EXPECT_EQ(page.continuation.empty(), !page.more);
      WriteAll("new");
      log_.Apply({DeleteOp{Range::Single("z")}, PutOp{"n", "another"}});
      if (!page.more) break;
      auto next = Next(log_, page);
      ASSERT_TRUE(next.ok()) << next.status().ToString();
      page = *std::move(next);
    }
    log_.Apply({DeleteOp{Range::Single("n")}});
  }
}

TEST_F(KvPages, OfThePastShowThat) {
  scan_.revision = 3;
  const ScanResult first = First();
  EXPECT_EQ(first.revision, 3U);
  EXPECT_EQ(first.store_revision, log_.store().revisions().revision);
  EXPECT_GT(first.store_revision, 3U);
  EXPECT_TRUE(first.more);
  const auto second = Next(log_, first);
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->kvs.at(0).key, "m");
  EXPECT_EQ(second->revision, 3U);
  EXPECT_FALSE(second->more) << "z came later";
}

TEST_F(KvPages, MayBeAskedForAgainAndAfterARestart) {
  const ScanResult first = First();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Next(log_, first)->kvs[0].key, "m");
  WriteAll("new");
  log_.Reopen();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Next(log_, first, 1 << 20)->kvs.back().value, "old");
}

TEST_F(KvPages, AnyStoreThatHasComeToTheRevisionAnswers) {
  const ScanResult first = First();
  AppliedLog other;
  EXPECT_EQ(Next(other, first).code(), Code::kInvalidArgument) << "it has not come to it yet";
  other.Apply({PutOp{"a", "old"}, PutOp{"m", "old"}, PutOp{"z", "old"}});
  other.Apply({PutOp{"m", "new"}});
  const auto second = Next(other, first);
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->kvs.at(0).value, "old");
}

TEST_F(KvPages, EndWhereTheRevisionIsCompacted) {
  const ScanResult first = First();
  WriteAll("new");
  log_.Apply({CompactOp{first.revision}});
  EXPECT_TRUE(Next(log_, first).ok()) << "the bound itself can be read";
  log_.Apply({CompactOp{first.revision + 1}});
  EXPECT_EQ(Next(log_, first).code(), Code::kCompacted);
}

TEST_F(KvPages, AContinuationIsCheckedWhereItEnters) {
  const ScanResult page = First();
  ReadOp read = scan_;
  EXPECT_EQ(ContinueAt("short", read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(page.continuation.substr(0, 8), read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(page.continuation.substr(0, 16), read).code(), Code::kInvalidArgument);
  EXPECT_EQ(ContinueAt(std::string(17, '\0'), read).code(), Code::kInvalidArgument);
  for (const KeyRange& another : {KeyRange{"b", ""}, KeyRange{"", "a"}}) {
    read.range = Range::From(another);
    EXPECT_EQ(ContinueAt(page.continuation, read).code(), Code::kInvalidArgument);
  }
  read = scan_;
  read.revision = page.revision - 1;
  EXPECT_EQ(ContinueAt(page.continuation, read).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::kv
