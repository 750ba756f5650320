// What is one call of a KV while it is open?
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>

#include "lib/base/time.h"
#include "lib/kv/request.h"

namespace raftkv::node {

/// The bytes of calls that wait to be sent; shared by every thread that calls.
class CallBudget {
 public:
  explicit CallBudget(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  [[nodiscard]] bool Take(std::size_t bytes) {
    if (used_bytes_.fetch_add(bytes) + bytes <= max_bytes_) return true;
    used_bytes_.fetch_sub(bytes);
    return false;
  }
  void Give(std::size_t bytes) { used_bytes_.fetch_sub(bytes); }
  [[nodiscard]] std::size_t max_bytes() const { return max_bytes_; }

 private:
  const std::size_t max_bytes_;
  std::atomic<std::size_t> used_bytes_{0};
};

/// Bytes that were taken from a budget, until they are given back or the lease ends.
class BudgetLease {
 public:
  BudgetLease() = default;
  BudgetLease(std::shared_ptr<CallBudget> budget, std::size_t bytes)
      : budget_(std::move(budget)), bytes_(bytes) {}
  BudgetLease(const BudgetLease&) = delete;
  BudgetLease& operator=(const BudgetLease&) = delete;
  ~BudgetLease() { End(); }

  void End() {
    if (budget_ != nullptr) budget_->Give(bytes_);
    budget_.reset();
  }

 private:
  std::shared_ptr<CallBudget> budget_;
  std::size_t bytes_ = 0;
};

/// `Finish` takes a Status first. It runs exactly once: at the latest, with Cancelled, when the
/// call goes (a loop that ended drops the calls that were posted to it).
template <class CallT>
struct CallBase {
  using ByDeadline = std::multimap<MonoTime, std::shared_ptr<CallT>>;

  CallBase(MonoTime call_deadline, std::shared_ptr<CallBudget> budget, std::size_t call_bytes)
      : deadline(call_deadline), bytes(call_bytes), lease(std::move(budget), call_bytes) {}

  const MonoTime deadline;
  const std::size_t bytes;  ///< of its request
  std::size_t operation_count = 1;
  std::size_t counted_operations = 1;  ///< with what transactions have in them
  std::size_t whole_ranges = 0;        ///< see kv::kMaxWholeRanges
  bool alone = false;                  ///< shares its request with no other
  BudgetLease lease;
  bool ended = false;
  /// Owned by the CallQueue, both.
  bool waits = false;
  typename ByDeadline::iterator by_deadline;
};

inline Status ClosedStatus() { return {Code::kCancelled, "the store was closed"}; }

struct WriteRequest;

struct WriteCall : CallBase<WriteCall> {
  /// `results`: one an operation, if the status is ok.
  using Finish = std::function<void(const Status&, std::uint64_t revision,
                                    const kv::OperationResult* results)>;
  using CallBase::CallBase;
  ~WriteCall() { End(ClosedStatus(), 0, nullptr); }

  void End(const Status& status, std::uint64_t revision, const kv::OperationResult* results) {
    if (ended) return;
    ended = true;
    std::exchange(finish, nullptr)(status, revision, results);
  }

  std::vector<kv::Operation> operations;  ///< empty once it is part of a request
  Finish finish;
  WriteRequest* request = nullptr;  ///< null: waits
};

/// The answer was full, or the request had worked enough, before this read's turn.
inline bool LeftOut(const ScanResult& result) {
  return result.more && result.kvs.empty() && result.count == 0;
}

struct ReadRequest;

struct ReadCall : CallBase<ReadCall> {
  /// One result a read, all from one state. The first one is answered; others may have been left
  /// out of a full answer (LeftOut).
  using Finish = std::function<void(Result<std::vector<kv::ReadAnswer>>)>;
  using CallBase::CallBase;
  ~ReadCall() { End(ClosedStatus()); }

  void End(Result<std::vector<kv::ReadAnswer>> results) {
    if (ended) return;
    ended = true;
    std::exchange(finish, nullptr)(std::move(results));
  }

  std::vector<kv::ReadOp> reads;
  Duration max_staleness{};  ///< of a bounded read
  Finish finish;
  ReadRequest* request = nullptr;  ///< null: waits
};

}  // namespace raftkv::node
