// Which disks come back that the others cannot know what to make of? (part of Nemesis)
#include <algorithm>
#include <memory>
#include <utility>

#include "tests/sim/faults/nemesis.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

/// Each member that takes part has met the start of `host` that runs, and trusts it as it should by
/// now.
bool Nemesis::AllHaveMet(const Host& host) const {
  const raft::Configuration* const committed = world_.checks().configuration();
  const raft::Member* const member =
      committed == nullptr ? nullptr : committed->Find(host.disk.member);
  return member != nullptr &&
         std::all_of(world_.hosts().begin(), world_.hosts().end(), [&](const auto& other) {
           if (other->index == host.index || other->gone || other->out) return true;
           const auto met = other->disk.peer_boots.find(host.disk.member);
           return met != other->disk.peer_boots.end() && met->second.boot == host.disk.boot &&
                  met->second.incarnation == member->incarnation;
         });
}

/// A copy of a member's disk is started beside it, on another machine. All have met the original:
/// nobody may hear the copy, and the original goes on.
bool Nemesis::StartTwin() {
  Host& original = *AnyHost();
  const auto found = copies_.find(original.index);
  if (found == copies_.end() || found->second == nullptr || !original.running()) return false;
  const SimDisk& copy = *found->second;
  if (copy.member != original.disk.member || copy.boot.counter >= original.disk.boot.counter) {
    return false;
  }
  if (Unsure(original) || !Settled() || !AllHaveMet(original) || !MayLose(original)) return false;
  if (DecidesAlone(copy)) return false;
  const auto place = std::find_if(world_hosts().begin(), world_hosts().end(), [&](const auto& h) {
    return h->out && h->process == nullptr && h->disk.member == kNobody &&
           h->index > original.index;
  });
  if (place == world_hosts().end()) return false;
  Host& twin = **place;
  world_.Trace("a copy of %s starts at %s", original.name.c_str(), twin.name.c_str());
  twin.disk = copy;
  world_.checks().OnDiskReplaced(twin);
  twin.plays = original.name;
  twin.out = false;
  twin.gone = original.twinned = true;
  world_.StartGone(twin);
  const auto ended = [this, &twin, &original, over = std::make_shared<bool>(false)] {
    if (std::exchange(*over, true)) return;
    world_.Crash(twin);
    twin.disk = SimDisk();
    world_.checks().OnDiskReplaced(twin);
    twin.plays.clear();
    twin.out = true;
    twin.gone = original.twinned = false;
  };
  undo_.emplace_back(ended);
  world_.At(Between(chance(), 300 * kMillisecond, 4 * kSecond), ended);
  return true;
}

/// The disk is the latest, but says that it was opened less often: as a folder that was put back
/// from a copy of the same state. The others refuse it until an operator tells them to trust it.
bool Nemesis::SetBackBoots() {
  Host& host = *AnyHost();
  const raft::Configuration* const committed = world_.checks().configuration();
  const raft::Member* const member =
      committed == nullptr ? nullptr : committed->Find(host.disk.member);
  if (member == nullptr || host.disk.boot.counter < 2 || Unsure(host) || host.out) return false;
  if (committed->members.size() < 2 || !Settled() || !MayLose(host)) return false;
  world_.Crash(host);
  host.disk.boot.counter -= std::min<std::uint64_t>(host.disk.boot.counter, 2 + chance().Below(2));
  world_.Trace("%s has lost count of its boots", host.name.c_str());
  copies_.erase(host.index);  // they would be the newer ones
  host.distrusted = true;
  host.set_back_at = member->incarnation;
  StartLater(host, Downtime());
  AskToTrust(host);
  return true;
}

/// Its operator asks until it is so.
void Nemesis::AskToTrust(Host& host) {
  constexpr auto kTimeout = std::chrono::seconds(1);
  world_.At(Between(chance(), 300 * kMillisecond, 2 * kSecond), [this, &host, kTimeout] {
    if (!active_ || !host.distrusted) return;
    if (!IsStillRefused(host)) {
      host.distrusted = false;
      return;
    }
    Host* const leader = world_.Leader();
    if (leader != nullptr && leader != &host && !leader->paused) {
      world_.OnHost(*leader, [leader, &host, kTimeout] {
        leader->process->member().UpdateMember(
            host.name, "", true, leader->process->Now() + kTimeout, [](const Status&) {});
      });
    }
    AskToTrust(host);
  });
}

}  // namespace raftkv::sim
