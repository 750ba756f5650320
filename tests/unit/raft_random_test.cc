// Does anything go wrong when everything that may happen does happen, in any order?
//
// Each seed drives a cluster through random delivery, loss, doubling, reordering, stalls, crashes
// and partitions with proposals and reads under way; all invariants are checked after every step.
// Then the faults end and the cluster must come to one log that can still grow. A failing seed
// replays: RAFTKV_SEED=n runs it alone and prints everything that happens. RAFTKV_SEEDS=n runs n
// times as many.
#include <cstdlib>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/raft_cluster.h"
#include "tests/support/raft_format.h"

namespace raftkv::test {
namespace {

using std::chrono::milliseconds;

/// How likely each thing is in one seed, in 1/10,000 of the steps.
struct Weather {
  std::uint64_t drop = 0;
  std::uint64_t duplicate = 0;
  std::uint64_t reorder = 0;
  std::uint64_t crash = 0;
  std::uint64_t partition = 0;
  std::uint64_t one_way_cut = 0;
  std::uint64_t heal = 0;
  std::uint64_t stall = 0;
  std::uint64_t max_tick_ms = 0;

  explicit Weather(Random& random) {
    const auto up_to = [&](std::uint64_t most) {
      return random.Below(3) == 0 ? 0 : random.Below(most + 1);
    };
    drop = up_to(3000);
    duplicate = up_to(5000);
    reorder = up_to(10000);
    crash = up_to(60);
    partition = up_to(40);
    one_way_cut = up_to(40);
    heal = 20 + random.Below(100);
    stall = up_to(100);
    max_tick_ms = 1 + random.Below(60);
  }
};

class RandomRun {
 public:
  RandomRun(std::uint64_t seed, std::uint64_t nodes)
      : random_(seed * 7919 + nodes),
        cluster_(OptionsFor(seed, nodes, random_)),
        weather_(random_) {}

  RaftCluster& cluster() { return cluster_; }

  void Run(int steps) {
    for (int step = 0; step < steps && cluster_.failure().empty(); ++step) {
      Step();
      Fault();
    }
  }

  /// Faults end: the cluster must agree and commit something new within a bound of time.
  void MustRecover() {
    ASSERT_TRUE(cluster_.Converge(std::chrono::seconds(30))) << "no common log after healing";
    const std::size_t committed = cluster_.checks().committed().size();
    const NodeId leader = cluster_.Leader();
    ASSERT_TRUE(cluster_.Propose(leader, "after healing").ok());
    ASSERT_TRUE(cluster_.Read(leader, ++reads_).ok());
    ASSERT_TRUE(cluster_.Converge(std::chrono::seconds(5))) << "the healed cluster cannot commit";
    EXPECT_EQ(cluster_.checks().committed().size(), committed + 1);
    EXPECT_EQ(cluster_.Leader(), leader) << "a cluster without faults has no election";
  }

  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }

 private:
  static ClusterOptions OptionsFor(std::uint64_t seed, std::uint64_t nodes, Random& random) {
    ClusterOptions options;
    options.nodes = nodes;
    options.seed = seed;
    options.automatic = false;
    // Small bounds, so that each is met.
    options.raft.max_append_bytes = 70 + random.Below(800);
    options.raft.max_inflight_messages = 1 + random.Below(6);
    options.raft.max_inflight_bytes = 200 + random.Below(2000);
    options.raft.max_buffer_bytes = random.Below(1500);
    options.raft.max_uncommitted_bytes = 500 + random.Below(5000);
    options.raft.max_apply_bytes = 70 + random.Below(1000);
    options.raft.max_pending_reads = 1 + random.Below(20);
    return options;
  }

  bool Chance(std::uint64_t in_ten_thousand) { return random_.Below(10'000) < in_ten_thousand; }
  NodeId AnyNode() { return NodeId(1 + random_.Below(cluster_.ids().size())); }

  /// Somebody who takes itself for the leader, perhaps one of an old term.
  NodeId AnyLeader() {
    std::vector<NodeId> leaders;
    for (NodeId id : cluster_.ids()) {
      const SimNode& node = cluster_.node(id);
      if (node.up() && node.core().role() == raft::Role::kLeader) leaders.push_back(id);
    }
    return leaders.empty() ? AnyNode() : leaders[random_.Below(leaders.size())];
  }

  void Step() {
    const std::uint64_t choice = random_.Below(100);
    const NodeId id = AnyNode();
    if (choice < 45) {
      DeliverSomething();
    } else if (choice < 65) {
      cluster_.ProcessReady(id);
    } else if (choice < 75) {
      if (stalled_ != id) cluster_.Persist(id);
    } else if (choice < 80) {
      cluster_.ApplyNext(id);
    } else if (choice < 84) {
      cluster_.ProvideNext(id);
    } else if (choice < 90) {
      Tick(id);
    } else if (choice < 95) {
      const std::string payload = "p" + std::to_string(++proposals_);
      const NodeId to = random_.Below(4) == 0 ? id : cluster_.Leader();
      if (to != kNobody && cluster_.Propose(to, payload).ok()) ++accepted_;
    } else if (choice < 98) {
      // Refused is fine; what is answered is checked.
      static_cast<void>(cluster_.Read(random_.Below(2) == 0 ? id : AnyLeader(), ++reads_).ok());
    } else if (choice < 99) {
      cluster_.FlushApplied(id);
    } else {
      cluster_.PeerUnreachable(id, AnyNode());
    }
  }

  /// Clocks run at different speeds: now all, now one alone.
  void Tick(NodeId id) {
    const Duration by = milliseconds(random_.Below(weather_.max_tick_ms + 1));
    if (random_.Below(3) == 0) {
      cluster_.Tick(id, by);
    } else {
      cluster_.TickAll(by);
    }
  }

  void DeliverSomething() {
    const auto links = cluster_.network().BusyLinks();
    if (links.empty()) return;
    const SimNetwork::Link link = links[random_.Below(links.size())];
    const std::size_t position = Chance(weather_.reorder) ? random_.Below(1000) : 0;
    const auto message = cluster_.network().Take(link, position);
    if (!message || Chance(weather_.drop)) return;
    if (Chance(weather_.duplicate)) cluster_.network().Send(*message);
    cluster_.Deliver(*message);
  }

  void Fault() {
    if (Chance(weather_.crash)) {
      cluster_.Crash(AnyNode(), random_.Below(2) == 0, random_.Below(2) == 0);
    }
    if (Chance(weather_.heal * 2)) cluster_.Restart(AnyNode());
    if (Chance(weather_.partition)) Split();
    if (Chance(weather_.one_way_cut)) cluster_.network().Cut({AnyNode(), AnyNode()});
    if (Chance(weather_.heal)) cluster_.Heal();
    if (Chance(weather_.stall)) stalled_ = AnyNode();
    if (Chance(weather_.heal)) stalled_ = kNobody;
    if (Chance(weather_.crash / 4)) {
      for (NodeId id : cluster_.ids()) cluster_.Crash(id, random_.Below(2) == 0, true);
    }
    if (Chance(10)) cluster_.PeerDisconnected(AnyNode(), AnyNode());
  }

  void Split() {
    std::vector<std::vector<NodeId>> sides(2);
    for (NodeId id : cluster_.ids()) sides[random_.Below(2)].push_back(id);
    cluster_.Partition(sides);
  }

  Random random_;
  RaftCluster cluster_;
  Weather weather_;
  NodeId stalled_;
  std::uint64_t proposals_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t reads_ = 0;
};

struct Total {
  std::uint64_t committed = 0;
  std::uint64_t accepted = 0;
};

void RunSeed(std::uint64_t seed, std::uint64_t nodes, int steps, Total& total) {
  SCOPED_TRACE("RAFTKV_SEED=" + std::to_string(seed) + ", " + std::to_string(nodes) + " members");
  RandomRun run(seed, nodes);
  if (std::getenv("RAFTKV_SEED") != nullptr) {
    run.cluster().OnEvent([](const std::string& line) { std::cout << line << '\n'; });
  }
  run.Run(steps);
  if (run.cluster().failure().empty()) run.MustRecover();
  total.committed += run.cluster().checks().committed().size();
  total.accepted += run.accepted();
}

void RunSeeds(std::uint64_t nodes, std::uint64_t count, int steps) {
  Total total;
  if (const char* only = std::getenv("RAFTKV_SEED")) {
    return RunSeed(std::strtoull(only, nullptr, 10), nodes, steps, total);
  }
  if (const char* times = std::getenv("RAFTKV_SEEDS")) count *= std::strtoull(times, nullptr, 10);
  for (std::uint64_t seed = 1; seed <= count && !::testing::Test::HasFailure(); ++seed) {
    RunSeed(seed, nodes, steps, total);
  }
  // A cluster that does nothing breaks nothing: the runs must have been alive.
  EXPECT_GT(total.accepted, count * 5);
  EXPECT_GT(total.committed, count * 10);
}

TEST(RaftRandom, OneMember) { RunSeeds(1, 100, 1500); }
TEST(RaftRandom, TwoMembers) { RunSeeds(2, 300, 3000); }
TEST(RaftRandom, ThreeMembers) { RunSeeds(3, 1000, 4000); }
TEST(RaftRandom, FiveMembers) { RunSeeds(5, 600, 6000); }

}  // namespace
}  // namespace raftkv::test
