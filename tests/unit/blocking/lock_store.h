// What does a store without a cluster look like to locks and elections?
//
// It carries out their transactions, scans, leases and watches at once, and can be told to lose
// answers. Leases end only when a test says so.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

namespace raftkv {

class LockStore final : public KV {
 public:
  /// What becomes of the next transactions, first come, first served.
  enum class Fate : unsigned char { kLost, kUnknown };

  ~LockStore() override {
    for (Waiting& each : waiting_) each.done(Status(Code::kCancelled, "the end"));
  }
  void TxnAsync(TxnRequest txn, WriteOptions /*unused*/, Callback<TxnResult> done) override {
    std::optional<Fate> fate;
    Result<TxnResult> result = Status(Code::kUnavailable, "lost");
    {
      const std::lock_guard lock(mutex_);
      if (!fates.empty()) fate = fates.front();
      if (fate) fates.erase(fates.begin());
      if (fate != Fate::kLost) result = Execute(txn);
    }
    if (fate == Fate::kUnknown) result = Status(Code::kUnknownOutcome, "unknown");
    Tell();
    if (done) done(std::move(result));
  }
  void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) override {
    ScanResult result;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [key, kv] : keys_) {
        const bool is_late =
            options.max_create_revision != 0 && kv.create_revision > options.max_create_revision;
        if (Holds(range, key) && !is_late) result.kvs.push_back(kv);
      }
      result.revision = revision_;
    }
    const auto earlier = [](const KeyValue& a, const KeyValue& b) {
      return a.create_revision < b.create_revision;
    };
    if (options.order == OrderBy::kCreateRevision) {
      std::sort(result.kvs.begin(), result.kvs.end(), earlier);
    }
    if (options.reverse) std::reverse(result.kvs.begin(), result.kvs.end());
    if (options.limit != 0 && result.kvs.size() > options.limit) result.kvs.resize(options.limit);
    result.count = result.kvs.size();
    done(std::move(result));
  }
  void GrantLeaseAsync(std::chrono::milliseconds ttl, std::uint64_t /*unused*/,
                       WriteOptions /*unused*/, Callback<LeaseInfo> done) override {
    LeaseInfo lease;
    {
      const std::lock_guard lock(mutex_);
      lease.id = 0x694d + leases_.size() + ended_;
      leases_.insert(lease.id);
    }
    lease.ttl = ttl;
    lease.remaining = ttl;
    done(lease);
  }
  void KeepAliveAsync(std::vector<std::uint64_t> ids, WriteOptions /*unused*/,
                      Callback<std::vector<LeaseInfo>> done) override {
    LeaseInfo lease;
    bool renews = false;
    {
      const std::lock_guard lock(mutex_);
      renews = renews_;
      lease.id = ids.front();
      if (leases_.contains(ids.front())) lease.ttl = ttl_of_renewals;
    }
    changed_.notify_all();
    if (!renews) return done(Status(Code::kUnavailable, "nobody is there"));
    done(std::vector<LeaseInfo>{lease});
  }
  void RevokeLeaseAsync(std::uint64_t id, WriteOptions /*unused*/,
                        Callback<DeleteResult> done) override {
    bool existed = false;
    {
      const std::lock_guard lock(mutex_);
      existed = leases_.erase(id) == 1;
      if (existed) ++ended_;
      std::vector<std::string> gone;
      for (const auto& [key, kv] : keys_) {
        if (kv.lease == id) gone.push_back(key);
      }
      if (!gone.empty()) ++revision_;
      for (const std::string& key : gone) Erase(key);
    }
    Tell();
    if (!done) return;
    if (existed) return done(DeleteResult());
    done(Status(Code::kNotFound, "there is no such lease"));
  }
  void WatchPageAsync(KeyRange range, WatchPageOptions options, Callback<WatchPage> done) override {
    {
      const std::lock_guard lock(mutex_);
      if (options.position.next == 0) options.position.next = revision_ + 1;
      waiting_.push_back({std::move(range), options, std::move(done)});
    }
    Tell();
  }
  void DeleteAsync(std::string key, WriteOptions /*unused*/, Callback<DeleteResult> done) override {
    {
      const std::lock_guard lock(mutex_);
      ++revision_;
      Erase(key);
    }
    Tell();
    done(DeleteResult());
  }

  void PutAsync(std::string, std::string, WriteOptions, Callback<WriteResult>) override {}
  void DeleteRangeAsync(KeyRange, WriteOptions, Callback<DeleteResult>) override {}
  void CompareAndSwapAsync(std::string, std::optional<std::string>, std::string, WriteOptions,
                           Callback<WriteResult>) override {}
  void IncrementAsync(std::string, std::int64_t, WriteOptions, Callback<IncrementResult>) override {
  }
  void WriteAsync(Batch, WriteOptions, Callback<WriteResult>) override {}
  void GetAsync(std::string, ReadOptions, Callback<KeyValue>) override {}
  void GetManyAsync(std::vector<std::string>, ReadOptions, Callback<GetManyResult>) override {}
  void GetLeaseAsync(std::uint64_t, LeaseReadOptions, Callback<LeaseInfo>) override {}
  void ListLeasesAsync(ReadOptions, Callback<std::vector<LeaseInfo>>) override {}
  void CompactAsync(std::uint64_t, WriteOptions, Callback<WriteResult>) override {}
  void ChangeSettingAsync(std::string, std::string, WriteOptions, Callback<WriteResult>) override {}
  void GetSettingsAsync(ReadOptions, Callback<Settings>) override {}

  /// Waits until `holds`, which sees the keys; false: it did not within a minute.
  bool WaitUntil(const std::function<bool(const std::map<std::string, KeyValue>&)>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return holds(keys_); });
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return keys_.size();
  }
  void SetRenews(bool renews) {
    const std::lock_guard lock(mutex_);
    renews_ = renews;
  }
  std::vector<Fate> fates;  ///< set while nothing is under way
  std::chrono::milliseconds ttl_of_renewals{10'000};

 private:
  struct Waiting {
    KeyRange range;
    WatchPageOptions options;
    Callback<WatchPage> done;
  };

  static bool Holds(const KeyRange& range, const std::string& key) {
    return key >= range.begin && (range.end.empty() || key < range.end);
  }
  std::uint64_t NumberOf(const Compare& compare) {
    const auto it = keys_.find(compare.key);
    if (it == keys_.end()) return 0;
    return compare.target == Compare::Target::kLease ? it->second.lease
                                                     : it->second.create_revision;
  }
  Result<TxnResult> Execute(const TxnRequest& txn) {
    TxnResult result;
    result.succeeded = true;
    for (const Compare& compare : txn.compares) {
      if (NumberOf(compare) != compare.number) result.succeeded = false;
    }
    const auto& branch = result.succeeded ? txn.success : txn.failure;
    for (const Op& op : branch) {
      if (op.kind == Op::Kind::kPut && !leases_.contains(op.lease)) {
        return Status(Code::kNotFound, "there is no such lease");
      }
    }
    if (!branch.empty()) ++revision_;
    for (const Op& op : branch) result.results.push_back(Apply(op));
    result.revision = revision_;
    return result;
  }
  OpResult Apply(const Op& op) {
    OpResult result;
    const auto it = keys_.find(op.key);
    if (it != keys_.end() && op.return_previous) result.previous.push_back(it->second);
    if (op.kind == Op::Kind::kDelete) {
      Erase(op.key);
      return result;
    }
    KeyValue& kv = keys_[op.key];
    kv.key = op.key;
    kv.value = op.value;
    kv.mod_revision = revision_;
    if (kv.create_revision == 0) kv.create_revision = revision_;
    ++kv.version;
    kv.lease = op.lease;
    events_.push_back({WatchEvent::Kind::kPut, kv});
    return result;
  }
  void Erase(const std::string& key) {
    if (keys_.erase(key) == 0) return;
    WatchEvent event;
    event.kind = WatchEvent::Kind::kDelete;
    event.kv.key = key;
    event.kv.mod_revision = revision_;
    events_.push_back(event);
  }
  WatchPage PageFor(const Waiting& waiting) {
    WatchPage page;
    for (const WatchEvent& event : events_) {
      const bool wanted =
          event.kind == WatchEvent::Kind::kPut ? waiting.options.puts : waiting.options.deletes;
      if (event.kv.mod_revision < waiting.options.position.next || !wanted) continue;
      if (Holds(waiting.range, event.kv.key)) page.events.push_back(event);
    }
    page.position = {.next = revision_ + 1, .delivered = 0};
    page.revision = revision_;
    return page;
  }
  /// Answers the watches that have something to see.
  void Tell() {
    changed_.notify_all();
    while (true) {
      Callback<WatchPage> done;
      WatchPage page;
      {
        const std::lock_guard lock(mutex_);
        for (auto it = waiting_.begin(); it != waiting_.end() && !done; ++it) {
          page = PageFor(*it);
          if (page.events.empty()) continue;
          done = std::move(it->done);
          waiting_.erase(it);
          break;
        }
      }
      if (!done) return;
      done(std::move(page));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, KeyValue> keys_;
  std::vector<WatchEvent> events_;
  std::vector<Waiting> waiting_;
  std::set<std::uint64_t> leases_;
  std::uint64_t revision_ = 1;
  std::uint64_t ended_ = 0;
  bool renews_ = true;
};

}  // namespace raftkv
