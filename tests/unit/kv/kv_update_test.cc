// What does a put do that keeps the value of its key, or its lease?
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "lib/kv/record.h"
#include "lib/kv/request.h"
#include "tests/unit/kv/lease_log.h"

namespace raftkv::kv {
namespace {

using test::LeaseLog;
using Strings = std::vector<std::string>;

PutOp KeepValue(const std::string& key, std::uint64_t lease = 0) {
  return {.key = key, .value = "", .lease = lease, .keep_value = true};
}
PutOp KeepLease(const std::string& key, const std::string& value) {
  return {.key = key, .value = value, .keep_lease = true};
}
PutOp KeepBoth(const std::string& key) {
  return {.key = key, .value = "", .keep_value = true, .keep_lease = true};
}

Counts CountsOf(LeaseLog& log, const std::string& key) {
  const auto found = log.engine().content().find(DataKey(key));
  if (found == log.engine().content().end()) return {};
  const auto data = DecodeDataRecord(found->second);
  EXPECT_TRUE(data.ok()) << data.status().ToString();
  return data.ok() ? data->counts : Counts();
}

/// Rows but those of sessions and of how far the store is.
std::vector<std::string> Content(LeaseLog& log) {
  std::vector<std::string> rows;
  for (const auto& [key, record] : log.engine().content()) {
    if (key.front() == kDataPrefix || key.front() == kAttachedPrefix) rows.push_back(key + record);
  }
  return rows;
}

/// One transaction of these operations.
OperationResult Commit(LeaseLog& log, std::vector<Op> operations) {
  TxnRequest txn;
  txn.success = std::move(operations);
  return log.Do(TxnOp{txn});
}

TEST(KvUpdate, ThePartThatIsKeptStaysAndTheRestIsWritten) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 1'000);
  log.Put("k", "old", 1);  // revision 2
  log.Apply({KeepValue("k", 2)});
  EXPECT_EQ(log.Get("k"), "old");
  EXPECT_EQ(CountsOf(log, "k"), (Counts{3, 2, 2, 2}));
  log.Apply({KeepLease("k", "new")});
  EXPECT_EQ(log.Get("k"), "new");
  EXPECT_EQ(CountsOf(log, "k"), (Counts{4, 2, 3, 2}));
  log.Apply({KeepBoth("k")});
  EXPECT_EQ(log.Get("k"), "new");
  EXPECT_EQ(CountsOf(log, "k"), (Counts{5, 2, 4, 2})) << "it is a put like any other";
  log.Apply({KeepValue("k")});
  EXPECT_EQ(log.Get("k"), "new");
  EXPECT_EQ(CountsOf(log, "k").lease, 0U) << "a lease that is not kept is none";
  EXPECT_EQ(log.revision(), 6U);
  log.ExpectConsistent();
}

TEST(KvUpdate, AKeyThatDoesNotExistIsRefused) {
  LeaseLog log;
  log.Put("gone", "v", 0);
  log.Do(DeleteOp{Range::Single("gone")});
  const std::uint64_t before = log.revision();
  for (const char* key : {"never", "gone"}) {
    for (PutOp put : {KeepValue(key), KeepLease(key, "v"), KeepBoth(key)}) {
      for (const bool previous : {false, true}) {
        put.return_previous = previous;
        const OperationResult result = log.Do(put);
        EXPECT_EQ(result.code, Code::kNotFound) << key;
        EXPECT_EQ(result.message, kNoSuchKey);
        EXPECT_FALSE(result.changed);
        EXPECT_TRUE(result.previous.empty());
      }
    }
    EXPECT_EQ(log.Get(key), "(none)");
  }
  EXPECT_EQ(log.revision(), before);
}

TEST(KvUpdate, ALeaseThatThereIsNotComesFirst) {
  LeaseLog log;
  const OperationResult result = log.Do(KeepValue("never", 9));
  EXPECT_EQ(result.code, Code::kNotFound);
  EXPECT_NE(result.message, kNoSuchKey) << "the lease is what is missing";
}

TEST(KvUpdate, ReturnsWhatWasThereBefore) {
  LeaseLog log;
  log.Put("k", "old", 0);
  PutOp put = KeepBoth("k");
  put.return_previous = true;
  const OperationResult result = log.Do(put);
  ASSERT_EQ(result.previous.size(), 1U);
  EXPECT_EQ(result.previous[0].value, "old");
  EXPECT_EQ(result.previous[0].mod_revision, 2U);
}

TEST(KvUpdate, SeesTheWritesBeforeItInItsEntry) {
  LeaseLog log;
  log.Grant(1, 1'000);
  const Response response =
      log.Apply({PutOp{"k", "1", false, 1}, KeepBoth("k"), KeepLease("k", "2"), KeepValue("k"),
                 DeleteOp{Range::Single("k")}, KeepBoth("k")});
  ASSERT_EQ(response.results.size(), 6U);
  EXPECT_EQ(response.results[5].code, Code::kNotFound);
  const Response again = log.Apply({PutOp{"k", "3", false, 1}, KeepBoth("k")});
  EXPECT_EQ(again.code, Code::kOk);
  EXPECT_EQ(log.Get("k"), "3");
  EXPECT_EQ(log.LeaseOf("k"), 1U);
  log.ExpectConsistent();
}

TEST(KvUpdate, DoesTheSameWhereverTheOldRecordIs) {
  std::optional<Strings> expected;
  for (const std::size_t cache_bytes : {std::size_t{0}, std::size_t{64} << 20}) {
    for (const bool reopened : {false, true}) {
      LeaseLog log(StoreOptions{.counts_cache_bytes = cache_bytes});
      log.Grant(1, 1'000);
      log.Put("a", "1", 1);
      log.Put("b", "2", 0);
      if (reopened) log.Reopen();
      log.Apply({KeepValue("a"), KeepLease("a", "3"), KeepValue("b", 1), KeepBoth("b")});
      if (!expected.has_value()) expected = Content(log);
      EXPECT_EQ(Content(log), *expected) << cache_bytes << reopened;
      EXPECT_EQ(log.Get("b"), "2");
      log.ExpectConsistent();
    }
  }
}

TEST(KvUpdate, AWatcherSeesAPutWithTheWholeValue) {
  LeaseLog log;
  log.Put("k", "kept", 0);
  log.Apply({KeepBoth("k")});
  ASSERT_NE(log.last_changes(), nullptr);
  ASSERT_EQ(log.last_changes()->changes().size(), 1U);
  const Change& change = log.last_changes()->changes()[0];
  EXPECT_EQ(change.kind, ChangeKind::kPut);
  EXPECT_EQ(change.value, "kept");
  EXPECT_EQ(change.counts.version, 2U);
}

TEST(KvUpdate, AValueThatIsKeptIsNotQuickSinceItIsRead) {
  LeaseLog log;
  log.Put("k", "v", 0);
  const auto quick = [&](const PutOp& put) {
    const Bytes request = EncodeRequest({8, LeaseLog::kStartMs, 1, 1}, {put});
    return log.store().IsQuick({test::CommandEntry(9, log.now_ms(), request)}, 1 << 20);
  };
  EXPECT_TRUE(quick(PutOp{"k", "w"}));
  EXPECT_TRUE(quick(KeepLease("k", "w")));
  EXPECT_FALSE(quick(KeepValue("k")));
  EXPECT_FALSE(quick(KeepBoth("k")));
}

TEST(KvUpdateInATxn, KeepsAndIsSeenByTheReadsAfterIt) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Grant(2, 1'000);
  log.Put("a", "1", 1);
  log.Put("b", "2", 1);
  TxnRequest nested;
  nested.success = {Op::Put("b", "").WithKeptValue().WithKeptLease(), Op::Get("b")};
  const OperationResult result =
      Commit(log, {Op::Get("a"), Op::Put("a", "", 2).WithKeptValue().WithPrevious(), Op::Get("a"),
                   Op::Txn(nested), Op::Get("b")});
  ASSERT_EQ(result.code, Code::kOk) << result.message;
  ASSERT_NE(result.txn, nullptr);
  const auto& results = result.txn->results;
  ASSERT_EQ(results.size(), 5U);
  EXPECT_EQ(results[1].write.previous.at(0).lease, 1U);
  const KeyValue& a = results[2].read->kvs.at(0);
  EXPECT_EQ(a.value, "1");
  EXPECT_EQ(a.lease, 2U);
  EXPECT_EQ(a.version, 2U);
  const KeyValue& b = results[4].read->kvs.at(0);
  EXPECT_EQ(b.value, "2");
  EXPECT_EQ(b.lease, 1U);
  EXPECT_EQ(b.mod_revision, a.mod_revision);
  EXPECT_EQ(log.Get("a"), "1");
  EXPECT_EQ(log.LeaseOf("a"), 2U);
  EXPECT_EQ(log.LeaseOf("b"), 1U);
  log.ExpectConsistent();
}

TEST(KvUpdateInATxn, AKeyThatDoesNotExistRefusesAllOfIt) {
  LeaseLog log;
  log.Put("a", "1", 0);
  const auto before = Content(log);
  for (const bool nested : {false, true}) {
    std::vector<Op> operations = {Op::Put("a", "2"), Op::Put("never", "").WithKeptValue(),
                                  Op::Put("c", "3")};
    if (nested) operations = {Op::Put("b", "2"), Op::Txn({{}, operations, {}})};
    const OperationResult result = Commit(log, operations);
    EXPECT_EQ(result.code, Code::kNotFound);
    EXPECT_EQ(result.message, kNoSuchKey);
    EXPECT_FALSE(result.changed);
    EXPECT_EQ(result.txn, nullptr);
    EXPECT_EQ(Content(log), before);
  }
}

TEST(KvUpdateInATxn, TheMissingKeyComesBeforeTheMissingLease) {
  LeaseLog log;
  const OperationResult result = Commit(log, {Op::Put("never", "", 9).WithKeptValue()});
  EXPECT_EQ(result.code, Code::kNotFound);
  EXPECT_EQ(result.message, kNoSuchKey);
  log.Put("k", "v", 0);
  const OperationResult other = Commit(log, {Op::Put("k", "", 9).WithKeptValue()});
  EXPECT_EQ(other.code, Code::kNotFound);
  EXPECT_NE(other.message, kNoSuchKey);
  EXPECT_EQ(log.LeaseOf("k"), 0U);
}

TEST(KvUpdateInATxn, WhatIsNotTakenIsNotRefused) {
  LeaseLog log;
  TxnRequest txn;
  txn.success = {Op::Put("k", "1")};
  txn.failure = {Op::Put("never", "").WithKeptValue()};
  EXPECT_EQ(log.Do(TxnOp{txn}).code, Code::kOk);
}

TEST(KvUpdate, ARetryReturnsTheStoredAnswer) {
  LeaseLog log;
  const RequestHeader header{8, LeaseLog::kStartMs, 1, 0};
  log.Apply(header, {KeepBoth("k")});
  const Bytes refused = log.last_answer();
  log.Put("k", "v", 0);
  log.Apply(header, {KeepBoth("k")});
  EXPECT_EQ(log.last_answer(), refused) << "though the key exists by now";
}

}  // namespace
}  // namespace raftkv::kv
