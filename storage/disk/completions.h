// How does work leave the loop, how do its results return, and how does that end?
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "lib/base/once_function.h"
#include "storage/disk/worker.h"

namespace raftkv::storage {

/// Runs work on the loop, later; safe from any thread. Work may be dropped once the loop has ended.
using Executor = std::function<void(OnceFunction<void()>)>;

/// Posts callbacks to the loop until Stop(); later ones are dropped.
class Completions {
 public:
  explicit Completions(Executor executor) : executor_(std::move(executor)) {}

  /// Safe from any thread; `callback` never runs inside this call.
  void Post(OnceFunction<void()> callback) {
    executor_([stopped = stopped_, callback = std::move(callback)]() mutable {
      if (!stopped->load(std::memory_order_acquire)) callback();
    });
  }
  /// After it no callback starts; one may still be running, unless this is the loop or the loop has
  /// ended.
  void Stop() { stopped_->store(true, std::memory_order_release); }

 private:
  Executor executor_;
  std::shared_ptr<std::atomic<bool>> stopped_ = std::make_shared<std::atomic<bool>>(false);
};

/// Runs `work` on `worker`, then `done` on the loop with its result: a Status, a Result, or
/// anything constructible from one. If the worker accepts no more, `done` gets QueueFull(). `work`
/// releases what it holds on the worker; `done` may hold what only the loop may destroy. Called on
/// the loop.
template <class Work, class Done>
void RunOn(Worker& worker, Completions completions, Work work, Done done) {
  using Answer = std::invoke_result_t<Work&>;
  // Shared with a task that may not be accepted. One that is releases its share.
  auto shared_done = std::make_shared<OnceFunction<void(Answer)>>(std::move(done));
  const bool posted = worker.Post(
      [completions, shared_done, work = OnceFunction<Answer()>(std::move(work))]() mutable {
        completions.Post([shared_done = std::move(shared_done), answer = work()]() mutable {
          (*shared_done)(std::move(answer));
        });
      });
  if (posted) return;
  completions.Post([shared_done = std::move(shared_done)] { (*shared_done)(Answer(QueueFull())); });
}

}  // namespace raftkv::storage
