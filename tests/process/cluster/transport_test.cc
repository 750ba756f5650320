// Do whole members work over a transport that is not raftkv's own?
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/in_process_network.h>
#include <raftkv/node.h>

#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kPatience(60);

class TransportCluster {
 public:
  explicit TransportCluster(int size, const InProcessNetworkOptions& network = {})
      : network_(network), nodes_(size) {}

  static std::string Name(int member) { return "n" + std::to_string(member + 1); }

  NodeOptions OptionsOf(int member) {
    NodeOptions options;
    options.name = Name(member);
    options.data_dir = folder_ / Name(member);
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      // Whatever the transport understands.
      options.cluster.push_back({Name(i), "the place of " + Name(i)});
    }
    options.transport = network_.NewTransport("the place of " + Name(member));
    options.election_timeout = 150ms;
    options.heartbeat = 30ms;
    options.log_keep_entries = 50;
    options.log_level = LogLevel::kOff;
    options.disk_reserve_bytes = 0;
    return options;
  }
  void Open(int member) {
    auto node = Node::Open(OptionsOf(member));
    ASSERT_TRUE(node.ok()) << node.status().ToString();
    nodes_[member] = *std::move(node);
  }
  void OpenAll() {
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) Open(i);
    for (auto& node : nodes_) ASSERT_TRUE(node->WaitForLeader(kPatience).ok());
  }
  void Close(int member) { nodes_[member].reset(); }
  Node& node(int member) { return *nodes_[member]; }
  InProcessNetwork& network() { return network_; }
  /// The leader as `member` sees it; -1: none.
  int LeaderOf(int member) {
    const std::string leader = node(member).leader();
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      if (Name(i) == leader) return i;
    }
    return -1;
  }
  void Cut(int member) {
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      if (i == member) continue;
      network_.Cut("the place of " + Name(i), "the place of " + Name(member));
      network_.Cut("the place of " + Name(member), "the place of " + Name(i));
    }
  }

 private:
  const TempFolder folder_;
  InProcessNetwork network_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST(Transport, MembersFormAClusterAndServeThroughAnyOfThem) {
  TransportCluster cluster(3);
  cluster.OpenAll();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(cluster.node(i).kv().Put("key " + std::to_string(i), "value").ok());
    EXPECT_TRUE(cluster.node(i).listen_address().empty());
  }
  for (int i = 0; i < 3; ++i) {
    const auto all = cluster.node(i).kv().Scan(KeyRange::Prefix("key "));
    ASSERT_TRUE(all.ok()) << all.status().ToString();
    EXPECT_EQ(all->kvs.size(), 3U);
  }
}

TEST(Transport, AnotherLeadsWhereTheLeaderIsCutOff) {
  TransportCluster cluster(3);
  cluster.OpenAll();
  ASSERT_TRUE(cluster.node(0).kv().Put("a", "1").ok());
  const int old_leader = cluster.LeaderOf(0);
  ASSERT_GE(old_leader, 0);
  cluster.Cut(old_leader);
  const int other = (old_leader + 1) % 3;
  WriteOptions patient;
  patient.timeout = kPatience;
  ASSERT_TRUE(cluster.node(other).kv().Put("a", "2", patient).ok());
  ReadOptions brief;
  brief.timeout = 500ms;
  EXPECT_FALSE(cluster.node(old_leader).kv().Get("a", brief).ok()) << "it cannot know";
  cluster.network().HealAll();
  ReadOptions long_read;
  long_read.timeout = kPatience;
  const auto found = cluster.node(old_leader).kv().Get("a", long_read);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(found->value, "2");
}

TEST(Transport, NothingIsCarriedOutTwiceOverANetworkThatLosesAndDoubles) {
  InProcessNetworkOptions network;
  network.max_delay = 20ms;
  network.loss_percent = 5;
  network.duplicate_percent = 30;
  TransportCluster cluster(3, network);
  cluster.OpenAll();
  std::atomic<int> added{0};
  std::atomic<int> tried{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 6; ++i) {
    writers.emplace_back([&, i] {
      WriteOptions patient;
      patient.timeout = kPatience;
      for (int k = 0; k < 10; ++k) {
        ++tried;
        if (cluster.node(i % 3).kv().Increment("sum", 1, patient).ok()) ++added;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(added, tried) << "there was time enough for each";
  ReadOptions patient;
  patient.timeout = kPatience;
  for (int i = 0; i < 3; ++i) {
    const auto sum = cluster.node(i).kv().Get("sum", patient);
    ASSERT_TRUE(sum.ok()) << sum.status().ToString();
    EXPECT_EQ(sum->value, std::to_string(added));
  }
}

TEST(Transport, AMemberComesBackWithItsFolderAndGetsWhatItMissedAsASnapshot) {
  TransportCluster cluster(3);
  cluster.OpenAll();
  ASSERT_TRUE(cluster.node(0).kv().Put("before", "1").ok());
  cluster.Close(2);
  WriteOptions patient;
  patient.timeout = kPatience;
  const std::string value(20'000, 'v');
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(cluster.node(i % 2).kv().Put("key " + std::to_string(i), value, patient).ok());
  }
  // So that only a snapshot can bring the third up to date.
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    static_cast<void>(cluster.node(0).kv().Put("more", value, patient));
    return cluster.node(0).status().log_first_index > 100 &&
           cluster.node(1).status().log_first_index > 100;
  }));
  cluster.Open(2);
  ASSERT_TRUE(cluster.node(2).WaitForLeader(kPatience).ok());
  ScanOptions scan;
  scan.timeout = kPatience;
  scan.count_only = true;
  const auto count = cluster.node(2).kv().Scan(KeyRange::Prefix("key "), scan);
  ASSERT_TRUE(count.ok()) << count.status().ToString();
  EXPECT_EQ(count->count, 300U);
  EXPECT_GT(cluster.node(2).status().log_first_index, 100U);
}

TEST(Transport, AllMembersMayRestartAtATime) {
  TransportCluster cluster(3);
  cluster.OpenAll();
  WriteOptions patient;
  patient.timeout = kPatience;
  ASSERT_TRUE(cluster.node(1).kv().Put("kept", "1", patient).ok());
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) cluster.Close(i);
    cluster.OpenAll();
  }
  ReadOptions patient_read;
  patient_read.timeout = kPatience;
  const auto kept = cluster.node(2).kv().Get("kept", patient_read);
  ASSERT_TRUE(kept.ok()) << kept.status().ToString();
  EXPECT_EQ(kept->value, "1");
}

TEST(Transport, WrongOptionsAreRefused) {
  TransportCluster cluster(3);
  NodeOptions options = cluster.OptionsOf(0);
  options.listen = "127.0.0.1:0";
  EXPECT_EQ(Node::Open(options).code(), Code::kInvalidArgument);
  options = cluster.OptionsOf(0);
  options.cluster[1].address = "two\nlines";
  EXPECT_EQ(Node::Open(options).code(), Code::kInvalidArgument);
  options = cluster.OptionsOf(0);
  options.transport = nullptr;
  const auto opened = Node::Open(options);
  EXPECT_EQ(opened.code(), Code::kInvalidArgument) << "such addresses are no HOST:PORT";
}

}  // namespace
}  // namespace raftkv::test
