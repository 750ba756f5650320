#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

namespace raftkv {
namespace {

/// Answers each call on another thread with what it was asked.
class EchoKv : public KV {
 public:
  ~EchoKv() override {
    if (thread_.joinable()) thread_.join();
  }

  void PutAsync(std::string key, std::string value, WriteOptions,
                Callback<WriteResult> done) override {
    Answer([=] { done(WriteResult{key.size() + value.size()}); });
  }
  void DeleteAsync(std::string key, WriteOptions, Callback<DeleteResult> done) override {
    Answer([=] { done(DeleteResult{1, key.size()}); });
  }
  void DeleteRangeAsync(KeyRange range, WriteOptions, Callback<DeleteResult> done) override {
    Answer([=] { done(DeleteResult{range.begin.size(), range.end.size()}); });
  }
  void CompareAndSwapAsync(std::string, std::optional<std::string> expected, std::string,
                           WriteOptions, Callback<WriteResult> done) override {
    Answer([=] {
      if (expected.has_value()) return done(Status(Code::kCompareFailed, *expected));
      done(WriteResult{9});
    });
  }
  void IncrementAsync(std::string, std::int64_t delta, WriteOptions,
                      Callback<IncrementResult> done) override {
    Answer([=] { done(IncrementResult{delta, 1}); });
  }
  void WriteAsync(Batch batch, WriteOptions, Callback<WriteResult> done) override {
    Answer([=] { done(WriteResult{batch.operations().size()}); });
  }
  void TxnAsync(TxnRequest txn, WriteOptions, Callback<TxnResult> done) override {
    Answer([=] {
      TxnResult result{txn.compares.empty(), txn.success.size(), {}};
      result.results.resize(txn.failure.size());
      for (OpResult& each : result.results) each.found.kvs.push_back({"key", "value", 3});
      done(std::move(result));
    });
  }
  void GetAsync(std::string key, ReadOptions, Callback<KeyValue> done) override {
    Answer([=] { done(KeyValue{key, "value", 3}); });
  }
  void GetManyAsync(std::vector<std::string> keys, ReadOptions,
                    Callback<GetManyResult> done) override {
    Answer([=] { done(GetManyResult{std::vector<std::optional<KeyValue>>(keys.size()), 3}); });
  }
  void ScanAsync(KeyRange, ScanOptions options, Callback<ScanResult> done) override {
    Answer([=] { done(ScanResult{{}, options.limit, false, 4}); });
  }
  void GrantLeaseAsync(std::chrono::milliseconds ttl, std::uint64_t id, WriteOptions,
                       Callback<LeaseInfo> done) override {
    Answer([=] { done(LeaseInfo{id, ttl, ttl}); });
  }
  void KeepAliveAsync(std::vector<std::uint64_t> ids, WriteOptions,
                      Callback<std::vector<LeaseInfo>> done) override {
    Answer([=] { done(std::vector<LeaseInfo>(ids.size())); });
  }
  void RevokeLeaseAsync(std::uint64_t id, WriteOptions, Callback<DeleteResult> done) override {
    Answer([=] { done(DeleteResult{1, id}); });
  }
  void GetLeaseAsync(std::uint64_t id, LeaseReadOptions options,
                     Callback<LeaseInfo> done) override {
    Answer([=] {
      LeaseInfo info{id};
      if (options.with_keys) info.keys = {"key"};
      done(std::move(info));
    });
  }
  void ListLeasesAsync(ReadOptions, Callback<std::vector<LeaseInfo>> done) override {
    Answer([=] { done(std::vector<LeaseInfo>(4)); });
  }
  void WatchPageAsync(KeyRange, WatchPageOptions, Callback<WatchPage> done) override {
    Answer([=] { done(Status(Code::kCancelled, "not in this test")); });
  }
  void CompactAsync(std::uint64_t revision, WriteOptions, Callback<WriteResult> done) override {
    Answer([=] { done(WriteResult{revision}); });
  }
  void ChangeSettingAsync(std::string name, std::string value, WriteOptions,
                          Callback<WriteResult> done) override {
    Answer([=] { done(WriteResult{name.size() + value.size()}); });
  }
  void GetSettingsAsync(ReadOptions, Callback<Settings> done) override {
    Answer([=] { done(Settings{{{"history", "10m"}}, 5}); });
  }

 private:
  void Answer(std::function<void()> work) {
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread(std::move(work));
  }
  std::thread thread_;
};

TEST(BlockingKv, EachCallReturnsWhatItsTwinIsTold) {
  EchoKv kv;
  EXPECT_EQ(kv.Put("ab", "c")->revision, 3U);
  EXPECT_EQ(kv.Delete("ab")->revision, 2U);
  EXPECT_EQ(kv.DeleteRange({"a", "bc"})->deleted, 1U);
  EXPECT_EQ(kv.CompareAndSwap("k", std::nullopt, "x")->revision, 9U);
  EXPECT_EQ(kv.CompareAndSwap("k", "old", "x").status().ToString(), "CompareFailed: old");
  EXPECT_EQ(kv.Increment("k", -4)->value, -4);
  EXPECT_EQ(kv.Write(Batch().Put("a", "b").Delete("c"))->revision, 2U);
  EXPECT_EQ(kv.Txn().Then({Op::Get("a")}).Then({Op::Get("b")}).Commit()->revision, 2U);
  EXPECT_TRUE(kv.Swap(Compare::Exists("k"), "x")->current.has_value());
  EXPECT_EQ(kv.Get("key")->key, "key");
  EXPECT_EQ(kv.GetMany({"a", "b"})->kvs.size(), 2U);
  EXPECT_EQ(kv.Compact(12)->revision, 12U);
  EXPECT_EQ(kv.GrantLease(std::chrono::seconds(2), 5)->ttl, std::chrono::seconds(2));
  EXPECT_EQ(kv.KeepAlive({1, 2, 3})->size(), 3U);
  EXPECT_EQ(kv.RevokeLease(8)->revision, 8U);
  LeaseReadOptions with_keys;
  with_keys.with_keys = true;
  EXPECT_EQ(kv.GetLease(8, with_keys)->keys.size(), 1U);
  EXPECT_EQ(kv.ListLeases()->size(), 4U);
  EXPECT_EQ(kv.ChangeSetting("history", "1h")->revision, 9U);
  EXPECT_EQ(kv.GetSettings()->values.at("history"), "10m");
  ScanOptions options;
  options.limit = 7;
  EXPECT_EQ(kv.Scan({"a", "b"}, options)->count, 7U);
}

/// Answers each page of a scan with what stands next in a list.
class PagedKv : public EchoKv {
 public:
  void ScanAsync(KeyRange, ScanOptions options, Callback<ScanResult> done) override {
    asked.push_back(options);
    done(asked.size() <= pages.size() ? pages[asked.size() - 1]
                                      : Status(Code::kIOError, "no page"));
  }
  static ScanResult Page(std::string key, std::string continuation) {
    const bool more = !continuation.empty();
    return {{{std::move(key), "v", 1}}, 1, more, 7, std::move(continuation)};
  }

  std::vector<Result<ScanResult>> pages;
  std::vector<ScanOptions> asked;
};

TEST(BlockingKv, ScanAllPutsThePagesOfOneStateTogether) {
  PagedKv kv;
  kv.pages = {PagedKv::Page("a", "1"), PagedKv::Page("b", "2"), PagedKv::Page("c", "")};
  const auto all = kv.ScanAll(KeyRange::Prefix(""));
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->kvs.size(), 3U);
  EXPECT_EQ(all->kvs[2].key, "c");
  EXPECT_EQ(all->count, 3U);
  EXPECT_FALSE(all->more);
  EXPECT_EQ(all->revision, 7U);
  EXPECT_EQ(kv.asked[0].continuation, "");
  EXPECT_EQ(kv.asked[2].continuation, "2");
  EXPECT_LE(kv.asked[2].timeout, kv.asked[0].timeout);
}

TEST(BlockingKv, ScanAllTakesAnyTimeout) {
  using std::chrono::milliseconds;
  for (const milliseconds timeout : {milliseconds::max(), milliseconds::min(), milliseconds(-1)}) {
    PagedKv kv;
    kv.pages = {PagedKv::Page("a", "1"), PagedKv::Page("b", "")};
    ScanOptions options;
    options.timeout = timeout;
    ASSERT_TRUE(kv.ScanAll(KeyRange::Prefix(""), options).ok());
    for (const ScanOptions& asked : kv.asked) {
      if (timeout > milliseconds(0)) {
        EXPECT_GT(asked.timeout, std::chrono::hours(24)) << "for ever";
      } else {
        EXPECT_EQ(asked.timeout, milliseconds(0)) << "at once";
      }
    }
  }
}

TEST(BlockingKv, ScanAllStopsAtItsLimit) {
  PagedKv kv;
  kv.pages = {PagedKv::Page("a", "1"), PagedKv::Page("b", "2")};
  ScanOptions options;
  options.limit = 2;
  const auto all = kv.ScanAll(KeyRange::Prefix(""), options);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->kvs.size(), 2U);
  EXPECT_TRUE(all->more);
  EXPECT_EQ(kv.asked[1].limit, 1U);
}

TEST(BlockingKv, ScanAllBeginsAgainWhereTheStateWasLostAndShowsNoHalfOfIt) {
  PagedKv kv;
  const Status lost(Code::kCompacted, "gone");
  kv.pages = {PagedKv::Page("old", "1"), lost, PagedKv::Page("a", "2"), PagedKv::Page("b", "")};
  const auto all = kv.ScanAll(KeyRange::Prefix(""));
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->kvs.size(), 2U);
  EXPECT_EQ(all->kvs[0].key, "a");
  EXPECT_EQ(kv.asked[2].continuation, "");
  kv.asked.clear();
  kv.pages.assign(100, lost);
  EXPECT_EQ(kv.ScanAll(KeyRange::Prefix("")).code(), Code::kCompacted);
  EXPECT_LT(kv.asked.size(), 10U) << "not for ever";
}

TEST(BlockingKv, ScanAllOfAMemberThatKeepsNoStatesFailsInPlaceOfAMixture) {
  PagedKv kv;
  ScanResult old = PagedKv::Page("a", "");
  old.more = true;
  kv.pages = {old, PagedKv::Page("b", "")};
  EXPECT_EQ(kv.ScanAll(KeyRange::Prefix("")).code(), Code::kVersionMismatch);
  kv.pages = {Status(Code::kUnavailable, "no")};
  kv.asked.clear();
  EXPECT_EQ(kv.ScanAll(KeyRange::Prefix("")).code(), Code::kUnavailable);
}

}  // namespace
}  // namespace raftkv
