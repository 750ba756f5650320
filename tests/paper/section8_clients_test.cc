// Raft paper, §8 and thesis §6.4: do clients find the leader, and do reads see what was written
// before?
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_cluster.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::ReadIndex;
using raft::ReadIndexReply;
using raft::ReadState;
using raft::Role;
using std::chrono::milliseconds;

Status Read(Solo& me, std::uint64_t context) {
  Status status;
  me->Input([&](raft::Raft& core) { status = core.RequestReadIndex(context); });
  return status;
}

std::uint64_t LatestRound(const std::vector<raft::Message>& sent) {
  std::uint64_t round = 0;
  for (const AppendEntries& append : All<AppendEntries>(sent)) {
    round = std::max(round, append.read_round);
  }
  return round;
}

// §8: "If the client's first choice is not the leader, that server will reject the client's request
// and supply information about the most recent leader it has heard from".
TEST(Section8, WhoDoesNotLeadRefusesAndKnowsTheLeader) {
  Solo me(3);
  EXPECT_EQ(me.Propose("x").code(), Code::kNotLeader);
  EXPECT_EQ(me.core().leader(), kNobody);
  me.Step(2, Append(2, 1, 1, 1));
  EXPECT_EQ(me.Propose("x").code(), Code::kNotLeader);
  EXPECT_EQ(me.core().leader(), NodeId(2));
}

// §8: "Raft handles this by having each leader commit a blank no-op entry into the log at the start
// of its term."
TEST(Section8, ATermBeginsWithANoop) {
  Solo me(3, {1, 2, 2}, 2);
  const auto sent = me.BecomeLeader();
  const raft::Entry& entry = me.core().log().At(Index(4));
  EXPECT_EQ(entry.kind, raft::EntryKind::kNoop);
  EXPECT_EQ(entry.term, Term(3));
  EXPECT_TRUE(entry.payload.empty());
  for (const AppendEntries& append : All<AppendEntries>(sent)) {
    ASSERT_EQ(append.entries.size(), 1u);
    EXPECT_EQ(append.entries[0], entry);
  }
}

// §8: "a leader must have the latest information on which entries are committed": no read before
// the first commit of its term (known bug 7).
TEST(Section8, NoReadIsServedBeforeTheFirstCommitOfTheTerm) {
  Solo me(3, {1, 2, 2}, 2);
  me.BecomeLeader();
  ASSERT_TRUE(Read(me, 1).ok());
  EXPECT_EQ(LatestRound(me->Drain()), 0u) << "no round is begun";
  me.Step(3, Ack(3, 3));
  EXPECT_TRUE(me->read_states().empty());
  const std::uint64_t round = LatestRound(me.Step(2, Ack(3, 4)));
  EXPECT_GT(round, 0u);
  EXPECT_TRUE(me->read_states().empty());
  me.Step(2, Ack(3, 4, round));
  EXPECT_EQ(me->read_states(), (std::vector<ReadState>{{1, true, Index(4)}}));
}

// §8: "a leader must check whether it has been deposed before processing a read-only request ... by
// having the leader exchange heartbeat messages with a majority of the cluster before responding".
TEST(Section8, AReadWaitsForAMajorityThatAnswersItsOwnRound) {
  Solo me(5);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  me.Step(3, Ack(2, 2));
  ASSERT_TRUE(Read(me, 1).ok());
  const std::uint64_t round = LatestRound(me->Drain());
  ASSERT_GT(round, 0u);
  me.Step(2, Ack(2, 2, round));
  EXPECT_TRUE(me->read_states().empty()) << "two of five";
  me.Step(2, Ack(2, 2, round));
  EXPECT_TRUE(me->read_states().empty()) << "doubled";
  me.Step(3, Ack(2, 2, round - 1));
  EXPECT_TRUE(me->read_states().empty()) << "of an earlier round";
  me.Step(77, Ack(2, 2, round));
  EXPECT_TRUE(me->read_states().empty()) << "an outsider";
  me.Step(3, Ack(1, 2, round));
  EXPECT_TRUE(me->read_states().empty()) << "of an earlier term";
  // A refusal of this term says as well that this one leads.
  auto refusal = Refusal(2, 2, 1, 1);
  refusal.read_round = round;
  me.Step(3, refusal);
  EXPECT_EQ(me->read_states(), (std::vector<ReadState>{{1, true, Index(2)}}));
}

// Thesis §6.4: reads share a round, but not one that was begun before they came.
TEST(Thesis64, AReadDoesNotJoinARoundThatIsUnderWay) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(Read(me, 1).ok());
  ASSERT_TRUE(Read(me, 2).ok());
  const std::uint64_t first = LatestRound(me->Drain());
  ASSERT_TRUE(Read(me, 3).ok());
  me->Drain();
  const std::uint64_t second = LatestRound(me.Step(2, Ack(2, 2, first)));
  EXPECT_EQ(me->read_states(), (std::vector<ReadState>{{1, true, Index(2)}, {2, true, Index(2)}}));
  EXPECT_GT(second, first);
  me.Step(2, Ack(2, 2, first));
  EXPECT_EQ(me->read_states().size(), 2u);
  me.Step(2, Ack(2, 2, second));
  EXPECT_EQ(me->read_states().size(), 3u);
}

// Thesis §6.4: a leader that is deposed gives its reads up; its clients ask again elsewhere.
TEST(Thesis64, ADeposedLeaderGivesItsReadsUp) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(Read(me, 1).ok());
  me->Drain();
  ASSERT_TRUE(Read(me, 2).ok());
  me.Step(2, Append(3, 2, 2, 2));
  EXPECT_EQ(me->read_states(),
            (std::vector<ReadState>{{1, false, Index(0)}, {2, false, Index(0)}}));
}

// Thesis §6.4: "followers can ... issue a request to the leader for a current readIndex".
TEST(Thesis64, AFollowerAsksTheLeader) {
  Solo me(3);
  EXPECT_EQ(Read(me, 1).code(), Code::kUnavailable) << "there is no leader to ask";
  me.Step(2, Append(2, 1, 1, 1));
  ASSERT_TRUE(Read(me, 2).ok());
  const auto asked = AllTo<ReadIndex>(2, me->Drain());
  ASSERT_EQ(asked.size(), 1u);
  me.Step(2, ReadIndexReply{Term(2), asked[0].context, true, Index(5)});
  EXPECT_EQ(me->read_states(), (std::vector<ReadState>{{2, true, Index(5)}}));
  // An answer of an earlier leader, or of who does not lead, is none.
  me.Step(3, Append(3, 1, 1, 1));
  ASSERT_TRUE(Read(me, 3).ok());
  me->Drain();
  me.Step(2, ReadIndexReply{Term(2), 3, true, Index(5)});
  me.Step(2, ReadIndexReply{Term(3), 3, true, Index(5)});
  EXPECT_EQ(me->read_states().size(), 1u);
}

// The same, at the leader: it confirms for others as for itself, and says so if it cannot.
TEST(Thesis64, TheLeaderConfirmsForFollowers) {
  Solo me(3);
  const auto early = AllTo<ReadIndexReply>(3, me.Step(3, ReadIndex{Term(1), 8}));
  ASSERT_EQ(early.size(), 1u);
  EXPECT_FALSE(early[0].confirmed) << "it does not lead";
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  const auto asked = me.Step(3, ReadIndex{Term(2), 9});
  EXPECT_TRUE(All<ReadIndexReply>(asked).empty());
  const auto answers = AllTo<ReadIndexReply>(3, me.Step(2, Ack(2, 2, LatestRound(asked))));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0], (ReadIndexReply{Term(2), 9, true, Index(2)}));
}

// Reads that wait are bounded; more are refused.
TEST(Thesis64, WaitingReadsAreBounded) {
  raft::Options options;
  options.max_pending_reads = 3;
  Solo me(3, {1}, 1, 1, options);
  me.BecomeLeader();
  for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(Read(me, i).ok());
  EXPECT_EQ(Read(me, 4).code(), Code::kUnavailable);
  const auto refused = AllTo<ReadIndexReply>(2, me.Step(2, ReadIndex{Term(2), 5}));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_FALSE(refused[0].confirmed);
}

// §8: "read-only operations ... must not return stale data": a leader that was cut off, and one
// that comes after it (known bug 9). The cluster checks each answer against what was committed
// when it was asked.
TEST(Section8, ACutOffLeaderAnswersNoReads) {
  RaftCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  const NodeId old_leader = cluster.Leader();
  std::vector<NodeId> others;
  for (NodeId id : cluster.ids()) {
    if (id != old_leader) others.push_back(id);
  }
  cluster.Partition({{old_leader}, others});
  for (NodeId id : others) cluster.Tick(id, milliseconds(310));
  cluster.Campaign(others[0]);
  cluster.Stabilize();
  ASSERT_EQ(cluster.Leader(), others[0]);
  ASSERT_TRUE(cluster.Propose(others[0], "new").ok());
  cluster.Stabilize();
  ASSERT_EQ(cluster.node(old_leader).core().role(), Role::kLeader) << "it does not know";
  ASSERT_TRUE(cluster.Read(old_leader, 1).ok());
  ASSERT_TRUE(cluster.Read(others[0], 2).ok());
  std::vector<std::string> lines;
  cluster.OnEvent([&](const std::string& line) {
    if (line.find(": read ") != std::string::npos) lines.push_back(line);
  });
  cluster.Stabilize();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], Format(others[0]) + ": read 2 is served at index 4");
  ASSERT_TRUE(cluster.Converge(std::chrono::seconds(5)));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1], Format(old_leader) + ": read 1 is not served");
}

}  // namespace
}  // namespace raftkv::test
