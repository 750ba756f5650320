// How does a contender queue for a lock or an election, and how does it learn that it has lost?
//
// By one key below NAME/, attached to the lease of its session. This is the part that Lock and
// Election share.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <raftkv/lock.h>
#include <raftkv/watch.h>

namespace raftkv {

class QueuePlace {
 public:
  QueuePlace(Session& session, const std::string& name);
  /// Leaves, without waiting for the answer.
  ~QueuePlace();
  QueuePlace(const QueuePlace&) = delete;
  QueuePlace& operator=(const QueuePlace&) = delete;

  /// Queues, and waits until nobody is before it. After a failure it is out of the queue.
  Status Acquire(const std::string& value, std::chrono::milliseconds timeout);
  /// The same without the wait; false: somebody is before it.
  Result<bool> TryAcquire(std::chrono::milliseconds timeout);
  Status Rewrite(std::string value, std::chrono::milliseconds timeout);
  Status Leave(std::chrono::milliseconds timeout);
  void Cancel();

  [[nodiscard]] bool held() const;
  [[nodiscard]] std::uint64_t token() const;
  [[nodiscard]] const std::string& key() const;
  Status WaitUntilLost(std::chrono::milliseconds timeout);

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  struct State;
  struct Before;

  [[nodiscard]] bool IsLost() const;
  Status Begin(Deadline deadline);
  Status Enter(const std::string& value, Deadline deadline);
  Status Entered(const TxnResult& result);
  Status WaitForTurn(Deadline deadline);
  Result<std::optional<Before>> FindBefore(Deadline deadline);
  Status WaitForEndOf(const Before& before, Deadline deadline);
  void SetFirst();
  Status GiveUp(Status why);
  void LeaveAsync(std::chrono::milliseconds timeout, std::function<void(Status)> done);

  KV& kv_;
  const std::string prefix_;
  const std::shared_ptr<State> state_;  ///< what callbacks may outlive this object with
  std::optional<Watcher> own_watch_;
};

}  // namespace raftkv
