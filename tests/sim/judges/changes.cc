#include "tests/sim/judges/changes.h"

#include <algorithm>
#include <set>

#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

std::set<std::string> Names(const raft::Configuration& configuration) {
  std::set<std::string> names;
  for (const raft::Member& member : configuration.members) {
    if (!member.leaves) names.insert(member.name);
  }
  for (const raft::Invitation& invited : configuration.invited) names.insert(invited.name);
  return names;
}

bool IsVoter(const raft::Configuration& configuration, const std::string& name) {
  return std::any_of(
      configuration.members.begin(), configuration.members.end(),
      [&](const raft::Member& member) { return member.name == name && !member.learner; });
}

/// A learner that gets its vote by itself once it has caught up.
bool IsPromised(const raft::Configuration& configuration, const std::string& name) {
  return std::any_of(
      configuration.members.begin(), configuration.members.end(),
      [&](const raft::Member& member) { return member.name == name && member.promote; });
}

bool NothingHappened(Code code) {
  return code == Code::kNotLeader || code == Code::kUnavailable || code == Code::kInvalidArgument ||
         code == Code::kNotFound;
}

}  // namespace

std::size_t Changes::Begin(Fault kind, const Host& host, const std::string& name) {
  changes_.push_back(
      {kind, &host, host.epoch, name, world_.checks().configuration_index(), false, false});
  return changes_.size() - 1;
}

bool Changes::CameTrue(const Change& change) const {
  const auto& configurations = world_.checks().configurations();
  return std::any_of(configurations.begin(), configurations.end(), [&](const auto& item) {
    // The joint phase is over by then.
    if (item.first < change.configuration || item.second.joint) return false;
    const bool there = Names(item.second).count(change.name) != 0;
    if (change.kind == Fault::kAddMember) return there;
    if (change.kind == Fault::kRemoveMember) return !there;
    return IsVoter(item.second, change.name);
  });
}

void Changes::Ended(std::size_t number, const Status& status) {
  Change& change = changes_[number];
  const std::string what = std::string(FaultName(change.kind)) + " '" + change.name + "' at " +
                           change.host->name + ": " + status.ToString();
  world_.Trace("%s", what.c_str());
  if (change.ended) world_.Fail("membership outcomes", "it ends twice: " + what);
  change.ended = true;
  change.failed = NothingHappened(status.code());
  if (status.ok() && change.kind == Fault::kTransfer) {
    const raft::Raft* const core = change.host->process->member().core();
    if (core->role() == raft::Role::kLeader || core->leader() == kNobody) {
      world_.Fail("membership outcomes", "nobody else leads: " + what);
    }
  } else if (status.ok()) {
    // The step in which this was told is not over: what it committed is not noted yet.
    world_.At(0, [this, number, what] {
      if (!CameTrue(changes_[number])) {
        world_.Fail("membership outcomes", "it did not come true: " + what);
      }
    });
  }
  if (!status.ok() && !change.failed && status.code() != Code::kUnknownOutcome) {
    world_.Fail("membership outcomes", "it says neither yes nor no: " + what);
  }
}

int Changes::MayHaveHappened(Fault kind, const std::string& name) const {
  return static_cast<int>(
      std::count_if(changes_.begin(), changes_.end(), [&](const Change& change) {
        return change.kind == kind && change.name == name && !change.failed;
      }));
}

void Changes::CompareWithLog() {
  std::map<std::string, int> came;
  std::map<std::string, int> went;
  std::map<std::string, int> promoted;
  const raft::Configuration* before = nullptr;
  for (const auto& [index, configuration] : world_.checks().configurations()) {
    if (before != nullptr) {
      const std::set<std::string> old_names = Names(*before);
      const std::set<std::string> new_names = Names(configuration);
      for (const std::string& name : new_names) {
        if (old_names.count(name) == 0) ++came[name];
        const bool votes = IsVoter(configuration, name) && !IsVoter(*before, name);
        if (votes && !IsPromised(*before, name)) ++promoted[name];
      }
      for (const std::string& name : old_names) {
        if (new_names.count(name) == 0) ++went[name];
      }
    }
    before = &configuration;
  }
  const auto check = [&](const std::map<std::string, int>& happened, Fault kind) {
    for (const auto& [name, times] : happened) {
      if (times <= MayHaveHappened(kind, name)) continue;
      world_.Fail("membership outcomes", std::string(FaultName(kind)) + " '" + name +
                                             "': it happened though nobody was told that it may");
    }
  };
  check(came, Fault::kAddMember);
  check(went, Fault::kRemoveMember);
  check(promoted, Fault::kPromoteMember);
  for (const Change& change : changes_) {
    if (change.ended || change.epoch != change.host->epoch || !change.host->running()) continue;
    world_.Fail("every request ends", change.host->name + " has forgotten a change of members");
  }
}

}  // namespace raftkv::sim
