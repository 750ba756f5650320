#include "rpc/etcd/watch_budget.h"

#include <utility>

namespace raftkv::etcd {

WatchPlaces::WatchPlaces(std::size_t max_watchers, std::size_t max_key_bytes)
    : max_watchers_(max_watchers), max_key_bytes_(max_key_bytes) {}

std::shared_ptr<void> WatchPlaces::Take(std::size_t key_bytes) {
  if (taken_->watchers >= max_watchers_) return nullptr;
  if (taken_->key_bytes + key_bytes > max_key_bytes_) return nullptr;
  ++taken_->watchers;
  taken_->key_bytes += key_bytes;
  // It may outlive this object: a call of the KV ends when it ends.
  return {taken_.get(), [taken = taken_, key_bytes](void*) {
            --taken->watchers;
            taken->key_bytes -= key_bytes;
          }};
}

struct GatherTurns::State : std::enable_shared_from_this<State> {
  State(rpc::EventLoop& of, std::size_t turns) : loop(of), free(turns) {}

  Turn Make() {
    return {this, [weak = weak_from_this()](void*) {
              if (const auto self = weak.lock()) self->Release();
            }};
  }

  void Release() {
    if (waiting.empty()) {
      ++free;
      return;
    }
    OnceFunction<void(Turn)> next = std::move(waiting.front());
    waiting.pop_front();
    loop.RunLater([next = std::move(next), turn = Make()]() mutable { next(std::move(turn)); });
  }

  rpc::EventLoop& loop;
  std::size_t free;
  std::deque<OnceFunction<void(Turn)>> waiting;  ///< a watcher is in it at most once
};

GatherTurns::GatherTurns(rpc::EventLoop& loop, std::size_t turns)
    : state_(std::make_shared<State>(loop, turns)) {}

GatherTurns::Turn GatherTurns::TryTake() {
  if (state_->free == 0) return nullptr;
  --state_->free;
  return state_->Make();
}

void GatherTurns::Wait(OnceFunction<void(Turn)> then) {
  if (Turn turn = TryTake()) {
    state_->loop.RunLater(
        [then = std::move(then), turn = std::move(turn)]() mutable { then(std::move(turn)); });
    return;
  }
  state_->waiting.push_back(std::move(then));
}

}  // namespace raftkv::etcd
