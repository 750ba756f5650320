// What do members send to each other? (Raft paper, Figure 2, "RPCs"; pre-vote: thesis §9.6)
//
// Every message may be lost, duplicated, delayed and reordered. `term` is the sender's term, except
// in a pre-vote, where it is the term that the sender would campaign in.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "lib/base/time.h"
#include "lib/raft/types.h"

namespace raftkv::raft {

struct RequestVote {
  Term term{};
  Index last_log_index{};
  Term last_log_term{};
  bool pre_vote = false;
  /// The leader itself asked for this election (TimeoutNow): members that hear it may still vote.
  bool transfer = false;
  friend bool operator==(const RequestVote&, const RequestVote&) = default;
};

struct RequestVoteReply {
  /// Granted pre-vote: the term of the request. Otherwise the sender's term.
  Term term{};
  bool granted = false;
  bool pre_vote = false;
  friend bool operator==(const RequestVoteReply&, const RequestVoteReply&) = default;
};

/// Without entries it is the heartbeat.
struct AppendEntries {
  Term term{};
  Index prev_log_index{};
  Term prev_log_term{};
  Index leader_commit{};
  /// The leader's latest read round (ReadIndex); echoed by the reply.
  std::uint64_t read_round = 0;
  /// Contiguous from prev_log_index + 1.
  std::vector<Entry> entries{};
  /// To a suspect member: the nonce that it announced. It has everything again that it may have
  /// lost.
  std::uint64_t refilled = 0;
  /// The leader's cluster clock, in ms.
  std::uint64_t clock_ms = 0;
  friend bool operator==(const AppendEntries&, const AppendEntries&) = default;
};

struct AppendEntriesReply {
  Term term{};
  bool success = false;
  /// success: the sender's log equals the leader's up to here, and is durable up to here.
  /// Otherwise: the prev_log_index that did not match.
  Index index{};
  /// Failure only: the last index that may still match, and its term, so that the leader can skip
  /// whole terms (§5.3, the optimization in its last paragraphs).
  Index hint_index{};
  Term hint_term{};
  std::uint64_t read_round = 0;
  /// Not 0: the sender's disk has lost something; the nonce of this open. The sender does not count
  /// until it is refilled.
  std::uint64_t suspect = 0;
  /// For this long, by its own clock and from when it heard `read_round`, the sender grants no vote
  /// (thesis §6.4.1). Zero: it promises nothing.
  Duration promise{};
  /// What the sender's disk has space for.
  Space space = Space::kEnough;
  /// What the sender's state machine has applied; 0 also if an older version does not report it.
  Index applied{};
  friend bool operator==(const AppendEntriesReply&, const AppendEntriesReply&) = default;
};

/// A follower asks for a read index (thesis §6.4); `context` is its own number for the request.
struct ReadIndex {
  Term term{};
  std::uint64_t context = 0;
  /// The leader's lease is enough.
  bool lease = false;
  friend bool operator==(const ReadIndex&, const ReadIndex&) = default;
};

struct ReadIndexReply {
  Term term{};
  std::uint64_t context = 0;
  /// False: the member asked does not lead, or stepped down before it could confirm that.
  bool confirmed = false;
  Index index{};
  friend bool operator==(const ReadIndexReply&, const ReadIndexReply&) = default;
};

/// The leader transfers its leadership: campaign at once (thesis §3.10).
struct TimeoutNow {
  Term term{};
  friend bool operator==(const TimeoutNow&, const TimeoutNow&) = default;
};

using Body = std::variant<RequestVote, RequestVoteReply, AppendEntries, AppendEntriesReply,
                          ReadIndex, ReadIndexReply, TimeoutNow>;

struct Message {
  NodeId from{};
  NodeId to{};
  Body body{};
  friend bool operator==(const Message&, const Message&) = default;
};

[[nodiscard]] Term TermOf(const Message& message);

}  // namespace raftkv::raft
