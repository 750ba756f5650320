// Is the arithmetic of quorums right, and is what is unsafe refused with the reason?
//
// Majorities by exhaustion, against the definition; examples of each other rule and of joint
// configurations. All rules by exhaustion: quorum_exhaustive_test.cc.
#include "lib/raft/quorum.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace raftkv::test {
namespace {

using raft::CheckQuorums;
using raft::Configuration;
using raft::Purpose;
using raft::QuorumKind;
using raft::QuorumRule;
using raft::VoteResult;

constexpr Purpose kBoth[] = {Purpose::kElection, Purpose::kCommit};

/// Voters 1..voters, then learners.
Configuration Members(std::uint64_t voters, std::uint64_t learners) {
  Configuration configuration;
  configuration.cluster = ClusterId(77);
  for (std::uint64_t id = 1; id <= voters + learners; ++id) {
    raft::Member member;
    member.id = NodeId(id);
    member.learner = id > voters;
    configuration.members.push_back(member);
  }
  return configuration;
}

/// One voter in each of these zones, by the rule `zones`.
Configuration Zones(const std::vector<std::string>& zones) {
  Configuration configuration = Members(zones.size(), 0);
  for (std::size_t i = 0; i < zones.size(); ++i) configuration.members[i].zone = zones[i];
  configuration.quorum.kind = QuorumKind::kZones;
  return configuration;
}

Configuration Flexible(std::uint64_t voters, std::uint32_t commit, std::uint32_t election) {
  Configuration configuration = Members(voters, 0);
  configuration.quorum = {QuorumKind::kFlexible, commit, election};
  return configuration;
}

/// Ids 1, 2, 3 are left for 3, 4, 5.
Configuration Joint() {
  Configuration configuration = Members(5, 0);
  configuration.joint = true;
  for (raft::Member& member : configuration.members) {
    member.old_voter = member.id.value <= 3;
    member.learner = member.id.value < 3;
    member.leaves = member.learner;
  }
  return configuration;
}

VoteResult Vote(const Configuration& configuration, Purpose purpose,
                const std::set<std::uint64_t>& yes, const std::set<std::uint64_t>& no) {
  return CountVotes(configuration, purpose, [&](NodeId id) {
    return static_cast<int>(yes.count(id.value)) - static_cast<int>(no.count(id.value));
  });
}

/// Calls `visit` with every assignment of 0..base-1 to `count` members.
template <class Visit>
void ForAll(std::uint64_t count, std::uint64_t base, Visit visit) {
  std::vector<std::uint64_t> values(count, 0);
  while (true) {
    visit(values);
    std::size_t at = 0;
    while (at < count && ++values[at] == base) values[at++] = 0;
    if (at == count) return;
  }
}

TEST(Quorum, AnElectionIsWonOrLostExactlyWhenNoAnswerCanChangeThat) {
  for (std::uint64_t voters = 1; voters <= 5; ++voters) {
    for (std::uint64_t learners = 0; learners <= 1; ++learners) {
      const Configuration configuration = Members(voters, learners);
      ForAll(voters + learners, 3, [&](const std::vector<std::uint64_t>& votes) {
        std::uint64_t granted = 0;
        std::uint64_t unknown = 0;
        for (std::uint64_t i = 0; i < voters; ++i) {
          granted += votes[i] == 1;
          unknown += votes[i] == 2;
        }
        const VoteResult result = CountVotes(configuration, Purpose::kElection, [&](NodeId id) {
          const std::uint64_t vote = votes[id.value - 1];
          return vote == 1 ? 1 : vote == 2 ? 0 : -1;
        });
        const bool won_now = granted * 2 > voters;
        const bool can_win = (granted + unknown) * 2 > voters;
        EXPECT_EQ(result, won_now   ? VoteResult::kWon
                          : can_win ? VoteResult::kPending
                                    : VoteResult::kLost);
      });
    }
  }
}

TEST(Quorum, NobodyWinsWithoutVoters) {
  EXPECT_NE(CountVotes(Configuration{}, Purpose::kElection, [](NodeId) { return 1; }),
            VoteResult::kWon);
  EXPECT_NE(CountVotes(Members(0, 3), Purpose::kCommit, [](NodeId) { return 1; }),
            VoteResult::kWon);
  EXPECT_EQ(QuorumIndex(Configuration{}, [](NodeId) { return Index(7); }), Index(0));
  EXPECT_EQ(QuorumIndex(Members(0, 3), [](NodeId) { return Index(7); }), Index(0));
}

// Two leaders of one term would need two winning sets; a committed entry needs a set that meets
// each.
TEST(Quorum, AnyTwoWinningSetsMeet) {
  for (std::uint64_t voters = 1; voters <= 5; ++voters) {
    const Configuration configuration = Members(voters, 0);
    const auto wins = [&](std::uint64_t set) {
      return CountVotes(configuration, Purpose::kElection, [&](NodeId id) {
               return (set >> (id.value - 1)) & 1 ? 1 : -1;
             }) == VoteResult::kWon;
    };
    for (std::uint64_t a = 0; a < 1u << voters; ++a) {
      for (std::uint64_t b = 0; b < 1u << voters; ++b) {
        if (wins(a) && wins(b)) {
          EXPECT_NE(a & b, 0u) << a << ' ' << b;
        }
      }
    }
  }
}

TEST(Quorum, TheQuorumIndexIsTheHighestThatAMajorityHas) {
  for (std::uint64_t voters = 1; voters <= 5; ++voters) {
    for (std::uint64_t learners = 0; learners <= 1; ++learners) {
      const Configuration configuration = Members(voters, learners);
      ForAll(voters + learners, 4, [&](const std::vector<std::uint64_t>& match) {
        std::uint64_t highest = 0;
        for (std::uint64_t index = 1; index < 4; ++index) {
          std::uint64_t holders = 0;
          for (std::uint64_t i = 0; i < voters; ++i) holders += match[i] >= index;
          if (holders * 2 > voters) highest = index;
        }
        const auto match_of = [&](NodeId id) { return Index(match[id.value - 1]); };
        EXPECT_EQ(QuorumIndex(configuration, match_of), Index(highest));
        EXPECT_EQ(QuorumValue(configuration, [&](NodeId id) { return match_of(id).value; }),
                  highest);
      });
    }
  }
}

// Known bug 34: a learner is asked for nothing.
TEST(Quorum, LearnersAreNotEvenAsked) {
  const Configuration configuration = Members(2, 2);
  const auto voter_only = [](NodeId id) { EXPECT_LE(id.value, 2u); };
  for (const Purpose purpose : kBoth) {
    CountVotes(configuration, purpose, [&](NodeId id) {
      voter_only(id);
      return 0;
    });
  }
  QuorumIndex(configuration, [&](NodeId id) {
    voter_only(id);
    return Index(1);
  });
}

TEST(Quorum, EachMemberIsAskedOnce) {
  Configuration configuration = Joint();
  configuration.quorum.kind = configuration.old_quorum.kind = QuorumKind::kZones;
  for (raft::Member& member : configuration.members) member.zone = "a";
  std::multiset<std::uint64_t> asked;
  CountVotes(configuration, Purpose::kElection, [&](NodeId id) {
    asked.insert(id.value);
    return 1;
  });
  EXPECT_EQ(asked, (std::multiset<std::uint64_t>{1, 2, 3, 4, 5}));
}

// Three of five, but one of the two in the east.
TEST(Quorum, ZonesNeedAMajorityInEachThatHasAName) {
  const Configuration zones = Zones({"east", "west", "east", "west", "west"});
  for (const Purpose purpose : kBoth) {
    EXPECT_EQ(Vote(zones, purpose, {2, 4, 5}, {}), VoteResult::kPending) << "nobody in the east";
    EXPECT_EQ(Vote(zones, purpose, {2, 4, 5, 1}, {3}), VoteResult::kLost) << "one of two";
    EXPECT_EQ(Vote(zones, purpose, {1, 2, 3, 4}, {5}), VoteResult::kWon);
    EXPECT_EQ(Vote(zones, purpose, {1, 3, 5}, {2, 4}), VoteResult::kLost) << "the west is lost";
  }
  EXPECT_EQ(QuorumValue(zones, [](NodeId id) { return id.value * 10; }), 10u)
      << "the east has its slower one at 10";
}

TEST(Quorum, VotersInNoZoneCountInTheWholeOnly) {
  const Configuration zones = Zones({"east", "", "", "", ""});
  for (const Purpose purpose : kBoth) {
    EXPECT_EQ(Vote(zones, purpose, {2, 3, 4, 5}, {1}), VoteResult::kLost);
    EXPECT_EQ(Vote(zones, purpose, {1, 2, 3}, {4, 5}), VoteResult::kWon);
    EXPECT_EQ(Vote(zones, purpose, {1, 2}, {}), VoteResult::kPending);
  }
}

TEST(Quorum, ALearnerOpensNoZone) {
  Configuration zones = Zones({"", "", "", "west"});
  zones.members[3].learner = true;
  EXPECT_EQ(Vote(zones, Purpose::kCommit, {1, 2}, {3}), VoteResult::kWon);
  EXPECT_EQ(QuorumValue(zones, [](NodeId id) { return id.value < 4 ? 5u : 0u; }), 5u);
}

TEST(Quorum, FlexibleSizesDifferByPurpose) {
  const Configuration flexible = Flexible(5, 2, 4);
  EXPECT_EQ(Vote(flexible, Purpose::kCommit, {1, 2}, {}), VoteResult::kWon);
  EXPECT_EQ(Vote(flexible, Purpose::kElection, {1, 2, 3}, {}), VoteResult::kPending);
  EXPECT_EQ(Vote(flexible, Purpose::kElection, {1, 2, 3}, {4, 5}), VoteResult::kLost);
  EXPECT_EQ(Vote(flexible, Purpose::kElection, {1, 2, 3, 5}, {}), VoteResult::kWon);
  EXPECT_EQ(QuorumValue(flexible, [](NodeId id) { return id.value; }), 4u);
}

TEST(Quorum, ARuleThatNobodyCanMeetIsNeverMet) {
  for (const Configuration& configuration : {Flexible(3, 0, 0), Flexible(3, 4, 4)}) {
    for (const Purpose purpose : kBoth) {
      EXPECT_EQ(Vote(configuration, purpose, {1, 2, 3}, {}), VoteResult::kLost);
    }
    EXPECT_EQ(QuorumValue(configuration, [](NodeId) { return 7u; }), 0u);
  }
}

TEST(Quorum, AJointConfigurationNeedsBothHalves) {
  const Configuration joint = Joint();
  for (const Purpose purpose : kBoth) {
    EXPECT_EQ(Vote(joint, purpose, {1, 2, 3}, {}), VoteResult::kPending) << "one of the new";
    EXPECT_EQ(Vote(joint, purpose, {3, 4, 5}, {1, 2}), VoteResult::kLost) << "the old refuse";
    EXPECT_EQ(Vote(joint, purpose, {1, 3, 5}, {2, 4}), VoteResult::kWon);
    EXPECT_EQ(Vote(joint, purpose, {1, 2, 4, 5}, {3}), VoteResult::kWon);
  }
  EXPECT_EQ(QuorumIndex(joint, [](NodeId id) { return Index(10 - id.value); }), Index(6))
      << "8 in the old half, 6 in the new";
}

TEST(Quorum, EachHalfHasItsOwnRule) {
  Configuration joint = Joint();
  joint.old_quorum = {QuorumKind::kFlexible, 1, 3};
  EXPECT_EQ(Vote(joint, Purpose::kCommit, {1, 4, 5}, {2, 3}), VoteResult::kWon);
  EXPECT_EQ(Vote(joint, Purpose::kElection, {1, 4, 5}, {2}), VoteResult::kLost);
  joint.joint = false;
  EXPECT_EQ(Vote(joint, Purpose::kElection, {4, 5}, {3}), VoteResult::kWon) << "old ones are past";
}

TEST(Quorum, UnsafeRulesAreRefusedWithTheReasonAndAWayOut) {
  Configuration no_voter = Members(0, 2);
  Configuration no_old_voter = Members(3, 0);
  no_old_voter.joint = true;
  Configuration sizes = Members(3, 0);
  sizes.quorum.commit = 2;
  Configuration unknown = Members(3, 0);
  unknown.quorum.kind = static_cast<QuorumKind>(9);
  Configuration bad_old = Joint();
  bad_old.old_quorum = {QuorumKind::kFlexible, 1, 2};
  const std::vector<std::pair<Configuration, std::string>> refused = {
      {no_voter, "no voter; keep"},
      {no_old_voter, "no voter in the old configuration"},
      {sizes, "leave them out"},
      {unknown, "choose majority, zones or flexible"},
      {bad_old, "3 voters in the old configuration need not intersect"},
      {Flexible(5, 0, 5), "no commit quorum of 0 of 5 voters; choose 1 to 5"},
      {Flexible(5, 6, 5), "no commit quorum of 6"},
      {Flexible(5, 5, 0), "no election quorum of 0 of 5 voters; choose 3 to 5"},
      {Flexible(5, 5, 6), "no election quorum of 6"},
      {Flexible(5, 2, 3), "whose sum is above 5"},
      {Flexible(5, UINT32_MAX, UINT32_MAX), "no commit quorum"},
      {Flexible(4, 3, 2), "a term could have two leaders; choose an election quorum of 3 or more"},
  };
  for (const auto& [configuration, reason] : refused) {
    const Status status = CheckQuorums(configuration);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << reason;
    EXPECT_NE(status.message().find(reason), std::string::npos) << status.message();
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << "one line";
  }
}

TEST(Quorum, SafeRulesAreAccepted) {
  for (const Configuration& configuration :
       {Members(1, 0), Members(4, 3), Zones({"a", "b"}), Zones({"", "", ""}), Flexible(5, 1, 5),
        Flexible(5, 3, 3), Flexible(1, 1, 1), Flexible(4, 2, 3), Joint()}) {
    EXPECT_TRUE(CheckQuorums(configuration).ok()) << CheckQuorums(configuration).ToString();
  }
}

}  // namespace
}  // namespace raftkv::test
