// Do the partitions of the stand-in for Maelstrom cut what their names say?
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/maelstrom/maelstrom_nemesis.h"

namespace raftkv::test::maelstrom {
namespace {

bool Hears(const Partition& partition, std::size_t hearer, std::size_t from) {
  return partition.cut.count({from, hearer}) == 0;
}

class MaelstromPartition : public testing::TestWithParam<std::size_t> {
 protected:
  static constexpr int kDraws = 50;
  static constexpr std::size_t kLeader = 1;

  Partition Draw(PartitionKind kind) { return DrawPartition(kind, GetParam(), kLeader, random_); }

  Random random_{1};
};

TEST_P(MaelstromPartition, LeavesAMajorityWhole) {
  for (int i = 0; i < kDraws; ++i) {
    for (const auto kind : {PartitionKind::kHalves, PartitionKind::kOneNode, PartitionKind::kOneWay,
                            PartitionKind::kLeader}) {
      const Partition partition = Draw(kind);
      const std::size_t apart = kind == PartitionKind::kHalves ? (GetParam() - 1) / 2 : 1;
      EXPECT_EQ(partition.majority.size(), GetParam() - apart) << Name(kind);
      for (const std::size_t a : partition.majority) {
        for (const std::size_t b : partition.majority) EXPECT_TRUE(Hears(partition, a, b));
      }
      const std::size_t both_ways = 2 * apart * (GetParam() - apart);
      EXPECT_EQ(partition.cut.size(), kind == PartitionKind::kOneWay ? both_ways / 2 : both_ways);
    }
  }
}

TEST_P(MaelstromPartition, OfTheLeaderLeavesItAlone) {
  for (int i = 0; i < kDraws; ++i) {
    for (const std::size_t node : Draw(PartitionKind::kLeader).majority) EXPECT_NE(node, kLeader);
  }
}

TEST_P(MaelstromPartition, OfOneWayMakesOneNodeDeafOrMute) {
  int deaf = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Partition partition = Draw(PartitionKind::kOneWay);
    std::set<std::size_t> senders;
    std::set<std::size_t> hearers;
    for (const auto& [from, to] : partition.cut) {
      senders.insert(from);
      hearers.insert(to);
    }
    EXPECT_EQ(std::min(senders.size(), hearers.size()), 1U);
    deaf += hearers.size() == 1 ? 1 : 0;
  }
  EXPECT_GT(deaf, 0);
  EXPECT_LT(deaf, kDraws);
}

TEST_P(MaelstromPartition, OfARingGivesEachAMajorityOfItsOwn) {
  for (int i = 0; i < kDraws; ++i) {
    const Partition partition = Draw(PartitionKind::kMajorityRing);
    std::set<std::set<std::size_t>> heard;
    for (std::size_t hearer = 0; hearer < GetParam(); ++hearer) {
      std::set<std::size_t> by_one;
      for (std::size_t from = 0; from < GetParam(); ++from) {
        if (Hears(partition, hearer, from)) by_one.insert(from);
      }
      EXPECT_EQ(by_one.size(), GetParam() / 2 + 1);
      EXPECT_EQ(by_one.count(hearer), 1U);
      heard.insert(by_one);
    }
    EXPECT_EQ(heard.size(), GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(Nodes, MaelstromPartition, testing::Values(3, 5));

}  // namespace
}  // namespace raftkv::test::maelstrom
