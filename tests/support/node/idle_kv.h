// Which KV does a test begin from that needs only some of its calls?
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

namespace raftkv::test {

/// No call is ever answered.
class IdleKv : public KV {
 public:
  void PutAsync(std::string, std::string, WriteOptions, Callback<WriteResult>) override {}
  void DeleteAsync(std::string, WriteOptions, Callback<DeleteResult>) override {}
  void DeleteRangeAsync(KeyRange, WriteOptions, Callback<DeleteResult>) override {}
  void CompareAndSwapAsync(std::string, std::optional<std::string>, std::string, WriteOptions,
                           Callback<WriteResult>) override {}
  void IncrementAsync(std::string, std::int64_t, WriteOptions, Callback<IncrementResult>) override {
  }
  void WriteAsync(Batch, WriteOptions, Callback<WriteResult>) override {}
  void TxnAsync(TxnRequest, WriteOptions, Callback<TxnResult>) override {}
  void GetAsync(std::string, ReadOptions, Callback<KeyValue>) override {}
  void GetManyAsync(std::vector<std::string>, ReadOptions, Callback<GetManyResult>) override {}
  void ScanAsync(KeyRange, ScanOptions, Callback<ScanResult>) override {}
  void WatchPageAsync(KeyRange, WatchPageOptions, Callback<WatchPage>) override {}
  void GrantLeaseAsync(std::chrono::milliseconds, std::uint64_t, WriteOptions,
                       Callback<LeaseInfo>) override {}
  void KeepAliveAsync(std::vector<std::uint64_t>, WriteOptions,
                      Callback<std::vector<LeaseInfo>>) override {}
  void RevokeLeaseAsync(std::uint64_t, WriteOptions, Callback<DeleteResult>) override {}
  void GetLeaseAsync(std::uint64_t, LeaseReadOptions, Callback<LeaseInfo>) override {}
  void ListLeasesAsync(ReadOptions, Callback<std::vector<LeaseInfo>>) override {}
  void CompactAsync(std::uint64_t, WriteOptions, Callback<WriteResult>) override {}
  void ChangeSettingAsync(std::string, std::string, WriteOptions, Callback<WriteResult>) override {}
  void GetSettingsAsync(ReadOptions, Callback<Settings>) override {}
};

}  // namespace raftkv::test
