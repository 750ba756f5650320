// Which reads wait for a read index, and which for the state machine to reach theirs?
//
// Reads that arrive while this member asks for a read index share the next question, so that one
// round with the leader serves them all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "lib/node/ports.h"
#include "lib/node/round_trip.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

struct PendingRead {
  Bytes request;
  MonoTime arrived;
  MonoTime deadline;
  Done<Bytes> done;
};

class ReadQueue {
 public:
  /// When a question that is not answered is asked again.
  struct AskAgain {
    Duration after;
    /// After the round trip that was measured, once one was.
    bool measured = false;
  };

  /// With `lease`, the leader's lease is enough.
  ReadQueue(std::uint64_t first_context, bool lease, const AskAgain& ask_again)
      : lease_(lease),
        ask_again_(ask_again),
        next_context_(first_context),
        round_trip_(ask_again.after) {}

  void Add(PendingRead read) { gathered_.push_back(std::move(read)); }
  /// Asks the core for a read index for what has gathered, unless a question is under way that is
  /// not to be asked again yet.
  void Ask(raft::Raft& core, MonoTime now);
  /// kNever: no question is under way, or the sweep is soon enough.
  [[nodiscard]] MonoTime AsksAgainAt() const;
  /// The core's answer; an unknown context is an old question's and changes nothing.
  void OnReadState(const raft::ReadState& state, MonoTime now);
  /// Takes the reads that may be served now that `applied` is applied.
  [[nodiscard]] std::vector<PendingRead> TakeServable(Index applied);
  /// Takes the reads whose deadline has passed.
  [[nodiscard]] std::vector<PendingRead> TakeExpired(MonoTime now);
  [[nodiscard]] std::vector<PendingRead> TakeAll();
  /// Whether what is applied holds all that was committed `max_staleness` before `now`: the last
  /// question that was answered was asked since.
  [[nodiscard]] bool IsFresh(MonoTime now, Duration max_staleness, Index applied) const;
  [[nodiscard]] bool empty() const {
    return gathered_.empty() && asked_.empty() && confirmed_.empty();
  }
  /// Something has gathered that no question was asked for yet.
  [[nodiscard]] bool WantsToAsk() const { return !gathered_.empty(); }

 private:
  [[nodiscard]] Duration Patience() const;

  const bool lease_;
  const AskAgain ask_again_;
  std::uint64_t next_context_;
  std::vector<PendingRead> gathered_;
  /// One question under way at a time.
  std::vector<PendingRead> asked_;
  std::uint64_t asked_context_ = 0;
  MonoTime asked_at_{};
  unsigned repeats_ = 0;  ///< of the question under way
  RoundTrip round_trip_;
  /// After a refusal: who has just lost its leadership would only refuse again.
  MonoTime not_before_{};
  std::multimap<Index, PendingRead> confirmed_;
  /// The last answer: when it was asked for, and the index.
  std::optional<std::pair<MonoTime, Index>> last_confirmed_;
};

}  // namespace raftkv::node
