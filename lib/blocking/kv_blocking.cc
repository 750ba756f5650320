// The blocking calls of KV.
#include <utility>

#include <raftkv/kv.h>

#include "lib/blocking/blocking.h"

namespace raftkv {
namespace {

template <class T, class Start>
Result<T> Wait(const Start& start) {
  return WaitFor<Result<T>>(start);
}

}  // namespace

Result<WriteResult> KV::Put(std::string key, std::string value, WriteOptions options) {
  return Wait<WriteResult>([&](Callback<WriteResult> done) {
    PutAsync(std::move(key), std::move(value), options, std::move(done));
  });
}

Result<DeleteResult> KV::Delete(std::string key, WriteOptions options) {
  return Wait<DeleteResult>(
      [&](Callback<DeleteResult> done) { DeleteAsync(std::move(key), options, std::move(done)); });
}

Result<DeleteResult> KV::DeleteRange(KeyRange range, WriteOptions options) {
  return Wait<DeleteResult>([&](Callback<DeleteResult> done) {
    DeleteRangeAsync(std::move(range), options, std::move(done));
  });
}

Result<WriteResult> KV::CompareAndSwap(std::string key, std::optional<std::string> expected,
                                       std::string desired, WriteOptions options) {
  return Wait<WriteResult>([&](Callback<WriteResult> done) {
    CompareAndSwapAsync(std::move(key), std::move(expected), std::move(desired), options,
                        std::move(done));
  });
}

Result<IncrementResult> KV::Increment(std::string key, std::int64_t delta, WriteOptions options) {
  return Wait<IncrementResult>([&](Callback<IncrementResult> done) {
    IncrementAsync(std::move(key), delta, options, std::move(done));
  });
}

Result<WriteResult> KV::Write(Batch batch, WriteOptions options) {
  return Wait<WriteResult>(
      [&](Callback<WriteResult> done) { WriteAsync(std::move(batch), options, std::move(done)); });
}

Result<TxnResult> Transaction::Commit(WriteOptions options) {
  return Wait<TxnResult>([&](Callback<TxnResult> done) { CommitAsync(options, std::move(done)); });
}

Result<SwapResult> KV::Swap(Compare condition, std::string desired, WriteOptions options) {
  return Wait<SwapResult>([&](Callback<SwapResult> done) {
    SwapAsync(std::move(condition), std::move(desired), options, std::move(done));
  });
}

Result<KeyValue> KV::Get(std::string key, ReadOptions options) {
  return Wait<KeyValue>(
      [&](Callback<KeyValue> done) { GetAsync(std::move(key), options, std::move(done)); });
}

Result<GetManyResult> KV::GetMany(std::vector<std::string> keys, ReadOptions options) {
  return Wait<GetManyResult>([&](Callback<GetManyResult> done) {
    GetManyAsync(std::move(keys), options, std::move(done));
  });
}

Result<ScanResult> KV::Scan(KeyRange range, ScanOptions options) {
  return Wait<ScanResult>(
      [&](Callback<ScanResult> done) { ScanAsync(std::move(range), options, std::move(done)); });
}

Result<LeaseInfo> KV::GrantLease(std::chrono::milliseconds ttl, std::uint64_t id,
                                 WriteOptions options) {
  return Wait<LeaseInfo>(
      [&](Callback<LeaseInfo> done) { GrantLeaseAsync(ttl, id, options, std::move(done)); });
}

Result<std::vector<LeaseInfo>> KV::KeepAlive(std::vector<std::uint64_t> ids, WriteOptions options) {
  return Wait<std::vector<LeaseInfo>>([&](Callback<std::vector<LeaseInfo>> done) {
    KeepAliveAsync(std::move(ids), options, std::move(done));
  });
}

Result<DeleteResult> KV::RevokeLease(std::uint64_t id, WriteOptions options) {
  return Wait<DeleteResult>(
      [&](Callback<DeleteResult> done) { RevokeLeaseAsync(id, options, std::move(done)); });
}

Result<LeaseInfo> KV::GetLease(std::uint64_t id, LeaseReadOptions options) {
  return Wait<LeaseInfo>(
      [&](Callback<LeaseInfo> done) { GetLeaseAsync(id, options, std::move(done)); });
}

Result<std::vector<LeaseInfo>> KV::ListLeases(ReadOptions options) {
  return Wait<std::vector<LeaseInfo>>(
      [&](Callback<std::vector<LeaseInfo>> done) { ListLeasesAsync(options, std::move(done)); });
}

Result<WriteResult> KV::Compact(std::uint64_t revision, WriteOptions options) {
  return Wait<WriteResult>(
      [&](Callback<WriteResult> done) { CompactAsync(revision, options, std::move(done)); });
}

Result<WriteResult> KV::ChangeSetting(std::string name, std::string value, WriteOptions options) {
  return Wait<WriteResult>([&](Callback<WriteResult> done) {
    ChangeSettingAsync(std::move(name), std::move(value), options, std::move(done));
  });
}

Result<Settings> KV::GetSettings(ReadOptions options) {
  return Wait<Settings>(
      [&](Callback<Settings> done) { GetSettingsAsync(options, std::move(done)); });
}

}  // namespace raftkv
