// How is a cluster kept busy by many clients at a time, without a thread for each?
//
// Each client is a closed loop: its next call starts where its last one ended, in the callback. A
// rate makes it wait for its turn; then a call's time counts from when it was due, so that a slow
// cluster cannot hide how long its callers waited.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include <raftkv/kv.h>

#include "cmd/histogram.h"
#include "lib/base/mutex.h"
#include "lib/base/random.h"

namespace raftkv::cmd {

struct LoadOptions {
  enum class Operation : unsigned char { kPut, kGet, kTxn };
  Operation operation = Operation::kPut;
  std::uint32_t clients = 1;
  std::uint64_t total = 0;  ///< calls; 0: until `duration` is over
  std::chrono::milliseconds duration{0};
  std::uint64_t rate = 0;  ///< calls a second; 0: as fast as they go
  std::uint32_t value_bytes = 256;
  std::uint64_t key_space = 1'000'000;
  std::chrono::milliseconds timeout{5000};
  std::uint64_t seed = 1;
};

struct LoadResult {
  std::uint64_t errors = 0;
  /// Of the first call that failed.
  Status first_error;
  double seconds = 0;
};

class Load {
 public:
  /// `kv` and `histogram` outlive the load. Latencies of calls that succeeded go to `histogram`,
  /// in nanoseconds.
  Load(LoadOptions options, KV& kv, Histogram& histogram);

  /// Runs to the end; returns when no call is under way.
  LoadResult Run();

 private:
  using Clock = std::chrono::steady_clock;

  struct Client {
    explicit Client(std::uint64_t seed) : chance(seed) {}
    Random chance;
    /// Of its next call, where it waits for its turn.
    std::optional<Clock::time_point> due;
  };
  /// A client that has to wait, until when.
  using Parked = std::pair<Clock::time_point, Client*>;

  void Next(Client& client) RAFTKV_EXCLUDES(mutex_);
  void Send(Client& client, Clock::time_point due) RAFTKV_EXCLUDES(mutex_);
  void Done(Client& client, Clock::time_point due, const Status& status) RAFTKV_EXCLUDES(mutex_);
  void Park(Client& client, Clock::time_point until) RAFTKV_EXCLUDES(mutex_);
  void Finish() RAFTKV_EXCLUDES(mutex_);
  std::string RandomKey(Client& client) const;
  std::string RandomValue(Client& client) const;
  TxnRequest RandomTxn(Client& client) const;

  const LoadOptions options_;
  KV& kv_;
  Histogram& histogram_;
  std::string pool_;  ///< random bytes that values are cut from
  Clock::time_point start_;
  std::vector<Client> clients_;
  std::atomic<std::uint64_t> turns_{0};

  Mutex mutex_;
  Condition changed_;
  std::priority_queue<Parked, std::vector<Parked>, std::greater<>> parked_
      RAFTKV_GUARDED_BY(mutex_);
  std::uint32_t running_ RAFTKV_GUARDED_BY(mutex_) = 0;
  LoadResult result_ RAFTKV_GUARDED_BY(mutex_);
};

}  // namespace raftkv::cmd
