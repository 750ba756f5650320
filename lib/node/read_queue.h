// Which reads wait for a read index, and which for the state machine to apply theirs?
//
// Reads that arrive soon after one another share a question, so that one round with the leader
// serves them all. If the leader is far away several questions are in flight at a time. An
// unanswered question is asked again unchanged: an answer to any copy will do, however late.
// Otherwise a leader further away than the timeout would never be heard.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "lib/node/ports.h"
#include "lib/node/round_trip.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

struct PendingRead {
  std::size_t bytes = 0;
  MonoTime arrived;
  MonoTime deadline;
  /// Ok: the state machine holds all that was committed when the read arrived.
  DoneStatus done;
};

class ReadQueue {
 public:
  /// When a question that is not answered is asked again.
  struct AskAgain {
    /// At least.
    Duration after;
    /// As soon as the answer is overdue by the measured round trips, once there are any.
    bool measured = false;
  };

  /// With `lease`, the leader's lease is enough.
  ReadQueue(std::uint64_t first_context, bool lease, const AskAgain& ask_again)
      : lease_(lease),
        ask_again_(ask_again),
        next_context_(first_context),
        round_trip_(ask_again.after) {}

  void Add(PendingRead read) { gathered_.push_back(std::move(read)); }
  /// Asks the core for a read index for the gathered reads, and repeats questions that are due.
  void Ask(raft::Raft& core, MonoTime now);
  /// When Ask() has something to do; kNever: nothing, or the sweep is soon enough.
  [[nodiscard]] MonoTime NextAsk() const;
  /// The core's answer; an unknown context belongs to an old question and is ignored.
  void OnReadState(const raft::ReadState& state, MonoTime now);
  /// Takes the reads that may be served now that `applied` is applied.
  [[nodiscard]] std::vector<PendingRead> TakeServable(Index applied);
  /// Takes the reads whose deadline has passed.
  [[nodiscard]] std::vector<PendingRead> TakeExpired(MonoTime now);
  [[nodiscard]] std::vector<PendingRead> TakeAll();
  /// Whether everything committed `max_staleness` before `now` is applied: the last answered
  /// question was asked since then.
  [[nodiscard]] bool IsFresh(MonoTime now, Duration max_staleness, Index applied) const;
  [[nodiscard]] bool empty() const {
    return gathered_.empty() && questions_.empty() && confirmed_.empty();
  }
  /// Reads have gathered for which no question was asked yet.
  [[nodiscard]] bool WantsToAsk() const { return !gathered_.empty(); }

 private:
  struct Question {
    std::uint64_t context = 0;
    MonoTime asked_at{};  ///< for the first time: the answer is not older
    MonoTime sent_at{};   ///< the last copy
    unsigned repeats = 0;
    unsigned unanswered = 1;  ///< copies that nobody has refused
    std::vector<PendingRead> reads{};
  };

  [[nodiscard]] Duration Patience(const Question& question) const;
  [[nodiscard]] Duration Gap() const;
  [[nodiscard]] bool MayAskAnother(MonoTime now) const;

  const bool lease_;
  const AskAgain ask_again_;
  std::uint64_t next_context_;
  std::vector<PendingRead> gathered_;
  std::deque<Question> questions_;  ///< in flight, oldest first; bounded
  RoundTrip round_trip_;
  /// After a refusal: a member that has just lost the leadership would only refuse again.
  MonoTime not_before_{};
  MonoTime no_leader_until_{};
  std::multimap<Index, PendingRead> confirmed_;
  /// The last answer: when it was asked for, and the index.
  std::optional<std::pair<MonoTime, Index>> last_confirmed_;
};

}  // namespace raftkv::node
