#include "lib/raft/quorum.h"

#include <algorithm>
#include <string>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::raft {

namespace {

/// Which half: the configuration that is left, or the one that comes (or is in force).
enum class Half : std::uint8_t { kOld, kNew };

bool Votes(const Member& member, Half half) {
  return half == Half::kOld ? member.old_voter : !member.learner;
}

bool Counts(const Member& member, Half half, Purpose purpose) {
  if (RAFTKV_MUTANT(kLearnerCounts) && purpose == Purpose::kCommit) return true;
  return Votes(member, half);
}

/// The voters of a half, or of one zone in it, and how many of them it takes.
struct Group {
  Half half;
  Purpose purpose;
  const std::string* zone;  ///< null: of any zone
  std::size_t voters;
  std::size_t needed;

  [[nodiscard]] bool Has(const Member& member) const {
    return Counts(member, half, purpose) && (zone == nullptr || member.zone == *zone);
  }
  /// A rule that asks for no voter is as wrong as one that asks for more than exist: neither has a
  /// valid quorum.
  [[nodiscard]] bool Possible() const { return needed > 0 && needed <= voters; }
};

std::size_t CountVoters(const Configuration& configuration, Half half, const std::string* zone) {
  return static_cast<std::size_t>(std::count_if(
      configuration.members.begin(), configuration.members.end(), [&](const Member& member) {
        return Votes(member, half) && (zone == nullptr || member.zone == *zone);
      }));
}

constexpr std::size_t Majority(std::size_t voters) { return voters / 2 + 1; }
// Two majorities intersect; one voter less would not be enough.
static_assert(2 * Majority(4) > 4);
static_assert(2 * Majority(5) > 5);
static_assert(2 * (Majority(5) - 1) <= 5);

/// Whether the member at `at` stands for its zone: the first voter in it.
bool OpensZone(const Configuration& configuration, Half half, std::size_t at) {
  RAFTKV_CHECK(at < configuration.members.size(), at);
  const Member& member = configuration.members[at];
  if (!Votes(member, half) || member.zone.empty()) return false;
  return std::none_of(
      configuration.members.begin(),
      configuration.members.begin() + static_cast<std::ptrdiff_t>(at),
      [&](const Member& earlier) { return Votes(earlier, half) && earlier.zone == member.zone; });
}

template <class Visit>
void ForEachGroupOf(const Configuration& configuration, Half half, const QuorumRule& rule,
                    Purpose purpose, const Visit& visit) {
  const std::size_t voters = CountVoters(configuration, half, nullptr);
  std::size_t needed = Majority(voters);
  if (rule.kind == QuorumKind::kFlexible) {
    needed = purpose == Purpose::kElection ? rule.election : rule.commit;
  }
  visit(Group{half, purpose, nullptr, voters, needed});
  if (rule.kind != QuorumKind::kZones) return;
  for (std::size_t at = 0; at < configuration.members.size(); ++at) {
    if (!OpensZone(configuration, half, at)) continue;
    const std::string& zone = configuration.members[at].zone;
    const std::size_t in_zone = CountVoters(configuration, half, &zone);
    RAFTKV_CHECK(in_zone > 0);
    RAFTKV_CHECK(in_zone <= voters, in_zone, voters);
    visit(Group{half, purpose, &zone, in_zone, Majority(in_zone)});
  }
}

/// A quorum has enough voters of every group. At least one group is visited.
template <class Visit>
void ForEachGroup(const Configuration& configuration, Purpose purpose, const Visit& visit) {
  if (configuration.joint) {
    ForEachGroupOf(configuration, Half::kOld, configuration.old_quorum, purpose, visit);
  }
  ForEachGroupOf(configuration, Half::kNew, configuration.quorum, purpose, visit);
}

/// Whether the answer of this member matters to any group.
bool IsAsked(const Configuration& configuration, const Member& member, Purpose purpose) {
  return Counts(member, Half::kNew, purpose) ||
         (configuration.joint && Counts(member, Half::kOld, purpose));
}

Status Unsafe(const std::string& what) { return {Code::kInvalidArgument, what}; }

Status CheckFlexible(const QuorumRule& rule, std::size_t voters, const std::string& whose) {
  const std::string of = " of " + std::to_string(voters) + " voters" + whose;
  const std::string commit = std::to_string(rule.commit);
  const std::string election = std::to_string(rule.election);
  if (rule.commit < 1 || rule.commit > voters) {
    return Unsafe("there is no commit quorum of " + commit + of + "; choose 1 to " +
                  std::to_string(voters));
  }
  if (rule.election < 1 || rule.election > voters) {
    return Unsafe("there is no election quorum of " + election + of + "; choose " +
                  std::to_string(Majority(voters)) + " to " + std::to_string(voters));
  }
  if (std::size_t{rule.commit} + rule.election <= voters) {
    return Unsafe("a commit quorum of " + commit + " and an election quorum of " + election + of +
                  " need not intersect, so a new leader could lack committed entries; choose sizes "
                  "whose sum is above " +
                  std::to_string(voters));
  }
  if (RAFTKV_MUTANT(kElectionQuorumTooSmall)) return Status::Ok();
  if (2 * std::size_t{rule.election} <= voters) {
    return Unsafe(
        "two election quorums of " + election + of +
        " need not intersect, so a term could have two leaders; choose an election quorum of " +
        std::to_string(Majority(voters)) + " or more");
  }
  return Status::Ok();
}

Status CheckHalf(const Configuration& configuration, Half half) {
  const bool old = half == Half::kOld;
  const QuorumRule& rule = old ? configuration.old_quorum : configuration.quorum;
  const std::string whose = old ? " in the old configuration" : "";
  const std::size_t voters = CountVoters(configuration, half, nullptr);
  if (voters == 0) return Unsafe("there is no voter" + whose + "; keep at least one");
  switch (rule.kind) {
    case QuorumKind::kMajority:
    case QuorumKind::kZones:
      // Two majorities of the same voters intersect; what zones require in addition only makes
      // quorums larger.
      if (rule.commit == 0 && rule.election == 0) return Status::Ok();
      return Unsafe("sizes of quorums are given" + whose +
                    " with a rule that has none; choose the rule 'flexible' or leave them out");
    case QuorumKind::kFlexible: return CheckFlexible(rule, voters, whose);
  }
  return Unsafe("an unknown kind of quorum" + whose + "; choose majority, zones or flexible");
}

}  // namespace

VoteResult CountVotes(const Configuration& configuration, Purpose purpose,
                      const std::function<int(NodeId)>& vote_of) {
  const std::vector<Member>& members = configuration.members;
  std::vector<std::int8_t> votes(members.size(), 0);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!IsAsked(configuration, members[i], purpose)) continue;
    const int vote = vote_of(members[i].id);
    votes[i] = static_cast<std::int8_t>((vote > 0) - (vote < 0));
  }
  VoteResult result = VoteResult::kWon;
  ForEachGroup(configuration, purpose, [&](const Group& group) {
    std::size_t granted = 0;
    std::size_t open = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!group.Has(members[i])) continue;
      granted += votes[i] > 0;
      open += votes[i] == 0;
    }
    if (!group.Possible() || granted + open < group.needed) {
      result = VoteResult::kLost;
    } else if (granted < group.needed && result == VoteResult::kWon) {
      result = VoteResult::kPending;
    }
  });
  return result;
}

std::uint64_t QuorumValue(const Configuration& configuration,
                          const std::function<std::uint64_t(NodeId)>& value_of) {
  const std::vector<Member>& members = configuration.members;
  // The first half: each member's value. The second: those of one group, to be sorted.
  std::vector<std::uint64_t> values(2 * members.size(), 0);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (IsAsked(configuration, members[i], Purpose::kCommit)) values[i] = value_of(members[i].id);
  }
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(members.size());
  std::uint64_t reached = UINT64_MAX;
  ForEachGroup(configuration, Purpose::kCommit, [&](const Group& group) {
    auto end = begin;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (group.Has(members[i])) *end++ = values[i];
    }
    if (!group.Possible()) {
      reached = 0;
      return;
    }
    RAFTKV_CHECK(end - begin >= static_cast<std::ptrdiff_t>(group.needed), group.needed);
    // In ascending order, as many as are needed are from here to the end.
    const auto at = end - static_cast<std::ptrdiff_t>(group.needed);
    std::nth_element(begin, at, end);
    reached = std::min(reached, *at);
  });
  RAFTKV_CHECK(reached != UINT64_MAX);
  return reached;
}

Index QuorumIndex(const Configuration& configuration,
                  const std::function<Index(NodeId)>& match_of) {
  return Index(QuorumValue(configuration, [&](NodeId id) { return match_of(id).value; }));
}

Status CheckQuorums(const Configuration& configuration) {
  // A joint quorum contains a quorum of each half, so it intersects whatever a quorum of that half
  // does.
  if (configuration.joint) {
    if (Status status = CheckHalf(configuration, Half::kOld); !status.ok()) return status;
  }
  return CheckHalf(configuration, Half::kNew);
}

}  // namespace raftkv::raft
