// What does a seed decide before anything happens? The cluster, the workload, and the mix of
// faults with their rates; the draws during the run come from the same seed.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>

#include "lib/base/check.h"
#include "lib/base/random.h"
#include "lib/base/time.h"
#include "lib/kv/change_set.h"
#include "lib/kv/store.h"
#include "lib/node/watch_hub.h"
#include "lib/raft/raft.h"
#include "tests/sim/cluster/scheduler.h"
#include "tests/sim/faults/faults.h"

namespace raftkv::sim {

/// What the command line may fix instead of the seed.
struct Overrides {
  int nodes = 0;  ///< 0: drawn
  Nanos safety_time = 0;
  // What is left out of the run, to find out what a failure needs (program/shrink.h).
  std::uint64_t without = 0;  ///< a bit for each Fault that does not exist
  /// By number: what the nemesis does, and what the clients do.
  std::set<std::uint64_t> skipped_faults = {};
  std::set<std::uint64_t> skipped_operations = {};
  bool without_watchers = false;
  bool without_leased = false;
  [[nodiscard]] bool Without(Fault fault) const {
    return (without >> static_cast<unsigned>(fault) & 1) != 0;
  }
};

struct NetworkPlan {
  Nanos min_delay = 0;
  Nanos mean_delay = 0;
  std::uint32_t loss_ppm = 0;
  std::uint32_t duplicate_ppm = 0;
  /// Messages that take up to `max_delay`, so that others overtake them.
  std::uint32_t late_ppm = 0;
  Nanos max_delay = 0;
  /// Connections that break while the two greet each other.
  std::uint32_t hello_loss_ppm = 0;
};

struct DiskPlan {
  Nanos mean_write = 0;
  std::uint32_t slow_ppm = 0;            ///< writes that take ten to a hundred times as long
  std::uint32_t flush_ppm = 0;           ///< of the state machine, after an apply
  std::uint32_t keep_in_flight_ppm = 0;  ///< a write under way at a crash is there afterwards
  Nanos mean_apply = 0;
  /// No write of the safety phase takes less, on any disk.
  Nanos least_write = 0;
  /// A damaged store has lost the boots of its peers as well.
  std::uint32_t boots_lost_ppm = 0;
  bool read_late = false;  ///< a read looks at the state machine when it ends, not when it begins
  /// Batches of entries that go through the store together; the others go one by one, so that the
  /// state of each index is compared.
  std::uint32_t together_ppm = 0;
  /// Of one answer to a read, and of what one may look at for it, in bytes.
  std::size_t max_answer_bytes = SIZE_MAX;
  std::size_t max_visited_bytes = kv::kMaxVisitedBytes;
};

struct ClientPlan {
  int sessions = 0;
  int raw = 0;
  Nanos mean_interval = 0;  ///< of one client
  int keys = 0;
  int counters = 0;
  Nanos timeout = 0;
  bool coalesce = true;
  std::uint32_t follow_leader_ppm = 0;
  std::uint32_t drop_answer_ppm = 20'000;
  std::uint32_t idle_ppm = 8'000;
  /// What bounded reads allow.
  std::chrono::milliseconds max_staleness{800};
  std::uint32_t large_ppm = 0;  ///< of the values of mixed requests
  /// Between two calls of session clients that have to do with leases; 0: there are none.
  Nanos mean_leased = 0;
};

struct WatchPlan {
  int watchers = 0;
  std::uint32_t drop_answer_ppm = 0;
  /// After a page: the next one is asked for elsewhere, or much later, or by another session.
  std::uint32_t move_ppm = 0;
  std::uint32_t pause_ppm = 0;
  std::uint32_t reconnect_ppm = 0;
  /// Between two compacts, which keep at most so many revisions; 0: there are none.
  Nanos mean_compact = 0;
  std::uint64_t most_kept = 0;
  node::WatchHubOptions hub = {};
  std::size_t max_visited_bytes = kv::kChangeSetBytes;  ///< of the log, by one page
};

struct Plan {
  std::uint64_t seed = 0;
  int nodes = 0;
  int spares = 0;  ///< hosts that may be added as members
  int zones = 0;   ///< 0: members have none
  raft::QuorumRule quorum;
  /// Faults start with the run, or once the cluster is formed.
  bool faults_while_forming = false;
  Nanos safety_time = 0;
  /// Inputs gather for so long before a member is pumped; 0: not at all.
  Nanos pump_delay = 0;
  NetworkPlan network;
  DiskPlan disk;
  ClientPlan clients;
  WatchPlan watches;
  kv::StoreOptions store;
  raft::Options core;
  /// Leases are off on some members, and election timeouts differ.
  bool mixed_leases = false;
  std::uint64_t log_keep_entries = 0;
  bool snapshots = true;
  Nanos mean_fault_interval = 0;
  std::uint32_t fault_weights[kFaultKinds] = {};
  /// What lasts in the phase between the others; kCount: nothing.
  Fault lasting = Fault::kCount;
  std::set<std::uint64_t> skipped_faults;
  std::set<std::uint64_t> skipped_operations;
};

Plan DrawPlan(std::uint64_t seed, const Overrides& overrides);

// --- Draws that every part uses.

/// What belongs to the step `number` of a run is drawn from here, so that steps that are left out
/// do not shift the draws of others.
inline Random StreamOf(std::uint64_t seed, std::uint64_t number) {
  return Random(Random(seed + number * 0xbf58476d1ce4e5b9).Next());
}

inline bool Chance(Random& random, std::uint32_t ppm) {
  return ppm != 0 && random.Below(1'000'000) < ppm;
}
/// Uniform in [low, high].
inline Nanos Between(Random& random, Nanos low, Nanos high) {
  RAFTKV_CHECK(low <= high, low, high);
  return low + static_cast<Nanos>(random.Below(static_cast<std::uint64_t>(high - low) + 1));
}
/// Around `mean`, never much longer.
inline Nanos Around(Random& random, Nanos mean) { return Between(random, mean / 4, 2 * mean); }

}  // namespace raftkv::sim
