#include "rpc/etcd/leader_monitor.h"

#include <map>
#include <utility>
#include <vector>

namespace raftkv::etcd {

namespace {

/// Looks without a leader, one each election timeout.
constexpr int kLooksUntilLost = 3;

}  // namespace

struct LeaderMonitor::State : std::enable_shared_from_this<State> {
  struct Call {
    OnceFunction<void()> lost;
  };

  State(Backend& of, Duration each) : backend(of), interval(each) {}

  void LookLater() {
    if (looks || calls.empty()) return;
    looks = true;
    backend.loop.At(backend.loop.Now() + interval, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Look();
    });
  }

  void Look() {
    looks = false;
    without_leader = backend.status().leader.empty() ? without_leader + 1 : 0;
    if (without_leader >= kLooksUntilLost) {
      without_leader = 0;
      // An end may take others along.
      std::vector<std::shared_ptr<Call>> ended;
      for (const auto& [raw, weak] : std::exchange(calls, {})) {
        if (auto call = weak.lock()) ended.push_back(std::move(call));
      }
      for (const auto& call : ended) {
        if (call->lost) call->lost();
      }
    }
    if (calls.empty()) without_leader = 0;
    LookLater();
  }

  Backend& backend;
  const Duration interval;
  std::map<Call*, std::weak_ptr<Call>> calls;
  int without_leader = 0;  ///< looks in a row
  bool looks = false;      ///< a look is set
};

LeaderMonitor::LeaderMonitor(Backend& backend, Duration election_timeout)
    : state_(std::make_shared<State>(backend, election_timeout)) {}

LeaderMonitor::~LeaderMonitor() = default;

std::shared_ptr<void> LeaderMonitor::Watch(OnceFunction<void()> lost) {
  auto* const raw = new State::Call{std::move(lost)};
  std::shared_ptr<State::Call> call(raw, [weak = std::weak_ptr<State>(state_)](State::Call* ended) {
    if (const auto state = weak.lock()) state->calls.erase(ended);
    delete ended;
  });
  state_->calls.emplace(raw, call);
  state_->LookLater();
  return call;
}

}  // namespace raftkv::etcd
