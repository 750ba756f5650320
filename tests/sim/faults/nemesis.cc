#include "tests/sim/faults/nemesis.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/mutants.h"
#include "tests/sim/judges/quorum.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// For so long before the end of a hang others must have been faster, for a leader to be blamed.
constexpr Nanos kOutrunFor = 2 * kSecond;

}  // namespace

Random& Nemesis::chance() { return world_.chance().nemesis; }
std::vector<std::unique_ptr<Host>>& Nemesis::world_hosts() { return world_.hosts(); }

// --- When.

void Nemesis::Start() {
  active_ = true;
  Next();
}

void Nemesis::Next() {
  const Nanos mean = world_.plan().mean_fault_interval;
  world_.At(Between(chance(), mean / 10, 2 * mean), [this] {
    if (!active_) return;
    const std::uint64_t number = ++world_.stats().fault_steps;
    chance() = StreamOf(world_.plan().seed ^ 0x5b00, number);
    const bool left_out = world_.plan().skipped_faults.count(number) != 0;
    const Fault fault = left_out || world_.now() < quiet_until_ ? Fault::kCount : Draw();
    if (fault != Fault::kCount) {
      world_.Trace("fault: %s", FaultName(fault));
      if (Carry(fault)) world_.Count(fault);
    }
    Next();
  });
}

Fault Nemesis::Draw() {
  std::uint64_t sum = 0;
  for (const std::uint32_t weight : world_.plan().fault_weights) sum += weight;
  if (sum == 0) return Fault::kCount;
  std::uint64_t draw = chance().Below(sum);
  for (std::size_t i = 0; i < kFaultKinds; ++i) {
    const std::uint32_t weight = world_.plan().fault_weights[i];
    if (draw < weight) return static_cast<Fault>(i);
    draw -= weight;
  }
  return Fault::kCount;
}

bool Nemesis::Carry(Fault fault) {
  switch (fault) {
    case Fault::kCrash: return Crash();
    case Fault::kCrashAll: return CrashAll();
    case Fault::kPause: return Pause();
    case Fault::kPauseAll: return PauseAll();
    case Fault::kStalledApply: return StallApply();
    case Fault::kHungReads: return HangReads();
    case Fault::kRemovedReturns: return BringBackRemoved();
    case Fault::kTwin: return StartTwin();
    case Fault::kBootsSetBack: return SetBackBoots();
    case Fault::kRestartOptions: return RestartWithOptions();
    case Fault::kPartition:
    case Fault::kOneWay:
    case Fault::kBridge:
    case Fault::kIsolateLeader: return Network(fault);
    case Fault::kFlapping: return Flap();
    case Fault::kConnectionBreak: return BreakConnection();
    case Fault::kClientCut: return CutClient();
    case Fault::kStorm: return Storm();
    case Fault::kSlowDisk: return SlowDisk();
    case Fault::kSyncError:
    case Fault::kReadError: return FailDisk(fault);
    case Fault::kNoSpace: return FillDisks();
    case Fault::kHungDisk: return HangDisk();
    case Fault::kFlippedBytes: return FlipBytes();
    case Fault::kWipedDisk:
    case Fault::kRolledBackDisk: return LoseDisk(fault);
    case Fault::kClockRate: return ChangeClockRate();
    case Fault::kWallClockJump: return JumpWallClock();
    case Fault::kAddMember:
    case Fault::kRemoveMember:
    case Fault::kPromoteMember:
    case Fault::kTransfer: return ChangeMembers(fault);
    default: return false;
  }
}

// --- Crashes and pauses.

Host* Nemesis::AnyRunning() {
  std::vector<Host*> running;
  for (const auto& host : world_hosts()) {
    if (host->running()) running.push_back(host.get());
  }
  return running.empty() ? nullptr : running[chance().Below(running.size())];
}

void Nemesis::StartLater(Host& host, Nanos after) {
  world_.At(after, [this, &host] {
    if (active_) world_.Start(host);
  });
}

bool Nemesis::Crash() {
  Host* const host = AnyRunning();
  if (host == nullptr) return false;
  if (host->paused || chance().Below(4) == 0) {
    world_.Crash(*host);
    StartLater(*host, Downtime());
  } else {
    host->process->DieAfterPortCalls(static_cast<int>(chance().Below(12)));
  }
  return true;
}

void Nemesis::OnStopped(Host& host) {
  if (active_) {
    StartLater(host, Downtime());
  } else if (!host.gone && host.index != left_down_) {
    // An error that was on its way when faults stopped.
    world_.At(kMillisecond, [this, &host] { world_.Start(host); });
  }
}

bool Nemesis::CrashAll() {
  if (AnyRunning() == nullptr) return false;
  for (const auto& host : world_hosts()) {
    world_.Crash(*host);
    StartLater(*host, Between(chance(), 10 * kMillisecond, 500 * kMillisecond));
  }
  return true;
}

bool Nemesis::Pause() {
  Host* const host = AnyRunning();
  if (host == nullptr || host->paused) return false;
  world_.Pause(*host);
  world_.At(Between(chance(), 50 * kMillisecond, 3 * kSecond), [this, host, epoch = host->epoch] {
    if (host->epoch == epoch) world_.Resume(*host);
  });
  return true;
}

bool Nemesis::RestartWithOptions() {
  Host* const host = AnyRunning();
  if (host == nullptr || host->paused) return false;
  // Leases count on one election timeout for all.
  if (world_.plan().core.lease_reads) return false;
  host->process->member().Stop();
  if (chance().Below(2) == 0) host->disk.Flush(host->process->applied());
  world_.Crash(*host);
  const Duration base = world_.plan().core.election_timeout;
  host->election_timeout = base * (2 + static_cast<int>(chance().Below(5))) / 3;
  host->heartbeat = host->election_timeout / (2 + static_cast<int>(chance().Below(3)));
  StartLater(*host, Between(chance(), 10 * kMillisecond, 200 * kMillisecond));
  return true;
}

// --- The network.

/// Which directed links are cut.
Nemesis::Pairs Nemesis::Cut(Fault fault) {
  const std::size_t hosts = world_hosts().size();
  Pairs pairs;
  std::vector<int> side(hosts);
  std::size_t bridge = hosts;
  if (fault == Fault::kIsolateLeader) {
    const Host* const leader = world_.Leader();
    if (leader == nullptr) return pairs;
    side[leader->index] = 1;
  } else {
    for (int& s : side) s = static_cast<int>(chance().Below(2));
    if (fault == Fault::kBridge) bridge = chance().Below(hosts);
  }
  const bool one_way =
      fault == Fault::kOneWay || (fault == Fault::kIsolateLeader && chance().Below(3) == 0);
  const int from_side = static_cast<int>(chance().Below(2));
  for (std::size_t a = 0; a < hosts; ++a) {
    for (std::size_t b = 0; b < hosts; ++b) {
      if (a == b || side[a] == side[b] || a == bridge || b == bridge) continue;
      if (one_way && side[a] != from_side) continue;
      pairs.emplace_back(a, b);
    }
  }
  return pairs;
}

void Nemesis::CutFor(const Pairs& pairs, Nanos time) {
  for (const auto& [from, to] : pairs) world_.network().Block(from, to);
  const auto heal = [this, pairs] {
    for (const auto& [from, to] : pairs) world_.network().Unblock(from, to);
  };
  const auto healed = std::make_shared<bool>(false);
  const auto once = [healed, heal] {
    if (!std::exchange(*healed, true)) heal();
  };
  undo_.emplace_back(once);
  world_.At(time, once);
}

/// What the leader says gets lost from soon on; what it is still told are late answers.
void Nemesis::CutBehindLateAnswers(Host& leader, Nanos time) {
  constexpr Nanos kLateFor = 150 * kMillisecond;
  storm_ = world_.plan().network;
  storm_.late_ppm = storm_.duplicate_ppm = 500'000;
  storm_.max_delay = 3 * kSecond;
  world_.network().SetPlan(&storm_);
  Pairs pairs;
  for (const auto& host : world_hosts()) {
    if (host->index != leader.index) pairs.emplace_back(leader.index, host->index);
  }
  world_.At(kLateFor, [this, &leader, pairs, time] {
    if (!active_) return;
    world_.network().SetPlan(nullptr);
    CutFor(pairs, time);
    if (leader.running()) LeaveToOneReader(leader, time);
  });
}

bool Nemesis::Network(Fault fault) {
  const Pairs pairs = Cut(fault);
  if (pairs.empty()) return false;
  Host* const leader = fault == Fault::kIsolateLeader ? world_.Leader() : nullptr;
  if (leader != nullptr && world_.plan().core.lease_reads) SetWorstClocks(*leader);
  if (leader != nullptr && chance().Below(3) == 0) {
    // A long tail that nobody else has.
    world_.clients().Burst(*leader, static_cast<int>(Between(chance(), 5, 40)));
  }
  const Nanos time = Between(chance(), 100 * kMillisecond, 3 * kSecond);
  if (leader != nullptr && !leader->paused && chance().Below(2) == 0) {
    const bool restarts = world_.plan().core.lease_reads && chance().Below(4) != 0;
    if (!restarts || !RestartWhoPromised(*leader)) CutOffUnnoticed(*leader, time);
    return true;
  }
  if (leader != nullptr && chance().Below(3) == 0) {
    CutBehindLateAnswers(*leader, time);
    return true;
  }
  CutFor(pairs, time);
  return true;
}

bool Nemesis::Flap() {
  const std::size_t hosts = world_hosts().size();
  if (hosts < 2) return false;
  const std::size_t a = chance().Below(hosts);
  const std::size_t b = (a + 1 + chance().Below(hosts - 1)) % hosts;
  const Nanos period = Between(chance(), 50 * kMillisecond, 400 * kMillisecond);
  const std::uint64_t times = 3 + chance().Below(8);
  for (std::uint64_t i = 0; i < times; ++i) {
    world_.At(static_cast<Nanos>(2 * i) * period, [this, a, b, period] {
      if (active_) CutFor({{a, b}, {b, a}}, period);
    });
  }
  return true;
}

bool Nemesis::BreakConnection() {
  const std::size_t hosts = world_hosts().size();
  if (hosts < 2) return false;
  const std::size_t a = chance().Below(hosts);
  const std::size_t b = (a + 1 + chance().Below(hosts - 1)) % hosts;
  world_.network().Break(world_.host(a), world_.host(b));
  if (chance().Below(2) == 0) world_.network().Break(world_.host(b), world_.host(a));
  return true;
}

bool Nemesis::CutClient() {
  if (world_.clients().count() == 0) return false;
  const std::size_t client = chance().Below(world_.clients().count());
  std::vector<std::size_t> cut;
  for (std::size_t i = 0; i < world_hosts().size(); ++i) {
    if (chance().Below(2) == 0) cut.push_back(i);
  }
  const std::vector<std::size_t> watchers = world_.watchers().DrawSome();
  for (const std::size_t host : cut) {
    world_.clients().Block(client, host);
    for (const std::size_t watcher : watchers) world_.watchers().Block(watcher, host);
  }
  const auto healed = std::make_shared<bool>(false);
  const auto once = [this, client, cut, watchers, healed] {
    if (std::exchange(*healed, true)) return;
    for (const std::size_t host : cut) {
      world_.clients().Unblock(client, host);
      for (const std::size_t watcher : watchers) world_.watchers().Unblock(watcher, host);
    }
  };
  undo_.emplace_back(once);
  world_.At(Between(chance(), 100 * kMillisecond, 3 * kSecond), once);
  return true;
}

bool Nemesis::Storm() {
  storm_ = world_.plan().network;
  storm_.loss_ppm = static_cast<std::uint32_t>(Between(chance(), 20'000, 300'000));
  storm_.late_ppm = static_cast<std::uint32_t>(Between(chance(), 0, 400'000));
  storm_.duplicate_ppm = static_cast<std::uint32_t>(Between(chance(), 0, 500'000));
  Host* const leader = world_.Leader();
  if (leader != nullptr && chance().Below(3) == 0) {
    // Several elections, whose votes get into each other's way.
    storm_.late_ppm = 600'000;
    storm_.max_delay = 3 * leader->election_timeout.count();
    world_.Crash(*leader);
    StartLater(*leader, Between(chance(), 10 * kMillisecond, 500 * kMillisecond));
  }
  world_.network().SetPlan(&storm_);
  const auto calm = [this] {
    // Once faults have stopped the network is quiet already.
    if (active_) world_.network().SetPlan(nullptr);
  };
  world_.At(Between(chance(), 200 * kMillisecond, 2 * kSecond), calm);
  return true;
}

// --- Disks.

bool Nemesis::SlowDisk() {
  Host* const host = AnyHost();
  host->write_factor = Between(chance(), 10, 200);
  const auto mend = [host] { host->write_factor = 1; };
  undo_.emplace_back(mend);
  world_.At(Between(chance(), 200 * kMillisecond, 2 * kSecond), mend);
  return true;
}

bool Nemesis::FailDisk(Fault fault) {
  Host* const host = AnyRunning();
  if (host == nullptr) return false;
  if (fault == Fault::kReadError) {
    host->process->FailNextRead({Code::kIOError, "the disk cannot be read"});
  } else {
    host->process->FailNextWrite({Code::kIOError, "the disk cannot be synced"});
  }
  return true;
}

void Nemesis::SetSpace(Host& host, raft::Space space) {
  host.space = space;
  if (!host.running()) return;
  world_.OnHost(host, [&host, space, epoch = host.epoch] {
    if (host.epoch != epoch || !host.running() || host.space != space) return;
    host.process->member().OnDisk({space, Status::Ok()});
    host.process->ContinueWrites();
  });
}

/// Of one member, or of all; some of them down to the reserve, some to the last byte.
bool Nemesis::FillDisks() {
  const bool all = chance().Below(3) == 0;
  std::vector<Host*> full;
  for (const auto& host : world_hosts()) {
    if (all) full.push_back(host.get());
  }
  if (full.empty()) {
    Host* const leader = world_.Leader();
    full.push_back(leader != nullptr && chance().Below(2) == 0 ? leader : AnyHost());
  }
  const auto freed = [this, full] {
    for (Host* const host : full) SetSpace(*host, raft::Space::kEnough);
  };
  for (Host* const host : full) {
    SetSpace(*host, chance().Below(2) == 0 ? raft::Space::kDeletes : raft::Space::kNone);
  }
  undo_.emplace_back(freed);
  world_.At(Between(chance(), 200 * kMillisecond, 3 * kSecond), freed);
  return true;
}

bool Nemesis::HangDisk() {
  Host* const leader = world_.Leader();
  Host* const host = leader != nullptr && chance().Below(2) == 0 ? leader : AnyHost();
  if (host->disk_hangs) return false;
  host->disk_hangs = true;
  // In which term it led while others had long had what hangs there, two seconds before the end.
  const auto outrun = std::make_shared<Term>();
  const auto ended = [this, host, outrun] { EndHang(*host, *outrun); };
  undo_.emplace_back(ended);
  const Nanos lasts = Between(chance(), 100 * kMillisecond, 4 * kSecond);
  if (lasts > kOutrunFor) {
    world_.At(lasts - kOutrunFor, [this, host, outrun] { *outrun = OutrunIn(*host); });
  }
  world_.At(lasts, ended);
  return true;
}

/// The term in which `host` leads though its disk hangs and all the others, who follow it, have
/// what it has; 0 if that is not so.
Term Nemesis::OutrunIn(const Host& host) {
  if (!host.running() || host.paused || !host.disk_hangs) return {};
  if (host.space != raft::Space::kEnough) return {};
  const raft::Raft* const core = host.process->member().core();
  if (core == nullptr || core->role() != raft::Role::kLeader || core->progress().empty()) return {};
  for (const raft::Member& member : core->configuration().members) {
    const Host* const other = world_.FindHost(member.id);
    if (other == &host) continue;
    if (other == nullptr || !other->running() || other->paused || other->stalls()) return {};
    const raft::Raft* const theirs = other->process->member().core();
    const bool has_it = theirs != nullptr && theirs->leader() == core->id() &&
                        theirs->term() == core->term() &&
                        theirs->durable_index() == core->log().last_index();
    if (!has_it || member.learner) return {};
  }
  const auto votes = [core](NodeId id) { return id != core->id(); };
  return Elects(core->configuration(), votes) ? core->term() : Term{};
}

void Nemesis::EndHang(Host& host, Term outrun) {
  const Term outrun_now = OutrunIn(host);
  if (!std::exchange(host.disk_hangs, false)) return;
  if (!host.running()) return;
  // Its clock may be slow, and it may have been paused for a while.
  const Nanos long_enough = 4 * host.election_timeout.count();
  if (outrun != Term{} && outrun == outrun_now && host.process->StalledFor() > long_enough) {
    world_.Fail("hung disks", host.name + " leads though its disk hangs and all others are faster");
  }
  world_.OnHost(host, [&host, epoch = host.epoch] {
    if (host.epoch == epoch && host.running()) host.process->ContinueWrites();
  });
}

bool Nemesis::FlipBytes() {
  if (chance().Below(2) == 0 && LoseDiskOfQuorum(Fault::kFlippedBytes)) return true;
  Host& host = *AnyHost();
  // Often the last one, which others may not have yet.
  if (chance().Below(2) == 0) return FlipBytes(host, host.disk.last_index(), true);
  const Index first = host.disk.first_index();
  const std::uint64_t entries = host.disk.last_index().Next() - first;
  const Index index = first + chance().Below(entries + 1);
  return FlipBytes(host, index, chance().Below(2) == 0);
}

/// Who reads that entry next finds out; so does the next start, which cuts the log there.
bool Nemesis::FlipBytes(Host& host, Index index, bool restart) {
  // Damage in what is applied already leaves a log without its beginning: newcomers need a
  // snapshot.
  if (!world_.plan().snapshots || host.gone || !Settled() || !MayLose(host)) return false;
  // The first entry of all is written a second time, as the formation.
  const Index first = std::max(host.disk.first_index(), Index{2});
  if (index < first || index > host.disk.last_index()) return false;
  host.disk.damaged.insert(index);
  world_.Trace("%s: entry %llu is damaged", host.name.c_str(),
               static_cast<unsigned long long>(index.value));
  if (restart) {
    const bool soon = chance().Below(2) == 0 || index == host.disk.last_index();
    world_.Crash(host);
    StartLater(host, soon ? 10 * kMillisecond : Downtime());
  }
  return true;
}

/// An empty disk under the old name: a new member that nobody has asked for.
bool Nemesis::WipeDisk(Host& host) {
  // Whose list names nobody else founds a cluster of its own, with an empty disk again.
  if (world_.cluster().size() == 1 && host.name == world_.cluster().front().name) return false;
  if (host.gone || host.disk.cluster == ClusterId{} || !Settled() || !MayLose(host)) return false;
  if (host.twinned || host.distrusted) return false;
  world_.Crash(host);
  host.joining = false;
  SimDisk empty;
  if (RAFTKV_MUTANT(kWipedDiskVotes)) {
    // As if its id came from its name or address.
    empty.member = host.disk.member;
    empty.Form(host.disk.cluster, host.disk.formation);
  }
  world_.ReplaceDisk(host, std::move(empty));
  world_.Start(host);
  host.gone = true;
  return true;
}

void Nemesis::OnStart(const Host& host) {
  if (!active_ || host.disk.cluster == ClusterId{} || chance().Below(2) != 0) return;
  copies_[host.index] = std::make_unique<SimDisk>(host.disk);
}

/// Nobody can tell a member that nobody else was needed for: a cluster of one that comes back from
/// an old copy goes on from there (docs/raft-notes.md).
bool Nemesis::DecidesAlone(const SimDisk& disk) const {
  const auto itself = [&](NodeId id) {
    const Host* const host = world_.FindHost(id);
    return id == disk.member || host == nullptr || host->gone;
  };
  const auto configurations = disk.Configurations();
  return configurations.empty() || Elects(configurations.back().second, itself);
}

/// An older copy of its disk would have forgotten what it promised. It can be told as long as the
/// others have seen a boot that the copy does not know of.
bool Nemesis::MayRollBack(const Host& host) const {
  const auto found = copies_.find(host.index);
  if (found == copies_.end() || found->second == nullptr || host.gone || !Settled()) return false;
  if (host.twinned || host.distrusted) return false;
  const SimDisk& copy = *found->second;
  if (copy.member != host.disk.member || copy.boot.counter >= host.disk.boot.counter) return false;
  return AllHaveMet(host) && MayLose(host) && !DecidesAlone(copy);
}

bool Nemesis::RollBackDisk(Host& host) {
  if (!MayRollBack(host)) return false;
  world_.Crash(host);
  world_.ReplaceDisk(host, std::move(*copies_.at(host.index)));
  copies_.erase(host.index);
  world_.Start(host);
  host.gone = true;
  return true;
}

/// For good: the member is not welcome under its old identity.
bool Nemesis::LoseDisk(Fault fault) {
  if (chance().Below(2) == 0 && LoseDiskOfQuorum(fault)) return true;
  if (fault == Fault::kWipedDisk) return WipeDisk(*AnyHost());
  const std::size_t first = chance().Below(world_hosts().size());
  for (std::size_t i = 0; i < world_hosts().size(); ++i) {
    if (RollBackDisk(world_.host((first + i) % world_hosts().size()))) return true;
  }
  return false;
}

// --- Clocks.

/// The worst for a lease: its holder's time goes slowly, the others' fast.
void Nemesis::SetWorstClocks(const Host& leader) {
  // The plan's bound; a lease that is held beyond it is worth nothing.
  const Nanos error = RAFTKV_MUTANT(kClockErrorAboveBound) ? 500'000 : 200'000;
  for (const auto& host : world_hosts()) {
    const Nanos by = host.get() == &leader ? -error : error;
    host->clock.SetRate(world_.now(), HostClock::kMillion + by);
  }
}

bool Nemesis::ChangeClockRate() {
  Host* const leader = world_.Leader();
  if (leader != nullptr && world_.plan().core.lease_reads && chance().Below(2) == 0) {
    SetWorstClocks(*leader);
    return true;
  }
  AnyHost()->clock.SetRate(world_.now(), Between(chance(), 800'000, 1'200'000));
  return true;
}

bool Nemesis::JumpWallClock() {
  const Nanos most = chance().Below(4) == 0 ? 3'600'000 : 3'000;
  HostClock& clock = AnyHost()->clock;
  clock.JumpWall(Between(chance(), -most, most));
  furthest_wall_ms_ = std::max(furthest_wall_ms_, clock.wall_offset_ms());
  return true;
}

// --- The end.

bool Nemesis::IsStillRefused(const Host& host) const {
  const raft::Member* const member = world_.checks().configuration()->Find(host.disk.member);
  return member == nullptr || member->incarnation == host.set_back_at;
}

void Nemesis::Heal() {
  active_ = false;
  for (const auto& undo : undo_) undo();
  undo_.clear();
  world_.network().SetPlan(&world_.quiet_network());
  Host* const away = AnyHost();
  if (!std::exchange(healed_, true) && chance().Below(3) == 0 && Settled() && MayLose(*away))
    left_down_ = away->index;
  for (const auto& host : world_hosts()) {
    host->clock.SetRate(world_.now(), HostClock::kMillion);
    // Replicated time never goes back: it stands still until the clocks have caught up.
    host->clock.JumpWall(furthest_wall_ms_ - host->clock.wall_offset_ms());
    host->write_factor = 1;
    host->least_write = 0;
    world_.Resume(*host);
    // Nobody tells the others any more to trust it.
    if (std::exchange(host->distrusted, false)) host->gone = IsStillRefused(*host);
    if (host->gone || host->out || host->index == left_down_) {
      world_.Crash(*host);
    } else {
      if (host->process != nullptr) host->process->FailNextWrite({});
      if (host->process != nullptr) host->process->FailNextRead({});
      world_.Start(*host);
    }
  }
}

}  // namespace raftkv::sim
