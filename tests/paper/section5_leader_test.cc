// Raft paper, §5.3, §5.4.2 and Figure 2 "Leaders": is each sentence true of a leader?
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_cluster.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::ProgressState;
using raft::Role;
using std::chrono::milliseconds;

// Leaders: "If command received from client: append entry to local log". §5.3: "Each log entry
// stores a state machine command along with the term number when the entry was received by the
// leader".
TEST(Figure2Leaders, ACommandIsAppendedWithTheLeadersTerm) {
  Solo me(3, {1, 2}, 2);
  me.BecomeLeader();
  const auto at = me.Propose("hello");
  ASSERT_TRUE(at.ok());
  EXPECT_EQ(*at, (raft::LogPosition{Index(4), Term(3)}));
  EXPECT_EQ(me.core().log().At(Index(4)).payload.view(), "hello");
  EXPECT_EQ(me.core().log().TermAt(Index(4)), Term(3));
}

// §5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs
// in parallel to each of the other servers"; each with "the index and term of the entry in its log
// that immediately precedes the new entries".
TEST(Section53, EntriesGoToAllInParallelWithWhatPrecedesThem) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, raft::Body(Ack(2, 2)));
  me.Step(3, raft::Body(Ack(2, 2)));
  ASSERT_TRUE(me.Propose("a").ok());
  ASSERT_TRUE(me.Propose("b").ok());
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  for (std::uint64_t peer : {2, 3}) {
    const auto appends = AllTo<AppendEntries>(peer, ready->messages);
    ASSERT_EQ(appends.size(), 1u) << "without waiting for the leader's own disk";
    EXPECT_EQ(appends[0].prev_log_index, Index(2));
    EXPECT_EQ(appends[0].prev_log_term, Term(2));
    EXPECT_EQ(appends[0].entries.size(), 2u);
  }
}

// §5.3: "A log entry is committed once the leader that created the entry has replicated it on a
// majority of the servers"; Leaders: "If there exists an N such that N > commitIndex, a majority of
// matchIndex[i] >= N, and log[N].term == currentTerm: set commitIndex = N".
TEST(Figure2Leaders, AnEntryIsCommittedByAMajority) {
  for (const std::uint64_t members : {1, 2, 3, 4, 5}) {
    Solo me(members);
    if (members == 1) {
      me.Campaign();
    } else {
      me.BecomeLeader();
    }
    ASSERT_EQ(me.core().role(), Role::kLeader);
    // Index 2 is the no-op; the leader itself is one that has it.
    for (std::uint64_t holders = 1; holders <= members; ++holders) {
      if (holders > 1) me.Step(holders, Ack(2, 2));
      EXPECT_EQ(me.core().commit_index() == Index(2), holders * 2 > members)
          << holders << " of " << members;
    }
  }
}

// The same: the leader counts itself only once the entry is durable at itself (known bug 2).
TEST(Figure2Leaders, TheLeaderCountsItselfOnlyOnceItHasSynced) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.Propose("a").ok());
  ASSERT_TRUE(me->TakeReady().has_value());
  me->Step(From(2, Ack(2, 3)));
  EXPECT_EQ(me.core().commit_index(), Index(2)) << "2 alone is no majority";
  me->Persist();
  EXPECT_EQ(me.core().commit_index(), Index(3));
}

// The same: two followers are a majority without the leader's disk; but it applies nothing before
// its own sync (known bug 45).
TEST(Figure2Leaders, FollowersCommitWithoutTheLeadersDiskButItDoesNotApply) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.Propose("a").ok());
  ASSERT_TRUE(me->TakeReady().has_value());
  me->Step(From(2, Ack(2, 3)));
  me->Step(From(3, Ack(2, 3)));
  EXPECT_EQ(me.core().commit_index(), Index(3));
  const auto busy = me->TakeReady();
  if (busy) {
    EXPECT_TRUE(busy->committed_entries.empty());
  }
  me->Persist();
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  ASSERT_EQ(ready->committed_entries.size(), 1u);
  EXPECT_EQ(ready->committed_entries[0].index, Index(3));
}

// §5.4.2: "Raft never commits log entries from previous terms by counting replicas. Only log
// entries from the leader's current term are committed by counting replicas; once an entry from the
// current term has been committed in this way, then all prior entries are committed indirectly".
// (known bug 3)
TEST(Section542, EntriesOfEarlierTermsAreCommittedOnlyByOneOfTheOwnTerm) {
  Solo me(5, {1, 2, 2, 3}, 3);
  me.BecomeLeader();
  const std::uint64_t term = me.core().term().value;
  for (std::uint64_t peer = 2; peer <= 5; ++peer) me.Step(peer, Ack(term, 4));
  EXPECT_EQ(me.core().commit_index(), Index(1)) << "all have 4, of an earlier term";
  EXPECT_FALSE(me.core().committed_in_term());
  me.Step(2, Ack(term, 5));
  EXPECT_EQ(me.core().commit_index(), Index(1));
  me.Step(3, Ack(term, 5));
  EXPECT_EQ(me.core().commit_index(), Index(5));
  EXPECT_TRUE(me.core().committed_in_term());
  EXPECT_EQ(me->applied().size(), 4u);
}

// §5.3: "The leader keeps track of the highest index it knows to be committed, and it includes that
// index in future AppendEntries RPCs (including heartbeats) so that the other servers eventually
// find out."
TEST(Section53, TheCommitIndexIsToldToAll) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  const auto sent = me.Advance(milliseconds(100));
  for (std::uint64_t peer : {2, 3}) {
    const auto appends = AllTo<AppendEntries>(peer, sent);
    ASSERT_FALSE(appends.empty());
    EXPECT_EQ(appends.back().leader_commit, Index(2));
  }
}

// Leaders: "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries
// starting at nextIndex; if successful: update nextIndex and matchIndex for follower".
TEST(Figure2Leaders, ASuccessMovesNextAndMatch) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).match, Index(2));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).next, Index(3));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).state, ProgressState::kReplicate);
  ASSERT_TRUE(me.Propose("a").ok());
  const auto appends = AllTo<AppendEntries>(2, me->Drain());
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].entries.front().index, Index(3));
  // An older acknowledgement that arrives late takes nothing back.
  me.Step(2, Ack(2, 3));
  me.Step(2, Ack(2, 2));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).match, Index(3));
}

// Leaders: "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry
// (§5.3)".
TEST(Figure2Leaders, AFailureIsRetriedFromFurtherBack) {
  Solo me(3, {1, 2, 3, 4}, 4);
  me.BecomeLeader();
  const auto sent = me.Step(2, Refusal(5, 4, 1, 1));
  const auto appends = AllTo<AppendEntries>(2, sent);
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].prev_log_index, Index(1));
  ASSERT_FALSE(appends[0].entries.empty());
  EXPECT_EQ(appends[0].entries.front().index, Index(2));
}

// Figure 3: "Leader Append-Only: a leader never overwrites or deletes entries in its log; it only
// appends new entries." (Nor can a forged message of its own term make it.)
TEST(Figure3, ALeaderNeverOverwritesItsOwnLog) {
  Solo me(3);
  me.BecomeLeader();
  ASSERT_TRUE(me.Propose("mine").ok());
  me->Drain();
  const auto before = me.core().log().runs();
  me.Step(2, Append(2, 1, 1, 1, {Command(2, 2, "theirs"), Command(2, 3, "theirs")}));
  EXPECT_EQ(me.core().log().runs(), before);
  EXPECT_EQ(me.core().log().At(Index(3)).payload.view(), "mine");
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

// Thesis §6.2: "a leader steps down if an election timeout elapses without a successful round of
// heartbeats to a majority of its cluster".
TEST(Thesis62, ALeaderWithoutAQuorumStepsDown) {
  Solo me(5);
  me.BecomeLeader();
  const Term term = me.core().term();
  for (int i = 0; i < 6; ++i) {
    me.Advance(milliseconds(100));
    me.Step(2, Ack(term.value, 2));
    me.Step(3, Ack(term.value, 2));
  }
  EXPECT_EQ(me.core().role(), Role::kLeader) << "two others and itself are a quorum";
  for (int i = 0; i < 8; ++i) {
    me.Advance(milliseconds(100));
    me.Step(2, Ack(term.value, 2));
  }
  EXPECT_NE(me.core().role(), Role::kLeader) << "one other is none";
  EXPECT_EQ(me.core().leader(), kNobody);
  EXPECT_EQ(me.Propose("x").code(), Code::kNotLeader);
}

// §5.4.3 and Figure 3, "Leader Completeness", "State Machine Safety": over crashes of every leader
// in turn each committed entry stays, and all apply the same. (Every step is checked by the
// cluster.)
TEST(Section54, WhatIsCommittedOutlivesItsLeaders) {
  ClusterOptions options;
  options.nodes = 5;
  RaftCluster cluster(options);
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  for (int round = 0; round < 10; ++round) {
    const NodeId leader = cluster.Leader();
    ASSERT_TRUE(cluster.Propose(leader, "round " + std::to_string(round)).ok());
    cluster.Stabilize();
    cluster.Crash(leader);
    const std::size_t committed = cluster.checks().committed().size();
    for (int i = 0; i < 400 && cluster.Leader() == kNobody; ++i) {
      cluster.TickAll(milliseconds(5));
      cluster.Stabilize();
    }
    ASSERT_NE(cluster.Leader(), kNobody);
    const raft::RaftLog& log = cluster.node(cluster.Leader()).core().log();
    EXPECT_GE(log.last_index(), Index(committed));
    cluster.Restart(leader);
    ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  }
  EXPECT_EQ(cluster.failure(), "");
}

// Figure 6, §5.3: "Once a follower learns that a log entry is committed, it applies the entry to
// its local state machine (in log order)"; after a restart it is found again, and applied again
// from what the state machine has.
TEST(Section53, ARestartedMemberAppliesFromWhereItsStateMachineStands) {
  RaftCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  for (const char* text : {"a", "b", "c"})
    ASSERT_TRUE(cluster.Propose(cluster.Leader(), text).ok());
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  for (NodeId id : cluster.ids()) {
    if (id.value != 3) cluster.FlushApplied(id);
    cluster.Crash(id);
  }
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  EXPECT_EQ(cluster.node(1).applied().size(), 1u) << "the new no-op alone";
  EXPECT_EQ(cluster.node(3).applied().size(), 5u) << "from index 2 on";
}

}  // namespace
}  // namespace raftkv::test
