// Which faults must come together, and in which order, for the rarest of bugs to show? (part of
// Nemesis)
//
// What a careful tester would arrange by hand: each scene is made of faults that also come alone.
#include <algorithm>
#include <memory>
#include <utility>

#include "tests/sim/faults/nemesis.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr Nanos kLookEvery = 5 * kMillisecond;

bool Leads(const Host& host) {
  if (!host.running() || host.paused) return false;
  const raft::Raft* const core = host.process->member().core();
  return core != nullptr && core->role() == raft::Role::kLeader;
}

bool IsVoter(const Host& leader, const Host& host) {
  const raft::Raft* const core = leader.process->member().core();
  return core->configuration().IsVoter(host.disk.member);
}

}  // namespace

Nemesis::Pairs Nemesis::LinksOf(const std::vector<const Host*>& side) const {
  std::vector<bool> inside(world_.hosts().size());
  for (const Host* host : side) inside[host->index] = true;
  Pairs pairs;
  for (std::size_t a = 0; a < inside.size(); ++a) {
    for (std::size_t b = 0; b < inside.size(); ++b) {
      if (inside[a] != inside[b]) pairs.emplace_back(a, b);
    }
  }
  return pairs;
}

/// Voters that run beside the leader, in any order.
std::vector<Host*> Nemesis::Followers(const Host& leader) {
  std::vector<Host*> followers;
  for (const auto& host : world_hosts()) {
    if (host.get() == &leader || !host->running() || host->paused) continue;
    if (IsVoter(leader, *host)) followers.push_back(host.get());
  }
  for (std::size_t i = followers.size(); i > 1; --i) {
    std::swap(followers[i - 1], followers[chance().Below(i)]);
  }
  return followers;
}

// --- A leader that does not know that it is none any more.

/// It is cut off with slow clocks. The clients go on elsewhere, but for one that reads there what
/// the next leader has acknowledged.
void Nemesis::CutOffUnnoticed(Host& leader, Nanos time) {
  if (world_.plan().core.lease_reads || chance().Below(4) != 0) SetWorstClocks(leader);
  CutFor(LinksOf({&leader}), time);
  LeaveToOneReader(leader, time);
}

void Nemesis::LeaveToOneReader(Host& leader, Nanos time) {
  world_.clients().Leave(leader);
  const auto once = [this, &leader, returned = std::make_shared<bool>(false)] {
    if (!std::exchange(*returned, true)) world_.clients().Return(leader);
  };
  undo_.emplace_back(once);
  world_.At(time, once);
  WatchOldLeader(leader, leader.epoch, world_.now() + time);
}

void Nemesis::WatchOldLeader(Host& leader, std::uint32_t epoch, Nanos until) {
  if (!active_ || world_.now() > until || leader.epoch != epoch || !Leads(leader)) return;
  Host* const newest = world_.Leader();
  if (newest != nullptr && newest != &leader) world_.clients().ReadBehind(leader, *newest);
  world_.At(kLookEvery, [this, &leader, epoch, until] { WatchOldLeader(leader, epoch, until); });
}

/// One follower has not heard the leader for a while and wants to be elected. The others have; at
/// once they restart, and the leader is cut off. Nobody writes meanwhile, so that no log is behind.
bool Nemesis::RestartWhoPromised(Host& leader) {
  const std::vector<Host*> followers = Followers(leader);
  if (followers.size() < 2) return false;
  const Nanos timeout = world_.plan().core.election_timeout.count();
  const Nanos drained = 150 * kMillisecond;
  const Nanos wait = drained + Between(chance(), timeout, 2 * timeout);
  world_.clients().Lull(wait + timeout);
  quiet_until_ = world_.now() + wait + 2 * timeout;
  SetWorstClocks(leader);
  Host* const waiting = followers.front();
  world_.At(drained, [this, &leader, waiting, wait] {
    if (!active_) return;
    Pairs pairs{{leader.index, waiting->index}, {waiting->index, leader.index}};
    CutFor(pairs, wait - drained);
  });
  world_.At(wait, [this, &leader, waiting, timeout] {
    if (!active_ || !Leads(leader)) return;
    CutOffUnnoticed(leader, 2 * timeout);
    for (Host* const promised : Followers(leader)) {
      if (promised == waiting) continue;
      world_.Crash(*promised);
      StartLater(*promised, Between(chance(), kMillisecond, 20 * kMillisecond));
    }
  });
  return true;
}

// --- A disk is lost just when it counts.

/// For a while only the leader and so many others as it needs go on, and only their disks have what
/// is committed. Then one of these loses its own and is at once with those that have nothing of it.
bool Nemesis::LoseDiskOfQuorum(Fault fault) {
  Host* const leader = world_.Leader();
  if (leader == nullptr || leader->paused) return false;
  std::vector<Host*> followers = Followers(*leader);
  const auto loses = std::find_if(followers.begin(), followers.end(), [&](const Host* host) {
    return fault != Fault::kRolledBackDisk || MayRollBack(*host);
  });
  if (followers.size() < 2 || loses == followers.end()) return false;
  Host* const loser = *loses;
  followers.erase(loses);
  std::vector<Host*> kept{leader};
  const std::size_t needed = (followers.size() + 2) / 2 + 1;  // of all voters that run
  for (std::size_t i = 0; kept.size() + 1 < needed; ++i) kept.push_back(followers.at(i));
  std::vector<const Host*> quorum{kept.begin(), kept.end()};
  quorum.push_back(loser);
  const Nanos wait = Between(chance(), 200 * kMillisecond, 900 * kMillisecond);
  CutFor(LinksOf(quorum), wait);
  quiet_until_ = world_.now() + wait;
  world_.At(wait, [this, fault, loser, kept] {
    if (active_) LoseOneOf(kept, *loser, fault);
  });
  return true;
}

/// The others have `kept`'s entries by the disk of `loser` only, or wait for their own.
void Nemesis::LoseOneOf(const std::vector<Host*>& kept, Host& loser, Fault fault) {
  const Nanos timeout = world_.plan().core.election_timeout.count();
  const Nanos time = 4 * timeout;
  quiet_until_ = world_.now() + time;
  if (fault == Fault::kFlippedBytes && chance().Below(2) == 0) {
    // It has acknowledged what is durable with nobody else yet.
    constexpr Nanos kSlow = 200;
    for (Host* const host : kept) host->write_factor = kSlow;
    const auto mend = [kept] {
      for (Host* const host : kept) host->write_factor = 1;
    };
    undo_.emplace_back(mend);
    world_.At(time, mend);
    world_.At(Between(chance(), 20 * kMillisecond, 200 * kMillisecond), [this, &loser] {
      if (active_) FlipBytes(loser, loser.disk.last_index(), true);
    });
    return;
  }
  bool lost = false;
  if (fault == Fault::kFlippedBytes) {
    const std::uint64_t back = chance().Below(8);
    const Index last = loser.disk.last_index();
    lost = last.value > back && FlipBytes(loser, Index(last.value - back), true);
  } else {
    lost = fault == Fault::kWipedDisk ? WipeDisk(loser) : RollBackDisk(loser);
  }
  if (lost) CutFor(LinksOf({kept.begin(), kept.end()}), time);
}

}  // namespace raftkv::sim
