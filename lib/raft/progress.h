// What does the leader know about one follower, and how much may it send? (etcd/raft's Progress)
//
//   Probe      one AppendEntries at a time until the logs are known to match
//   Replicate  pipelined: `next` runs ahead of `match`, bounded by the inflights
//   Snapshot   what it needs is no longer in the log: a snapshot is in transit, entries wait
#pragma once

#include <cstdint>
#include <deque>

#include "lib/base/time.h"
#include "lib/raft/types.h"

namespace raftkv::raft {

enum class ProgressState : std::uint8_t { kProbe, kReplicate, kSnapshot };

/// AppendEntries with entries in flight, oldest first.
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
  /// The logs are not known to match: one AppendEntries at a time, from `next` on.
  void BecomeProbe(Index from);
  /// The logs match up to `match`: pipelined.
  void BecomeReplicate();
  /// A snapshot is in transit: entries wait.
  void BecomeSnapshot();

  ProgressState state = ProgressState::kProbe;
  /// As in the configuration: under another incarnation it may have forgotten what it acknowledged.
  std::uint64_t incarnation = 1;
  Index match{};  ///< matchIndex (Figure 2)
  Index next;     ///< nextIndex (Figure 2)
  Inflights inflights;
  /// Probe: one is in flight; wait for its answer or the next heartbeat.
  bool probe_sent = false;
  /// Not 0: it announced, with this nonce, that its disk has lost something; it does not count
  /// until it is refilled.
  std::uint64_t suspect = 0;
  /// Suspect: with this match it has everything again that it may have lost; 0: not known yet.
  Index refill_at;
  /// Entries before the buffer were requested and have not arrived yet.
  bool waits_for_entries = false;
  /// The highest commit index that was sent with them.
  Index sent_commit;
  /// The highest read round that it has echoed in this term.
  std::uint64_t acked_round = 0;
  /// The highest one for which it also promised, for long enough, to grant no vote.
  std::uint64_t promised_round = 0;
  /// What its disk last reported to have space for.
  Space space = Space::kEnough;
  /// What its state machine has applied, as far as it has reported that in this term.
  Index applied{};
  MonoTime last_heard{};
  /// It has answered in this term, and its connection has not broken since; before that
  /// `last_heard` is the benefit of the doubt.
  bool heard = false;
  /// When entries were last sent.
  MonoTime last_sent{};
};

}  // namespace raftkv::raft
