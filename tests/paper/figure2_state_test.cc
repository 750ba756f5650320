// Raft paper, Figure 2, "State" and "Rules for Servers / All Servers": is each sentence true of the
// core?
#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::AppendEntriesReply;
using raft::ReadIndex;
using raft::ReadIndexReply;
using raft::RequestVote;
using raft::RequestVoteReply;
using raft::Role;

// Figure 2, State: "Persistent state on all servers: (Updated on stable storage before responding
// to RPCs)": currentTerm and votedFor.
TEST(Figure2State, TermAndVoteAreStableBeforeAVoteIsAnswered) {
  Solo me(3);
  me->Step(From(2, AskVote(5, 1, 1)));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_TRUE(ready->messages.empty());
  ASSERT_TRUE(ready->hard_state.has_value());
  EXPECT_EQ(ready->hard_state->term, Term(5));
  EXPECT_EQ(ready->hard_state->vote, NodeId(2));
  EXPECT_TRUE(ready->must_sync);
  const auto sent = me->Persist();
  const auto replies = All<RequestVoteReply>(sent);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].granted);
}

// Figure 2, State: "... before responding to RPCs": log[].
TEST(Figure2State, EntriesAreStableBeforeTheyAreAcknowledged) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a"), Command(2, 3, "b")})));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_TRUE(ready->messages.empty());
  EXPECT_EQ(ready->entries.size(), 2u);
  EXPECT_TRUE(ready->must_sync);
  const auto acks = All<AppendEntriesReply>(me->Persist());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_TRUE(acks[0].success);
  EXPECT_EQ(acks[0].index, Index(3));
}

// The same while another write is under way: the second acknowledgement waits for the second write.
TEST(Figure2State, AnAcknowledgementWaitsForItsOwnWrite) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a")})));
  ASSERT_TRUE(me->TakeReady().has_value());
  me->Step(From(2, Append(2, 2, 2, 1, {Command(2, 3, "b")})));
  const auto busy = me->TakeReady();
  EXPECT_TRUE(!busy || (!busy->HasWrite() && busy->messages_after_persist.empty()));
  const auto first = All<AppendEntriesReply>(me->Persist());
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].index, Index(2));
  const auto second = All<AppendEntriesReply>(me->Drain());
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].index, Index(3));
}

// Figure 2, State: "RequestVote" too is a promise of the candidate's own vote.
TEST(Figure2State, ACandidatesOwnVoteIsStableBeforeItAsks) {
  Solo me(3);
  me.Campaign();
  me->Step(From(2, RequestVoteReply{Term(2), true, true}));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_TRUE(All<RequestVote>(ready->messages).empty());
  ASSERT_TRUE(ready->hard_state.has_value());
  EXPECT_EQ(ready->hard_state->vote, kMe);
  EXPECT_EQ(All<RequestVote>(me->Persist()).size(), 2u);
}

// Figure 2, State: "currentTerm: latest term server has seen (initialized to 0 on first boot,
// increases monotonically)".
TEST(Figure2State, TheTermNeverGoesBack) {
  Solo me(3, {1}, 4);
  me.Step(2, Append(3, 1, 1, 1));
  EXPECT_EQ(me.core().term(), Term(4));
  me.Step(2, Append(6, 1, 1, 1));
  EXPECT_EQ(me.core().term(), Term(6));
  me->Crash();
  me->Restart();
  EXPECT_EQ(me.core().term(), Term(6));
}

// Figure 2, State: "votedFor: candidateId that received vote in current term (or null if none)".
TEST(Figure2State, ANewTermBeginsWithoutAVote) {
  Solo me(3);
  me.Step(2, AskVote(5, 1, 1));
  EXPECT_EQ(me.core().vote(), NodeId(2));
  me.Step(3, Append(6, 1, 1, 1));
  EXPECT_EQ(me.core().vote(), kNobody);
}

// Figure 2, State: "nextIndex[]: initialized to leader last log index + 1; matchIndex[]:
// initialized to 0".
TEST(Figure2State, ALeaderBeginsAtTheEndOfItsLogAndKnowsNothing) {
  Solo me(3, {1, 1, 2, 3}, 3);
  const auto sent = me.BecomeLeader();
  ASSERT_EQ(me.core().role(), Role::kLeader);
  for (const auto& [peer, progress] : me.core().progress()) {
    EXPECT_EQ(progress.match, Index(0));
    EXPECT_EQ(progress.next, Index(5)) << "the no-op at 5 is the first to send";
  }
  for (const AppendEntries& append : All<AppendEntries>(sent)) {
    EXPECT_EQ(append.prev_log_index, Index(4));
    EXPECT_EQ(append.prev_log_term, Term(3));
  }
}

// Figure 2, State: "commitIndex ... increases monotonically".
TEST(Figure2State, ALateMessageDoesNotTakeTheCommitIndexBack) {
  Solo me(3, {1, 2, 2}, 2);
  me.Step(2, Append(2, 3, 2, 3));
  EXPECT_EQ(me.core().commit_index(), Index(3));
  me.Step(2, Append(2, 3, 2, 2));
  EXPECT_EQ(me.core().commit_index(), Index(3));
}

// All Servers: "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied]".
TEST(Figure2AllServers, WhatIsCommittedIsAppliedInOrder) {
  Solo me(3);
  me.Step(2, Append(2, 1, 1, 1, {Command(2, 2, "a"), Command(2, 3, "b"), Command(2, 4, "c")}));
  EXPECT_TRUE(me->applied().empty());
  me.Step(2, Append(2, 4, 2, 3));
  ASSERT_EQ(me->applied().size(), 2u);
  EXPECT_EQ(me->applied()[0].payload.view(), "a");
  EXPECT_EQ(me->applied()[1].payload.view(), "b");
  EXPECT_EQ(me.core().applied_index(), Index(3));
}

// All Servers: "If RPC request or response contains term T > currentTerm: set currentTerm = T,
// convert to follower (§5.1)".
TEST(Figure2AllServers, AHigherTermMakesAFollowerOfEveryRole) {
  const std::vector<raft::Body> bodies = {
      AskVote(9, 1, 1),
      RequestVoteReply{Term(9), false, false},
      RequestVoteReply{Term(9), false, true},
      Append(9, 1, 1, 1),
      Refusal(9, 1, 0, 0),
      Ack(9, 1),
      ReadIndex{Term(9), 1},
      ReadIndexReply{Term(9), 1, false, Index(0)},
  };
  for (const raft::Body& body : bodies) {
    for (const Role role : {Role::kPreCandidate, Role::kCandidate, Role::kLeader}) {
      // A leader, and who follows one, disregards RequestVote (§6, disruptive servers).
      if (role == Role::kLeader && std::holds_alternative<RequestVote>(body)) continue;
      Solo me(3);
      if (role == Role::kPreCandidate) me.Campaign();
      if (role == Role::kCandidate) me.BecomeCandidate();
      if (role == Role::kLeader) me.BecomeLeader();
      ASSERT_EQ(me.core().role(), role);
      me.Step(2, body);
      EXPECT_EQ(me.core().term(), Term(9)) << Format(From(2, body)) << " to a " << Format(role);
      EXPECT_EQ(me.core().role(), Role::kFollower) << Format(From(2, body));
    }
  }
}

// Thesis §9.6: the term of a pre-vote is one that nobody is in yet: it changes no term.
TEST(Figure2AllServers, APreVoteOfAHigherTermChangesNoTerm) {
  Solo me(3);
  const auto sent = me.Step(2, AskVote(9, 1, 1, true));
  EXPECT_EQ(me.core().term(), Term(1));
  EXPECT_EQ(me.core().vote(), kNobody);
  ASSERT_EQ(All<RequestVoteReply>(sent).size(), 1u);
  EXPECT_TRUE(All<RequestVoteReply>(sent)[0].granted);
  EXPECT_EQ(All<RequestVoteReply>(sent)[0].term, Term(9));
}

}  // namespace
}  // namespace raftkv::test
