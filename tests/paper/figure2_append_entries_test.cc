// Raft paper, Figure 2, "AppendEntries RPC", and §5.3: is each sentence true of the receiver?
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntriesReply;
using raft::Role;

std::vector<std::uint64_t> Terms(const raft::RaftLog& log) {
  std::vector<std::uint64_t> terms;
  for (Index i(1); i <= log.last_index(); ++i) terms.push_back(log.TermAt(i).value);
  return terms;
}

AppendEntriesReply OnlyReply(const std::vector<raft::Message>& sent) {
  const auto replies = All<AppendEntriesReply>(sent);
  EXPECT_EQ(replies.size(), 1u);
  return replies.empty() ? AppendEntriesReply{} : replies[0];
}

// AppendEntries 1: "Reply false if term < currentTerm (§5.1)".
TEST(Figure2AppendEntries, AnOldTermIsRefusedAndChangesNothing) {
  Solo me(3, {1, 2, 3}, 4);
  const auto reply = OnlyReply(me.Step(2, Append(3, 1, 1, 3, {Command(3, 2, "x")})));
  EXPECT_FALSE(reply.success);
  EXPECT_EQ(reply.term, Term(4));
  EXPECT_EQ(Terms(me.core().log()), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(me.core().commit_index(), Index(1));
  EXPECT_EQ(me.core().leader(), kNobody);
}

// AppendEntries 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term matches
// prevLogTerm (§5.3)".
TEST(Figure2AppendEntries, APreviousEntryThatIsMissingOrOfAnotherTermIsRefused) {
  struct Case {
    std::uint64_t prev_index, prev_term;
    bool success;
  };
  for (const Case& c : {Case{3, 2, true}, Case{2, 1, true}, Case{3, 3, false}, Case{4, 2, false},
                        Case{9, 9, false}, Case{2, 2, false}}) {
    Solo me(3, {1, 1, 2}, 9);
    const auto reply = OnlyReply(me.Step(2, Append(9, c.prev_index, c.prev_term, 1)));
    EXPECT_EQ(reply.success, c.success) << c.prev_term << "/" << c.prev_index;
    EXPECT_EQ(reply.index, Index(c.prev_index));
    EXPECT_EQ(Terms(me.core().log()), (std::vector<std::uint64_t>{1, 1, 2}))
        << "nothing is removed";
  }
}

// AppendEntries 3 and 4: "If an existing entry conflicts with a new one (same index but different
// terms), delete the existing entry and all that follow it. Append any new entries not already in
// the log" (§5.3).
TEST(Figure2AppendEntries, ConflictingEntriesGoAndNewOnesCome) {
  struct Case {
    std::uint64_t prev_index, prev_term;
    std::vector<std::uint64_t> entries;
    std::vector<std::uint64_t> result;
  };
  const std::vector<Case> cases = {
      {3, 2, {}, {1, 1, 2, 2}},            // a heartbeat removes nothing
      {4, 2, {5}, {1, 1, 2, 2, 5}},        // at the end
      {3, 2, {5}, {1, 1, 2, 5}},           // instead of the last
      {2, 1, {4, 5}, {1, 1, 4, 5}},        // instead of the last two
      {2, 1, {2}, {1, 1, 2, 2}},           // known already: what follows stays
      {2, 1, {2, 2}, {1, 1, 2, 2}},        // all known
      {2, 1, {2, 2, 5}, {1, 1, 2, 2, 5}},  // known, and one more
      {2, 1, {2, 3, 5}, {1, 1, 2, 3, 5}},  // the second conflicts
      {1, 1, {4}, {1, 4}},                 // a shorter log than before
  };
  for (const Case& c : cases) {
    Solo me(3, {1, 1, 2, 2}, 2);
    std::vector<raft::Entry> entries;
    for (std::uint64_t term : c.entries) {
      const std::uint64_t index = c.prev_index + entries.size() + 1;
      // Same index and term: the same entry (Log Matching).
      entries.push_back(
          Command(term, index, "t" + std::to_string(term) + "i" + std::to_string(index)));
    }
    const auto reply = OnlyReply(me.Step(2, Append(9, c.prev_index, c.prev_term, 1, entries)));
    EXPECT_TRUE(reply.success);
    EXPECT_EQ(reply.index, Index(c.prev_index + c.entries.size())) << "what this message has shown";
    EXPECT_EQ(Terms(me.core().log()), c.result);
    EXPECT_EQ(me->disk().last_index(), me.core().log().last_index());
  }
}

// The same: what is known already is not written again.
TEST(Figure2AppendEntries, KnownEntriesAreNotWrittenAgain) {
  Solo me(3);
  me.Step(2, Append(2, 1, 1, 1, {Command(2, 2, "a"), Command(2, 3, "b")}));
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a"), Command(2, 3, "b")})));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_TRUE(ready->entries.empty());
}

// AppendEntries 5: "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of
// last new entry)".
TEST(Figure2AppendEntries, TheCommitIndexGoesNoFurtherThanWhatMatches) {
  struct Case {
    std::uint64_t prev_index, leader_commit, entries, commit;
  };
  for (const Case& c : {Case{4, 3, 0, 3}, Case{4, 9, 0, 4}, Case{2, 9, 0, 2}, Case{2, 9, 1, 3},
                        Case{4, 9, 2, 6}, Case{4, 5, 2, 5}, Case{2, 1, 0, 1}}) {
    Solo me(3, {1, 2, 2, 2}, 2);
    std::vector<raft::Entry> entries;
    for (std::uint64_t i = 1; i <= c.entries; ++i) {
      const std::uint64_t index = c.prev_index + i;
      entries.push_back(Command(2, index, "t2i" + std::to_string(index)));
    }
    me.Step(2, Append(2, c.prev_index, 2, c.leader_commit, entries));
    EXPECT_EQ(me.core().commit_index(), Index(c.commit))
        << "prev " << c.prev_index << " commit " << c.leader_commit << " entries " << c.entries;
  }
}

// AppendEntries 5: a message that is refused says nothing about what is committed.
TEST(Figure2AppendEntries, ARefusedMessageMovesNoCommitIndex) {
  Solo me(3, {1, 2, 2}, 2);
  me.Step(2, Append(5, 3, 4, 3));
  EXPECT_EQ(me.core().commit_index(), Index(1));
}

// §5.3: "the follower can include the term of the conflicting entry and the first index it stores
// for that term. With this information, the leader can decrement nextIndex to bypass all of the
// conflicting entries in that term; one AppendEntries RPC will be required for each term".
TEST(Section53, ARefusalHasAHintThatSkipsAWholeTerm) {
  Solo me(3, {1, 1, 2, 2, 2, 2, 2}, 3);
  // The leader has term 5 at 6: all that the follower has is older, so any of it may match.
  const auto high = OnlyReply(me.Step(2, Append(5, 6, 5, 1)));
  EXPECT_FALSE(high.success);
  EXPECT_EQ(high.index, Index(6));
  EXPECT_EQ(high.hint_index, Index(6));
  EXPECT_EQ(high.hint_term, Term(2));
  // The leader has term 1 at 6: no entry of term 2 can match.
  const auto low = OnlyReply(me.Step(2, Append(5, 6, 1, 1)));
  EXPECT_EQ(low.hint_index, Index(2));
  EXPECT_EQ(low.hint_term, Term(1));
  // The log is too short: its end is the hint.
  const auto brief = OnlyReply(me.Step(2, Append(5, 20, 5, 1)));
  EXPECT_EQ(brief.hint_index, Index(7));
  EXPECT_EQ(brief.hint_term, Term(2));
}

// §5.3: "the leader can decrement nextIndex to bypass": and the leader uses its own log as well.
TEST(Section53, TheLeaderGoesBackByWholeTermsAndNotBelowWhatMatches) {
  Solo me(3, {1, 1, 1, 4, 4, 4, 4, 6, 6, 6}, 6);
  me.BecomeLeader();
  // The follower has 2/10; its hint: at 10 and before it has term 2 at most.
  const auto sent = me.Step(2, Refusal(me.core().term().value, 10, 10, 2));
  const auto appends = AllTo<raft::AppendEntries>(2, sent);
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].prev_log_index, Index(3)) << "over the leader's terms 6 and 4 at once";
  me.Step(2, Ack(me.core().term().value, 3));
  // A late, doubled refusal does not take it below what matches.
  me.Step(2, Refusal(me.core().term().value, 3, 0, 0));
  EXPECT_GE(me.core().progress().at(NodeId(2)).next, Index(4));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).state, raft::ProgressState::kReplicate);
}

// §5.3: "If followers crash or run slowly, or if network packets are lost, the leader retries
// AppendEntries RPCs indefinitely (even after it has responded to the client)".
TEST(Section53, TheLeaderRetriesUntilItIsAnswered) {
  Solo me(3);
  me.BecomeLeader();
  const std::uint64_t term = me.core().term().value;
  me.Step(2, Ack(term, 2));
  ASSERT_TRUE(me.Propose("a").ok());
  me->Drain();
  me.Step(2, Ack(term, 3));
  EXPECT_EQ(me.core().commit_index(), Index(3));
  for (int round = 0; round < 5; ++round) {
    const auto sent = me.Advance(std::chrono::milliseconds(100));
    me.Step(2, Ack(term, 3));
    bool offers_more = false;
    for (const auto& append : AllTo<raft::AppendEntries>(3, sent)) {
      offers_more |= append.prev_log_index < Index(2) || !append.entries.empty();
    }
    EXPECT_TRUE(offers_more) << "3 has never answered";
  }
}

// §5.5: "if a follower receives an AppendEntries request that includes log entries already present
// in its log, it ignores those entries in the new request": RPCs are idempotent.
TEST(Section55, TheSameRequestTwiceIsTheSameAsOnce) {
  Solo me(3);
  const auto request = Append(2, 1, 1, 2, {Command(2, 2, "a"), Command(2, 3, "b")});
  const auto first = OnlyReply(me.Step(2, request));
  auto second = OnlyReply(me.Step(2, request));
  EXPECT_EQ(second.applied, Index(2)) << "what was applied meanwhile";
  second.applied = first.applied;
  EXPECT_EQ(first, second);
  EXPECT_EQ(me.core().log().last_index(), Index(3));
  EXPECT_EQ(me.core().commit_index(), Index(2));
  EXPECT_EQ(me->applied().size(), 1u);
}

// §5.5: and so is a vote.
TEST(Section55, TheSameVoteMayBeAskedForTwice) {
  Solo me(3);
  for (int i = 0; i < 2; ++i) {
    const auto replies = All<raft::RequestVoteReply>(me.Step(2, AskVote(2, 1, 1)));
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_TRUE(replies[0].granted);
  }
  // §5.5 with a crash between: "... after a restart".
  me->Crash();
  me->Restart();
  const auto same = All<raft::RequestVoteReply>(me.Step(2, AskVote(2, 1, 1)));
  ASSERT_EQ(same.size(), 1u);
  EXPECT_TRUE(same[0].granted);
  const auto other = All<raft::RequestVoteReply>(me.Step(3, AskVote(2, 1, 1)));
  ASSERT_EQ(other.size(), 1u);
  EXPECT_FALSE(other[0].granted);
}

}  // namespace
}  // namespace raftkv::test
