// How are concurrent calls spread over several connections, each with a session of its own?
// Round-robin.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

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
  void GrantLeaseAsync(std::chrono::milliseconds ttl, std::uint64_t id, WriteOptions options,
                       Callback<LeaseInfo> done) override {
    Next().GrantLeaseAsync(ttl, id, options, std::move(done));
  }
  void KeepAliveAsync(std::vector<std::uint64_t> ids, WriteOptions options,
                      Callback<std::vector<LeaseInfo>> done) override {
    Next().KeepAliveAsync(std::move(ids), options, std::move(done));
  }
  void RevokeLeaseAsync(std::uint64_t id, WriteOptions options,
                        Callback<DeleteResult> done) override {
    Next().RevokeLeaseAsync(id, options, std::move(done));
  }
  void GetLeaseAsync(std::uint64_t id, LeaseReadOptions options,
                     Callback<LeaseInfo> done) override {
    Next().GetLeaseAsync(id, options, std::move(done));
  }
  void ListLeasesAsync(ReadOptions options, Callback<std::vector<LeaseInfo>> done) override {
    Next().ListLeasesAsync(options, std::move(done));
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
    Next().ScanAsync(std::move(range), std::move(options), std::move(done));
  }
  void WatchPageAsync(KeyRange range, WatchPageOptions options, Callback<WatchPage> done) override {
    Next().WatchPageAsync(std::move(range), options, std::move(done));
  }

 private:
  KV& Next() { return *kvs_[turn_.fetch_add(1, std::memory_order_relaxed) % kvs_.size()]; }

  const std::vector<KV*> kvs_;
  std::atomic<std::size_t> turn_{0};
};

}  // namespace raftkv::rpc
