// Does the core keep the contract of ready.h: order, one write at a time, bounds, deadlines?
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_cluster.h"
#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntriesReply;
using raft::Disk;
using raft::Role;
using std::chrono::milliseconds;

TEST(RaftReady, NothingToDoMeansNothingToTake) {
  Solo me(3);
  EXPECT_FALSE(me.core().HasReady(Disk::kIdle));
  EXPECT_TRUE(me.core().TakeReady(Disk::kIdle).Empty());
  me.BecomeLeader();
  EXPECT_FALSE(me.core().HasReady(Disk::kIdle));
}

// While a write is under way the next batch gathers: many entries, one write, one acknowledgement.
TEST(RaftReady, WhatComesDuringAWriteIsOneBatch) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  for (std::uint64_t index = 3; index <= 10; ++index) {
    me->Step(From(2, Append(2, index - 1, 2, 1, {Command(2, index, "x")})));
    EXPECT_FALSE(me.core().HasReady(Disk::kBusy));
  }
  me->Persist();
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->entries.size(), 8u);
  const auto acks = All<AppendEntriesReply>(me->Persist());
  ASSERT_EQ(acks.size(), 1u) << "acknowledgements are cumulative";
  EXPECT_EQ(acks[0].index, Index(10));
}

// Known bug 22: a conflict replaces the tail in one write, also while the old tail is being
// written.
TEST(RaftReady, ATailThatIsReplacedDuringItsWriteIsNotTakenForDurable) {
  Solo me(3);
  me->Step(
      From(2, Append(2, 1, 1, 1, {Command(2, 2, "a"), Command(2, 3, "b"), Command(2, 4, "c")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Step(From(3, Append(3, 2, 2, 1, {Command(3, 3, "B")})));
  // The write of 2..4 ends: of these only 2 is still in the log.
  for (const AppendEntriesReply& ack : All<AppendEntriesReply>(me->Persist())) {
    EXPECT_EQ(ack.term, Term(2)) << "an answer to the new leader needs the new write";
  }
  EXPECT_EQ(me.core().durable_index(), Index(2));
  const auto ready = me->TakeReady();
  ASSERT_TRUE(ready.has_value());
  ASSERT_EQ(ready->entries.size(), 1u);
  EXPECT_EQ(ready->entries[0], Command(3, 3, "B"));
  ASSERT_TRUE(ready->hard_state.has_value());
  EXPECT_EQ(ready->hard_state->term, Term(3)) << "in the same write";
  const auto acks = All<AppendEntriesReply>(me->Persist());
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].index, Index(3));
  EXPECT_EQ(me->disk().last_index(), Index(3)) << "4 is gone";
}

// An acknowledgement that still waits for the disk promises entries that a later leader replaces
// before they ever get there: it must not leave with the write that replaces them.
TEST(RaftReady, AnAcknowledgementOfWhatWasReplacedIsNeverSent) {
  Solo me(3);
  me->Step(From(2, Append(2, 1, 1, 1, {Command(2, 2, "a")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Step(From(2, Append(2, 2, 2, 1, {Command(2, 3, "b"), Command(2, 4, "c")})));
  me->Step(From(3, Append(3, 2, 2, 1, {Command(3, 3, "B"), Command(3, 4, "C")})));
  std::vector<raft::Message> sent = me->Persist();
  for (raft::Message& message : me->Drain()) sent.push_back(std::move(message));
  for (const AppendEntriesReply& ack : AllTo<AppendEntriesReply>(2, sent)) {
    EXPECT_TRUE(!ack.success || ack.index <= Index(2)) << ack.index.value;
  }
  const auto to_new_leader = AllTo<AppendEntriesReply>(3, sent);
  ASSERT_EQ(to_new_leader.size(), 1u);
  EXPECT_EQ(to_new_leader[0].index, Index(4));
}

// A heartbeat during a slow write is answered, but acknowledges nothing that is not durable.
TEST(RaftReady, AHeartbeatDuringAWriteAcknowledgesWhatIsDurable) {
  Solo me(3);
  me.Step(2, Append(2, 1, 1, 1, {Command(2, 2, "a")}));
  me->Step(From(2, Append(2, 2, 2, 1, {Command(2, 3, "b")})));
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Step(From(2, Append(2, 3, 2, 3)));
  EXPECT_EQ(me.core().commit_index(), Index(3));
  const auto busy = me->TakeReady();
  ASSERT_TRUE(busy.has_value());
  for (const AppendEntriesReply& ack : All<AppendEntriesReply>(busy->messages)) {
    EXPECT_LE(ack.index, Index(2));
  }
  ASSERT_EQ(busy->committed_entries.size(), 1u) << "3 is committed, but not durable here";
  EXPECT_EQ(busy->committed_entries[0].index, Index(2));
}

// Entries to apply come in order, in bounded batches, one batch at a time.
TEST(RaftReady, ApplyingIsBoundedAndInOrder) {
  raft::Options options;
  options.max_apply_bytes = 300;
  Solo me(1, {1}, 1, 1, options);
  me.Campaign();
  ASSERT_EQ(me.core().role(), Role::kLeader);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(me.Propose(std::string(36, 'x')).ok());
  ASSERT_TRUE(me->TakeReady()->HasWrite());
  me->Persist();
  Index next(3);
  while (next <= Index(22)) {
    const auto ready = me->TakeReady();
    ASSERT_TRUE(ready.has_value());
    ASSERT_FALSE(ready->committed_entries.empty());
    EXPECT_LE(ready->committed_entries.size(), 3u);
    EXPECT_FALSE(me->TakeReady().has_value()) << "not before Applied()";
    for (const raft::Entry& entry : ready->committed_entries) {
      EXPECT_EQ(entry.index, next);
      ++next;
    }
    me->Apply(ready->committed_entries);
  }
}

// Entries that could not be read now are asked for again.
TEST(RaftReady, EntriesThatCouldNotBeReadAreAskedForAgain) {
  Solo me(1, {1, 1, 1}, 1, 3);
  const auto wanted_in = [&] {
    std::vector<raft::WantedEntries> wanted;
    for (int i = 0; i < 6 && wanted.empty(); ++i) {
      const auto ready = me->TakeReady();
      if (ready) wanted = ready->wanted_entries;
      if (me->disk().pending) me->Persist();
    }
    return wanted;
  };
  for (int i = 0; i < 3; ++i) {
    const auto wanted = wanted_in();
    ASSERT_EQ(wanted.size(), 1u);
    EXPECT_EQ(wanted[0].first, Index(2));
    me->Input([&](raft::Raft& core) { core.ProvideEntries(wanted[0], {}); });
  }
  me->Provide(wanted_in().at(0));
  me->Drain();
  EXPECT_GE(me.core().applied_index(), Index(3));
}

// What was read for a follower may be of an earlier time: entries that are no longer in the log, or
// do not begin where they should, are not sent; they are read again.
TEST(RaftReady, EntriesThatNoLongerStandInTheLogAreNotSent) {
  Solo me(3, {1, 2, 2, 2}, 2);
  me.BecomeLeader();
  const auto ask = [&] {
    me->Step(From(2, Refusal(3, 4, 1, 1)));
    for (int i = 0; i < 3; ++i) {
      const auto ready = me->TakeReady();
      if (ready && !ready->wanted_entries.empty()) return ready->wanted_entries[0];
    }
    ADD_FAILURE() << "nothing is wanted";
    return raft::WantedEntries{};
  };
  raft::WantedEntries wanted = ask();
  EXPECT_EQ(wanted.first, Index(2));
  const std::vector<std::vector<raft::Entry>> wrong = {
      {Command(1, 2, "of another term"), Command(1, 3, "of another term")},
      {Command(2, 3, "begins too late")},
      {},
  };
  for (const std::vector<raft::Entry>& entries : wrong) {
    me->Input([&](raft::Raft& core) { core.ProvideEntries(wanted, entries); });
    const auto ready = me->TakeReady();
    ASSERT_TRUE(ready.has_value());
    EXPECT_TRUE(AllTo<raft::AppendEntries>(2, ready->messages).empty());
    ASSERT_EQ(ready->wanted_entries.size(), 1u) << "asked for again";
    wanted = ready->wanted_entries[0];
  }
  // Of a good beginning and a bad end the beginning is sent.
  me->Input([&](raft::Raft& core) {
    core.ProvideEntries(wanted, {me->disk().log[1], Command(1, 3, "of another term")});
  });
  const auto sent = AllTo<raft::AppendEntries>(2, me->TakeReady()->messages);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].entries, (std::vector<raft::Entry>{me->disk().log[1]}));
}

// NextDeadline() is all that a host needs: one that wakes up only then has a working cluster.
TEST(RaftReady, WakingUpAtTheDeadlinesIsEnough) {
  RaftCluster cluster(ClusterOptions{});
  int wakeups = 0;
  while (cluster.node(1).now() < MonoTime(std::chrono::seconds(10))) {
    MonoTime next = kNever;
    for (NodeId id : cluster.ids()) next = std::min(next, cluster.node(id).core().NextDeadline());
    ASSERT_NE(next, kNever);
    cluster.TickAll(std::max(Duration(0), next - cluster.node(1).now()));
    cluster.Stabilize();
    ++wakeups;
    if (wakeups == 20) {
      ASSERT_TRUE(cluster.Propose(cluster.Leader(), "x").ok());
      cluster.Stabilize();
    }
  }
  ASSERT_NE(cluster.Leader(), kNobody);
  for (NodeId id : cluster.ids()) {
    EXPECT_EQ(cluster.node(id).core().commit_index(), Index(3));
    EXPECT_EQ(cluster.node(id).core().term(), Term(2)) << "one election";
  }
  EXPECT_LT(wakeups, 1000) << "it does not spin";
}

// Proposals that are not committed are bounded; one always fits.
TEST(RaftReady, UncommittedProposalsAreBounded) {
  raft::Options options;
  options.max_uncommitted_bytes = 500;
  Solo me(3, {1}, 1, 1, options);
  me.BecomeLeader();
  me.Step(2, Ack(2, 2));
  ASSERT_TRUE(me.Propose(std::string(5000, 'x')).ok())
      << "nothing waits: it fits whatever its size";
  EXPECT_EQ(me.Propose("y").code(), Code::kUnavailable);
  me->Drain();
  me.Step(2, Ack(2, 3));
  EXPECT_TRUE(me.Propose("y").ok());
}

// The memory that the log takes is bounded once entries are durable and applied.
TEST(RaftReady, TheBufferOfEntriesIsBounded) {
  raft::Options options;
  options.max_buffer_bytes = 2000;
  Solo me(1, {1}, 1, 1, options);
  me.Campaign();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(me.Propose(std::string(100, 'x')).ok());
    me->Drain();
    ASSERT_LE(me.core().log().buffer_bytes(), 2000u);
  }
  EXPECT_EQ(me.core().applied_index(), Index(202));
}

}  // namespace
}  // namespace raftkv::test
