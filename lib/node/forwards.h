// Which requests were forwarded to the leader, and how do they end?
//
// Where messages may be lost unnoticed, an unanswered one is sent again, under the same id, after a
// measured round trip. The leader answers a copy as it answered the first one (forward_answers.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "lib/node/ports.h"
#include "lib/node/round_trip.h"

namespace raftkv::node {

class Forwards {
 public:
  struct Options {
    /// Of the ids.
    std::uint64_t first_id = 0;
    bool messages_may_be_lost = false;
    /// Before any round trip was measured.
    Duration first_timeout = std::chrono::milliseconds(300);
  };

  /// `transport` is borrowed. `release` is called with the bytes of each request that has ended,
  /// before its callback runs.
  Forwards(const Options& options, Transport& transport, std::function<void(std::size_t)> release);

  void Add(NodeId leader, Bytes request, MonoTime now, MonoTime deadline, SubmitDone done);
  void OnReply(NodeId peer, ForwardSubmitReply reply, MonoTime now);
  /// Sends again what is due.
  void Resend(MonoTime now);
  [[nodiscard]] MonoTime NextResend() const;

  /// Ends with `why` those forwarded to `leader`, to another one, the expired ones, all.
  void FailOf(NodeId leader, const Status& why);
  void FailOfOthersThan(NodeId leader, const Status& why);
  void FailExpired(MonoTime now, const Status& why);
  void FailAll(const Status& why);
  [[nodiscard]] bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    NodeId leader;
    Bytes request;  ///< empty if nothing is ever sent again
    std::size_t bytes = 0;
    MonoTime deadline;
    SubmitDone done;
    MonoTime sent_at{};
    MonoTime resend_at = kNever;
    unsigned resends = 0;
  };
  using Map = std::map<std::uint64_t, Waiting>;

  void Schedule(std::uint64_t id, Waiting& waiting, MonoTime now);
  Waiting Take(Map::iterator it);
  void End(Waiting waiting, SubmitOutcome outcome);
  void FailIf(const std::function<bool(const Waiting&)>& ends, const Status& why);

  // Constant after construction.
  const Options options_;
  Transport& transport_;
  const std::function<void(std::size_t)> release_;

  std::uint64_t next_id_;
  Map waiting_;
  std::set<std::pair<MonoTime, std::uint64_t>> due_;
  /// Of the leader asked last.
  NodeId measured_;
  RoundTrip round_trip_;
};

}  // namespace raftkv::node
