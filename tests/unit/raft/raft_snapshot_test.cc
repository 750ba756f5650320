// When does a member take a snapshot, and what does the leader know of one that it sent? (§7)
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/raft/configuration.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::AppendEntriesReply;
using raft::Entry;
using raft::EntryKind;
using raft::ProgressState;
using raft::RequestVoteReply;
using raft::Role;
using raft::SnapshotMeta;
using std::chrono::milliseconds;

SnapshotMeta Snapshot(std::uint64_t term, std::uint64_t index, std::uint64_t members = 3) {
  return {{Index(index), Term(term)}, MakeConfiguration(members), Index(1)};
}

TEST(OfferSnapshot, OfAnOlderTermIsNotTaken) {
  Solo me(3, {1, 1}, 5, 1);
  EXPECT_FALSE(me->Offer(NodeId(2), Term(4), Snapshot(4, 9)));
  EXPECT_EQ(me.core().term(), Term(5));
  EXPECT_EQ(me.core().leader(), kNobody);
  EXPECT_TRUE(me->Drain().empty()) << "and nobody is told";
}

TEST(OfferSnapshot, FromAnotherThanTheLeaderOfTheTermIsNotTaken) {
  Solo me(3);
  me.Step(2, Append(2, 1, 1, 1));
  EXPECT_FALSE(me->Offer(NodeId(3), Term(2), Snapshot(2, 9)));
  EXPECT_EQ(me.core().leader(), NodeId(2));
  me.Step(3, Append(3, 1, 1, 1));
  EXPECT_FALSE(me->Offer(NodeId(2), Term(2), Snapshot(2, 9))) << "its own term is newer";
}

TEST(OfferSnapshot, ALeaderTakesNoneOfItsOwnTerm) {
  Solo me(3);
  me.BecomeLeader();
  EXPECT_FALSE(me->Offer(NodeId(2), me.core().term(), Snapshot(2, 9)));
  EXPECT_EQ(me.core().role(), Role::kLeader);
}

TEST(OfferSnapshot, ACandidateGivesWayToTheLeaderThatSentIt) {
  Solo me(3);
  me.BecomeCandidate();
  ASSERT_EQ(me.core().role(), Role::kCandidate);
  EXPECT_TRUE(me->Offer(NodeId(2), me.core().term(), Snapshot(2, 9)));
  EXPECT_EQ(me.core().role(), Role::kFollower);
  EXPECT_EQ(me.core().leader(), kNobody) << "who leads is said by AppendEntries alone";
}

// Its sender may have lost its leadership since, and the leader of the term be another.
TEST(OfferSnapshot, TheLeaderOfTheTermIsHeardAfterASnapshotOfAnother) {
  Solo me(3);
  ASSERT_TRUE(me->Offer(NodeId(3), Term(2), Snapshot(1, 9)));
  me->Drain();
  EXPECT_EQ(me.core().leader(), kNobody);
  EXPECT_EQ(All<AppendEntriesReply>(me.Step(2, Append(2, 9, 1, 9))).size(), 1u);
  EXPECT_EQ(me.core().leader(), NodeId(2));
}

// One atomic, synced write has the snapshot, the new term and no entries; the acknowledgement
// follows.
TEST(OfferSnapshot, ANewerTermIsWrittenWithIt) {
  Solo me(3, {1, 1}, 1, 1);
  ASSERT_TRUE(me->Offer(NodeId(2), Term(4), Snapshot(3, 9)));
  EXPECT_TRUE(me.core().installing());
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready && ready->snapshot && ready->hard_state);
  EXPECT_TRUE(ready->must_sync);
  EXPECT_TRUE(ready->entries.empty());
  EXPECT_EQ(ready->hard_state->term, Term(4));
  EXPECT_TRUE(All<AppendEntriesReply>(ready->messages).empty());
  me->Persist();
  const auto acks = All<AppendEntriesReply>(me->Drain());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_TRUE(acks[0].success);
  EXPECT_EQ(acks[0].index, Index(9));
  EXPECT_EQ(acks[0].term, Term(4));
  EXPECT_EQ(me.core().commit_index(), Index(9));
  EXPECT_EQ(me.core().applied_index(), Index(9));
  EXPECT_EQ(me.core().durable_index(), Index(9));
  EXPECT_EQ(me.core().log().base(), (raft::LogBase{Index(9), Term(3)}));
}

TEST(OfferSnapshot, WhatIsCommittedAlreadyIsAcknowledgedAtOnce) {
  Solo me(3, {1, 1, 1, 1, 1}, 1, 4);
  EXPECT_FALSE(me->Offer(NodeId(2), Term(2), Snapshot(1, 3)));
  const auto acks = All<AppendEntriesReply>(me->Drain());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_TRUE(acks[0].success);
  EXPECT_EQ(acks[0].index, Index(3));
  EXPECT_EQ(me.core().log().last_index(), Index(5)) << "what follows is kept";
  EXPECT_EQ(me.core().commit_index(), Index(4));
}

// Every acknowledgement says what the disk of its sender has room for: a leader that believes a
// full member to have room goes on taking writes that this member cannot store.
TEST(AckSpace, OfASnapshotThatIsHereAlreadyNamesIt) {
  Solo me(3, {1, 1, 1, 1, 1}, 1, 4);
  me->Input([](raft::Raft& core) { core.SetSpace(raft::Space::kNone); });
  EXPECT_FALSE(me->Offer(NodeId(2), Term(2), Snapshot(1, 3)));
  const auto acks = All<AppendEntriesReply>(me->Drain());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].space, raft::Space::kNone);
}

TEST(AckSpace, OfAnInstalledSnapshotNamesIt) {
  Solo me(3, {1, 1}, 1, 1);
  me->Input([](raft::Raft& core) { core.SetSpace(raft::Space::kDeletes); });
  ASSERT_TRUE(me->Offer(NodeId(2), Term(4), Snapshot(3, 9)));
  const auto acks = All<AppendEntriesReply>(me->Drain());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].space, raft::Space::kDeletes);
}

TEST(AckSpace, OfARefusalWhileASnapshotIsInstalledNamesIt) {
  Solo me(3, {1, 1}, 1, 1);
  me->Input([](raft::Raft& core) { core.SetSpace(raft::Space::kNone); });
  ASSERT_TRUE(me->Offer(NodeId(2), Term(4), Snapshot(3, 9)));
  const auto acks = All<AppendEntriesReply>(me.Step(2, Append(4, 9, 3, 9)));
  ASSERT_FALSE(acks.empty());
  for (const AppendEntriesReply& ack : acks) EXPECT_EQ(ack.space, raft::Space::kNone);
}

TEST(AckSpace, OfARefusalOfAnOlderTermNamesIt) {
  Solo me(3, {1, 1}, 5, 1);
  me->Input([](raft::Raft& core) { core.SetSpace(raft::Space::kNone); });
  const auto acks = All<AppendEntriesReply>(me.Step(2, Append(4, 2, 1, 1)));
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].space, raft::Space::kNone);
}

// §7, InstallSnapshot 6: an entry with the same index and term: what follows it is kept.
TEST(OfferSnapshot, AnEntryThatIsPresentIsCommittedByIt) {
  Solo me(3, {1, 1, 2, 2, 2}, 2, 1);
  EXPECT_FALSE(me->Offer(NodeId(2), Term(3), Snapshot(2, 4)));
  EXPECT_EQ(me.core().commit_index(), Index(4));
  EXPECT_EQ(me.core().log().last_index(), Index(5));
}

// ... and with another term: the whole log goes, with whatever configuration is in it.
TEST(OfferSnapshot, AConflictingTailGoesWithItsConfiguration) {
  Solo me(3, {1, 1, 2, 2, 2}, 2, 1);
  Entry entry = Command(3, 6, "");
  entry.kind = EntryKind::kConfiguration;
  entry.payload = raft::EncodeConfiguration(MakeConfiguration(2));
  me.Step(2, Append(3, 5, 2, 1, {entry}));
  ASSERT_EQ(me.core().configuration().members.size(), 2u);
  ASSERT_TRUE(me->Offer(NodeId(3), Term(5), Snapshot(4, 4, 4)));
  me->Drain();
  EXPECT_EQ(me.core().configuration().members.size(), 4u);
  EXPECT_EQ(me.core().log().last_index(), Index(4));
  EXPECT_TRUE(me->disk().log.empty());
  me->Crash();
  me->Restart();
  EXPECT_EQ(me.core().configuration().members.size(), 4u);
  EXPECT_EQ(me.core().commit_index(), Index(4));
}

// During a write: it waits for its end, and the acknowledgements of what it replaces are never
// sent.
TEST(OfferSnapshot, DuringAWriteItWaits) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Step(From(2, Append(2, 2, 2, 1, {Command(2, 3, "b")})));
  ASSERT_TRUE(me->Offer(NodeId(2), Term(2), Snapshot(2, 9)));
  EXPECT_FALSE(me.core().HasReady(raft::Disk::kBusy));
  me->Persist();
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready && ready->snapshot);
  EXPECT_TRUE(ready->entries.empty()) << "entry 3 is not worth a write any more";
  for (const AppendEntriesReply& ack : All<AppendEntriesReply>(me->Persist())) {
    EXPECT_LT(ack.index, Index(3));
  }
}

// During an apply: the old state machine is left alone until that is over.
TEST(OfferSnapshot, DuringAnApplyItWaits) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 2, {Command(2, 2, "a")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Persist();
  const auto applying = me->TakeReady();
  ASSERT_EQ(applying->committed_entries.size(), 1u);
  ASSERT_TRUE(me->Offer(NodeId(2), Term(2), Snapshot(2, 9)));
  while (const auto ready = me->TakeReady()) {
    EXPECT_FALSE(ready->snapshot.has_value());
    ASSERT_FALSE(ready->HasWrite());
  }
  me->Apply(applying->committed_entries);
  const auto install = me->TakeReady();
  ASSERT_TRUE(install && install->snapshot);
}

// While it installs it neither votes nor stands, and what it is sent it does not take.
TEST(OfferSnapshot, WhileItIsInstalledNothingIsPromised) {
  Solo me(3);
  ASSERT_TRUE(me->Offer(NodeId(2), Term(2), Snapshot(2, 9)));
  ASSERT_TRUE(me->TakeReady()->snapshot);
  me->Advance(milliseconds(700));
  EXPECT_EQ(me.core().role(), Role::kFollower);
  me->Step(From(3, AskVote(9, 20, 8)));
  me->Step(From(2, Append(2, 9, 2, 9, {Command(2, 10, "x")})));
  EXPECT_FALSE(me->Offer(NodeId(2), Term(2), Snapshot(2, 12))) << "one at a time";
  std::vector<raft::Message> sent = me->Persist();
  for (raft::Message& message : me->Drain()) sent.push_back(std::move(message));
  EXPECT_TRUE(All<RequestVoteReply>(sent).empty());
  EXPECT_EQ(me.core().log().last_index(), Index(9));
}

TEST(OfferSnapshot, ACrashDuringTheInstallLeavesTheOldStateOrTheNew) {
  for (const bool kept : {false, true}) {
    Solo me(3, {1, 1, 1}, 1, 2);
    ASSERT_TRUE(me->Offer(NodeId(2), Term(2), Snapshot(2, 9)));
    ASSERT_TRUE(me->TakeReady()->snapshot);
    me->Crash(kept);
    me->Restart();
    EXPECT_EQ(me.core().log().last_index(), Index(kept ? 9 : 3));
    EXPECT_EQ(me.core().term(), Term(kept ? 2 : 1));
    EXPECT_EQ(me.core().commit_index(), Index(kept ? 9 : 2));
    EXPECT_FALSE(me.core().installing());
  }
}

// From outside: what no leader can send starts nothing.
TEST(OfferSnapshot, OneThatMakesNoSenseIsNotTaken) {
  SnapshotMeta of_the_future = Snapshot(7, 9);
  SnapshotMeta of_no_term = Snapshot(0, 9);
  SnapshotMeta configured_later = Snapshot(2, 9);
  configured_later.configuration_index = Index(10);
  for (const SnapshotMeta& snapshot : {of_the_future, of_no_term, configured_later}) {
    Solo me(3);
    EXPECT_FALSE(me->Offer(NodeId(2), Term(2), snapshot));
    me->Drain();
    EXPECT_EQ(me.core().log().last_index(), Index(1));
  }
}

// --- The leader's side.

/// Leads, has entries up to 6, and has cut its log at 5; member 2 lacks all of them.
class SnapshotSender : public ::testing::Test {
 protected:
  void SetUp() override {
    me_.BecomeLeader();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(me_.Propose("x").ok());
    me_->Drain();
    me_.Step(3, Ack(2, 6));
    me_->disk().applied = me_.core().applied_index();
    me_->Compact(Index(5));
    ASSERT_EQ(me_.core().log().first_index(), Index(6));
  }
  /// Member 2 says that it has nothing, and what the leader wants then.
  std::vector<NodeId> Wanted(std::uint64_t refused) {
    me_->Step(From(2, Refusal(2, refused, 1, 1)));
    return Wanted();
  }
  std::vector<NodeId> Wanted() {
    std::vector<NodeId> wanted;
    while (const auto ready = me_->TakeReady()) {
      wanted.insert(wanted.end(), ready->wanted_snapshots.begin(), ready->wanted_snapshots.end());
    }
    return wanted;
  }
  const raft::Progress& two() { return me_.core().progress().at(NodeId(2)); }
  void Sent(std::uint64_t index, bool installed) {
    me_->Input([&](raft::Raft& core) { core.SnapshotSent(NodeId(2), Index(index), installed); });
  }

  Solo me_{3};
};

TEST_F(SnapshotSender, WhoNeedsWhatWasCutOffIsSentOne) {
  me_->Advance(milliseconds(100));  // an unanswered probe is given up
  ASSERT_EQ(Wanted(), std::vector<NodeId>{NodeId(2)});
  EXPECT_EQ(two().state, ProgressState::kSnapshot);
  // No entries meanwhile, and not a second one; but heartbeats, about the base.
  ASSERT_TRUE(me_.Propose("y").ok());
  EXPECT_TRUE(AllTo<AppendEntries>(2, me_->Drain()).empty());
  EXPECT_TRUE(Wanted(5).empty());
  const auto beats = AllTo<AppendEntries>(2, me_.Advance(milliseconds(100)));
  ASSERT_FALSE(beats.empty());
  EXPECT_EQ(beats[0].prev_log_index, Index(5));
  EXPECT_TRUE(beats[0].entries.empty());
}

// It says how far it got: no entries are sent in vain first.
TEST(SnapshotSenderHint, WhoSaysThatItLacksWhatWasCutOffGetsOneAtOnce) {
  Solo me(3, {1, 1, 1, 1, 1, 1}, 1, 6);
  me->disk().applied = Index(6);
  me->Crash();
  me->Restart();
  me->Compact(Index(4));
  me.BecomeLeader();
  me->Step(From(2, Refusal(2, 6, 2, 1)));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->wanted_snapshots, std::vector<NodeId>{NodeId(2)});
  EXPECT_TRUE(AllTo<AppendEntries>(2, ready->messages).empty());
}

TEST_F(SnapshotSender, OnceItIsInstalledEntriesFollow) {
  me_.Advance(milliseconds(100));
  ASSERT_EQ(two().state, ProgressState::kSnapshot);
  Sent(6, true);
  EXPECT_EQ(two().state, ProgressState::kProbe);
  EXPECT_EQ(two().next, Index(7));
  ASSERT_TRUE(me_.Propose("y").ok());
  const auto sent = AllTo<AppendEntries>(2, me_->Drain());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].prev_log_index, Index(6));
}

TEST_F(SnapshotSender, AFailedOneIsTriedAgainWithTheNextHeartbeat) {
  me_.Advance(milliseconds(100));
  ASSERT_EQ(two().state, ProgressState::kSnapshot);
  Sent(6, false);
  me_->Drain();
  EXPECT_EQ(two().state, ProgressState::kProbe);
  me_->Advance(milliseconds(100));
  EXPECT_EQ(Wanted(), std::vector<NodeId>{NodeId(2)});
}

TEST_F(SnapshotSender, WhoGotThereByAnotherWayNeedsNone) {
  me_.Advance(milliseconds(100));
  ASSERT_EQ(two().state, ProgressState::kSnapshot);
  me_.Step(2, Ack(2, 6));
  EXPECT_EQ(two().state, ProgressState::kReplicate);
  EXPECT_EQ(two().next, Index(7));
  Sent(6, false);  // late
  EXPECT_EQ(two().state, ProgressState::kReplicate);
}

TEST_F(SnapshotSender, ItIsDescribedByWhatIsAppliedAndInTheLog) {
  const auto now = me_.core().DescribeSnapshot(Index(6));
  ASSERT_TRUE(now.has_value());
  EXPECT_EQ(now->last, (raft::LogBase{Index(6), Term(2)}));
  EXPECT_EQ(now->configuration_index, Index(1));
  EXPECT_EQ(now->configuration.members.size(), 3u);
  EXPECT_TRUE(me_.core().DescribeSnapshot(Index(5)).has_value()) << "the base itself";
  EXPECT_FALSE(me_.core().DescribeSnapshot(Index(4)).has_value());
}

TEST(CompactDeathTest, WhatIsNotAppliedStays) {
  Solo me(3, {1, 1, 1}, 1, 1);
  EXPECT_DEATH(me.core().Compact(Index(3)), "");
}

}  // namespace
}  // namespace raftkv::test
