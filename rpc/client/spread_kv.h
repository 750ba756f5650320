// How are concurrent calls spread over several connections, each with a session of its own?
// Round-robin; all pages of a scan use one connection, since only the member that keeps its state
// can continue it.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>

namespace raftkv::rpc {

class SpreadKv final : public KV {
 public:
  /// `kvs` is not empty; they outlive this.
  explicit SpreadKv(std::vector<KV*> kvs) : kvs_(std::move(kvs)) {}

  void PutAsync(std::string key, std::string value, WriteOptions options,
                Callback<WriteResult> done) override {
    Next().PutAsync(std::move(key), std::move(value), options, std::move(done));
  }
  void DeleteAsync(std::string key, WriteOptions options, Callback<DeleteResult> done) override {
    Next().DeleteAsync(std::move(key), options, std::move(done));
  }
  void DeleteRangeAsync(KeyRange range, WriteOptions options,
                        Callback<DeleteResult> done) override {
    Next().DeleteRangeAsync(std::move(range), options, std::move(done));
  }
  void CompareAndSwapAsync(std::string key, std::optional<std::string> expected,
                           std::string desired, WriteOptions options,
                           Callback<WriteResult> done) override {
    Next().CompareAndSwapAsync(std::move(key), std::move(expected), std::move(desired), options,
                               std::move(done));
  }
  void IncrementAsync(std::string key, std::int64_t delta, WriteOptions options,
                      Callback<IncrementResult> done) override {
    Next().IncrementAsync(std::move(key), delta, options, std::move(done));
  }
  void WriteAsync(Batch batch, WriteOptions options, Callback<WriteResult> done) override {
    Next().WriteAsync(std::move(batch), options, std::move(done));
  }
  void TxnAsync(TxnRequest txn, WriteOptions options, Callback<TxnResult> done) override {
    Next().TxnAsync(std::move(txn), options, std::move(done));
  }
  void GetAsync(std::string key, ReadOptions options, Callback<KeyValue> done) override {
    Next().GetAsync(std::move(key), options, std::move(done));
  }
  void GetManyAsync(std::vector<std::string> keys, ReadOptions options,
                    Callback<GetManyResult> done) override {
    Next().GetManyAsync(std::move(keys), options, std::move(done));
  }
  void CompactAsync(std::uint64_t revision, WriteOptions options,
                    Callback<WriteResult> done) override {
    Next().CompactAsync(revision, options, std::move(done));
  }
  void ChangeSettingAsync(std::string name, std::string value, WriteOptions options,
                          Callback<WriteResult> done) override {
    Next().ChangeSettingAsync(std::move(name), std::move(value), options, std::move(done));
  }
  void GetSettingsAsync(ReadOptions options, Callback<Settings> done) override {
    Next().GetSettingsAsync(options, std::move(done));
  }
  void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) override {
    std::size_t at = Turn();
    if (!options.continuation.empty() && !TakeConnection(options.continuation, at)) {
      return done(Status(Code::kInvalidArgument, "the continuation is of another client"));
    }
    kvs_[at]->ScanAsync(std::move(range), std::move(options),
                        [at, done = std::move(done)](Result<ScanResult> page) {
                          if (page.ok() && !page->continuation.empty()) {
                            page->continuation.insert(0, ConnectionPrefix(at));
                          }
                          done(std::move(page));
                        });
  }

 private:
  std::size_t Turn() { return turn_.fetch_add(1, std::memory_order_relaxed) % kvs_.size(); }
  static std::string ConnectionPrefix(std::size_t at) {
    return {static_cast<char>(at >> 8), static_cast<char>(at)};
  }
  /// A continuation begins with the connection that answered the previous pages.
  bool TakeConnection(std::string& continuation, std::size_t& at) const {
    if (continuation.size() <= 2) return false;
    at = std::size_t{static_cast<unsigned char>(continuation[0])} << 8 |
         static_cast<unsigned char>(continuation[1]);
    continuation.erase(0, 2);
    return at < kvs_.size();
  }
  KV& Next() { return *kvs_[Turn()]; }

  const std::vector<KV*> kvs_;
  std::atomic<std::size_t> turn_{0};
};

}  // namespace raftkv::rpc
