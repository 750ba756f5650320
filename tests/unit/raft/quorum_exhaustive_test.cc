// Do the quorums that must meet always meet? By exhaustion, for every configuration of up to seven
// members and every joint transition between two of them.
//
// What a quorum is stands here a second time, from the definition and on sets of members as bit
// masks, and knows nothing of lib/raft/quorum.cc. The family of quorums of a configuration is a
// table over all 128 sets. Families are closed upwards, so two of them have quorums that do not
// meet exactly if for some quorum of one the complement is a quorum of the other: one pass over the
// table instead of all pairs (the first test shows that it is the same). A set is a joint quorum
// if it is one of both halves.
#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/raft/quorum.h"

namespace raftkv::test {
namespace {

using raft::CheckQuorums;
using raft::Configuration;
using raft::CountVotes;
using raft::Purpose;
using raft::QuorumKind;
using raft::QuorumRule;
using raft::QuorumValue;
using raft::VoteResult;

constexpr int kMembers = 7;
constexpr unsigned kSets = 1u << kMembers;
constexpr unsigned kAll = kSets - 1;
using Set = unsigned;
/// family[s]: the set s is a quorum.
using Family = std::bitset<kSets>;

int Size(Set set) { return std::popcount(set); }
bool IsMajority(Set set, Set of) { return 2 * Size(set & of) > Size(of); }

/// The voters of one half and where they are.
struct Half {
  Set voters = 0;
  std::array<Set, 3> zones{};  ///< members of the zones A, B and C
};

bool IsQuorum(const Half& half, const QuorumRule& rule, Purpose purpose, Set set) {
  if (half.voters == 0) return false;
  if (rule.kind == QuorumKind::kFlexible) {
    const std::uint32_t size = purpose == Purpose::kCommit ? rule.commit : rule.election;
    return static_cast<std::uint32_t>(Size(set & half.voters)) >= size;
  }
  if (!IsMajority(set, half.voters)) return false;
  if (rule.kind == QuorumKind::kMajority) return true;
  return std::all_of(half.zones.begin(), half.zones.end(), [&](Set zone) {
    const Set voters = zone & half.voters;
    return voters == 0 || IsMajority(set, voters);
  });
}

Family FamilyOf(const Half& half, const QuorumRule& rule, Purpose purpose) {
  Family family;
  for (Set set = 0; set < kSets; ++set) family[set] = IsQuorum(half, rule, purpose, set);
  return family;
}

/// Every quorum of `a` has a member in common with every quorum of `b`.
bool Meet(const Family& a, const Family& b) {
  for (Set set = 0; set < kSets; ++set) {
    if (a[set] && b[kAll & ~set]) return false;
  }
  return true;
}

bool MeetInEveryPair(const Family& a, const Family& b) {
  for (Set x = 0; x < kSets; ++x) {
    for (Set y = 0; a[x] && y < kSets; ++y) {
      if (b[y] && (x & y) == 0) return false;
    }
  }
  return true;
}

bool IsClosedUpwards(const Family& family) {
  for (Set set = 0; set < kSets; ++set) {
    for (int member = 0; member < kMembers; ++member) {
      if (family[set] && !family[set | 1u << member]) return false;
    }
  }
  return true;
}

struct Families {
  Family commit;
  Family election;

  [[nodiscard]] const Family& For(Purpose purpose) const {
    return purpose == Purpose::kCommit ? commit : election;
  }
  /// There are quorums, and whatever must meet does. A set of no member is nobody's promise.
  [[nodiscard]] bool Safe() const {
    return commit.any() && election.any() && Meet(commit, election) && Meet(election, election);
  }
};

Families FamiliesOf(const Half& half, const QuorumRule& rule) {
  return {FamilyOf(half, rule, Purpose::kCommit), FamilyOf(half, rule, Purpose::kElection)};
}

Families Both(const Families& a, const Families& b) {
  return {a.commit & b.commit, a.election & b.election};
}

/// What is committed under one is seen by who is elected under the other, and a term has one leader
/// even if some vote by the one and some by the other.
bool MeetAcross(const Families& a, const Families& b) {
  return Meet(a.commit, b.election) && Meet(a.election, b.commit) && Meet(a.election, b.election);
}

/// Where the seven members stand: who votes in which half (nobody: it is a learner), and its zone.
struct Layout {
  Half old_half;
  Half new_half;

  [[nodiscard]] bool HasZones() const { return old_half.zones != std::array<Set, 3>{}; }
};

Configuration ConfigurationOf(const Layout& layout, bool joint) {
  static constexpr std::array<const char*, 3> kZones = {"A", "B", "C"};
  Configuration configuration;
  configuration.cluster = ClusterId(1);
  configuration.joint = joint;
  for (int i = 0; i < kMembers; ++i) {
    raft::Member member;
    member.id = NodeId(static_cast<std::uint64_t>(i) + 1);
    member.learner = ((layout.new_half.voters >> i) & 1) == 0;
    member.old_voter = joint && ((layout.old_half.voters >> i) & 1) != 0;
    for (std::size_t zone = 0; zone < kZones.size(); ++zone) {
      if ((layout.new_half.zones[zone] >> i) & 1) member.zone = kZones[zone];
    }
    configuration.members.push_back(member);
  }
  return configuration;
}

/// Majority and zones first, then every pair of sizes, one beyond what is possible at either end.
std::vector<QuorumRule> RulesFor(Set voters) {
  std::vector<QuorumRule> rules = {{}, {QuorumKind::kZones}};
  const auto limit = static_cast<std::uint32_t>(Size(voters)) + 1;
  for (std::uint32_t commit = 0; commit <= limit; ++commit) {
    for (std::uint32_t election = 0; election <= limit; ++election) {
      rules.push_back({QuorumKind::kFlexible, commit, election});
    }
  }
  return rules;
}

/// How many members of each kind: kinds 0..3 vote in the old half only, 4..7 in both, 8..11 in the
/// new one only, in each four: in no zone, in A, in B, in C. The rest of the seven are learners.
using Counts = std::array<int, 12>;

/// Zones have no order: only layouts whose zones stand in descending order are visited.
bool IsCanonical(const Counts& counts) {
  const auto zone = [&](std::size_t z) {
    return std::array<int, 3>{counts[z], counts[4 + z], counts[8 + z]};
  };
  return zone(1) >= zone(2) && zone(2) >= zone(3);
}

/// Members are dealt to the kinds in an order of chance: it must not matter.
Layout Deal(const Counts& counts, Random& chance) {
  std::array<int, kMembers> order{};
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[chance.Below(i)]);
  }
  Layout layout;
  std::size_t at = 0;
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    for (int i = 0; i < counts[kind]; ++i) {
      const Set member = 1u << order[at++];
      if (kind < 8) layout.old_half.voters |= member;
      if (kind >= 4) layout.new_half.voters |= member;
      if (kind % 4 != 0) layout.new_half.zones[kind % 4 - 1] |= member;
    }
  }
  layout.old_half.zones = layout.new_half.zones;
  return layout;
}

/// Every way to spread up to `left` members over the kinds from `kind` on.
template <class Visit>
void ForEachCounts(Counts& counts, std::size_t kind, std::size_t step, int left,
                   const Visit& visit) {
  if (kind >= counts.size()) {
    if (IsCanonical(counts)) visit(counts);
    return;
  }
  for (counts[kind] = 0; counts[kind] <= left; ++counts[kind]) {
    ForEachCounts(counts, kind + step, step, left - counts[kind], visit);
  }
  counts[kind] = 0;
}

/// Layouts of a configuration that is not joint: kinds 8..11 alone.
template <class Visit>
void ForEachSingleLayout(const Visit& visit) {
  Random chance(1);
  Counts counts{};
  ForEachCounts(counts, 8, 1, kMembers, [&](const Counts& c) { visit(Deal(c, chance)); });
}

template <class Visit>
void ForEachJointLayout(const Visit& visit) {
  Random chance(2);
  Counts counts{};
  ForEachCounts(counts, 0, 1, kMembers, [&](const Counts& c) {
    const Layout layout = Deal(c, chance);
    if (layout.old_half.voters != 0 && layout.new_half.voters != 0) visit(layout);
  });
}

/// Zones matter only to the rule that asks for them: without it, layouts without zones say all.
bool SaysMore(const Layout& layout, const QuorumRule& rule) {
  return !layout.HasZones() || rule.kind == QuorumKind::kZones;
}

std::string Describe(const Layout& layout, const QuorumRule& old_rule, const QuorumRule& rule) {
  const auto text = [](const QuorumRule& r) {
    return std::to_string(static_cast<int>(r.kind)) + ":" + std::to_string(r.commit) + "/" +
           std::to_string(r.election);
  };
  return "old voters " + std::to_string(layout.old_half.voters) + " by " + text(old_rule) +
         ", new voters " + std::to_string(layout.new_half.voters) + " by " + text(rule) +
         ", zones " + std::to_string(layout.new_half.zones[0]) + " " +
         std::to_string(layout.new_half.zones[1]) + " " + std::to_string(layout.new_half.zones[2]);
}

/// CountVotes for the sets that said yes and no; the others have not answered.
bool CountsAsDefined(const Configuration& configuration, const Families& families, Set yes,
                     Set no) {
  for (const Purpose purpose : {Purpose::kCommit, Purpose::kElection}) {
    const Family& family = families.For(purpose);
    // A set of no member may be a quorum of an unsafe rule on paper; it is won by nobody.
    const VoteResult expected = !family.any() || family[0] ? VoteResult::kLost
                                : family[yes]              ? VoteResult::kWon
                                : family[kAll & ~no]       ? VoteResult::kPending
                                                           : VoteResult::kLost;
    const VoteResult counted = CountVotes(configuration, purpose, [&](NodeId id) {
      const Set member = 1u << (id.value - 1);
      return (yes & member) != 0 ? 1 : (no & member) != 0 ? -1 : 0;
    });
    if (counted != expected) return false;
  }
  return true;
}

using Values = std::array<std::uint64_t, kMembers>;

/// The highest value that the members of some commit quorum all have.
std::uint64_t ValueAsDefined(const Family& commit, const Values& values) {
  std::uint64_t highest = 0;
  if (commit[0]) return 0;
  for (const std::uint64_t candidate : values) {
    Set holders = 0;
    for (int i = 0; i < kMembers; ++i) {
      if (values[static_cast<std::size_t>(i)] >= candidate) holders |= 1u << i;
    }
    if (commit[holders]) highest = std::max(highest, candidate);
  }
  return highest;
}

bool ValueIsAsDefined(const Configuration& configuration, const Family& commit,
                      const Values& values) {
  return QuorumValue(configuration, [&](NodeId id) { return values[id.value - 1]; }) ==
         ValueAsDefined(commit, values);
}

/// Every way in which seven members can answer, and values in every order.
void ExpectArithmeticAsDefined(const Configuration& configuration, const Families& families,
                               const std::string& what) {
  for (Set yes = 0; yes < kSets; ++yes) {
    const Set others = kAll & ~yes;
    for (Set no = others;; no = (no - 1) & others) {
      ASSERT_TRUE(CountsAsDefined(configuration, families, yes, no))
          << what << ": yes " << yes << ", no " << no;
      if (no == 0) break;
    }
    Values values{};
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = (yes >> i) & 1 ? 9 : 4;
    ASSERT_TRUE(ValueIsAsDefined(configuration, families.commit, values)) << what << ' ' << yes;
  }
}

void ExpectValuesAsDefined(const Configuration& configuration, const Families& families,
                           Random& chance, int times, const std::string& what) {
  for (int i = 0; i < times; ++i) {
    Values values{};
    for (std::uint64_t& value : values) value = chance.Below(9);
    ASSERT_TRUE(ValueIsAsDefined(configuration, families.commit, values)) << what;
  }
}

TEST(QuorumExhaustive, EveryConfigurationIsAcceptedExactlyIfItsQuorumsMeet) {
  Random chance(3);
  int layouts = 0;
  int configurations = 0;
  int accepted = 0;
  ForEachSingleLayout([&](const Layout& layout) {
    ++layouts;
    Configuration configuration = ConfigurationOf(layout, false);
    for (const QuorumRule& rule : RulesFor(layout.new_half.voters)) {
      if (!SaysMore(layout, rule)) continue;
      ++configurations;
      configuration.quorum = rule;
      const std::string what = Describe(layout, {}, rule);
      const Families families = FamiliesOf(layout.new_half, rule);
      ASSERT_TRUE(IsClosedUpwards(families.commit) && IsClosedUpwards(families.election)) << what;
      ASSERT_EQ(Meet(families.commit, families.election),
                MeetInEveryPair(families.commit, families.election))
          << what;
      ASSERT_EQ(Meet(families.election, families.election),
                MeetInEveryPair(families.election, families.election))
          << what;
      ASSERT_EQ(CheckQuorums(configuration).ok(), families.Safe())
          << what << ": " << CheckQuorums(configuration).ToString();
      accepted += families.Safe();
      ExpectArithmeticAsDefined(configuration, families, what);
      ExpectValuesAsDefined(configuration, families, chance, 300, what);
      if (HasFatalFailure()) return;
    }
  });
  std::printf("%d configurations in %d layouts of members and zones, %d of them safe\n",
              configurations, layouts, accepted);
  EXPECT_GT(accepted, 100);
  EXPECT_GT(configurations - accepted, 100);
}

/// What is enumerated of one half of a layout, once for all transitions from or to it.
struct RuledHalf {
  QuorumRule rule;
  Families families;
  bool safe = false;
};

std::vector<RuledHalf> RuledHalves(const Half& half) {
  std::vector<RuledHalf> ruled;
  for (const QuorumRule& rule : RulesFor(half.voters)) {
    const Families families = FamiliesOf(half, rule);
    ruled.push_back({rule, families, families.Safe()});
  }
  return ruled;
}

struct Tally {
  int layouts = 0;
  int transitions = 0;
  int accepted = 0;
};

void ExpectSafeTransition(const Layout& layout, const RuledHalf& from, const RuledHalf& to,
                          Configuration& joint, Tally& tally) {
  joint.old_quorum = from.rule;
  joint.quorum = to.rule;
  ++tally.transitions;
  const bool accepted = CheckQuorums(joint).ok();
  ASSERT_EQ(accepted, from.safe && to.safe) << Describe(layout, from.rule, to.rule);
  if (!accepted) return;
  ++tally.accepted;
  const Families both = Both(from.families, to.families);
  ASSERT_TRUE(both.Safe()) << Describe(layout, from.rule, to.rule);
  ASSERT_TRUE(MeetAcross(from.families, both)) << Describe(layout, from.rule, to.rule);
  ASSERT_TRUE(MeetAcross(both, to.families)) << Describe(layout, from.rule, to.rule);
}

TEST(QuorumExhaustive, EveryJointTransitionThatIsAcceptedKeepsQuorumsMeeting) {
  Tally tally;
  ForEachJointLayout([&](const Layout& layout) {
    if (HasFatalFailure()) return;
    ++tally.layouts;
    Configuration joint = ConfigurationOf(layout, true);
    const std::vector<RuledHalf> sources = RuledHalves(layout.old_half);
    const std::vector<RuledHalf> targets = RuledHalves(layout.new_half);
    for (const RuledHalf& from : sources) {
      for (const RuledHalf& to : targets) {
        if (!SaysMore(layout, from.rule) && !SaysMore(layout, to.rule)) continue;
        ExpectSafeTransition(layout, from, to, joint, tally);
      }
    }
  });
  std::printf("%d transitions in %d layouts of old and new voters and zones, %d accepted\n",
              tally.transitions, tally.layouts, tally.accepted);
  EXPECT_GT(tally.accepted, 10'000);
  EXPECT_GT(tally.transitions - tally.accepted, 10'000);
}

/// Some answers and values of chance for a joint configuration.
void ExpectJointArithmeticAsDefined(const Configuration& joint, const Families& both,
                                    Random& chance, const std::string& what) {
  for (int i = 0; i < 4; ++i) {
    const Set yes = static_cast<Set>(chance.Next()) & kAll;
    const Set no = static_cast<Set>(chance.Next()) & kAll & ~yes;
    ASSERT_TRUE(CountsAsDefined(joint, both, yes, no)) << what << ": yes " << yes << " no " << no;
  }
  ExpectValuesAsDefined(joint, both, chance, 4, what);
}

TEST(QuorumExhaustive, JointVotesAndValuesAreCountedAsDefined) {
  Random chance(4);
  int drawn = 0;
  int in_full = 0;
  ForEachJointLayout([&](const Layout& layout) {
    if (HasFatalFailure()) return;
    Configuration joint = ConfigurationOf(layout, true);
    for (const QuorumRule& from : RulesFor(layout.old_half.voters)) {
      for (const QuorumRule& to : RulesFor(layout.new_half.voters)) {
        joint.old_quorum = from;
        joint.quorum = to;
        // Of the rules that are refused nothing is ever counted.
        if (chance.Below(8) != 0 || !CheckQuorums(joint).ok()) continue;
        const std::string what = Describe(layout, from, to);
        const Families both =
            Both(FamiliesOf(layout.old_half, from), FamiliesOf(layout.new_half, to));
        ExpectJointArithmeticAsDefined(joint, both, chance, what);
        ++drawn;
        if (drawn % 512 != 0) continue;
        ExpectArithmeticAsDefined(joint, both, what);
        ++in_full;
      }
    }
  });
  std::printf("%d joint configurations with answers of chance, %d with all answers\n", drawn,
              in_full);
  EXPECT_GT(drawn, 10'000);
  EXPECT_GT(in_full, 20);
}

// Rows 31, 34 and 42 of the table of known bugs: what the brute force above says of each of them.

// Row 42: with q_c + q_e > n alone a term may have two leaders.
TEST(QuorumExhaustive, SmallElectionQuorumsElectTwoLeadersInATerm) {
  Layout layout;
  layout.new_half.voters = 0b01111;  // four voters; three commit, two elect
  const QuorumRule rule{QuorumKind::kFlexible, 3, 2};
  const Families families = FamiliesOf(layout.new_half, rule);
  EXPECT_TRUE(Meet(families.commit, families.election)) << "as flexible quorums ask for";
  EXPECT_FALSE(Meet(families.election, families.election));
  Configuration configuration = ConfigurationOf(layout, false);
  configuration.quorum = rule;
  for (const Set side : {0b0011u, 0b1100u}) {
    EXPECT_EQ(CountVotes(configuration, Purpose::kElection,
                         [&](NodeId id) { return (side >> (id.value - 1)) & 1 ? 1 : -1; }),
              VoteResult::kWon)
        << "both sides of a split elect";
  }
  EXPECT_FALSE(CheckQuorums(configuration).ok()) << "so it is refused";
}

// Row 34: three voters and a learner. If the learner's copy stood for a voter's, an entry could be
// committed that two voters, enough to elect, have never seen.
TEST(QuorumExhaustive, ACountedLearnerCommitsWhatALeaderMayNotHave) {
  Layout layout;
  layout.new_half.voters = 0b0111;
  const Families families = FamiliesOf(layout.new_half, {});
  Family with_learner;
  for (Set set = 0; set < kSets; ++set) with_learner[set] = Size(set & 0b1111) >= 2;
  EXPECT_TRUE(with_learner[0b1001]);
  EXPECT_FALSE(Meet(with_learner, families.election));
  const Configuration configuration = ConfigurationOf(layout, false);
  const auto has = [](NodeId id) { return id.value == 1 || id.value == 4; };
  EXPECT_EQ(QuorumValue(configuration, [&](NodeId id) { return has(id) ? 7u : 3u; }), 3u);
  EXPECT_EQ(
      CountVotes(configuration, Purpose::kCommit, [&](NodeId id) { return has(id) ? 1 : -1; }),
      VoteResult::kLost);
}

// Row 31: from one voter to three at once, without a joint configuration in between.
TEST(QuorumExhaustive, ManyAtOnceWithoutAJointConfigurationNeedNotMeet) {
  Half before;
  before.voters = 0b001;
  Half after;
  after.voters = 0b111;
  const Families old_families = FamiliesOf(before, {});
  const Families new_families = FamiliesOf(after, {});
  EXPECT_FALSE(MeetAcross(old_families, new_families));
  EXPECT_TRUE(MeetAcross(old_families, Both(old_families, new_families)));
  EXPECT_TRUE(MeetAcross(Both(old_families, new_families), new_families));
}

}  // namespace
}  // namespace raftkv::test
