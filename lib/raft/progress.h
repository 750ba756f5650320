// What does the leader know of one follower, and how much may it send? (etcd/raft's Progress)
//
//   Probe      one AppendEntries at a time until the logs are known to meet
//   Replicate  pipelined: `next` runs ahead of `match`, bounded by the inflights
//   Snapshot   what it needs is no longer in the log: a snapshot is on its way, entries wait
#pragma once

#include <cstdint>
#include <deque>

#include "lib/base/time.h"
#include "lib/raft/types.h"

namespace raftkv::raft {

enum class ProgressState : std::uint8_t { kProbe, kReplicate, kSnapshot };

/// AppendEntries with entries that are under way, oldest first.
class Inflights {
 public:
  [[nodiscard]] std::size_t messages() const { return sent_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void Add(Index last, std::size_t bytes);
  /// Everything up to `match` has arrived.
  void FreeThrough(Index match);
  void Clear();

 private:
  struct Sent {
    Index last;
    std::size_t bytes;
  };
  std::deque<Sent> sent_;
  std::size_t bytes_ = 0;
};

struct Progress {
  /// The logs are not known to meet: one AppendEntries at a time, from `next` on.
  void BecomeProbe(Index from);
  /// The logs meet up to `match`: pipelined.
  void BecomeReplicate();
  /// A snapshot is on its way: entries wait.
  void BecomeSnapshot();

  ProgressState state = ProgressState::kProbe;
  /// Of the configuration: another one may have forgotten what it had acknowledged.
  std::uint64_t incarnation = 1;
  Index match{};  ///< matchIndex (Figure 2)
  Index next;     ///< nextIndex (Figure 2)
  Inflights inflights;
  /// Probe: one is under way, wait for its answer or the next heartbeat.
  bool probe_sent = false;
  /// Not 0: it said, with this nonce, that its disk lost something; it counts for nothing until it
  /// is refilled.
  std::uint64_t suspect = 0;
  /// Suspect: with this match it has back all that it may have lost; 0: not known yet.
  Index refill_at;
  /// Entries before the buffer were asked for and have not come yet.
  bool waits_for_entries = false;
  /// The highest commit index that was sent along.
  Index sent_commit;
  /// The highest read round that it has echoed in this term.
  std::uint64_t acked_round = 0;
  /// The highest one for which it promised as well to vote for nobody long enough.
  std::uint64_t promised_round = 0;
  /// What it said last that its disk has room for.
  Space space = Space::kEnough;
  /// What its state machine has applied, as far as it has said so in this term.
  Index applied{};
  MonoTime last_heard{};
  /// It has answered in this term, and its connection stands since; before that `last_heard` is the
  /// benefit of the doubt.
  bool heard = false;
  /// When entries were sent last.
  MonoTime last_sent{};
};

}  // namespace raftkv::raft
