// When is a change of members, a transfer or a lease refused? The transcripts show how they go.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/raft/configuration.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::MembershipChange;
using raft::Options;
using raft::ReadIndex;
using raft::ReadIndexReply;
using raft::RequestVoteReply;
using raft::Role;
using raft::TimeoutNow;
using std::chrono::milliseconds;

Status Change(Solo& me, const MembershipChange& change) {
  Status status;
  me->Input([&](raft::Raft& core) { status = core.ChangeMembership(change, 0).status(); });
  return status;
}

Status Remove(Solo& me, std::uint64_t id) {
  MembershipChange change;
  change.remove = {NodeId(id)};
  return Change(me, change);
}

bool Says(const Status& status, const std::string& words) {
  return status.message().find(words) != std::string::npos;
}

TEST(ChangeMembership, ThatLeavesTheLiveWithoutAQuorumIsRefused) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.core().committed_in_term());
  for (int i = 0; i < 4; ++i) {
    me.Advance(milliseconds(100));
    me.Step(2, Ack(2, 2));
  }
  // 3 is not heard: {1 3} could not go on.
  const Status refused = Remove(me, 2);
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  EXPECT_TRUE(Says(refused, "not heard from: n3")) << refused.ToString();
  EXPECT_TRUE(Remove(me, 3).ok()) << "the dead one can go";
}

// Also right after an election, when everybody still has the benefit of the doubt for check-quorum.
TEST(ChangeMembership, WhoWasNeverHeardInThisTermIsNotAlive) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.core().committed_in_term());
  const Status refused = Remove(me, 2);
  EXPECT_EQ(refused.code(), Code::kUnavailable) << refused.ToString();
  me.Step(3, Ack(2, 2));
  EXPECT_TRUE(Remove(me, 2).ok());
}

TEST(ChangeMembership, OnlyALeaderThatHasCommittedInItsTermMay) {
  Solo me(3);
  EXPECT_EQ(Remove(me, 2).code(), Code::kNotLeader);
  me.BecomeLeader();
  EXPECT_EQ(Remove(me, 3).code(), Code::kUnavailable) << "known bug 30";
}

// Who reads that a member votes may stop another one: not before the cluster can do without it.
TEST(ChangeMembership, AVoteIsShownOnceTheJointPhaseIsOver) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  me.Step(3, Ack(2, 2));
  MembershipChange change;
  change.add = {{NodeId(4), "n4", "127.0.0.1:4", ""}};
  change.remove = {NodeId(3)};
  ASSERT_TRUE(Change(me, change).ok());
  const auto shown = [&] {
    const raft::Configuration& now = me.core().committed_configuration();
    std::vector<std::uint64_t> voters;
    for (const raft::Member& member : now.members) {
      if (now.CountsAsVoter(member)) voters.push_back(member.id.value);
    }
    return voters;
  };
  const std::vector<std::uint64_t> before = {1, 2, 3};
  EXPECT_EQ(shown(), before) << "the joint configuration is not committed";
  me.Step(2, Ack(2, 3));
  ASSERT_TRUE(me.core().committed_configuration().joint);
  EXPECT_EQ(shown(), before) << "it is, and is not left";
  me.Step(4, Ack(2, 3));
  ASSERT_FALSE(me.core().configuration().joint);
  EXPECT_EQ(shown(), before) << "what follows is not committed";
  me.Step(4, Ack(2, 4));
  me.Step(2, Ack(2, 4));
  EXPECT_EQ(shown(), (std::vector<std::uint64_t>{1, 2, 4}));
}

TEST(ChangeMembership, CountsAgainstTheBoundAndIsSentInOrder) {
  Solo me(1);
  me.Campaign();
  ASSERT_EQ(me.core().role(), Role::kLeader);
  MembershipChange change;
  change.invite.push_back({"new", "127.0.0.1:1", false});
  ASSERT_TRUE(Change(me, change).ok());
  me->Drain();
  EXPECT_EQ(me.core().configuration().invited.size(), 1u);
  EXPECT_EQ(me.core().applied_configuration().invited.size(), 1u);
}

// --- Transfer.

TEST(Transfer, TimeoutNowIsOnlyForWhoFollowsItsSender) {
  for (const std::uint64_t from : {2, 3}) {
    Solo me(3);
    me.Step(2, Append(2, 1, 1, 1));
    me.Step(from, TimeoutNow{Term(2)});
    EXPECT_EQ(me.core().role(), from == 2 ? Role::kCandidate : Role::kFollower);
    EXPECT_EQ(me.core().term(), Term(from == 2 ? 3 : 2));
  }
  Solo late(3);
  late.Step(2, Append(3, 1, 1, 1));
  late.Step(2, TimeoutNow{Term(2)});
  EXPECT_EQ(late.core().role(), Role::kFollower);
  EXPECT_EQ(late.core().term(), Term(3));
}

// A vote for a transfer is like any other: one a term, and to a log that is not behind.
TEST(Transfer, ItsVotesObeyTheRules) {
  Solo me(3, {1, 1, 1}, 1, 1);
  me.Step(2, Append(2, 3, 1, 1));
  auto ask = AskVote(3, 2, 1);
  ask.transfer = true;
  auto replies = All<RequestVoteReply>(me.Step(3, ask));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_FALSE(replies[0].granted) << "its log is behind";
  ask.last_log_index = Index(3);
  replies = All<RequestVoteReply>(me.Step(3, ask));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].granted) << "though it has just heard the leader";
  replies = All<RequestVoteReply>(me.Step(2, ask));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_FALSE(replies[0].granted);
}

// --- Leases.

Options WithLeases() {
  Options options;
  options.lease_reads = true;
  return options;
}

TEST(Lease, NobodyVotesForAnElectionTimeoutAfterItsStart) {
  Solo me(3, {1}, 1, 1, WithLeases());
  EXPECT_TRUE(me.Step(2, AskVote(9, 9, 8)).empty());
  EXPECT_TRUE(me.Step(2, AskVote(9, 9, 8, true)).empty());
  EXPECT_EQ(me.core().term(), Term(1));
  me.Campaign();
  EXPECT_EQ(me.core().role(), Role::kFollower);
  me.Advance(milliseconds(300));
  const auto replies = All<RequestVoteReply>(me.Step(2, AskVote(9, 9, 8)));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].granted);
}

// A read that a lease is good enough for is answered at once if there is one, and by a round of
// heartbeats, as any other, if not.
TEST(Lease, AReadIsAnsweredByItOrByARound) {
  Solo me(3, {1}, 1, 1, WithLeases());
  me.Advance(milliseconds(300));
  me.BecomeLeader();
  ASSERT_EQ(me.core().role(), Role::kLeader);
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.core().committed_in_term());
  EXPECT_FALSE(me.core().HoldsLease());
  auto sent = me.Step(2, ReadIndex{Term(2), 7, true});
  EXPECT_TRUE(All<ReadIndexReply>(sent).empty());
  ASSERT_FALSE(AllTo<AppendEntries>(3, sent).empty());
  const std::uint64_t round = AllTo<AppendEntries>(3, sent).back().read_round;
  auto replies = AllTo<ReadIndexReply>(2, me.Step(3, Ack(2, 2, round)));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0], (ReadIndexReply{Term(2), 7, true, Index(2)}));

  sent = me.Advance(milliseconds(100));
  auto ack = Ack(2, 2, AllTo<AppendEntries>(2, sent).back().read_round);
  me.Step(2, ack);
  EXPECT_FALSE(me.core().HoldsLease()) << "2 promised nothing";
  ack.promise = milliseconds(299);
  me.Step(2, ack);
  EXPECT_FALSE(me.core().HoldsLease()) << "2 promised too little";
  ack.promise = milliseconds(300);
  me.Step(2, ack);
  EXPECT_TRUE(me.core().HoldsLease());
  replies = AllTo<ReadIndexReply>(3, me.Step(3, ReadIndex{Term(2), 8, true}));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(replies[0].confirmed);
  EXPECT_TRUE(All<ReadIndexReply>(me.Step(3, ReadIndex{Term(2), 9, false})).empty())
      << "who did not say that a lease is enough gets a round";
}

TEST(Lease, AClusterThatAlwaysHadOneMemberDoesNotWait) {
  Solo me(1, {1}, 1, 1, WithLeases());
  me.Advance(Duration::zero());
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

// Known bug 44. Of two members the other one led and removed itself: this one has the new
// configuration, and that one, cut off, does not know that it is over and may hold a lease.
TEST(Lease, WhoIsLeftAloneByAChangeWaitsAfterARestart) {
  raft::Configuration alone = MakeConfiguration(2);
  alone.members.erase(alone.members.begin() + 1);
  alone.removed = {NodeId(2)};
  raft::Options options = WithLeases();
  options.id = kMe;
  SimNode me(options, alone, DiskWithLog(alone, {1, 1}, 1, 1), 1);
  me.Advance(Duration::zero());
  me.Drain();
  EXPECT_EQ(me.core().role(), Role::kFollower);
  me.Advance(milliseconds(299));
  me.Drain();
  EXPECT_EQ(me.core().role(), Role::kFollower);
  me.Advance(milliseconds(600));
  me.Drain();
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

}  // namespace
}  // namespace raftkv::test
