// Who is added, removed, promoted and made leader while all else goes on? (part of Nemesis)
#include <algorithm>
#include <utility>

#include "tests/sim/faults/nemesis.h"
#include "tests/sim/judges/quorum.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr auto kTimeout = std::chrono::seconds(3);

bool Names(const raft::Configuration& configuration, const std::string& name) {
  const auto is_it = [&](const auto& item) { return item.name == name; };
  return std::any_of(configuration.members.begin(), configuration.members.end(), is_it) ||
         std::any_of(configuration.invited.begin(), configuration.invited.end(), is_it);
}

}  // namespace

// --- What is at stake.

bool Nemesis::MayLose(const Host& host) const {
  const auto counts = [&](NodeId id) {
    const Host* const holder = world_.FindHost(id);
    return holder != nullptr && holder != &host && !Unsure(*holder) && !holder->out;
  };
  const auto holds = [&](const raft::Configuration& configuration) {
    return Commits(configuration, counts) && Elects(configuration, counts);
  };
  if (const raft::Configuration* committed = world_.checks().configuration()) {
    if (!holds(*committed)) return false;
  }
  for (const auto& other : world_.hosts()) {
    if (other->out || other->gone) continue;
    if (other->running() && other->process->member().core() != nullptr) {
      if (!holds(other->process->member().core()->configuration())) return false;
    }
    for (const auto& [index, configuration] : other->disk.Configurations()) {
      if (index >= world_.checks().configuration_index() && !holds(configuration)) return false;
    }
  }
  return true;
}

/// No change of the members is under way. Only then may one be lost for good: a learner that has
/// the longest log does not stand for election, and while it becomes a voter its vote may be
/// needed.
bool Nemesis::Settled() const {
  const raft::Configuration* const committed = world_.checks().configuration();
  if (committed == nullptr || committed->joint || !committed->invited.empty()) return false;
  const bool promotes = std::any_of(committed->members.begin(), committed->members.end(),
                                    [](const raft::Member& member) { return member.promote; });
  if (promotes) return false;
  return std::all_of(world_.hosts().begin(), world_.hosts().end(), [&](const auto& host) {
    if (host->out || host->gone) return true;
    // Until all of them have joined, the founder's disk is all there is of the cluster.
    if (committed->Find(host->disk.member) != nullptr && host->disk.cluster == ClusterId{}) {
      return false;
    }
    const auto configurations = host->disk.Configurations();
    return configurations.empty() ||
           configurations.back().first <= world_.checks().configuration_index();
  });
}

bool Nemesis::Healthy(const Host& host) const {
  if (host.gone || host.out || host.index == left_down_) return false;
  const raft::Configuration* const committed = world_.checks().configuration();
  return committed == nullptr || committed->Find(host.disk.member) != nullptr;
}

bool Nemesis::MayBeRefused(const Host& host) const {
  if (host.gone || host.out || host.joining || host.set_back_at != 0) return true;
  const raft::Configuration* const committed = world_.checks().configuration();
  return committed != nullptr && committed->Find(host.disk.member) == nullptr;
}

void Nemesis::OnRefused(Host& host) {
  const raft::Configuration* const committed = world_.checks().configuration();
  const bool removed =
      committed != nullptr && host.disk.member != kNobody &&
      std::binary_search(committed->removed.begin(), committed->removed.end(), host.disk.member);
  if (removed) {
    host.out = true;
    host.gone = false;
  } else if (!host.gone) {
    // A newcomer that nobody has heard of yet: its operator tries again.
    OnStopped(host);
  }
}

// --- The changes.

bool Nemesis::ChangeMembers(Fault fault) {
  Host* const leader = world_.Leader();
  if (leader == nullptr || leader->paused) return false;
  switch (fault) {
    case Fault::kAddMember: return AddMember(*leader);
    case Fault::kRemoveMember: return RemoveMember(*leader);
    case Fault::kPromoteMember: return PromoteMember(*leader);
    default: return Transfer(*leader);
  }
}

/// What is told of the call that is made now is judged.
node::DoneStatus Nemesis::Ask(Fault fault, const Host& leader, const std::string& name) {
  const std::size_t number = world_.changes().Begin(fault, leader, name);
  return [this, number](const Status& status) { world_.changes().Ended(number, status); };
}

bool Nemesis::AnyInDoubt(const raft::Configuration& configuration) const {
  return std::any_of(configuration.members.begin(), configuration.members.end(),
                     [&](const raft::Member& member) {
                       const Host* const host = world_.FindHost(member.id);
                       return host == nullptr || Unsure(*host);
                     });
}

bool Nemesis::AddMember(Host& leader) {
  const raft::Configuration& now = leader.process->member().core()->configuration();
  const raft::Configuration* const committed = world_.checks().configuration();
  std::vector<Host*> candidates;
  for (const auto& host : world_hosts()) {
    const bool old_member = committed != nullptr && Names(*committed, host->name);
    if (!Names(now, host->name) && !old_member && (host->out || host->gone)) {
      candidates.push_back(host.get());
    }
  }
  if (candidates.empty() || AnyInDoubt(now)) return false;
  Host& host = *candidates[chance().Below(candidates.size())];
  world_.Crash(host);
  if (host.disk.member != kNobody) world_.ReplaceDisk(host, SimDisk());
  host.gone = host.out = false;
  host.joining = true;
  const bool voter = chance().Below(4) != 0;
  world_.Trace("%s is added%s", host.name.c_str(), voter ? "" : " as a learner");
  world_.OnHost(leader, [this, &leader, &host, voter] {
    leader.process->member().AddMember(host.name, host.name, voter,
                                       leader.process->Now() + kTimeout,
                                       Ask(Fault::kAddMember, leader, host.name));
  });
  StartLater(host, Between(chance(), 0, 400 * kMillisecond));
  return true;
}

bool Nemesis::RemoveMember(Host& leader) {
  const raft::Configuration& now = leader.process->member().core()->configuration();
  // Who is gone should go; else anybody, unless somebody else is in doubt.
  std::vector<std::string> names;
  bool doubt = false;
  for (const raft::Member& member : now.members) {
    const Host* const host = world_.FindHost(member.id);
    if (host == nullptr || host->gone) {
      names.push_back(member.name);
    } else {
      doubt = doubt || Unsure(*host);
    }
  }
  const auto voters = std::count_if(now.members.begin(), now.members.end(),
                                    [](const raft::Member& member) { return !member.learner; });
  if (names.empty() && (doubt || voters < 2)) return false;
  if (names.empty()) names.push_back(now.members[chance().Below(now.members.size())].name);
  const std::string name = names[chance().Below(names.size())];
  world_.Trace("%s is removed", name.c_str());
  world_.OnHost(leader, [this, &leader, name] {
    leader.process->member().RemoveMember(name, leader.process->Now() + kTimeout,
                                          Ask(Fault::kRemoveMember, leader, name));
  });
  return true;
}

bool Nemesis::PromoteMember(Host& leader) {
  if (AnyInDoubt(leader.process->member().core()->configuration())) return false;
  for (const raft::Member& member : leader.process->member().core()->configuration().members) {
    if (!member.learner || member.leaves) continue;
    world_.Trace("%s is promoted", member.name.c_str());
    world_.OnHost(leader, [this, &leader, name = member.name] {
      leader.process->member().PromoteMember(name, leader.process->Now() + kTimeout,
                                             Ask(Fault::kPromoteMember, leader, name));
    });
    return true;
  }
  return false;
}

bool Nemesis::Transfer(Host& leader) {
  const auto& members = leader.process->member().core()->configuration().members;
  std::string name;
  if (chance().Below(2) == 0) name = members[chance().Below(members.size())].name;
  world_.OnHost(leader, [this, &leader, name] {
    leader.process->member().MoveLeader(name, leader.process->Now() + kTimeout,
                                        Ask(Fault::kTransfer, leader, name));
  });
  return true;
}

}  // namespace raftkv::sim
