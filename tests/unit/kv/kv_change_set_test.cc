// Is whoever is told of changes told each of them once, in order, by the entry itself and later by
// the engine alike?
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/change_set.h"
#include "lib/kv/layout.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

std::string Show(std::uint64_t revision, ChangeKind kind, std::string_view key) {
  return std::to_string(revision) + (kind == ChangeKind::kPut ? " put " : " delete ") +
         std::string(key);
}

std::vector<std::string> Show(const EntryChanges& entry) {
  std::vector<std::string> out;
  for (const Change& change : entry.changes()) {
    out.push_back(Show(change.revision, change.kind, change.key));
  }
  return out;
}

/// What the rows say that `entry` becomes.
std::vector<std::string> Logged(const EntryChanges& entry, std::size_t row_bytes) {
  std::vector<std::string> out;
  std::string before;
  for (const ChangeSetRow& row : EncodeChangeSets(entry, row_bytes)) {
    EXPECT_LT(before, row.key) << "in order of keys";
    before = row.key;
    const auto changes = DecodeChangeSet(row.key, row.value);
    EXPECT_TRUE(changes.ok()) << changes.status().ToString();
    if (!changes.ok()) return out;
    EXPECT_EQ(LastRevisionOfChangeSet(row.key), changes->back().revision);
    for (const LoggedChange& change : *changes) {
      out.push_back(Show(change.revision, change.kind, change.key));
    }
  }
  return out;
}

std::vector<std::string> ReadAll(AppliedLog& log, std::uint64_t from, std::size_t page_bytes) {
  std::vector<std::string> out;
  const auto view = log.engine().NewView(ReadTier::kAll);
  const std::uint64_t last = log.store().revisions().revision;
  while (from <= last) {
    const auto page = ReadChanges(*view, from, last, page_bytes);
    EXPECT_TRUE(page.ok()) << page.status().ToString();
    if (!page.ok()) return out;
    for (const auto& change : page->changes) {
      EXPECT_LE(change.revision, page->through);
      out.push_back(Show(change.revision, change.kind, change.key));
    }
    EXPECT_GE(page->through, from);
    from = page->through + 1;
  }
  return out;
}

Operation Delete(std::string key) { return DeleteOp{Range::Single(std::move(key))}; }

TEST(KvChangeSet, OfOneChangeIsShort) {
  EntryChanges entry{Bytes()};
  entry.Put(300, "key", "value", {300, 300, 1, 0});
  entry.Finish();
  const auto rows = EncodeChangeSets(entry);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].key, std::string("c\0\0\0\0\0\0\x01\x2c\0\0\0\0", 13));
  EXPECT_EQ(rows[0].value, std::string("\x02\0\0\x03key", 7));
}

TEST(KvChangeSet, RowsSayWhatWasPutIntoThemHoweverSmallTheyAre) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Random dice(seed);
    EntryChanges entry{Bytes()};
    std::uint64_t revision = 2 + dice.Below(UINT64_MAX / 2);
    for (std::uint64_t i = dice.Below(30) + 1; i > 0; --i) {
      // Keys differ, so that all of them stay.
      const std::string key = std::string(dice.Below(200), 'x') + std::to_string(i);
      if (dice.Below(3) == 0) {
        entry.Delete(revision, key);
      } else {
        entry.Put(revision, key, "v", {revision, revision, 1, 0});
      }
      if (dice.Below(2) == 0) revision += 1 + dice.Below(3) * dice.Below(1'000'000);
    }
    entry.Finish();
    const auto expected = Show(entry);
    for (const std::size_t row_bytes : {1, 50, 400, 1 << 20}) {
      ASSERT_EQ(Logged(entry, row_bytes), expected) << "seed " << seed << " " << row_bytes;
    }
  }
}

TEST(KvChangeSet, AKeyHasOneChangeInARevisionTheLast) {
  EntryChanges entry{Bytes()};
  entry.Put(5, "a", "1", {5, 5, 1, 0});
  entry.Put(5, "b", "1", {5, 5, 1, 0});
  entry.Delete(5, "a");
  entry.Put(5, "b", "2", {5, 5, 2, 0});
  entry.Put(6, "a", "3", {6, 6, 1, 0});
  entry.Finish();
  EXPECT_EQ(Show(entry), (std::vector<std::string>{"5 delete a", "5 put b", "6 put a"}));
  EXPECT_EQ(entry.changes()[1].value, "2");
  EXPECT_EQ(entry.changes()[1].counts.version, 2U);
}

TEST(KvChangeSet, WhatIsInThePayloadIsNotCopied) {
  const Bytes payload(std::string("key and value"));
  EntryChanges entry(payload);
  entry.Put(2, payload.view().substr(0, 3), payload.view().substr(8), {2, 2, 1, 0});
  std::string passing = "gone";
  entry.Put(3, payload.view().substr(0, 3), passing, {3, 2, 2, 0});
  passing = "----";
  entry.Finish();
  EXPECT_EQ(entry.changes()[0].key.data(), payload.view().data());
  EXPECT_EQ(entry.changes()[0].value.data(), payload.view().data() + 8);
  EXPECT_EQ(entry.changes()[1].value, "gone");
}

TEST(KvChangeSet, DamageIsSeen) {
  EntryChanges entry{Bytes()};
  entry.Put(300, "key", "", {300, 300, 1, 0});
  entry.Delete(302, "other");
  entry.Finish();
  const ChangeSetRow row = EncodeChangeSets(entry).at(0);
  const auto decode = [](const std::string& key, const std::string& value) {
    return DecodeChangeSet(key, value).code();
  };
  ASSERT_EQ(decode(row.key, row.value), Code::kOk);
  for (std::size_t size = 0; size < row.value.size(); ++size) {
    EXPECT_EQ(decode(row.key, row.value.substr(0, size)), Code::kCorruption) << size;
  }
  EXPECT_EQ(decode(row.key, row.value + "x"), Code::kCorruption);
  EXPECT_EQ(decode(row.key.substr(0, 12), row.value), Code::kCorruption);
  EXPECT_EQ(decode(ChangeSetsFrom(0) + std::string(4, '\0'), row.value), Code::kCorruption);
  EXPECT_EQ(decode(ChangeSetsFrom(1) + std::string(4, '\0'), row.value), Code::kCorruption)
      << "it would begin before the first revision";
  std::string newer = row.value;
  newer[0] = 3;
  EXPECT_EQ(decode(row.key, newer), Code::kVersionMismatch);
}

TEST(KvChangeSet, AnAppliedEntryTellsWhatItChanged) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "1"}});
  EXPECT_EQ(Show(*log.last_changes()), (std::vector<std::string>{"2 put a", "3 put b"}));
  log.Apply({Delete("missing"), CompareAndSwapOp{"a", "other", "2"}});
  EXPECT_EQ(log.last_changes(), nullptr);
  log.Apply({IncrementOp{"n", 7}, Delete("a"), DeleteOp{{Range::Kind::kUnbounded, "", ""}}});
  EXPECT_EQ(Show(*log.last_changes()),
            (std::vector<std::string>{"4 put n", "5 delete a", "6 delete b", "6 delete n"}));
  EXPECT_EQ(log.last_changes()->changes()[0].value, "7");
  EXPECT_EQ(log.last_changes()->changes()[0].counts, (Counts{4, 4, 1, 0}));
  const std::vector<std::string> all = {"2 put a",    "3 put b",    "4 put n",
                                        "5 delete a", "6 delete b", "6 delete n"};
  EXPECT_EQ(ReadAll(log, 0, 1 << 20), all);
  EXPECT_EQ(ReadAll(log, 0, 1), all) << "in pages of one revision";
  EXPECT_EQ(ReadAll(log, 5, 1), std::vector<std::string>(all.begin() + 3, all.end()))
      << "from the middle of an entry";
  EXPECT_TRUE(ReadAll(log, 7, 1).empty());
}

TEST(KvChangeSet, ARetryChangesNothingAndIsNotLogged) {
  AppliedLog log;
  const RequestHeader header{9, AppliedLog::kStartMs, 1, 0};
  log.Apply(header, {PutOp{"a", "1"}});
  log.Apply(header, {PutOp{"a", "1"}});
  EXPECT_EQ(log.last_changes(), nullptr);
  EXPECT_EQ(ReadAll(log, 0, 1 << 20), (std::vector<std::string>{"2 put a"}));
}

TEST(KvChangeSet, AnEntryOfManyKeysIsReadInPagesOfWholeRevisions) {
  AppliedLog log;
  std::vector<Operation> puts;
  for (int i = 0; i < 3000; ++i) {
    puts.push_back(PutOp{"k" + std::to_string(i) + std::string(500, 'x'), ""});
  }
  log.Apply(puts);
  log.Apply({DeleteOp{{Range::Kind::kUnbounded, "", ""}}});
  const auto logged = ReadAll(log, 0, 64 << 10);
  EXPECT_EQ(logged.size(), 6000U);
  const auto rows = EncodeChangeSets(*log.last_changes());
  EXPECT_GE(rows.size(), 2U) << "one revision in several rows";
  EXPECT_LT(rows[0].value.size(), kChangeSetBytes + 1000);
}

TEST(KvChangeSet, FromWhereChangesMayBeGoneNothingIsRead) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "1"}, PutOp{"c", "1"}});
  log.engine().RaiseLowestRevision(3);
  const auto view = log.engine().NewView(ReadTier::kAll);
  EXPECT_EQ(ReadChanges(*view, 2, 4, 1 << 20).code(), Code::kCompacted);
  const auto page = ReadChanges(*view, 3, 4, 1 << 20);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->changes.size(), 2U) << "the events of the bound itself are there";
}

TEST(KvChangeSet, ATransactionIsToldOfAtItsOneRevisionAndARefusedOneNotAtAll) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "1"}, PutOp{"c", "1"}});
  TxnRequest inner;
  inner.success = {Op::Increment("n", 3)};
  TxnRequest txn;
  txn.success = {Op::Put("a", "2"), Op::DeleteRange({"b", "d"}), Op::Get("a"), Op::Txn(inner)};
  log.Apply({TxnOp{txn}, CompareAndSwapOp{"a", "2", "3"}});
  const std::vector<std::string> expected = {"5 put a", "5 delete b", "5 delete c", "5 put n",
                                             "6 put a"};
  ASSERT_NE(log.last_changes(), nullptr);
  EXPECT_EQ(Show(*log.last_changes()), expected);
  EXPECT_EQ(log.last_changes()->changes()[3].value, "3");
  EXPECT_EQ(ReadAll(log, 5, 1 << 20), expected);
  txn.success.push_back(Op::Increment("a", INT64_MAX));
  txn.success.erase(txn.success.begin());
  EXPECT_EQ(log.Apply({TxnOp{txn}}).results.at(0).code, Code::kInvalidArgument);
  EXPECT_EQ(log.last_changes(), nullptr);
  EXPECT_EQ(ReadAll(log, 5, 1 << 20), expected);
}

}  // namespace
}  // namespace raftkv::kv
