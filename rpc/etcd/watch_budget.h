// How much may all watchers of the door take at this member?
//
// Two bounds. Each watcher, and each call of it that is still open after it was cancelled, has a
// place in the member's hub, whose number is limited. And a revision with more events than fit into
// a page is put together in memory, since clients want all of it in one answer: only a few watchers
// do that at a time, the others wait for their turn. On the loop.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "lib/base/once_function.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::etcd {

/// Places for watchers.
class WatchPlaces {
 public:
  WatchPlaces(std::size_t max_watchers, std::size_t max_key_bytes);
  WatchPlaces(const WatchPlaces&) = delete;
  WatchPlaces& operator=(const WatchPlaces&) = delete;

  /// Null: none is left. Otherwise taken until the last copy of the result is gone.
  [[nodiscard]] std::shared_ptr<void> Take(std::size_t key_bytes);
  [[nodiscard]] std::size_t taken() const { return taken_->watchers; }

 private:
  struct Taken {
    std::size_t watchers = 0;
    std::size_t key_bytes = 0;
  };
  const std::size_t max_watchers_;
  const std::size_t max_key_bytes_;
  const std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

/// Turns to put together a large revision; first come, first served.
class GatherTurns {
 public:
  using Turn = std::shared_ptr<void>;
  GatherTurns(rpc::EventLoop& loop, std::size_t turns);

  /// Null: none is free. Otherwise taken until the last copy of the result is gone.
  [[nodiscard]] Turn TryTake();
  /// `then` is called once, later, with a turn.
  void Wait(OnceFunction<void(Turn)> then);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace raftkv::etcd
