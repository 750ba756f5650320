// Which calls take a revision, and what does a key carry of it?
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "lib/kv/parse.h"
#include "lib/kv/record.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

constexpr std::uint64_t kStart = AppliedLog::kStartMs;

/// Of `key`; version 0: there is none.
Counts CountsOf(AppliedLog& log, const std::string& key) {
  const auto& content = log.engine().content();
  const auto found = content.find(DataKey(key));
  if (found == content.end()) return {};
  const auto data = DecodeDataRecord(found->second);
  EXPECT_TRUE(data.ok()) << data.status().ToString();
  return data.ok() ? data->counts : Counts();
}

Operation Delete(std::string key) { return DeleteOp{Range::Single(std::move(key))}; }

/// Calls of the given sizes in one request.
Response ApplyCalls(AppliedLog& log, std::uint64_t sequence,
                    const std::vector<Operation>& operations,
                    const std::vector<std::size_t>& call_sizes) {
  return log.Apply(EncodeRequest({9, kStart, sequence, 0}, operations, call_sizes),
                   operations.size());
}

TEST(KvRevision, OfAnEmptyStoreIsOneAndTheFirstWriteIsTwo) {
  AppliedLog log;
  EXPECT_EQ(log.store().revisions().revision, 1U);
  EXPECT_EQ(log.store().revisions().compacted, 0U);
  EXPECT_EQ(log.Apply({PutOp{"a", "1"}}).revision, 1U) << "from before it";
  EXPECT_EQ(log.store().revisions().revision, 2U);
  EXPECT_EQ(CountsOf(log, "a"), (Counts{2, 2, 1, 0}));
}

TEST(KvRevision, CallsThatShareAnEntryHaveOneEach) {
  AppliedLog log;
  std::vector<Operation> puts;
  for (int i = 0; i < 64; ++i) puts.emplace_back(PutOp{"k" + std::to_string(i), "v"});
  EXPECT_EQ(log.Apply(puts).revision, 1U);
  EXPECT_EQ(log.last_answer().size(), 48U) << "the answer is as short as for one";
  for (std::uint64_t i = 0; i < 64; ++i) {
    EXPECT_EQ(CountsOf(log, "k" + std::to_string(i)), (Counts{i + 2, i + 2, 1, 0}));
  }
  EXPECT_EQ(log.store().revisions().revision, 65U);
}

TEST(KvRevision, ABatchIsOneCall) {
  AppliedLog log;
  const Response response = ApplyCalls(
      log, 1, {PutOp{"a", "1"}, PutOp{"b", "1"}, PutOp{"c", "1"}, Delete("a"), PutOp{"d", "1"}},
      {1, 3, 1});
  EXPECT_EQ(response.revision, 1U);
  EXPECT_EQ(CountsOf(log, "b").mod_revision, 3U);
  EXPECT_EQ(CountsOf(log, "c").mod_revision, 3U);
  EXPECT_EQ(CountsOf(log, "a").version, 0U);
  EXPECT_EQ(CountsOf(log, "d").mod_revision, 4U);
  EXPECT_EQ(log.store().revisions().revision, 4U);
}

TEST(KvRevision, WhatChangesNothingTakesNone) {
  AppliedLog log;
  log.Apply({PutOp{"k", "text"}});
  const std::vector<std::vector<Operation>> idle = {
      {Delete("none")},
      {DeleteOp{{Range::Kind::kBounded, "x", "z"}}},
      {DeleteOp{{Range::Kind::kBounded, "z", "a"}}},
      {CompareAndSwapOp{"k", "other", "new"}},
      {CompareAndSwapOp{"k", std::nullopt, "new"}},
      {CompareAndSwapOp{"none", "other", "new"}},
      {IncrementOp{"k", 1}},
      {Delete("none"), IncrementOp{"k", 1}, CompareAndSwapOp{"k", "other", "new"}}};
  for (const auto& operations : idle) {
    const Response response = log.Apply(operations);
    EXPECT_EQ(response.revision, 2U);
    for (const OperationResult& result : response.results) EXPECT_FALSE(result.changed);
    EXPECT_EQ(log.store().revisions().revision, 2U);
  }
  ApplyCalls(log, 1, {Delete("none"), Delete("nothing")}, {2});
  EXPECT_EQ(log.store().revisions().revision, 2U) << "a batch that changes nothing";
  log.Apply({PutOp{"k", "text"}});
  EXPECT_EQ(log.store().revisions().revision, 3U) << "a put of the same value is a change";
}

TEST(KvRevision, EachKindOfChangeTakesOneAndTheIdleOnesBetweenNone) {
  AppliedLog log;
  const Response response = log.Apply(
      {PutOp{"a", "1"}, Delete("none"), IncrementOp{"a", 1}, CompareAndSwapOp{"a", "9", "x"},
       CompareAndSwapOp{"a", "2", "x"}, IncrementOp{"a", 1}, Delete("a"),
       DeleteOp{{Range::Kind::kUnbounded, "", ""}}, CompareAndSwapOp{"a", std::nullopt, "y"},
       DeleteOp{{Range::Kind::kUnbounded, "", ""}}});
  std::string changed;
  for (const OperationResult& result : response.results) changed += result.changed ? "1" : "0";
  EXPECT_EQ(changed, "1010101011");
  EXPECT_EQ(response.revision, 1U);
  EXPECT_EQ(log.store().revisions().revision, 7U);
}

TEST(KvRevision, EntriesWithoutCommandsAndRefusedRequestsTakeNone) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}});
  ASSERT_TRUE(log.store().Apply({test::NoopEntry(2, kStart)}).ok());
  EXPECT_EQ(log.store().revisions().revision, 2U);
  const Response refused = log.Apply({8, kStart + 1, 1, 0}, {PutOp{"a", "2"}});
  EXPECT_EQ(refused.code, Code::kSessionExpired) << "opened in the future";
  EXPECT_EQ(refused.revision, 2U);
  EXPECT_EQ(log.store().revisions().revision, 2U);
  EXPECT_EQ(log.store().applied(), Index(3));
}

TEST(KvRevision, ARetryIsToldTheSameAlsoAfterARestart) {
  AppliedLog log;
  const std::vector<Operation> mixed = {PutOp{"a", "1"}, Delete("none"), PutOp{"b", "1"}};
  const std::vector<Operation> puts = {PutOp{"a", "1"}, PutOp{"b", "1"}};
  log.Apply({7, kStart, 1, 0}, mixed);
  const Bytes first = log.last_answer();
  log.Apply({7, kStart, 2, 0}, puts);
  const Bytes second = log.last_answer();
  for (const bool reopened : {false, true}) {
    if (reopened) log.Reopen();
    log.Apply({8, kStart, reopened ? 2U : 1U, 0}, {PutOp{"other", "1"}});
    const std::uint64_t revision = log.store().revisions().revision;
    log.Apply({7, kStart, 1, 0}, mixed);
    EXPECT_EQ(log.last_answer(), first);
    log.Apply({7, kStart, 2, 0}, puts);
    EXPECT_EQ(log.last_answer(), second);
    EXPECT_EQ(log.store().revisions().revision, revision);
    EXPECT_EQ(CountsOf(log, "a"), (Counts{4, 2, 2, 0}));
  }
}

TEST(KvRevision, GoesOnAfterARestart) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  log.Reopen();
  EXPECT_EQ(log.store().revisions().revision, 3U);
  log.Apply({PutOp{"a", "3"}});
  EXPECT_EQ(CountsOf(log, "a"), (Counts{4, 2, 3, 0}));
}

// Known bug 54: a key that is created again carries counts of its former life. With caches that
// hold all, a few and no keys; before and after the entry was written; over a restart.
TEST(KvRevision, AKeyThatIsCreatedAgainBeginsAnew) {
  for (const std::size_t cache : {64 << 20, 300, 0}) {
    for (const bool reopen : {false, true}) {
      for (const bool in_ranges : {false, true}) {
        AppliedLog log(StoreOptions{.counts_cache_bytes = cache});
        const Operation deletion =
            in_ranges ? Operation(DeleteOp{{Range::Kind::kBounded, "a", "c"}}) : Delete("a");
        log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}, PutOp{"b", "1"}});
        if (reopen) log.Reopen();
        log.Apply({deletion});
        if (reopen) log.Reopen();
        log.Apply({PutOp{"a", "3"}});
        EXPECT_EQ(CountsOf(log, "a"), (Counts{6, 6, 1, 0}));
        log.Apply({PutOp{"a", "4"}, deletion, PutOp{"a", "5"}, PutOp{"a", "6"}});
        EXPECT_EQ(CountsOf(log, "a"), (Counts{10, 9, 2, 0})) << "all in one entry";
      }
    }
  }
}

TEST(KvRevision, AQuickApplyIsOneWhoseCountsAreInMemory) {
  AppliedLog log;
  log.Apply({PutOp{"known", "1"}});
  log.Reopen();
  const auto put = [&](const std::string& key) {
    return std::vector<raft::Entry>{
        test::CommandEntry(log.store().applied().value + 1, kStart,
                           EncodeRequest({5, kStart, 1, 0}, {PutOp{key, "2"}}))};
  };
  log.engine().SetInMemory(false);
  EXPECT_FALSE(log.store().IsQuick(put("known"), 1 << 20)) << "its record is on the disk";
  EXPECT_FALSE(log.store().IsQuick(put("new"), 1 << 20)) << "whether there is one is, too";
  log.engine().SetInMemory(true);
  EXPECT_TRUE(log.store().IsQuick(put("known"), 1 << 20));
  log.engine().SetInMemory(false);
  EXPECT_TRUE(log.store().IsQuick(put("known"), 1 << 20)) << "it was noted";
  EXPECT_FALSE(log.store().IsQuick(put("known"), 10)) << "too long";
  const std::size_t views = log.engine().views();
  ASSERT_TRUE(log.store().Apply(put("known")).ok());
  EXPECT_EQ(log.engine().views(), views) << "the apply has read something";
  EXPECT_EQ(CountsOf(log, "known"), (Counts{3, 2, 2, 0}));
}

TEST(KvRevision, ARequestSaysWhichOperationsAreOfOneCall) {
  std::string bytes(
      EncodeRequest({7, kStart, 1, 0}, {PutOp{"a", "1"}, PutOp{"b", "1"}}, {2}).view());
  ASSERT_TRUE(ValidateRequest(bytes, {}).ok());
  MessageBytes storage;
  ParsedRequest parsed;
  ASSERT_TRUE(ParseRequest(bytes, 10, storage, parsed).ok());
  EXPECT_FALSE(parsed.operations[0].same_call);
  EXPECT_TRUE(parsed.operations[1].same_call);
  EXPECT_EQ(bytes.size(),
            EncodeRequest({7, kStart, 1, 0}, {PutOp{"a", "1"}, PutOp{"b", "1"}}).size())
      << "calls cost nothing";
}

TEST(KvDataRecord, ComesBackAsItWas) {
  for (const Counts& counts : {Counts{1, 1, 1, 0}, Counts{127, 127, 127, 127},
                               Counts{128, 128, 128, 128}, Counts{1'000'000'000'000, 5, 300, 0},
                               Counts{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}}) {
    char header[kMaxDataHeaderBytes];
    const std::string record = std::string(header, EncodeDataHeader(counts, header)) + "value";
    const auto data = DecodeDataRecord(record);
    ASSERT_TRUE(data.ok()) << data.status().ToString();
    EXPECT_EQ(data->counts, counts);
    EXPECT_EQ(data->value, "value");
    for (std::size_t size = 1; size < record.size() - 5; ++size) {
      EXPECT_EQ(DecodeDataRecord(record.substr(0, size)).code(), Code::kCorruption) << size;
    }
  }
}

TEST(KvDataRecord, WhatMakesNoSenseIsDamage) {
  const std::string too_long = "\x02" + std::string(9, '\xff') + "\x02";
  for (const std::string& record :
       {std::string("\x02\x00\x00\x01\x00", 5), std::string("\x02\x01\x02\x01\x00", 5),
        std::string("\x02\x01\x01\x00\x00", 5), too_long + std::string("\x01\x01\x00", 3),
        std::string(1, '\0') + "\x01\x01\x01", std::string()}) {
    EXPECT_EQ(DecodeDataRecord(record).code(), Code::kCorruption);
  }
}

}  // namespace
}  // namespace raftkv::kv
