// Does a change of members give the configuration it should, joint where votes change, and is what
// is invalid refused with the reason and a way out?
#include "lib/raft/membership.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/raft/configuration.h"
#include "lib/raft/quorum.h"

namespace raftkv::test {
namespace {

using raft::Configuration;
using raft::Invitation;
using raft::LeaveJoint;
using raft::Member;
using raft::MembershipChange;
using raft::PlanChange;
using raft::QuorumKind;
using raft::QuorumRule;

Member MakeMember(std::uint64_t id, bool learner) {
  Member member;
  member.id = NodeId(id);
  member.name = "n" + std::to_string(id);
  member.address = "h" + std::to_string(id) + ":7000";
  member.learner = learner;
  return member;
}

/// Voters 10, 20, 30, a learner 40, "new" invited, 5 removed.
Configuration Example() {
  Configuration configuration;
  configuration.cluster = ClusterId(77);
  for (const std::uint64_t id : {10, 20, 30, 40}) {
    configuration.members.push_back(MakeMember(id, id == 40));
  }
  configuration.invited = {{"new", "hnew:7000", true}};
  configuration.removed = {NodeId(5)};
  return configuration;
}

Configuration Planned(const Configuration& now, const MembershipChange& change) {
  const auto next = PlanChange(now, change);
  EXPECT_TRUE(next.ok()) << next.status().ToString();
  return next.ok() ? *next : Configuration{};
}

std::set<std::uint64_t> Voters(const Configuration& configuration, bool old) {
  std::set<std::uint64_t> ids;
  for (const Member& member : configuration.members) {
    if (old ? member.old_voter : !member.learner) ids.insert(member.id.value);
  }
  return ids;
}

std::set<std::uint64_t> Removed(const Configuration& configuration) {
  std::set<std::uint64_t> ids;
  for (const NodeId id : configuration.removed) ids.insert(id.value);
  return ids;
}

using Ids = std::set<std::uint64_t>;

TEST(Membership, AnInvitationIsInForceByItself) {
  MembershipChange change;
  change.invite = {{"x", "hx:7000", false}};
  Configuration expected = Example();
  expected.invited.push_back(change.invite[0]);
  EXPECT_EQ(Planned(Example(), change), expected);
}

TEST(Membership, AnInvitationIsTakenBack) {
  MembershipChange change;
  change.uninvite = {"new"};
  Configuration expected = Example();
  expected.invited.clear();
  EXPECT_EQ(Planned(Example(), change), expected);
  change.invite = {{"new", "other:7000", true}};
  expected.invited = change.invite;
  EXPECT_EQ(Planned(Example(), change), expected) << "or replaced at once";
}

TEST(Membership, ANewcomerThatWasInvitedUsesUpTheInvitation) {
  MembershipChange change;
  change.add = {MakeMember(25, true)};
  change.add[0].name = "new";
  change.add[0].address = "hnew:7000";
  const Configuration next = Planned(Example(), change);
  EXPECT_FALSE(next.joint);
  EXPECT_TRUE(next.invited.empty());
  ASSERT_EQ(next.members.size(), 5u);
  EXPECT_EQ(next.members[2], change.add[0]) << "in its place by id";
}

TEST(Membership, PromotionGoesThroughAJointConfiguration) {
  MembershipChange change;
  change.promote = {NodeId(40)};
  const Configuration joint = Planned(Example(), change);
  EXPECT_TRUE(joint.joint);
  EXPECT_EQ(Voters(joint, true), (Ids{10, 20, 30}));
  EXPECT_EQ(Voters(joint, false), (Ids{10, 20, 30, 40}));
  Configuration expected = Example();
  expected.members[3].learner = false;
  EXPECT_EQ(LeaveJoint(joint), expected);
  Configuration waiting = Example();
  waiting.members[3].promote = true;
  EXPECT_EQ(LeaveJoint(Planned(waiting, change)), expected) << "what was wished for is done";
}

TEST(Membership, DemotionKeepsTheMember) {
  MembershipChange change;
  change.demote = {NodeId(10)};
  const Configuration joint = Planned(Example(), change);
  EXPECT_TRUE(joint.joint);
  EXPECT_EQ(Voters(joint, true), (Ids{10, 20, 30}));
  EXPECT_EQ(Voters(joint, false), (Ids{20, 30}));
  EXPECT_FALSE(joint.Find(NodeId(10))->leaves);
  Configuration expected = Example();
  expected.members[0].learner = true;
  EXPECT_EQ(LeaveJoint(joint), expected);
}

TEST(Membership, AVoterThatIsRemovedLeavesWithTheOldHalf) {
  MembershipChange change;
  change.remove = {NodeId(20)};
  const Configuration joint = Planned(Example(), change);
  const Member* leaving = joint.Find(NodeId(20));
  ASSERT_NE(leaving, nullptr);
  EXPECT_TRUE(joint.joint && leaving->learner && leaving->old_voter && leaving->leaves);
  EXPECT_EQ(Removed(joint), (Ids{5})) << "not yet";
  const Configuration left = LeaveJoint(joint);
  EXPECT_EQ(left.Find(NodeId(20)), nullptr);
  EXPECT_EQ(Removed(left), (Ids{5, 20}));
  EXPECT_EQ(Voters(left, false), (Ids{10, 30}));
}

TEST(Membership, ALearnerThatIsRemovedIsGoneAtOnce) {
  MembershipChange change;
  change.remove = {NodeId(40)};
  const Configuration next = Planned(Example(), change);
  EXPECT_FALSE(next.joint);
  EXPECT_EQ(next.Find(NodeId(40)), nullptr);
  EXPECT_EQ(Removed(next), (Ids{5, 40}));
  change.promote = {};
  change.demote = {NodeId(10)};
  const Configuration joint = Planned(Example(), change);
  EXPECT_TRUE(joint.joint);
  EXPECT_EQ(joint.Find(NodeId(40)), nullptr) << "also if the rest of the change is joint";
  EXPECT_EQ(Removed(joint), (Ids{5, 40}));
}

// §6: from one set of voters to one that has nobody in common with it.
TEST(Membership, AllVotersAreReplacedAtOnce) {
  MembershipChange change;
  change.remove = {NodeId(30), NodeId(10), NodeId(20)};
  change.add = {MakeMember(15, false), MakeMember(50, false), MakeMember(1, false)};
  change.quorum = QuorumRule{QuorumKind::kFlexible, 2, 2};
  const Configuration joint = Planned(Example(), change);
  EXPECT_EQ(Voters(joint, true), (Ids{10, 20, 30}));
  EXPECT_EQ(Voters(joint, false), (Ids{1, 15, 50}));
  EXPECT_EQ(joint.old_quorum, QuorumRule{});
  const Configuration left = LeaveJoint(joint);
  EXPECT_EQ(Voters(left, false), (Ids{1, 15, 50}));
  EXPECT_EQ(Removed(left), (Ids{5, 10, 20, 30}));
  EXPECT_EQ(left.quorum, *change.quorum);
  EXPECT_EQ(left.old_quorum, QuorumRule{});
  EXPECT_EQ(left.Find(NodeId(40))->learner, true);
}

TEST(Membership, AnotherRuleAloneIsJointToo) {
  MembershipChange change;
  change.quorum = QuorumRule{QuorumKind::kZones};
  const Configuration joint = Planned(Example(), change);
  EXPECT_TRUE(joint.joint);
  EXPECT_EQ(Voters(joint, true), Voters(joint, false));
  EXPECT_EQ(joint.quorum.kind, QuorumKind::kZones);
  EXPECT_EQ(joint.old_quorum.kind, QuorumKind::kMajority);
}

TEST(Membership, MembersMayChangePlacesAndOneTakesTheIncarnationOfAReset) {
  MembershipChange change;
  change.move = {{NodeId(10), "h20:7000", false}, {NodeId(20), "h10:7000", true}};
  const Configuration next = Planned(Example(), change);
  EXPECT_FALSE(next.joint) << "nobody's vote changes";
  EXPECT_EQ(next.Find(NodeId(10))->address, "h20:7000");
  EXPECT_EQ(next.Find(NodeId(10))->incarnation, 1U);
  EXPECT_EQ(next.Find(NodeId(20))->address, "h10:7000");
  EXPECT_EQ(next.Find(NodeId(20))->incarnation, 2U);
  change.move = {{NodeId(20), "", true}};
  const Configuration again = Planned(next, change);
  EXPECT_EQ(again.Find(NodeId(20))->address, "h10:7000");
  EXPECT_EQ(again.Find(NodeId(20))->incarnation, 3U);
  change.move = {{NodeId(20), "", false}};
  EXPECT_EQ(PlanChange(next, change).code(), Code::kInvalidArgument);
  change.move = {{NodeId(20), "h30:7000", true}};
  EXPECT_EQ(PlanChange(next, change).code(), Code::kInvalidArgument) << "it is another's";
}

TEST(Membership, TheNameOfARemovedLearnerIsFreeAtOnce) {
  MembershipChange change;
  change.remove = {NodeId(40)};
  change.invite = {{"n40", "h40:7000", false}};
  EXPECT_EQ(Planned(Example(), change).invited.size(), 2u);
}

struct Refusal {
  std::string reason;
  MembershipChange change;
  Code code = Code::kInvalidArgument;
};

Refusal Refuse(const std::string& reason, Code code = Code::kInvalidArgument) {
  return {reason, {}, code};
}

Refusal RefuseAdd(const std::string& reason, Member member) {
  Refusal refusal = Refuse(reason);
  refusal.change.add = {std::move(member)};
  return refusal;
}

Refusal RefuseInvite(const std::string& reason, const std::string& name,
                     const std::string& address) {
  Refusal refusal = Refuse(reason);
  refusal.change.invite = {{name, address, false}};
  return refusal;
}

void ExpectRefused(const Configuration& now, const Refusal& refusal) {
  const auto next = PlanChange(now, refusal.change);
  ASSERT_FALSE(next.ok()) << refusal.reason;
  EXPECT_EQ(next.code(), refusal.code) << refusal.reason;
  const std::string& message = next.status().message();
  EXPECT_NE(message.find(refusal.reason), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << "one line: " << message;
}

TEST(Membership, WhatIsNotThereIsNotFound) {
  std::vector<Refusal> refusals(5, Refuse("no member has the id 99", Code::kNotFound));
  refusals[0].change.promote = {NodeId(99)};
  refusals[1].change.demote = {NodeId(99)};
  refusals[2].change.remove = {NodeId(99)};
  refusals[3].reason = "was removed already";
  refusals[3].change.remove = {NodeId(5)};
  refusals[4].reason = "no invitation for 'nobody'";
  refusals[4].change.uninvite = {"nobody"};
  for (const Refusal& refusal : refusals) ExpectRefused(Example(), refusal);
  Refusal twice = Refuse("no invitation for 'new'", Code::kNotFound);
  twice.change.uninvite = {"new", "new"};
  ExpectRefused(Example(), twice);
}

TEST(Membership, ChangesThatMakeNoSenseAreRefused) {
  std::vector<Refusal> refusals(8);
  refusals[0] = Refuse("'n10' already has a vote");
  refusals[0].change.promote = {NodeId(10)};
  refusals[1] = Refuse("'n40' is already a learner");
  refusals[1].change.demote = {NodeId(40)};
  refusals[2] = Refuse("'n10' appears twice");
  refusals[2].change.demote = {NodeId(10)};
  refusals[2].change.remove = {NodeId(10)};
  refusals[3] = Refuse("'n40' appears twice");
  refusals[3].change.remove = {NodeId(40), NodeId(40)};
  refusals[4] = Refuse("has no effect");
  refusals[5] = Refuse("has no effect");
  refusals[5].change.quorum = QuorumRule{};
  refusals[6] = Refuse("no voter; keep at least one");
  refusals[6].change.remove = {NodeId(10), NodeId(20), NodeId(30)};
  refusals[7] = Refuse("the id 41 appears twice");
  refusals[7].change.add = {MakeMember(41, true), MakeMember(41, true)};
  refusals[7].change.add[1].name = refusals[7].change.add[1].address = "other";
  for (const Refusal& refusal : refusals) ExpectRefused(Example(), refusal);
}

TEST(Membership, NewMembersMustBeNew) {
  Member half = MakeMember(60, true);
  half.old_voter = true;
  Member leaving = MakeMember(60, true);
  leaving.leaves = true;
  Member namesake = MakeMember(60, true);
  namesake.name = "n10";
  Member neighbour = MakeMember(60, true);
  neighbour.address = "h20:7000";
  Member nameless = MakeMember(60, true);
  nameless.name.clear();
  Member homeless = MakeMember(60, true);
  homeless.address.clear();
  Member wordy = MakeMember(60, true);
  wordy.name.assign(257, 'x');
  Member voter_already = MakeMember(60, false);
  voter_already.promote = true;
  Member two_lines = MakeMember(60, true);
  two_lines.name = "a\nb";
  Member at_invited = MakeMember(60, true);
  at_invited.address = "hnew:7000";
  for (const Refusal& refusal :
       {RefuseAdd("the id 0", MakeMember(0, true)),
        RefuseAdd("never comes back; start the new member with an empty", MakeMember(5, true)),
        RefuseAdd("the id 10 is that of 'n10'", MakeMember(10, true)), RefuseAdd("old half", half),
        RefuseAdd("old half", leaving), RefuseAdd("the name 'n10' is taken", namesake),
        RefuseAdd("the address 'h20:7000' is taken by 'n20'", neighbour),
        RefuseAdd("must have 1 to 256 bytes", nameless), RefuseAdd("has no address", homeless),
        RefuseAdd("name of a new member must have 1 to 256 bytes", wordy),
        RefuseAdd("choose one of the two", voter_already),
        RefuseAdd("control character", two_lines),
        RefuseAdd("the address 'hnew:7000' is taken by 'new'", at_invited),
        RefuseInvite("the name 'n40' is taken", "n40", "hx:1"),
        RefuseInvite("the name 'new' is taken", "new", "hx:1"),
        RefuseInvite("is taken by 'n10'", "x", "h10:7000"),
        RefuseInvite("is taken by 'new'", "x", "hnew:7000"),
        RefuseInvite("must have 1 to 256 bytes", "", "hx:1"),
        RefuseInvite("has no address", "x", "")}) {
    ExpectRefused(Example(), refusal);
  }
}

TEST(Membership, NamesWithinAChangeAreUnique) {
  Refusal both = RefuseInvite("the name 'n60' is taken", "n60", "hx:1");
  both.change.add = {MakeMember(60, true)};
  ExpectRefused(Example(), both);
  Refusal twice = RefuseInvite("the name 'x' is taken", "x", "hx:1");
  twice.change.invite.push_back({"x", "hy:1", false});
  ExpectRefused(Example(), twice);
}

// The old voter is still spoken to by its name and address while the configuration is joint.
TEST(Membership, TheNameOfAVoterIsFreeOnlyOnceItIsGone) {
  Refusal name =
      RefuseInvite("until the removal is over; remove it in a change of its own", "n10", "hx:1");
  name.change.remove = {NodeId(10)};
  ExpectRefused(Example(), name);
  Refusal address = RefuseInvite("until the removal is over", "x", "h10:7000");
  address.change.remove = {NodeId(10)};
  ExpectRefused(Example(), address);
  MembershipChange removal;
  removal.remove = {NodeId(10)};
  MembershipChange again;
  again.invite = {{"n10", "h10:7000", true}};
  EXPECT_EQ(Planned(LeaveJoint(Planned(Example(), removal)), again).invited.size(), 2u);
}

// Known bug 42, where it would come in: by a number of voters that the rule was not made for.
TEST(Membership, UnsafeQuorumsAreRefused) {
  Configuration now = Example();
  now.quorum = {QuorumKind::kFlexible, 2, 2};
  Refusal grow = Refuse("unsafe quorums: a commit quorum of 2 and an election quorum of 2 of 4");
  grow.change.promote = {NodeId(40)};
  ExpectRefused(now, grow);
  grow.change.quorum = QuorumRule{QuorumKind::kFlexible, 3, 2};
  grow.reason = "two election quorums of 2 of 4";
  ExpectRefused(now, grow);
  MembershipChange together;
  together.promote = {NodeId(40)};
  together.quorum = QuorumRule{QuorumKind::kFlexible, 2, 3};
  const Configuration joint = Planned(now, together);
  EXPECT_EQ(joint.old_quorum, now.quorum);
  EXPECT_EQ(joint.quorum, *together.quorum);
}

TEST(Membership, OneChangeAtATime) {
  MembershipChange change;
  change.promote = {NodeId(40)};
  Refusal second = RefuseInvite("the previous change is still in progress", "x", "hx:1");
  ExpectRefused(Planned(Example(), change), second);
}

TEST(Membership, MembersAndThoseInvitedAreBounded) {
  Configuration now = Example();
  MembershipChange fill;
  while (now.members.size() + now.invited.size() + fill.invite.size() < raft::kMaxMembers) {
    const std::string name = "i" + std::to_string(fill.invite.size());
    fill.invite.push_back({name, name, false});
  }
  now = Planned(now, fill);
  ExpectRefused(now, RefuseInvite("at most 64", "x", "hx:1"));
  ExpectRefused(now, RefuseAdd("there would be 65", MakeMember(60, true)));
  MembershipChange bind;
  bind.add = {MakeMember(60, true)};
  bind.add[0].name = "i0";
  EXPECT_EQ(Planned(now, bind).members.size(), 5u) << "who was invited finds room";
}

TEST(Membership, RemovedIdsAreBounded) {
  Configuration now = Example();
  now.removed.clear();
  for (std::uint64_t id = 1000; now.removed.size() < raft::kMaxRemoved; ++id) {
    now.removed.emplace_back(id);
  }
  for (const std::uint64_t id : {10, 40}) {
    Refusal refusal = Refuse("move the data to a new cluster");
    refusal.change.remove = {NodeId(id)};
    ExpectRefused(now, refusal);
  }
  now.removed.pop_back();
  MembershipChange last;
  last.remove = {NodeId(10)};
  EXPECT_EQ(LeaveJoint(Planned(now, last)).removed.size(), raft::kMaxRemoved);
}

/// Changes of chance, most of them possible.
MembershipChange RandomChange(const Configuration& now, Random& chance) {
  MembershipChange change;
  for (const Member& member : now.members) {
    switch (chance.Below(8)) {
      case 0: change.remove.push_back(member.id); break;
      case 1: (member.learner ? change.promote : change.demote).push_back(member.id); break;
      default: break;
    }
  }
  while (chance.Below(2) == 0) change.add.push_back(MakeMember(chance.Next(), chance.Below(2)));
  if (!now.invited.empty() && chance.Below(2) == 0) change.uninvite = {now.invited[0].name};
  if (chance.Below(3) == 0) {
    change.quorum = QuorumRule{};
    change.quorum->kind = static_cast<QuorumKind>(chance.Below(3));
    if (change.quorum->kind == QuorumKind::kFlexible) {
      change.quorum->commit = static_cast<std::uint32_t>(chance.Below(6));
      change.quorum->election = static_cast<std::uint32_t>(chance.Below(6));
    }
  }
  return change;
}

void ExpectFollows(const Configuration& now, const Configuration& next) {
  ASSERT_TRUE(CheckConfiguration(next).ok()) << CheckConfiguration(next).ToString();
  const Configuration left = next.joint ? LeaveJoint(next) : next;
  ASSERT_TRUE(CheckConfiguration(left).ok()) << CheckConfiguration(left).ToString();
  // Joint exactly if who votes, or by which rule, is another.
  const bool same = Voters(now, false) == Voters(left, false) && now.quorum == left.quorum;
  ASSERT_EQ(next.joint, !same);
  if (next.joint) {
    ASSERT_EQ(Voters(next, true), Voters(now, false));
    ASSERT_EQ(next.old_quorum, now.quorum);
    ASSERT_EQ(Voters(next, false), Voters(left, false));
  }
  // Whoever was a member is one, or is dead; who is dead stays so.
  for (const Member& member : now.members) {
    ASSERT_NE(left.Find(member.id) != nullptr, Removed(left).count(member.id.value) != 0);
  }
  const Ids removed = Removed(left);
  for (const NodeId id : now.removed) ASSERT_TRUE(removed.count(id.value));
}

TEST(Membership, AnyHistoryOfChangesKeepsTheRules) {
  Random chance(6);
  int planned = 0;
  int joint = 0;
  for (int history = 0; history < 200; ++history) {
    Configuration now = Example();
    for (int step = 0; step < 50; ++step) {
      const auto next = PlanChange(now, RandomChange(now, chance));
      if (!next.ok()) continue;
      ++planned;
      joint += next->joint;
      ASSERT_NO_FATAL_FAILURE(ExpectFollows(now, *next));
      now = next->joint ? LeaveJoint(*next) : *next;
    }
  }
  EXPECT_GT(planned, 1000);
  EXPECT_GT(joint, 500);
}

}  // namespace
}  // namespace raftkv::test
