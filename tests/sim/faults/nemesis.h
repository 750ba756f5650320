// What goes wrong, when, and for how long?
//
// Draws a fault at a time from the plan's mix. A fault that does not fit the moment (nobody runs, a
// majority would be lost for good) is left out, and another one comes later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/cluster/host.h"
#include "tests/sim/faults/plan.h"

namespace raftkv::sim {

class Nemesis {
 public:
  explicit Nemesis(World& world) : world_(world) {}

  void Start();
  /// Ends every fault, and starts whatever may live again; perhaps a minority stays away.
  void Heal();
  /// The process of `host` is about to open a damaged disk.
  void OnDamageFound(Host& host);
  /// The process of `host` is about to start.
  void OnStart(const Host& host);
  /// The process of `host` ended by itself.
  void OnStopped(Host& host);

  /// Takes part, now that faults have stopped.
  [[nodiscard]] bool Healthy(const Host& host) const;
  /// Its disk is not what the others know, so they refuse it.
  [[nodiscard]] bool MayBeRefused(const Host& host) const;
  [[nodiscard]] bool Settled() const;
  /// `outrun`: the term in which it was to be seen that it should leave.
  void EndHang(Host& host, Term outrun = {});
  Term OutrunIn(const Host& host);
  /// It was refused, and has ended.
  void OnRefused(Host& host);

 private:
  using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;

  void Next();
  Fault Draw();
  bool Carry(Fault fault);
  bool Crash();
  bool CrashAll();
  bool Pause();
  bool PauseAll();
  bool StallApply();
  bool HangReads();
  bool Stall(bool Host::*stalls, void (Process::*go_on)());
  bool BringBackRemoved();
  [[nodiscard]] bool AllHaveMet(const Host& host) const;
  bool StartTwin();
  bool SetBackBoots();
  void AskToTrust(Host& host);
  [[nodiscard]] bool IsStillRefused(const Host& host) const;
  bool RestartWithOptions();
  bool Network(Fault fault);
  Pairs Cut(Fault fault);
  void CutFor(const Pairs& pairs, Nanos time);
  /// All links between those of one side and the others.
  [[nodiscard]] Pairs LinksOf(const std::vector<const Host*>& side) const;
  void CutBehindLateAnswers(Host& leader, Nanos time);
  bool Flap();
  bool BreakConnection();
  bool CutClient();
  bool Storm();
  bool SlowDisk();
  bool FailDisk(Fault fault);
  bool FillDisks();
  void SetSpace(Host& host, raft::Space space);
  bool HangDisk();
  bool FlipBytes(Host& host, Index index, bool restart);
  bool FlipBytes();
  bool LoseDisk(Fault fault);
  bool WipeDisk(Host& host);
  [[nodiscard]] bool MayRollBack(const Host& host) const;
  bool RollBackDisk(Host& host);
  [[nodiscard]] bool DecidesAlone(const SimDisk& disk) const;
  bool ChangeClockRate();
  void SetWorstClocks(const Host& leader);
  bool JumpWallClock();
  bool ChangeMembers(Fault fault);
  node::DoneStatus Ask(Fault fault, const Host& leader, const std::string& name);
  bool AddMember(Host& leader);
  bool RemoveMember(Host& leader);
  bool PromoteMember(Host& leader);
  bool Transfer(Host& leader);

  // --- Scenes: what must come together (nemesis_scenes.cc).
  void CutOffUnnoticed(Host& leader, Nanos time);
  void LeaveToOneReader(Host& leader, Nanos time);
  void WatchOldLeader(Host& leader, std::uint32_t epoch, Nanos until);
  bool RestartWhoPromised(Host& leader);
  bool LoseDiskOfQuorum(Fault fault);
  void LoseOneOf(const std::vector<Host*>& kept, Host& loser, Fault fault);
  std::vector<Host*> Followers(const Host& leader);

  Host* AnyRunning();
  Host* AnyHost() { return world_hosts()[chance().Below(world_hosts().size())].get(); }
  std::vector<std::unique_ptr<Host>>& world_hosts();
  Random& chance();
  /// What `host` has may be lost: it is, or may be, unknown to the others, or suspect.
  [[nodiscard]] static bool Unsure(const Host& host) {
    return host.gone || host.twinned || host.distrusted || host.disk.suspect ||
           !host.disk.damaged.empty();
  }
  /// Whether quorums are left, in every configuration that may be in force, without `host` too.
  [[nodiscard]] bool MayLose(const Host& host) const;
  [[nodiscard]] bool AnyInDoubt(const raft::Configuration& configuration) const;
  void StartLater(Host& host, Nanos after);
  Nanos Downtime() { return Between(chance(), 10 * kMillisecond, 2 * kSecond); }

  World& world_;
  bool active_ = false;
  bool healed_ = false;
  /// A scene is on: nothing else happens.
  Nanos quiet_until_ = 0;
  std::size_t left_down_ = SIZE_MAX;
  /// What undoes the faults that are in force; emptied when they have been undone.
  std::vector<std::function<void()>> undo_;
  NetworkPlan storm_;
  std::int64_t furthest_wall_ms_ = 0;
  /// By host: its disk as it was before an earlier boot.
  std::map<std::size_t, std::unique_ptr<SimDisk>> copies_;
};

}  // namespace raftkv::sim
