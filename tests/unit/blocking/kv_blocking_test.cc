#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <raftkv/kv.h>

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
  void GetAsync(std::string key, ReadOptions, Callback<KeyValue> done) override {
    Answer([=] { done(KeyValue{key, "value", 3}); });
  }
  void ScanAsync(KeyRange, ScanOptions options, Callback<ScanResult> done) override {
    Answer([=] { done(ScanResult{{}, options.limit, false, 4}); });
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
  EXPECT_EQ(kv.Get("key")->key, "key");
  ScanOptions options;
  options.limit = 7;
  EXPECT_EQ(kv.Scan({"a", "b"}, options)->count, 7U);
}

}  // namespace
}  // namespace raftkv
