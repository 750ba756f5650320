// Is the arithmetic of quorums right? By exhaustion, against the definition, for up to five voters.
#include "lib/raft/quorum.h"

#include <bit>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft_sim_node.h"

namespace raftkv::test {
namespace {

using raft::Configuration;
using raft::VoteResult;

/// Voters 1..voters, then learners.
Configuration Members(std::uint64_t voters, std::uint64_t learners) {
  Configuration configuration = MakeConfiguration(voters + learners);
  for (std::uint64_t i = voters; i < voters + learners; ++i) {
    configuration.members[i].learner = true;
  }
  return configuration;
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
        const VoteResult result = CountVotes(configuration, [&](NodeId id) {
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
  EXPECT_NE(CountVotes(Configuration{}, [](NodeId) { return 1; }), VoteResult::kWon);
  EXPECT_NE(CountVotes(Members(0, 3), [](NodeId) { return 1; }), VoteResult::kWon);
  EXPECT_EQ(QuorumIndex(Configuration{}, [](NodeId) { return Index(7); }), Index(0));
  EXPECT_EQ(QuorumIndex(Members(0, 3), [](NodeId) { return Index(7); }), Index(0));
}

// Two leaders of one term would need two winning sets; a committed entry needs a set that meets
// each.
TEST(Quorum, AnyTwoWinningSetsMeet) {
  for (std::uint64_t voters = 1; voters <= 5; ++voters) {
    const Configuration configuration = Members(voters, 0);
    const auto wins = [&](std::uint64_t set) {
      return CountVotes(configuration, [&](NodeId id) {
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

// KNOWN_BUGS 34: a learner is asked for nothing.
TEST(Quorum, LearnersAreNotEvenAsked) {
  const Configuration configuration = Members(2, 2);
  const auto voter_only = [](NodeId id) { EXPECT_LE(id.value, 2u); };
  CountVotes(configuration, [&](NodeId id) {
    voter_only(id);
    return 0;
  });
  QuorumIndex(configuration, [&](NodeId id) {
    voter_only(id);
    return Index(1);
  });
}

}  // namespace
}  // namespace raftkv::test
