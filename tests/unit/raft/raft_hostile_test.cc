// Can a message break the core, whatever it says? Doubled (known bug 35), not contiguous (37),
// forged.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::AppendEntriesReply;
using raft::Entry;
using raft::EntryKind;
using raft::ReadIndex;
using raft::ReadIndexReply;
using raft::RequestVote;
using raft::RequestVoteReply;
using raft::Role;

// Known bug 37: entries that do not follow one another, or go back in term, or come from the
// future.
TEST(RaftHostile, AMalformedAppendIsDropped) {
  const std::vector<AppendEntries> malformed = {
      Append(3, 1, 1, 1, {Command(3, 3, "gap")}),
      Append(3, 1, 1, 1, {Command(3, 1, "overlap")}),
      Append(3, 1, 1, 1, {Command(3, 2, "a"), Command(3, 2, "twice")}),
      Append(3, 1, 1, 1, {Command(3, 2, "a"), Command(3, 4, "gap")}),
      Append(3, 1, 1, 1, {Command(3, 3, "b"), Command(3, 2, "a")}),
      Append(3, 1, 1, 1, {Command(3, 2, "a"), Command(2, 3, "a term that goes back")}),
      Append(3, 1, 1, 1, {Command(4, 2, "of a term beyond the leader's")}),
      Append(3, 1, 1, 1, {Command(0, 2, "of no term")}),
      Append(3, 1, 0, 1, {Command(3, 2, "a")}),
      Append(3, 0, 1, 1),
      Append(3, 9, 4, 1),
  };
  for (const AppendEntries& append : malformed) {
    Solo me(3);
    const auto sent = me.Step(2, append);
    EXPECT_EQ(me.core().log().last_index(), Index(1)) << Format(From(2, append));
    for (const AppendEntriesReply& reply : All<AppendEntriesReply>(sent)) {
      EXPECT_FALSE(reply.success) << Format(From(2, append));
    }
  }
}

TEST(RaftHostile, AConfigurationThatCannotBeReadIsDropped) {
  Solo me(3);
  Entry entry = Command(3, 2, "no configuration");
  entry.kind = EntryKind::kConfiguration;
  me.Step(2, Append(3, 1, 1, 1, {entry}));
  EXPECT_EQ(me.core().log().last_index(), Index(1));
  EXPECT_EQ(me.core().configuration().members.size(), 3u);
}

TEST(RaftHostile, WhatIsNotForThisMemberOrFromNobodyIsDropped) {
  Solo me(3);
  for (const raft::Message& message :
       {raft::Message{NodeId(2), NodeId(3), Append(5, 1, 1, 1)},
        raft::Message{kMe, kMe, Append(5, 1, 1, 1)}, raft::Message{kNobody, kMe, AskVote(5, 1, 1)},
        raft::Message{kMe, kMe, AskVote(5, 9, 9)}}) {
    me->Step(message);
    EXPECT_TRUE(me->Drain().empty());
    EXPECT_EQ(me.core().term(), Term(1));
  }
}

// No leader sends what contradicts a committed entry; such a message must not cut the log.
TEST(RaftHostile, WhatIsCommittedIsNeverCut) {
  Solo me(3, {1, 2, 2}, 2);
  me.Step(2, Append(2, 3, 2, 3));
  ASSERT_EQ(me.core().commit_index(), Index(3));
  me.Step(3, Append(4, 1, 1, 3, {Command(4, 2, "other")}));
  EXPECT_EQ(me.core().log().TermAt(Index(2)), Term(2));
  EXPECT_EQ(me.core().log().last_index(), Index(3));
}

// Known bug 35: the same acknowledgement twice is one member, not two.
TEST(RaftHostile, DoubledAcknowledgementsAreOfOneMember) {
  Solo me(5);
  me.BecomeLeader();
  for (int i = 0; i < 5; ++i) me.Step(2, Ack(2, 2));
  EXPECT_EQ(me.core().commit_index(), Index(1));
  me.Step(77, Ack(2, 2));
  EXPECT_EQ(me.core().commit_index(), Index(1)) << "an outsider";
  me.Step(3, Ack(1, 2));
  EXPECT_EQ(me.core().commit_index(), Index(1)) << "of an earlier term";
  me.Step(3, Ack(2, 2));
  EXPECT_EQ(me.core().commit_index(), Index(2));
}

TEST(RaftHostile, AnAcknowledgementOfWhatWasNeverSentIsDropped) {
  Solo me(3);
  me.BecomeLeader();
  me.Step(2, Ack(2, 50));
  EXPECT_EQ(me.core().commit_index(), Index(1));
  EXPECT_EQ(me.core().progress().at(NodeId(2)).match, Index(0));
  me.Step(2, Ack(2, 2, 999));
  me.Step(2, Ack(2, UINT64_MAX));
  me.Step(2, Refusal(2, UINT64_MAX, UINT64_MAX, UINT64_MAX));
  me.Step(2, Refusal(2, 1, UINT64_MAX, UINT64_MAX));
  EXPECT_GE(me.core().progress().at(NodeId(2)).next, Index(1));
  EXPECT_LE(me.core().progress().at(NodeId(2)).next, Index(3));
}

// --- Anything at all. The core's own checks end the process if its state breaks; SimNode checks
// all invariants after each message.

class Forger {
 public:
  explicit Forger(std::uint64_t seed) : random_(seed) {}

  raft::Message Next(const raft::Raft& core) {
    core_ = &core;
    const std::uint64_t from = random_.Below(10) == 0 ? 77 : 2 + random_.Below(4);
    return From(from, NextBody());
  }

 private:
  std::uint64_t Near(std::uint64_t value) {
    if (random_.Below(40) == 0) return UINT64_MAX - random_.Below(3);
    const std::uint64_t moved = value + random_.Below(5);
    return moved < 2 ? 0 : moved - 2;
  }
  /// Mostly the current one; a higher one now and then, never so high that terms end.
  Term AnyTerm() {
    const std::uint64_t term = core_->term().value;
    return Term(random_.Below(4) != 0 ? term : random_.Below(term + 2));
  }
  Index AnyIndex() { return Index(Near(core_->log().last_index().value)); }

  raft::Body NextBody() {
    switch (random_.Below(6)) {
      case 0: return RequestVote{AnyTerm(), AnyIndex(), AnyTerm(), random_.Below(2) == 0};
      case 1: return RequestVoteReply{AnyTerm(), random_.Below(2) == 0, random_.Below(2) == 0};
      case 2: return NextAppend();
      case 3: {
        AppendEntriesReply reply{AnyTerm(), random_.Below(2) == 0, AnyIndex(), AnyIndex(),
                                 AnyTerm(), random_.Below(5)};
        return reply;
      }
      case 4: return ReadIndex{AnyTerm(), random_.Next()};
      default: return ReadIndexReply{AnyTerm(), random_.Next(), random_.Below(2) == 0, AnyIndex()};
    }
  }

  AppendEntries NextAppend() {
    AppendEntries append;
    append.term = AnyTerm();
    append.prev_log_index = AnyIndex();
    append.prev_log_term =
        random_.Below(3) == 0 ? AnyTerm() : core_->log().TermAt(append.prev_log_index);
    append.leader_commit = AnyIndex();
    append.read_round = random_.Below(5);
    Index index = append.prev_log_index;
    for (std::uint64_t n = random_.Below(4); n > 0; --n) {
      index = random_.Below(20) == 0 ? AnyIndex() : index.Next();
      Entry entry = Command(0, index.value, "forged");
      entry.term = random_.Below(3) == 0 ? AnyTerm() : append.term;
      entry.kind = static_cast<EntryKind>(random_.Below(20) == 0 ? 2 : random_.Below(2));
      append.entries.push_back(entry);
    }
    return append;
  }

  Random random_;
  const raft::Raft* core_ = nullptr;
};

TEST(RaftHostile, NoSequenceOfForgedMessagesBreaksTheCore) {
  for (std::uint64_t seed = 1; seed <= 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Solo me(5, {1, 1, 2}, 2, 2, {}, seed);
    Forger forger(seed);
    Random chance(seed);
    for (int step = 0; step < 300; ++step) {
      if (chance.Below(20) == 0) me.Campaign();
      if (chance.Below(10) == 0) static_cast<void>(me.Propose("mine").ok());
      if (chance.Below(5) == 0) me->Advance(std::chrono::milliseconds(chance.Below(200)));
      me->Step(forger.Next(me.core()));
      if (chance.Below(2) == 0) me->Drain();
    }
    EXPECT_LT(me.core().term(), Term(1000));
  }
}

}  // namespace
}  // namespace raftkv::test
