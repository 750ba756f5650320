// What is one run of the simulator: a cluster, its clients and its faults, all from one seed?
//
// First the safety phase, under faults; then the liveness phase: faults stop, enough members are
// healed, and the cluster must elect a leader, take a write from every client, and converge. The
// first check that fails ends the run.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/node.h>

#include "lib/base/random.h"
#include "tests/sim/clients/clients.h"
#include "tests/sim/clients/watchers.h"
#include "tests/sim/cluster/host.h"
#include "tests/sim/cluster/network.h"
#include "tests/sim/cluster/scheduler.h"
#include "tests/sim/faults/lasting.h"
#include "tests/sim/faults/nemesis.h"
#include "tests/sim/faults/plan.h"
#include "tests/sim/judges/changes.h"
#include "tests/sim/judges/checks.h"
#include "tests/sim/judges/reads.h"
#include "tests/sim/judges/refusals.h"
#include "tests/sim/judges/watched.h"
#include "tests/sim/program/stats.h"

namespace raftkv::sim {

/// Where trace lines go; both may be given.
struct TraceSink {
  std::FILE* file = nullptr;
  bool hash = false;
  /// Neither messages nor writes: what happened to the members, and what clients saw.
  bool brief = false;
};

struct Outcome {
  bool ok = true;
  std::string checker;  ///< that failed first
  std::string message;
  Stats stats;
  std::uint64_t trace_hash = 0;
};

/// One source of chance for each part, so that a change in one does not shift the draws of all.
struct Chances {
  explicit Chances(std::uint64_t seed)
      : identity(seed ^ 0x1d00),
        network(seed ^ 0x2e00),
        disk(seed ^ 0x3f00),
        clients(seed ^ 0x4a00),
        nemesis(seed ^ 0x5b00),
        lasting(seed ^ 0x6c00),
        watches(seed ^ 0x7e00),
        leases(seed ^ 0x8f00) {}
  Random identity, network, disk, clients, nemesis, lasting, watches, leases;
};

class World {
 public:
  World(const Plan& plan, const TraceSink& sink);
  ~World();

  Outcome Run();

  // --- For the parts.
  [[nodiscard]] const Plan& plan() const { return plan_; }
  Chances& chance() { return random_; }
  Scheduler& scheduler() { return scheduler_; }
  Network& network() { return network_; }
  Checks& checks() { return checks_; }
  [[nodiscard]] Nemesis& nemesis() { return nemesis_; }
  Reads& reads() { return reads_; }
  Changes& changes() { return changes_; }
  Refusals& refusals() { return refusals_; }
  Watched& watched() { return watched_; }
  Clients& clients() { return clients_; }
  Watchers& watchers() { return watchers_; }
  Stats& stats() { return stats_; }
  [[nodiscard]] Nanos now() const { return scheduler_.now(); }
  [[nodiscard]] const std::vector<MemberAddress>& cluster() const { return cluster_; }
  std::vector<std::unique_ptr<Host>>& hosts() { return hosts_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }
  Host& host(std::size_t index) { return *hosts_[index]; }
  /// The host whose disk has this identity; null: none.
  [[nodiscard]] const Host* FindHost(NodeId id) const;
  [[nodiscard]] std::string NameOf(NodeId id) const;
  /// The host's disk is replaced by `disk`. What it held counts as lost with its member: an entry
  /// that was acknowledged before may still be committed by it.
  void ReplaceDisk(Host& host, SimDisk disk);
  struct LostDisk {
    SimDisk disk;
    bool suspect = false;  ///< its member is back and says that it lost something
  };
  [[nodiscard]] const std::vector<LostDisk>& lost_disks() const { return lost_disks_; }
  /// The leader of the highest term; null: none.
  Host* Leader();
  [[nodiscard]] bool calm() const { return calm_; }
  /// A fault lasts, and besides it nothing happens but that writes are slow now and then.
  [[nodiscard]] bool lasts() const { return lasts_; }
  /// Of the liveness phase.
  [[nodiscard]] const NetworkPlan& quiet_network() const { return quiet_network_; }

  void At(Nanos delay, Scheduler::Work work) { scheduler_.At(now() + delay, std::move(work)); }
  /// Dropped if another process runs there by then, or none.
  void AtHost(const Host& host, Nanos delay, Scheduler::Work work) {
    scheduler_.AtHost(now() + delay, host.index, host.epoch, std::move(work));
  }
  /// Something happens now in the process of `host`, from outside of it.
  void OnHost(Host& host, std::uint32_t epoch, Scheduler::Work work);
  void OnHost(Host& host, Scheduler::Work work) { OnHost(host, host.epoch, std::move(work)); }

  void Start(Host& host);
  /// One that is no member any more, on the disk it had.
  void StartGone(Host& host);
  /// The machine loses its power now.
  void Crash(Host& host);
  void Pause(Host& host) { host.paused = true; }
  void Resume(Host& host);

  void Count(Fault fault) { stats_.Count(fault); }
  void Fail(const char* checker, std::string message);
  /// See Lasting::NoteRead().
  void NoteRead(Nanos begun, bool answered) { lasting_.NoteRead(begun, answered); }
  [[nodiscard]] bool failed() const { return !outcome_.ok; }
  /// Each step, or only the story.
  [[nodiscard]] bool tracing() const { return tracing_; }
  [[nodiscard]] bool telling() const { return telling_; }
  void Trace(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  void RunUntil(Nanos until);
  bool RunUntilTrue(Nanos until, bool (World::*condition)());
  void Handle(const Event& event);
  void AtProcess(const Event& event);
  void AfterEvent(Host& host);
  void SetTick(Host& host);
  void StartProcess(Host& host);
  void Forget(const Event& event);
  void Stopped(Host& host);
  void RunSafetyPhase();
  bool MayLast() { return lasting_.MayBegin(); }
  void RunLastingPhase();
  void RunLivenessPhase();
  bool HasLeader();
  bool Converged();
  bool WatchersCaughtUp() { return watchers_.CaughtUp(); }
  void CompareWithModel();
  void CheckHistory();

  const Plan plan_;
  const TraceSink sink_;
  const bool telling_;
  const bool tracing_;
  Chances random_;
  Scheduler scheduler_;
  Stats stats_;
  Outcome outcome_;
  std::vector<MemberAddress> cluster_;
  std::vector<std::unique_ptr<Host>> hosts_;
  Network network_;
  Checks checks_;
  Reads reads_;
  Changes changes_;
  Refusals refusals_;
  Watched watched_;
  Clients clients_;
  Watchers watchers_;
  Nemesis nemesis_;
  Lasting lasting_;
  std::vector<LostDisk> lost_disks_;
  bool calm_ = false;
  bool lasts_ = false;
  NetworkPlan quiet_network_;
};

/// `seed` with what the command line fixes.
Outcome RunSeed(std::uint64_t seed, const Overrides& overrides, const TraceSink& sink);

}  // namespace raftkv::sim
