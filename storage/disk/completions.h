// How do answers of the disk threads come back to the loop, and how does that end?
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace raftkv::storage {

/// Runs work on the loop, later; safe from any thread. Work may be dropped once the loop has ended.
using Executor = std::function<void(std::function<void()>)>;

/// Posts callbacks to the loop until Stop(); what would run after it is dropped.
class Completions {
 public:
  explicit Completions(Executor executor) : executor_(std::move(executor)) {}

  /// Safe from any thread; `callback` never runs inside this call.
  void Post(std::function<void()> callback) {
    executor_([stopped = stopped_, callback = std::move(callback)] {
      if (!stopped->load(std::memory_order_acquire)) callback();
    });
  }
  /// After it no callback begins; one may be under way, unless this is the loop or it has ended.
  void Stop() { stopped_->store(true, std::memory_order_release); }

 private:
  const Executor executor_;
  const std::shared_ptr<std::atomic<bool>> stopped_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace raftkv::storage
