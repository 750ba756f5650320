// Does anything go wrong when everything that may happen does happen, in any order?
//
// Each seed drives a cluster through random delivery, loss, doubling, reordering, stalls, crashes
// and partitions with proposals and reads under way, half of the seeds also through changes of
// members, transfers, snapshots, compaction, leases and disks that lose their end; all invariants
// are checked after every step.
// Then the faults end and the cluster must come to one log that can still grow. A failing seed
// replays: RAFTKV_SEED=n runs it alone and prints everything that happens. RAFTKV_SEEDS=n runs n
// times as many.
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_cluster.h"
#include "tests/support/raft/raft_format.h"
#include "tests/support/raft/raft_quorum.h"

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
  std::uint64_t change = 0;
  std::uint64_t transfer = 0;
  std::uint64_t compact = 0;
  std::uint64_t lose_tail = 0;

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
    if (random.Below(2) == 0) return;
    change = up_to(600);
    transfer = up_to(40);
    compact = up_to(600);
    lose_tail = up_to(5000);  // of the crashes
  }
};

class RandomRun {
 public:
  RandomRun(std::uint64_t seed, std::uint64_t nodes)
      : random_(seed * 7919 + nodes),
        cluster_(OptionsFor(seed, nodes, random_)),
        weather_(random_),
        next_id_(nodes) {}

  RaftCluster& cluster() { return cluster_; }

  void Run(int steps) {
    for (int step = 0; step < steps && cluster_.failure().empty(); ++step) {
      Step();
      Fault();
    }
  }

  /// Faults end: the cluster must agree and commit something new within a bound of time.
  void MustRecover() {
    // A configuration that was still on its way when MayLose() looked may need the suspect.
    if (!MayLose(kNobody)) return;
    ASSERT_TRUE(cluster_.Converge(std::chrono::seconds(30))) << "no common log after healing";
    const std::size_t committed = cluster_.checks().committed().size();
    const NodeId leader = cluster_.Leader();
    ASSERT_TRUE(cluster_.Propose(leader, "after healing").ok());
    ASSERT_TRUE(cluster_.Read(leader, ++reads_).ok());
    ASSERT_TRUE(cluster_.Converge(std::chrono::seconds(5))) << "the healed cluster cannot commit";
    EXPECT_GE(cluster_.checks().committed().size(), committed + 1);
    EXPECT_EQ(cluster_.Leader(), leader) << "a cluster without faults has no election";
  }

  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
  [[nodiscard]] std::uint64_t changed() const { return changed_; }
  [[nodiscard]] std::uint64_t transferred() const { return transferred_; }
  [[nodiscard]] std::uint64_t lost_tails() const { return lost_tails_; }
  [[nodiscard]] std::uint64_t installed() const { return installed_; }

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
    options.raft.max_write_bytes = 70 + random.Below(1500);
    options.raft.caught_up_entries = random.Below(20);
    options.raft.lease_reads = random.Below(3) == 0;
    if (nodes >= 4 && random.Below(3) == 0) {
      const auto election = static_cast<std::uint32_t>(nodes - random.Below(nodes / 2));
      options.quorum = {raft::QuorumKind::kFlexible,
                        static_cast<std::uint32_t>(nodes + 1 - election), election};
    } else if (random.Below(4) == 0) {
      options.quorum.kind = raft::QuorumKind::kZones;
      for (std::uint64_t i = 0; i < nodes; ++i) {
        options.zones.push_back(random.Below(2) == 0 ? "a" : "b");
      }
    }
    return options;
  }

  bool Chance(std::uint64_t in_ten_thousand) { return random_.Below(10'000) < in_ten_thousand; }
  NodeId AnyNode() {
    const std::vector<NodeId> ids = cluster_.ids();
    return ids[random_.Below(ids.size())];
  }

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
      const NodeId reader = random_.Below(2) == 0 ? id : AnyLeader();
      static_cast<void>(cluster_.Read(reader, ++reads_, random_.Below(2) == 0).ok());
    } else if (choice < 99) {
      cluster_.FlushApplied(id);
    } else {
      cluster_.PeerUnreachable(id, AnyNode());
    }
  }

  /// Clocks run at different speeds: now all, now one alone. With leases no further apart than the
  /// clock error that these allow for.
  void Tick(NodeId id) {
    const Duration by = milliseconds(random_.Below(weather_.max_tick_ms + 1));
    const raft::Options& raft = cluster_.options().raft;
    if (raft.lease_reads) {
      const auto error = static_cast<std::int64_t>(raft.clock_error_percent);
      for (NodeId each : cluster_.ids()) {
        const std::int64_t slope = static_cast<std::int64_t>(each.value % 3) - 1;
        cluster_.Tick(each, by * (100 + slope * error) / 100);
      }
    } else if (random_.Below(3) == 0) {
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
      const NodeId id = AnyNode();
      cluster_.Crash(id, random_.Below(2) == 0, random_.Below(2) == 0);
      if (Chance(weather_.lose_tail) && !cluster_.node(id).up() && MayLose(id)) {
        cluster_.LoseTail(id, 1 + random_.Below(6));
        lost_tails_ += cluster_.node(id).disk().suspect ? 1 : 0;
      }
    }
    if (Chance(weather_.change)) Change();
    if (Chance(weather_.transfer)) {
      const NodeId to = random_.Below(2) == 0 ? kNobody : AnyNode();
      if (cluster_.Transfer(AnyLeader(), to).ok()) ++transferred_;
    }
    if (Chance(weather_.compact)) {
      const NodeId id = AnyNode();
      cluster_.FlushApplied(id);
      cluster_.Compact(id, Index(random_.Below(cluster_.node(id).disk().applied.value + 1)));
    }
    if (Chance(500)) cluster_.SendSnapshot(AnyLeader());
    if (Chance(500) && !cluster_.offers().empty()) {
      cluster_.DeliverSnapshot(random_.Below(1000), Chance(weather_.duplicate));
      ++installed_;
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

  /// Without it, and without those that are suspect already, each configuration that may be in
  /// force somewhere must have its quorums: else the cluster waits for ever, as it should.
  bool MayLose(NodeId loser) {
    const auto sound = [&](NodeId id) { return id != loser && !cluster_.node(id).disk().suspect; };
    for (NodeId id : cluster_.ids()) {
      auto configurations = cluster_.node(id).disk().Configurations();
      if (cluster_.node(id).up()) {
        configurations.emplace_back(Index(), cluster_.node(id).core().configuration());
      }
      for (const auto& [index, configuration] : configurations) {
        if (configuration.members.empty()) continue;
        if (!MakesQuorum(configuration, raft::Purpose::kCommit, sound) ||
            !MakesQuorum(configuration, raft::Purpose::kElection, sound)) {
          return false;
        }
      }
    }
    return true;
  }

  raft::Member NewMember(bool learner) {
    raft::Member member;
    member.id = NodeId(++next_id_);
    member.name = "n" + std::to_string(next_id_);
    member.address = "127.0.0.1:" + std::to_string(7000 + next_id_);
    member.learner = learner;
    member.promote = learner && random_.Below(2) == 0;
    if (random_.Below(2) == 0) member.zone = "a";
    return member;
  }

  /// Anything, also what is invalid: it is refused.
  void Change() {
    const NodeId leader = AnyLeader();
    for (NodeId id : cluster_.ids()) {
      if (cluster_.node(id).disk().suspect) return;  // see MayLose
    }
    if (!cluster_.node(leader).up()) return;
    raft::MembershipChange change;
    const std::uint64_t how_wild = random_.Below(4) == 0 ? 6 : 16;
    for (const raft::Member& member : cluster_.node(leader).core().configuration().members) {
      const std::uint64_t what = random_.Below(how_wild);
      if (what == 0) change.remove.push_back(member.id);
      if (what == 1 && !member.learner) change.demote.push_back(member.id);
      if (what <= 3 && member.learner) change.promote.push_back(member.id);
    }
    for (int i = 0; i < 2 && next_id_ < 20; ++i) {
      if (random_.Below(3) != 0) continue;
      change.add.push_back(NewMember(random_.Below(4) != 0));
    }
    if (random_.Below(8) == 0) change.quorum = raft::QuorumRule{};
    if (random_.Below(8) == 0) change.quorum = raft::QuorumRule{raft::QuorumKind::kZones, 0, 0};
    if (!cluster_.Change(leader, change).ok()) {
      next_id_ -= change.add.size();
      return;
    }
    ++changed_;
    for (const raft::Member& member : change.add) cluster_.AddNode(member.id);
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
  std::uint64_t next_id_;
  std::uint64_t changed_ = 0;
  std::uint64_t transferred_ = 0;
  std::uint64_t lost_tails_ = 0;
  std::uint64_t installed_ = 0;
};

struct Total {
  std::uint64_t committed = 0;
  std::uint64_t accepted = 0;
  std::uint64_t changed = 0;
  std::uint64_t transferred = 0;
  std::uint64_t lost_tails = 0;
  std::uint64_t installed = 0;
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
  total.changed += run.changed();
  total.transferred += run.transferred();
  total.lost_tails += run.lost_tails();
  total.installed += run.installed();
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
  std::cout << total.committed << " committed, " << total.changed << " changes, "
            << total.transferred << " transfers, " << total.installed << " snapshots, "
            << total.lost_tails << " lost tails\n";
  EXPECT_GT(total.changed * 20, count);
  if (nodes < 3) return;
  EXPECT_GT(total.transferred * 20, count);
  EXPECT_GT(total.installed * 20, count);
  EXPECT_GT(total.lost_tails * 40, count);
}

TEST(RaftRandom, OneMember) { RunSeeds(1, 100, 1500); }
TEST(RaftRandom, TwoMembers) { RunSeeds(2, 300, 3000); }
TEST(RaftRandom, ThreeMembers) { RunSeeds(3, 1000, 4000); }
TEST(RaftRandom, FiveMembers) { RunSeeds(5, 600, 6000); }

}  // namespace
}  // namespace raftkv::test
