// What is in the log and in the state that must survive a crash? (Raft paper, Figure 2, "State")
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/ids.h"

namespace raftkv::raft {

/// The numbers are part of the disk and wire formats.
enum class EntryKind : std::uint8_t {
  kNoop = 0,           ///< the leader's first entry of a term; no payload
  kCommand = 1,        ///< for the state machine; the core does not look inside
  kConfiguration = 2,  ///< in force as soon as it is in the log (§6)
};

struct Entry {
  Index index{};
  Term term{};
  EntryKind kind = EntryKind::kCommand;
  /// The leader's wall clock when it appended the entry, in ms since 1970; carried, not
  /// interpreted.
  std::uint64_t time_ms = 0;
  Bytes payload{};
  /// The cluster clock of its leader (lib/raft/cluster_clock.h), in ms; carried, not interpreted.
  /// 0: it was written before there was such a clock.
  std::uint64_t clock_ms = 0;

  /// What the entry costs in memory and in a message, in bytes.
  [[nodiscard]] std::size_t Footprint() const { return payload.size() + kOverheadBytes; }
  static constexpr std::size_t kOverheadBytes = 64;

  friend bool operator==(const Entry&, const Entry&) = default;
};

// Written as one byte, and compared by size where less room is worse.
static_assert(sizeof(EntryKind) == 1);
static_assert(static_cast<int>(EntryKind::kConfiguration) == 2);

/// What must be on disk before any message that depends on it is sent (Figure 2, persistent state).
/// `commit` may lag: it is a lower bound that saves time after a restart.
struct HardState {
  Term term{};
  NodeId vote{};
  Index commit{};

  friend bool operator==(const HardState&, const HardState&) = default;
};

/// What the disk of a member has space for. The numbers are part of the wire format.
enum class Space : std::uint8_t {
  kEnough = 0,
  kDeletes = 1,  ///< only requests that delete, which free space
  kNone = 2,
};

static_assert(sizeof(Space) == 1);
static_assert(Space::kEnough < Space::kDeletes);
static_assert(Space::kDeletes < Space::kNone);

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

/// For status and logs; never persisted.
struct SoftState {
  Role role = Role::kFollower;
  NodeId leader{};

  friend bool operator==(const SoftState&, const SoftState&) = default;
};

struct Member {
  NodeId id{};
  std::string name{};
  std::string address{};
  std::string zone{};
  /// Raised to let a lower boot of the member count (MembershipChange::Move::reset_boot).
  std::uint64_t incarnation = 1;
  /// Has no vote in the (new) configuration.
  bool learner = false;
  /// Joint only: has a vote in the old configuration.
  bool old_voter = false;
  /// Joint only: no longer a member once the joint configuration is left.
  bool leaves = false;
  /// A learner that becomes a voter as soon as it has caught up.
  bool promote = false;

  friend bool operator==(const Member&, const Member&) = default;
};

/// The numbers are part of the format of configurations.
enum class QuorumKind : std::uint8_t {
  kMajority = 0,  ///< more than half of the voters
  kZones = 1,     ///< and more than half of the voters of each named zone
  kFlexible = 2,  ///< given numbers to commit and to elect (Howard et al., Flexible Paxos)
};

struct QuorumRule {
  QuorumKind kind = QuorumKind::kMajority;
  std::uint32_t commit = 0;    ///< kFlexible only
  std::uint32_t election = 0;  ///< kFlexible only

  friend bool operator==(const QuorumRule&, const QuorumRule&) = default;
};

/// A name that was added and has not joined with its id yet; it becomes a learner when it does.
struct Invitation {
  std::string name{};
  std::string address{};
  /// Becomes a voter as soon as it has caught up.
  bool voter = false;

  friend bool operator==(const Invitation&, const Invitation&) = default;
};

/// Who takes part, and how many of them decide. Its encoding is lib/raft/configuration.capnp; how
/// one follows from another is lib/raft/membership.h.
struct Configuration {
  ClusterId cluster{};
  std::vector<Member> members{};  ///< ascending by id
  QuorumRule quorum{};
  /// Both the old voters, by the old rule, and the new ones must agree (§6).
  bool joint = false;
  QuorumRule old_quorum{};  ///< joint only
  std::vector<Invitation> invited{};
  /// Ids of former members, ascending; never used again.
  std::vector<NodeId> removed{};

  [[nodiscard]] const Member* Find(NodeId id) const {
    for (const Member& member : members) {
      if (member.id == id) return &member;
    }
    return nullptr;
  }
  /// In either half of a joint configuration.
  [[nodiscard]] bool IsVoter(NodeId id) const {
    const Member* member = Find(id);
    return member != nullptr && (!member->learner || member->old_voter);
  }
  /// For member lists: until a joint configuration is left nothing is decided without the old
  /// voters, so a new one does not make the cluster stronger yet.
  [[nodiscard]] bool CountsAsVoter(const Member& member) const {
    return joint ? member.old_voter : !member.learner;
  }

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// The entries from `first` on, up to the next run, have `term`: what the core keeps of the whole
/// log, so that term(i) never touches the disk.
struct TermRun {
  Term term{};
  Index first{};

  friend bool operator==(const TermRun&, const TermRun&) = default;
};

/// The last entry that is no longer in the log (§7: lastIncludedIndex, lastIncludedTerm).
struct LogBase {
  Index index{};
  Term term{};

  friend bool operator==(const LogBase&, const LogBase&) = default;
};

/// What a snapshot of the state machine replaces, and what the core must know about it (§7).
struct SnapshotMeta {
  LogBase last{};
  Configuration configuration{};  ///< in force at `last`
  Index configuration_index{};

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

}  // namespace raftkv::raft
