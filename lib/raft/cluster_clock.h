// How much time has passed while somebody led the cluster? (docs/data-model.md, leases)
//
// A clock that all members share, in ms, which the wall clocks have no part in: the leader counts
// the time that passes on its monotonic clock, and stamps it into entries and heartbeats. What
// nobody counts, an election or a pause of the leader, did not happen on this clock. So it never
// runs faster than time does, and what must last for some time by this clock lasts at least as
// long.
//
// Safety: a member takes over a leader's clock only where its log has nothing that is not in that
// leader's log. Otherwise it might go on, as a leader, with an entry that was stamped on a clock
// which is behind, and the time after that entry would seem to have passed already.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "lib/base/ids.h"
#include "lib/base/time.h"

namespace raftkv::raft {

/// 285 years: what no cluster comes to. Whatever arrives or is read above it is malformed, since it
/// could not be counted on.
inline constexpr std::uint64_t kMaxClockMs = 9'000'000'000'000;

class ClusterClock {
 public:
  explicit ClusterClock(MonoTime now) : last_(now) {}

  /// Leader: the time since the last Count or Skip has passed, but no more than `most` of it: who
  /// was paused does not know what happened meanwhile.
  void Count(MonoTime now, Duration most) {
    counted_ += std::min(now - last_, most);
    last_ = now;
  }
  /// Everybody else: the time until `now` is not counted here.
  void Skip(MonoTime now) { last_ = now; }

  /// What the leader of `term` says, which may be less than an earlier leader said.
  void Hear(Term term, std::uint64_t ms) {
    if (term == heard_in_ && ms <= this->ms()) return;
    heard_in_ = term;
    counted_ = std::chrono::milliseconds(ms);
  }
  /// An entry that is committed has `ms`.
  void AtLeast(std::uint64_t ms) {
    if (ms > this->ms()) counted_ = std::chrono::milliseconds(ms);
  }

  [[nodiscard]] std::uint64_t ms() const {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(counted_).count());
  }

 private:
  Duration counted_{};
  MonoTime last_;
  Term heard_in_{};
};

}  // namespace raftkv::raft
