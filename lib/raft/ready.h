// What must the caller do now, and in which order, so that nothing is promised before it is
// durable?
//
// The core changes state in memory and returns its effects as a Ready. The caller carries it out
// from top to bottom:
//
//   1 `messages`                 may be sent at once, in parallel with the disk: only what an
//                                elected leader sends, and what promises nothing about this disk
//   2 `hard_state`, `entries`, `snapshot`, `refilled`
//                                one atomic write; synced if `must_sync`
//   3 `messages_after_persist`   only once 2 is durable: every vote, every acknowledgement, and
//                                RequestVote too
//   4 `committed_entries`        apply in order; they are durable on this member; then call
//                                Applied()
//   5 `read_states`              serve once applied >= read_index
//   6 `wanted_entries`           read them from the log, pass them to ProvideEntries()
//   7 `wanted_snapshots`         send these members a snapshot, then call SnapshotSent()
//
// At most one write (2) is in progress: meanwhile TakeReady(Disk::kBusy) leaves 2 and 3 in the
// core, where the next batch gathers; Persisted() ends it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/raft/message.h"
#include "lib/raft/types.h"

namespace raftkv::raft {

enum class Disk : std::uint8_t { kIdle, kBusy };

/// The answer to a RequestReadIndex().
struct ReadState {
  std::uint64_t context = 0;
  /// False: leadership could not be confirmed; the read was not served, ask again.
  bool confirmed = false;
  /// A state machine that has applied this index answers linearizably.
  Index read_index{};
  friend bool operator==(const ReadState&, const ReadState&) = default;
};

/// Entries that are no longer in memory: for a lagging follower or (peer is kNobody) to apply.
struct WantedEntries {
  NodeId peer{};
  Index first{};
  Index last{};
  std::size_t max_bytes = 0;
  friend bool operator==(const WantedEntries&, const WantedEntries&) = default;
};

struct Ready {
  std::optional<SoftState> soft_state{};  ///< if it changed
  std::vector<Message> messages{};
  std::optional<HardState> hard_state{};  ///< if it changed
  /// Replace everything in the stored log from entries.front().index on.
  std::vector<Entry> entries{};
  /// Replace the whole log and the state machine by the snapshot that was offered; `entries` is
  /// empty then.
  std::optional<SnapshotMeta> snapshot{};
  /// Make durable that this store is no longer suspect.
  bool refilled = false;
  bool must_sync = false;
  std::vector<Message> messages_after_persist{};
  std::vector<Entry> committed_entries{};
  std::vector<ReadState> read_states{};
  std::vector<WantedEntries> wanted_entries{};
  std::vector<NodeId> wanted_snapshots{};

  [[nodiscard]] bool HasWrite() const {
    return hard_state.has_value() || !entries.empty() || snapshot.has_value() || refilled;
  }
  [[nodiscard]] bool Empty() const {
    return !soft_state && messages.empty() && !HasWrite() && messages_after_persist.empty() &&
           committed_entries.empty() && read_states.empty() && wanted_entries.empty() &&
           wanted_snapshots.empty();
  }
};

}  // namespace raftkv::raft
