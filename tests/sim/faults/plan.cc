#include "tests/sim/faults/plan.h"

#include <algorithm>
#include <vector>

namespace raftkv::sim {

namespace {

Nanos OneOf(Random& random, std::initializer_list<Nanos> values) {
  return *(values.begin() + random.Below(values.size()));
}

NetworkPlan DrawNetwork(Random& random) {
  NetworkPlan plan;
  plan.min_delay = OneOf(random, {50 * kMicrosecond, 200 * kMicrosecond, kMillisecond});
  plan.mean_delay = plan.min_delay + OneOf(random, {100 * kMicrosecond, kMillisecond,
                                                    5 * kMillisecond, 20 * kMillisecond});
  plan.loss_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 0, 1'000, 10'000, 50'000}));
  plan.duplicate_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 1'000, 20'000, 300'000}));
  plan.late_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 1'000, 20'000}));
  plan.max_delay = OneOf(random, {100 * kMillisecond, 500 * kMillisecond, 3 * kSecond});
  return plan;
}

DiskPlan DrawDisk(Random& random) {
  DiskPlan plan;
  plan.mean_write = OneOf(random, {100 * kMicrosecond, kMillisecond, 5 * kMillisecond});
  plan.slow_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 1'000, 20'000}));
  plan.flush_ppm = static_cast<std::uint32_t>(OneOf(random, {2'000, 30'000, 300'000, 1'000'000}));
  plan.keep_in_flight_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 300'000, 800'000}));
  plan.mean_apply = OneOf(random, {20 * kMicrosecond, 200 * kMicrosecond, 3 * kMillisecond});
  plan.read_late = random.Below(2) == 0;
  return plan;
}

ClientPlan DrawClients(Random& random) {
  ClientPlan plan;
  plan.sessions = static_cast<int>(Between(random, 2, 6));
  plan.raw = static_cast<int>(Between(random, 0, 2));
  // So many that twenty a second come to an end, all together; a cluster without a leader holds up
  // its clients.
  plan.mean_interval = (plan.sessions + plan.raw) * kSecond / 42;
  plan.keys = static_cast<int>(Between(random, 2, 8));
  plan.counters = static_cast<int>(Between(random, 1, 3));
  plan.timeout = OneOf(random, {kSecond, 3 * kSecond, 6 * kSecond});
  plan.coalesce = random.Below(4) != 0;
  plan.follow_leader_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 500'000, 1'000'000}));
  return plan;
}

kv::StoreOptions DrawStore(Random& random) {
  kv::StoreOptions options;
  // Short lives, so that sessions expire within a run.
  options.session_life_ms = static_cast<std::uint64_t>(OneOf(random, {900'000, 2'000, 6'000}));
  options.max_sessions = static_cast<std::size_t>(OneOf(random, {64 * 1024, 64 * 1024, 3, 8}));
  return options;
}

raft::Options DrawCore(Random& random) {
  raft::Options options;
  options.election_timeout = Duration(
      OneOf(random, {300 * kMillisecond, 300 * kMillisecond, 150 * kMillisecond, kSecond}));
  options.heartbeat_interval = options.election_timeout / OneOf(random, {3, 5});
  if (random.Below(2) == 0) {
    options.max_buffer_bytes = static_cast<std::size_t>(OneOf(random, {0, 500, 4'000}));
    options.max_append_bytes = static_cast<std::size_t>(OneOf(random, {1, 300, 2'000}));
    options.max_inflight_messages = static_cast<std::size_t>(OneOf(random, {1, 2, 8}));
    options.max_inflight_bytes = static_cast<std::size_t>(OneOf(random, {1, 1'000, 8'000}));
    options.max_apply_bytes = static_cast<std::size_t>(OneOf(random, {1, 400, 4'000}));
    options.max_uncommitted_bytes = static_cast<std::size_t>(OneOf(random, {1'000, 10'000}));
    options.max_pending_reads = static_cast<std::size_t>(OneOf(random, {1, 4, 64}));
  }
  return options;
}

/// How many decide: mostly a majority.
void DrawQuorum(Random& random, Plan& plan) {
  const std::uint64_t draw = random.Below(10);
  const auto nodes = static_cast<std::uint32_t>(plan.nodes);
  if (draw == 0 && nodes >= 3) {
    plan.zones = static_cast<int>(Between(random, 2, nodes >= 5 ? 3 : 2));
    plan.quorum.kind = raft::QuorumKind::kZones;
  } else if (draw == 1 && nodes >= 3) {
    plan.quorum.kind = raft::QuorumKind::kFlexible;
    plan.quorum.election = static_cast<std::uint32_t>(Between(random, nodes / 2 + 1, nodes));
    plan.quorum.commit = nodes + 1 - plan.quorum.election +
                         static_cast<std::uint32_t>(random.Below(plan.quorum.election));
  }
}

/// Faults that the nemesis brings about; the others happen by themselves.
constexpr Fault kByNemesis[] = {
    Fault::kCrash,        Fault::kCrash,           Fault::kCrashAll,       Fault::kPause,
    Fault::kPartition,    Fault::kOneWay,          Fault::kBridge,         Fault::kIsolateLeader,
    Fault::kFlapping,     Fault::kConnectionBreak, Fault::kClientCut,      Fault::kStorm,
    Fault::kSlowDisk,     Fault::kSyncError,       Fault::kReadError,      Fault::kNoSpace,
    Fault::kClockRate,    Fault::kWallClockJump,   Fault::kRestartOptions, Fault::kAddMember,
    Fault::kRemoveMember, Fault::kPromoteMember,   Fault::kTransfer,       Fault::kHungDisk,
};
/// These cost a member for good.
constexpr Fault kRare[] = {Fault::kFlippedBytes, Fault::kWipedDisk, Fault::kRolledBackDisk,
                           Fault::kRolledBackDisk};

/// A rare bug needs several faults together: some seeds have mostly those.
void DrawTheme(Random& random, bool may_choose_nodes, Plan& plan) {
  const auto often = [&](std::initializer_list<Fault> faults) {
    for (const Fault fault : faults) plan.fault_weights[static_cast<std::size_t>(fault)] += 300;
  };
  switch (random.Below(8)) {
    case 0: {  // the smallest quorums that are safe, and members that would make them unsafe
      if (plan.nodes == 1 && may_choose_nodes) plan.nodes = 3;
      const auto nodes = static_cast<std::uint32_t>(plan.nodes);
      plan.zones = 0;
      plan.quorum = {raft::QuorumKind::kFlexible, 0, 0};
      plan.quorum.election = nodes / 2 + 1;
      plan.quorum.commit = std::min(nodes, nodes + 2 - plan.quorum.election);
      plan.spares = std::max(plan.spares, 1);
      often({Fault::kAddMember, Fault::kPartition});
      break;
    }
    case 1:  // disks that come back older, or empty
      often({Fault::kCrash, Fault::kRolledBackDisk, Fault::kWipedDisk, Fault::kFlippedBytes});
      break;
    case 2:  // elections that get into each other's way
      often({Fault::kStorm, Fault::kCrash});
      plan.core.election_timeout = Duration(OneOf(random, {150, 300}) * kMillisecond);
      plan.core.heartbeat_interval = plan.core.election_timeout / 5;
      break;
    case 3:  // snapshots for those who have a tail of their own
      often({Fault::kIsolateLeader, Fault::kCrash, Fault::kConnectionBreak});
      plan.snapshots = true;
      plan.clients.raw = std::max(plan.clients.raw, 1);
      plan.log_keep_entries = static_cast<std::uint64_t>(OneOf(random, {0, 3}));
      plan.disk.flush_ppm = 300'000;
      break;
    default: break;
  }
}

/// Bounds and times at which things get into each other's way. From a stream of its own, too.
void DrawMore(Plan& plan) {
  Random random{plan.seed ^ 0x6d6f726500000000};
  kv::StoreOptions& store = plan.store;
  store.max_outstanding = static_cast<std::size_t>(OneOf(random, {128, 128, 128, 4, 16}));
  store.max_response_bytes = static_cast<std::size_t>(OneOf(random, {1 << 20, 1 << 20, 60, 400}));
  store.max_stored_bytes =
      static_cast<std::size_t>(OneOf(random, {64 << 20, 64 << 20, 4'000, 20'000}));
  const Nanos timeout = plan.core.election_timeout.count();
  plan.disk.least_write =
      OneOf(random, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, timeout / 2, timeout * 6 / 5});
  plan.disk.boots_lost_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 300'000}));
  plan.network.hello_loss_ppm =
      static_cast<std::uint32_t>(OneOf(random, {0, 0, 0, 50'000, 300'000}));
  if (random.Below(12) == 0) {
    // A round trip takes nearly as long as an election timeout.
    plan.network.min_delay = timeout * Between(random, 20, 45) / 100;
    plan.network.mean_delay = plan.network.min_delay + 5 * kMillisecond;
    plan.network.max_delay = std::max(plan.network.max_delay, 2 * plan.network.mean_delay);
    // An entry a round trip would need minutes for the tail of an earlier leader.
    plan.core.max_append_bytes = std::max<std::size_t>(plan.core.max_append_bytes, 2'000);
    plan.core.max_inflight_bytes = std::max<std::size_t>(plan.core.max_inflight_bytes, 8'000);
    plan.core.max_inflight_messages = std::max<std::size_t>(plan.core.max_inflight_messages, 8);
  }
  std::vector<Fault> faults{Fault::kPauseAll,       Fault::kStalledApply, Fault::kHungReads,
                            Fault::kRemovedReturns, Fault::kTwin,         Fault::kBootsSetBack};
  for (const Fault fault : faults) {
    if (random.Below(3) == 0) continue;
    plan.fault_weights[static_cast<std::size_t>(fault)] +=
        static_cast<std::uint32_t>(Between(random, 20, 120));
  }
}

/// Of reads, pages and values. From a stream of its own, too.
void DrawReads(Plan& plan) {
  Random random{plan.seed ^ 0x7265616473000000};
  DiskPlan& disk = plan.disk;
  disk.together_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 300'000, 800'000}));
  disk.max_answer_bytes = static_cast<std::size_t>(OneOf(random, {4 << 20, 4 << 20, 1, 200}));
  disk.max_visited_bytes = static_cast<std::size_t>(OneOf(random, {64 << 20, 64 << 20, 0, 1'000}));
  plan.clients.max_staleness = std::chrono::milliseconds(OneOf(random, {800, 200, 20}));
  plan.clients.large_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 0, 20'000}));
}

/// Half of the seeds have watchers, and most of those have writes with leases by session clients.
/// From a stream of its own, too: the other half are the runs that they were.
void DrawWatches(Plan& plan) {
  Random random{plan.seed ^ 0x7761746368000000};
  if (random.Below(2) == 0) return;
  WatchPlan& watches = plan.watches;
  watches.watchers = static_cast<int>(Between(random, 1, 6));
  watches.drop_answer_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 20'000, 200'000}));
  watches.move_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 20'000, 300'000}));
  watches.pause_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 10'000, 100'000}));
  watches.reconnect_ppm = static_cast<std::uint32_t>(OneOf(random, {0, 20'000, 200'000}));
  watches.mean_compact = OneOf(random, {0, 2 * kSecond, 200 * kMillisecond, 30 * kMillisecond});
  watches.most_kept = static_cast<std::uint64_t>(OneOf(random, {0, 5, 40}));
  watches.max_visited_bytes =
      static_cast<std::size_t>(OneOf(random, {kv::kChangeSetBytes, kv::kChangeSetBytes, 0, 500}));
  node::WatchHubOptions& hub = watches.hub;
  hub.event_bytes =
      static_cast<std::uint64_t>(OneOf(random, {32 << 20, 32 << 20, 0, 1'000, 5'000}));
  hub.work_a_step = static_cast<std::uint64_t>(OneOf(random, {50'000, 50'000, 1}));
  hub.step = Duration(OneOf(random, {kMillisecond, kMillisecond, 4 * kMillisecond}));
  // One has to wait for room, where they all are at the same member.
  const Nanos room = std::max(1, watches.watchers - 1);
  hub.max_watchers = static_cast<std::size_t>(OneOf(random, {16 * 1024, 16 * 1024, room}));
  plan.clients.mean_leased =
      OneOf(random, {0, 100 * kMillisecond, 250 * kMillisecond, 600 * kMillisecond});
}

/// From a stream of its own, so that what else a seed draws stays as it is.
void DrawPieces(Plan& plan) {
  Random random{plan.seed ^ 0x7069656365730000};
  if (random.Below(2) == 0) return;
  plan.core.max_write_bytes = static_cast<std::size_t>(OneOf(random, {1, 300, 2'000}));
}

/// From a stream of its own, so that what else a seed draws stays as it is.
void DrawLasting(Plan& plan) {
  Random random{plan.seed ^ 0x6c61737400000000};
  std::vector<Fault> faults{Fault::kLastingIsolation,  Fault::kLastingOneWay,
                            Fault::kLastingBridge,     Fault::kLastingRing,
                            Fault::kLastingPartialCut, Fault::kLastingHang,
                            Fault::kLastingPause,      Fault::kLastingSlowDisk,
                            Fault::kLastingSlowDisks,  Fault::kLastingDistance};
  // It takes as many for a ring with a quorum in it.
  if (plan.nodes == 5) faults.insert(faults.end(), 4, Fault::kLastingRing);
  if (random.Below(2) == 0) plan.lasting = faults[random.Below(faults.size())];
}

/// After all else was drawn, so that the rest stays as it was.
void LeaveOut(const Overrides& overrides, Plan& plan) {
  plan.skipped_faults = overrides.skipped_faults;
  plan.skipped_operations = overrides.skipped_operations;
  const auto leave_out = [&](Fault fault, std::uint32_t& ppm) {
    if (overrides.Without(fault)) ppm = 0;
  };
  for (std::size_t i = 0; i < kFaultKinds; ++i) {
    leave_out(static_cast<Fault>(i), plan.fault_weights[i]);
  }
  leave_out(Fault::kLoss, plan.network.loss_ppm);
  leave_out(Fault::kDuplicate, plan.network.duplicate_ppm);
  leave_out(Fault::kReorder, plan.network.late_ppm);
  leave_out(Fault::kHelloLost, plan.network.hello_loss_ppm);
  leave_out(Fault::kSlowDisk, plan.disk.slow_ppm);
  leave_out(Fault::kBootsLost, plan.disk.boots_lost_ppm);
  leave_out(Fault::kAnswerDropped, plan.clients.drop_answer_ppm);
  leave_out(Fault::kAnswerDropped, plan.watches.drop_answer_ppm);
  if (overrides.without_watchers) plan.watches = {};
  if (overrides.without_leased) plan.clients.mean_leased = 0;
  leave_out(Fault::kSessionIdle, plan.clients.idle_ppm);
  if (plan.lasting != Fault::kCount && overrides.Without(plan.lasting)) {
    plan.lasting = Fault::kCount;
  }
}

}  // namespace

Plan DrawPlan(std::uint64_t seed, const Overrides& overrides) {
  Random random{seed ^ 0x706c616e00000000};
  Plan plan;
  plan.seed = seed;
  plan.nodes = static_cast<int>(OneOf(random, {1, 3, 3, 3, 3, 3, 5, 5, 5, 7}));
  if (overrides.nodes != 0) plan.nodes = overrides.nodes;
  plan.spares = static_cast<int>(Between(random, 0, 2));
  DrawQuorum(random, plan);
  plan.faults_while_forming = random.Below(8) == 0;
  plan.safety_time = Between(random, 8 * kSecond, 30 * kSecond);
  if (overrides.safety_time != 0) plan.safety_time = overrides.safety_time;
  plan.pump_delay = OneOf(random, {0, 0, 50 * kMicrosecond});
  plan.network = DrawNetwork(random);
  plan.disk = DrawDisk(random);
  plan.clients = DrawClients(random);
  plan.store = DrawStore(random);
  plan.core = DrawCore(random);
  plan.snapshots = random.Below(5) != 0;
  plan.core.caught_up_entries = static_cast<std::uint64_t>(OneOf(random, {0, 10, 1024}));
  plan.core.lease_reads = random.Below(3) == 0;
  plan.core.clock_error_percent = 20;
  plan.log_keep_entries = static_cast<std::uint64_t>(OneOf(random, {0, 3, 30, 100'000}));
  plan.mean_fault_interval =
      OneOf(random, {400 * kMillisecond, 600 * kMillisecond, 850 * kMillisecond});
  if (plan.core.lease_reads) {
    // A stale read needs a key that is written and read all the time.
    plan.clients.keys = static_cast<int>(Between(random, 1, 2));
    plan.core.election_timeout = Duration(OneOf(random, {300 * kMillisecond, kSecond}));
    plan.core.heartbeat_interval = plan.core.election_timeout / 5;
    if (random.Below(2) == 0) {
      // What a lease rules out is over soon: a new leader must be quick to be seen.
      plan.network.min_delay = 50 * kMicrosecond;
      plan.network.mean_delay = 150 * kMicrosecond;
      plan.network.late_ppm = plan.network.loss_ppm = 0;
      plan.disk.mean_write = 100 * kMicrosecond;
      plan.disk.slow_ppm = 0;
    }
    plan.mixed_leases = random.Below(2) == 0;
    for (const Fault fault : {Fault::kIsolateLeader, Fault::kClockRate}) {
      plan.fault_weights[static_cast<std::size_t>(fault)] += 300;
    }
  }
  DrawTheme(random, overrides.nodes == 0, plan);
  // Each seed leaves some faults out, or most, so that what others would hide can be seen.
  const Nanos there = OneOf(random, {25, 67, 67, 90});
  for (const Fault fault : kByNemesis) {
    if (static_cast<Nanos>(random.Below(100)) >= there) continue;
    plan.fault_weights[static_cast<std::size_t>(fault)] +=
        static_cast<std::uint32_t>(Between(random, 20, 200));
  }
  for (const Fault fault : kRare) {
    plan.fault_weights[static_cast<std::size_t>(fault)] +=
        static_cast<std::uint32_t>(Between(random, 0, 40));
  }
  DrawMore(plan);
  DrawLasting(plan);
  DrawPieces(plan);
  DrawReads(plan);
  DrawWatches(plan);
  LeaveOut(overrides, plan);
  return plan;
}

}  // namespace raftkv::sim
