// What stands still for a while, or comes back when nobody expects it? (part of Nemesis)
#include <memory>
#include <utility>

#include "tests/sim/faults/nemesis.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

/// All members at once, as when their machines share one.
bool Nemesis::PauseAll() {
  if (AnyRunning() == nullptr) return false;
  const Nanos time = Between(chance(), 200 * kMillisecond, 4 * kSecond);
  for (const auto& host : world_hosts()) {
    if (!host->running() || host->paused) continue;
    world_.Pause(*host);
    const Nanos late = Between(chance(), 0, 100 * kMillisecond);
    world_.At(time + late, [this, host = host.get(), epoch = host->epoch] {
      if (host->epoch == epoch) world_.Resume(*host);
    });
  }
  return true;
}

bool Nemesis::StallApply() { return Stall(&Host::apply_stalls, &Process::ContinueApply); }
bool Nemesis::HangReads() { return Stall(&Host::reads_hang, &Process::ContinueReads); }

/// `stalls` holds for a while at some host, often the leader's, and then it goes on.
bool Nemesis::Stall(bool Host::*stalls, void (Process::*go_on)()) {
  Host* const leader = world_.Leader();
  Host* const host = leader != nullptr && chance().Below(2) == 0 ? leader : AnyHost();
  if (host->*stalls) return false;
  host->*stalls = true;
  const auto ended = [this, host, stalls, go_on] {
    if (!std::exchange(host->*stalls, false) || !host->running()) return;
    world_.OnHost(*host, [host, go_on, epoch = host->epoch] {
      if (host->epoch == epoch && host->running()) (host->process.get()->*go_on)();
    });
  };
  undo_.emplace_back(ended);
  world_.At(Between(chance(), 200 * kMillisecond, 5 * kSecond), ended);
  return true;
}

/// It may have been down when it was removed, and knows nothing of it.
bool Nemesis::BringBackRemoved() {
  for (const auto& host : world_hosts()) {
    if (!host->out || host->running() || host->disk.member == kNobody) continue;
    if (host->disk.cluster == ClusterId{} || !host->disk.damaged.empty()) continue;
    host->out = false;
    host->gone = true;
    host->joining = false;
    world_.Trace("%s comes back with its old disk", host->name.c_str());
    world_.StartGone(*host);
    return true;
  }
  return false;
}

/// What the members were told of each other lies beside the log.
void Nemesis::OnDamageFound(Host& host) {
  if (!Chance(chance(), world_.plan().disk.boots_lost_ppm)) return;
  world_.Trace("%s has lost the boots of its peers", host.name.c_str());
  world_.Count(Fault::kBootsLost);
  host.disk.peer_boots.clear();
}

}  // namespace raftkv::sim
