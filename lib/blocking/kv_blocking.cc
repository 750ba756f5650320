// The blocking calls of KV.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <raftkv/kv.h>

#include "lib/base/time.h"
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

Result<KeyValue> KV::Get(std::string key, ReadOptions options) {
  return Wait<KeyValue>(
      [&](Callback<KeyValue> done) { GetAsync(std::move(key), options, std::move(done)); });
}

Result<ScanResult> KV::Scan(KeyRange range, ScanOptions options) {
  return Wait<ScanResult>(
      [&](Callback<ScanResult> done) { ScanAsync(std::move(range), options, std::move(done)); });
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

Result<ScanResult> KV::ScanAll(KeyRange range, ScanOptions options) {
  using std::chrono::steady_clock;
  constexpr int kAttempts = 5;
  const auto deadline = steady_clock::now() + BoundedTimeout(options.timeout);
  const std::uint64_t limit = options.limit;
  Status lost;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ScanResult all;
    options.limit = limit;
    options.continuation.clear();
    while (true) {
      options.timeout =
          std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()),
                   std::chrono::milliseconds(0));
      Result<ScanResult> page = Scan(range, options);
      if (page.code() == Code::kCompacted) {
        lost = page.status();
        break;
      }
      if (!page.ok()) return page;
      std::move(page->kvs.begin(), page->kvs.end(), std::back_inserter(all.kvs));
      all.count += page->count;
      all.more = page->more;
      all.revision = page->revision;
      if (!page->more || page->kvs.empty() || all.count == limit) return all;
      if (page->continuation.empty()) {
        return Status(Code::kVersionMismatch,
                      "the member that answered keeps no state for the next page: upgrade it");
      }
      options.continuation = std::move(page->continuation);
      if (limit != 0) options.limit = limit - all.count;
    }
  }
  return lost;
}

}  // namespace raftkv
