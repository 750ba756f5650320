// What does a follower that is down, or far behind, cost the leader? (issue: bounded memory, few
// round trips)
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_paper.h"

namespace raftkv::test {
namespace {

using raft::AppendEntries;
using raft::AppendEntriesReply;
using raft::Entry;
using raft::ProgressState;
using std::chrono::milliseconds;

// While member 3 is down a million entries are written. The leader keeps what it is told to keep,
// and brings 3 up to date from the stored log.
TEST(FlowControl, AFollowerThatIsDownCostsBoundedMemory) {
  constexpr std::uint64_t kEntries = 1'000'000;
  constexpr std::uint64_t kBatch = 2'000;
  raft::Options options;
  options.max_buffer_bytes = 1 << 20;
  options.max_append_bytes = 64 << 10;
  options.max_inflight_bytes = 1 << 20;
  Solo me(3, {1}, 1, 1, options);
  me.BecomeLeader();
  std::size_t most = 0;
  std::size_t sent_to_three = 0;
  for (std::uint64_t done = 0; done < kEntries; done += kBatch) {
    for (std::uint64_t i = 0; i < kBatch; ++i) ASSERT_TRUE(me.Propose("0123456789").ok());
    sent_to_three += AllTo<AppendEntries>(3, me->Drain()).size();
    const auto last = me.core().log().last_index().value;
    sent_to_three += AllTo<AppendEntries>(3, me.Step(2, Ack(2, last))).size();
    most = std::max(most, me.core().log().buffer_bytes());
  }
  const std::size_t batch_bytes = kBatch * (10 + Entry::kOverheadBytes);
  EXPECT_EQ(me.core().commit_index(), me.core().log().last_index());
  EXPECT_LE(most, options.max_buffer_bytes + batch_bytes);
  EXPECT_LE(me.core().log().buffer_bytes(), options.max_buffer_bytes);
  EXPECT_LE(sent_to_three, 1u) << "one probe, and no more until it is answered";
  const raft::Progress& three = me.core().progress().at(NodeId(3));
  EXPECT_EQ(three.inflights.messages(), 0u);

  // It comes back with nothing of all that: what it needs is asked of the stored log, in pieces.
  me->Step(From(3, Refusal(2, three.next.value - 1, 1, 1)));
  std::uint64_t asked = 0;
  std::uint64_t match = 1;
  for (int round = 0; round < 100'000 && match < me.core().log().last_index().value; ++round) {
    std::uint64_t reached = match;
    while (const auto ready = me->TakeReady()) {
      for (const raft::WantedEntries& wanted : ready->wanted_entries) {
        EXPECT_LE(wanted.max_bytes, options.max_append_bytes);
        ++asked;
        me->Provide(wanted);
      }
      for (const AppendEntries& append : AllTo<AppendEntries>(3, ready->messages)) {
        reached = std::max(reached, append.prev_log_index.value + append.entries.size());
      }
      ASSERT_LE(three.inflights.bytes(), options.max_inflight_bytes + options.max_append_bytes);
      ASSERT_LE(me.core().log().buffer_bytes(), options.max_buffer_bytes);
    }
    ASSERT_GT(reached, match) << "it goes on in every round";
    match = reached;
    me->Step(From(3, Ack(2, match)));
  }
  EXPECT_EQ(match, me.core().log().last_index().value);
  EXPECT_GT(asked, kEntries * 74 / options.max_append_bytes / 2) << "from the stored log";
  EXPECT_EQ(three.state, ProgressState::kReplicate);
}

// §5.3: the round trips it takes to find where the logs meet are bounded by the number of terms in
// which they differ, not by the number of entries.
TEST(FlowControl, ALongConflictIsBackedUpInFewRoundTrips) {
  // The follower has 3,000 entries of three terms that the leader never saw; the leader has as many
  // of two others.
  std::vector<std::uint64_t> theirs(1000, 1);
  std::vector<std::uint64_t> ours = theirs;
  for (const std::uint64_t term : {2, 4, 6}) theirs.insert(theirs.end(), 1000, term);
  for (const std::uint64_t term : {3, 7}) ours.insert(ours.end(), 1500, term);
  Solo leader(3, ours, 7, 1);
  raft::Options options;
  options.id = NodeId(2);
  SimNode follower(options, MakeConfiguration(3), DiskWithLog(MakeConfiguration(3), theirs, 7, 1),
                   5);
  std::vector<raft::Message> to_follower = leader.BecomeLeader();
  int refusals = 0;
  for (int round = 0; round < 200 && !to_follower.empty(); ++round) {
    std::vector<raft::Message> replies;
    for (const raft::Message& message : to_follower) {
      if (message.to != NodeId(2)) continue;
      follower.Step(message);
      for (raft::Message& reply : follower.Drain()) replies.push_back(std::move(reply));
    }
    to_follower.clear();
    for (const raft::Message& reply : replies) {
      const auto* append = std::get_if<AppendEntriesReply>(&reply.body);
      if (append == nullptr) continue;
      refusals += append->success ? 0 : 1;
      for (raft::Message& message : leader.Step(2, *append)) {
        to_follower.push_back(std::move(message));
      }
    }
  }
  EXPECT_EQ(follower.core().log().runs(), leader.core().log().runs());
  EXPECT_LE(refusals, 5);
  EXPECT_GE(refusals, 1);
}

}  // namespace
}  // namespace raftkv::test
