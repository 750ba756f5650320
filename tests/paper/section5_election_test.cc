// Raft paper, §5.1, §5.2, §5.4.1 and Figure 2 "RequestVote RPC", "Followers", "Candidates": is each
// sentence true of an election?
#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_cluster.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::RequestVote;
using raft::RequestVoteReply;
using raft::Role;
using std::chrono::milliseconds;

bool Granted(const std::vector<raft::Message>& sent) {
  const auto replies = All<RequestVoteReply>(sent);
  return replies.size() == 1 && replies[0].granted;
}

// RequestVote 1: "Reply false if term < currentTerm (§5.1)".
TEST(Figure2RequestVote, AnOldTermGetsNoVoteButTheTerm) {
  Solo me(3, {1}, 5);
  const auto replies = All<RequestVoteReply>(me.Step(2, AskVote(4, 9, 4)));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_FALSE(replies[0].granted);
  EXPECT_EQ(replies[0].term, Term(5));
}

// RequestVote 2: "If votedFor is null or candidateId, and candidate's log is at least as up-to-date
// as receiver's log, grant vote". §5.4.1: "If the logs have last entries with different terms, then
// the log with the later term is more up-to-date. If the logs end with the same term, then
// whichever log is longer is more up-to-date." (known bug 36)
TEST(Figure2RequestVote, TheVoteGoesToWhoIsAtLeastAsUpToDate) {
  struct Case {
    std::uint64_t last_index, last_term;
    bool granted;
  };
  for (const bool pre_vote : {false, true}) {
    // The voter ends in 3/4.
    for (const Case& c :
         {Case{4, 3, true}, Case{5, 3, true}, Case{3, 3, false}, Case{1, 4, true}, Case{4, 4, true},
          Case{9, 2, false}, Case{4, 2, false}, Case{0, 0, false}, Case{100, 1, false}}) {
      Solo me(3, {1, 1, 3, 3}, 4);
      EXPECT_EQ(Granted(me.Step(2, AskVote(5, c.last_index, c.last_term, pre_vote))), c.granted)
          << c.last_term << "/" << c.last_index << (pre_vote ? " pre-vote" : "");
    }
  }
}

// §5.2: "Each server will vote for at most one candidate in a given term, on a
// first-come-first-served basis".
TEST(Section52, TheFirstWhoAsksGetsTheVoteOfATerm) {
  Solo me(3);
  EXPECT_TRUE(Granted(me.Step(3, AskVote(2, 1, 1))));
  EXPECT_FALSE(Granted(me.Step(2, AskVote(2, 5, 1))));
  EXPECT_TRUE(Granted(me.Step(3, AskVote(2, 1, 1))));
  EXPECT_TRUE(Granted(me.Step(2, AskVote(3, 5, 1))));
}

// The same, with a candidate: it has voted for itself.
TEST(Section52, ACandidateVotesForItself) {
  Solo me(3);
  me.BecomeCandidate();
  EXPECT_EQ(me.core().vote(), kMe);
  EXPECT_FALSE(Granted(me.Step(2, AskVote(me.core().term().value, 9, 9))));
}

// §5.2: "When servers start up, they begin as followers".
TEST(Section52, AServerBeginsAsAFollower) {
  Solo me(3);
  EXPECT_EQ(me.core().role(), Role::kFollower);
  me.BecomeLeader();
  me->Crash();
  me->Restart();
  EXPECT_EQ(me.core().role(), Role::kFollower) << "also one that led before";
}

// §5.2: "If a follower receives no communication over a period of time called the election timeout,
// then it assumes there is no viable leader and begins an election"; "election timeouts are chosen
// randomly from a fixed interval": here [T, 2T).
TEST(Section52, TheElectionTimeoutIsDrawnFromItsInterval) {
  std::set<Duration> timeouts;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Solo me(3, {1}, 1, 1, {}, seed);
    Duration waited{};
    while (me.core().role() == Role::kFollower) {
      ASSERT_LT(waited, milliseconds(600));
      me->Advance(milliseconds(1));
      waited += milliseconds(1);
    }
    EXPECT_GT(waited, milliseconds(299));
    timeouts.insert(waited);
  }
  EXPECT_GT(timeouts.size(), 100u) << "drawn, not fixed";
  EXPECT_LT(*timeouts.begin(), milliseconds(320));
  EXPECT_GT(*timeouts.rbegin(), milliseconds(580));
}

// §5.2: "Each candidate restarts its randomized election timeout at the start of an election": not
// twice the same.
TEST(Section52, TheTimeoutIsDrawnAnewForEachElection) {
  Solo me(3);
  std::set<Duration> waits;
  for (int i = 0; i < 20; ++i) {
    const MonoTime start = me->now();
    while (me.Advance(milliseconds(1)).empty()) {
    }
    waits.insert(me->now() - start);
  }
  EXPECT_GT(waits.size(), 10u);
}

// Followers: "If election timeout elapses without receiving AppendEntries RPC from current leader
// or granting vote to candidate: convert to candidate". Heartbeats keep it a follower.
TEST(Figure2Followers, HeartbeatsOfTheCurrentLeaderPreventAnElection) {
  Solo me(3);
  for (int i = 0; i < 100; ++i) {
    me.Step(2, Append(2, 1, 1, 1));
    me.Advance(milliseconds(290));
    ASSERT_EQ(me.core().role(), Role::kFollower);
  }
  // Those of an earlier term do not.
  me.Step(3, Append(3, 1, 1, 1));
  for (int i = 0; i < 3; ++i) {
    me.Advance(milliseconds(200));
    me.Step(2, Append(2, 1, 1, 1));
  }
  EXPECT_EQ(me.core().role(), Role::kPreCandidate);
}

// Followers: "... or granting vote to candidate".
TEST(Figure2Followers, AGrantedVoteResetsTheTimerAndARefusedOneDoesNot) {
  Solo granted(3, {1, 1}, 1);
  Solo refused(3, {1, 1}, 1);
  std::uint64_t term = 2;
  for (int i = 0; i < 10; ++i, ++term) {
    granted.Step(2, AskVote(term, 2, 1));
    granted.Advance(milliseconds(290));
    EXPECT_EQ(granted.core().role(), Role::kFollower);
  }
  bool campaigned = false;
  for (int i = 0; i < 10; ++i) {
    refused.Step(2, AskVote(1, 1, 1));
    refused.Advance(milliseconds(290));
    campaigned |= refused.core().role() != Role::kFollower;
  }
  EXPECT_TRUE(campaigned);
}

// Candidates: "On conversion to candidate, start election: increment currentTerm, vote for self,
// reset election timer, send RequestVote RPCs to all other servers" (after a pre-vote has been
// won).
TEST(Figure2Candidates, AnElectionBeginsWithANewTermAndItsOwnVote) {
  Solo me(5, {1, 1, 2}, 2);
  const auto sent = me.BecomeCandidate();
  EXPECT_EQ(me.core().role(), Role::kCandidate);
  EXPECT_EQ(me.core().term(), Term(3));
  EXPECT_EQ(me.core().vote(), kMe);
  const auto asked = All<RequestVote>(sent);
  ASSERT_EQ(asked.size(), 4u);
  for (const RequestVote& ask : asked) EXPECT_EQ(ask, AskVote(3, 3, 2));
}

// Candidates: "If votes received from majority of servers: become leader". §5.2: "A candidate wins
// an election if it receives votes from a majority of the servers in the full cluster for the same
// term."
TEST(Figure2Candidates, AMajorityOfTheFullClusterElects) {
  struct Case {
    std::uint64_t members, grants, refusals;
    Role role;
  };
  for (const Case& c :
       {Case{3, 1, 0, Role::kLeader}, Case{3, 0, 1, Role::kCandidate}, Case{3, 1, 1, Role::kLeader},
        Case{5, 1, 0, Role::kCandidate}, Case{5, 2, 0, Role::kLeader}, Case{5, 2, 2, Role::kLeader},
        Case{5, 1, 2, Role::kCandidate}, Case{4, 1, 0, Role::kCandidate},
        Case{4, 2, 0, Role::kLeader}, Case{3, 0, 2, Role::kFollower},
        Case{5, 1, 3, Role::kFollower}}) {
    Solo me(c.members);
    me.BecomeCandidate();
    const Term term = me.core().term();
    std::uint64_t peer = 2;
    for (std::uint64_t i = 0; i < c.grants; ++i)
      me.Step(peer++, RequestVoteReply{term, true, false});
    for (std::uint64_t i = 0; i < c.refusals; ++i) {
      me.Step(peer++, RequestVoteReply{term, false, false});
    }
    EXPECT_EQ(me.core().role(), c.role) << c.members << " members, " << c.grants << " grants";
    EXPECT_EQ(me.core().term(), term);
  }
}

// The same: one member has one vote, however often its answer is doubled (known bug 35), and votes
// of other terms, pre-votes and outsiders do not count.
TEST(Figure2Candidates, OnlyVotesOfMembersForThisElectionCount) {
  Solo me(5);
  me.BecomeCandidate();
  const Term term = me.core().term();
  for (int i = 0; i < 5; ++i) me.Step(2, RequestVoteReply{term, true, false});
  EXPECT_EQ(me.core().role(), Role::kCandidate) << "doubled";
  me.Step(3, RequestVoteReply{Term(term.value - 1), true, false});
  EXPECT_EQ(me.core().role(), Role::kCandidate) << "of an earlier term";
  me.Step(3, RequestVoteReply{term, true, true});
  EXPECT_EQ(me.core().role(), Role::kCandidate) << "a pre-vote";
  me.Step(77, RequestVoteReply{term, true, false});
  EXPECT_EQ(me.core().role(), Role::kCandidate) << "an outsider";
  me.Step(3, RequestVoteReply{term, true, false});
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

// Candidates: "If AppendEntries RPC received from new leader: convert to follower". §5.2: "If the
// leader's term is at least as large as the candidate's current term, then the candidate recognizes
// the leader as legitimate. If the term is smaller, then the candidate rejects the RPC".
TEST(Figure2Candidates, ALeaderOfTheSameTermIsRecognizedAndAnOlderOneNot) {
  Solo me(3);
  me.BecomeCandidate();
  const std::uint64_t term = me.core().term().value;
  me.Step(2, Append(term - 1, 1, 1, 1));
  EXPECT_EQ(me.core().role(), Role::kCandidate);
  me.Step(2, Append(term, 1, 1, 1));
  EXPECT_EQ(me.core().role(), Role::kFollower);
  EXPECT_EQ(me.core().leader(), NodeId(2));
  EXPECT_EQ(me.core().vote(), kMe) << "the vote of the term stays";
}

// Candidates: "If election timeout elapses: start new election".
TEST(Figure2Candidates, WithoutAResultANewElectionIsStarted) {
  Solo me(3);
  me.BecomeCandidate();
  const Term first = me.core().term();
  const auto sent = me.Advance(milliseconds(600));
  EXPECT_EQ(me.core().term(), first) << "first a pre-vote";
  const auto asked = All<RequestVote>(sent);
  ASSERT_FALSE(asked.empty());
  EXPECT_TRUE(asked[0].pre_vote);
  me.Step(2, RequestVoteReply{first.Next(), true, true});
  EXPECT_EQ(me.core().term(), first.Next());
  EXPECT_EQ(me.core().role(), Role::kCandidate);
}

// §5.2: "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to
// all of the other servers to establish its authority and prevent new elections"; Leaders: "repeat
// during idle periods to prevent election timeouts".
TEST(Section52, ALeaderSendsToAllAtOnceAndKeepsSending) {
  Solo me(5);
  const auto sent = me.BecomeLeader();
  for (std::uint64_t peer = 2; peer <= 5; ++peer) {
    EXPECT_EQ(AllTo<AppendEntries>(peer, sent).size(), 1u);
  }
  const std::uint64_t term = me.core().term().value;
  for (int i = 0; i < 20; ++i) {
    const auto beat = me.Advance(milliseconds(100));
    for (std::uint64_t peer = 2; peer <= 5; ++peer) {
      EXPECT_GE(AllTo<AppendEntries>(peer, beat).size(), 1u);
      me.Step(peer, Ack(term, 2));
    }
  }
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

// §5.2, Figure 3: "Election Safety: at most one leader can be elected in a given term"; "randomized
// election timeouts ... ensure that split votes are rare and that they are resolved quickly".
TEST(Section52, ElectionsEndSoonWhateverTheSeed) {
  int slow = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ClusterOptions options;
    options.nodes = 5;
    options.seed = seed;
    RaftCluster cluster(options);
    Duration waited{};
    while (cluster.Leader() == kNobody) {
      cluster.TickAll(milliseconds(5));
      cluster.Stabilize();
      waited += milliseconds(5);
      ASSERT_LT(waited, std::chrono::seconds(10));
    }
    if (waited > milliseconds(610)) ++slow;
    EXPECT_EQ(cluster.failure(), "");
  }
  EXPECT_LT(slow, 40) << "the first election was split too often";
}

// §5.6: "broadcastTime << electionTimeout": a leader with live followers stays for as long as one
// looks.
TEST(Section56, AStableClusterHasNoElections) {
  RaftCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  const NodeId leader = cluster.Leader();
  const Term term = cluster.node(leader).core().term();
  for (int i = 0; i < 6000; ++i) {
    cluster.TickAll(milliseconds(10));
    cluster.Stabilize();
  }
  EXPECT_EQ(cluster.Leader(), leader);
  EXPECT_EQ(cluster.node(leader).core().term(), term);
}

// §6, disruptive servers: "if a server receives a RequestVote RPC within the minimum election
// timeout of hearing from a current leader, it does not update its term or grant its vote".
TEST(Section6, WhoHearsALeaderDisregardsRequestVote) {
  for (const bool pre_vote : {false, true}) {
    Solo me(3);
    me.Step(2, Append(2, 1, 1, 1));
    me.Advance(milliseconds(250));
    const auto sent = me.Step(3, AskVote(9, 9, 8, pre_vote));
    EXPECT_FALSE(Granted(sent));
    EXPECT_EQ(me.core().term(), Term(2));
    EXPECT_EQ(me.core().leader(), NodeId(2));
    me.Advance(milliseconds(49));
    EXPECT_FALSE(Granted(me.Step(3, AskVote(9, 9, 8, pre_vote))));
    me.Advance(milliseconds(1));
    EXPECT_TRUE(Granted(me.Step(3, AskVote(9, 9, 8, pre_vote))))
        << "the minimum timeout has passed";
  }
}

// The same for the leader itself: it steps down by check-quorum or by a later leader, not by a
// request.
TEST(Section6, ALeaderDisregardsRequestVote) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(3, AskVote(9, 9, 8));
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

}  // namespace
}  // namespace raftkv::test
