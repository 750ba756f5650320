#include "tests/support/maelstrom/maelstrom_nemesis.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

std::vector<std::size_t> Shuffled(std::size_t count, Random& random) {
  std::vector<std::size_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i) std::swap(numbers[i - 1], numbers[random.Below(i)]);
  return numbers;
}

/// The first `count` of `nodes` apart from the others.
Partition Apart(PartitionKind kind, std::size_t count, const std::vector<std::size_t>& nodes) {
  Partition partition;
  partition.kind = kind;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i >= count) partition.majority.push_back(nodes[i]);
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      if ((i < count) != (j < count)) partition.cut.insert({nodes[i], nodes[j]});
    }
  }
  return partition;
}

Partition Ring(const std::vector<std::size_t>& nodes) {
  Partition partition;
  partition.kind = PartitionKind::kMajorityRing;
  const std::size_t majority = nodes.size() / 2 + 1;
  for (std::size_t first = 0; first < nodes.size(); ++first) {
    const std::size_t hearer = nodes[(first + majority / 2) % nodes.size()];
    for (std::size_t i = majority; i < nodes.size(); ++i) {
      partition.cut.insert({nodes[(first + i) % nodes.size()], hearer});
    }
  }
  return partition;
}

Partition OneWay(const std::vector<std::size_t>& nodes, bool deaf) {
  Partition partition = Apart(PartitionKind::kOneWay, 1, nodes);
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    partition.cut.erase(deaf ? Link(nodes[0], nodes[i]) : Link(nodes[i], nodes[0]));
  }
  return partition;
}

}  // namespace

const char* Name(PartitionKind kind) {
  switch (kind) {
    case PartitionKind::kHalves: return "halves";
    case PartitionKind::kMajorityRing: return "ring";
    case PartitionKind::kOneNode: return "one node";
    case PartitionKind::kOneWay: return "one way";
    case PartitionKind::kLeader: return "leader";
  }
  return "";
}

Partition DrawPartition(PartitionKind kind, std::size_t nodes, std::size_t leader, Random& random) {
  std::vector<std::size_t> order = Shuffled(nodes, random);
  if (kind == PartitionKind::kLeader) {
    std::iter_swap(order.begin(), std::find(order.begin(), order.end(), leader));
  }
  switch (kind) {
    case PartitionKind::kHalves: return Apart(kind, (nodes - 1) / 2, order);
    case PartitionKind::kMajorityRing: return Ring(order);
    case PartitionKind::kOneNode:
    case PartitionKind::kLeader: return Apart(kind, 1, order);
    case PartitionKind::kOneWay: return OneWay(order, random.Below(2) == 0);
  }
  return {};
}

Nemesis::Nemesis(NemesisOptions options, Network& network)
    : options_(std::move(options)), network_(network), random_(options_.seed) {
  network_.set_log_line([this](std::size_t node, const std::string& line) {
    if (line.find(kLeads) != std::string::npos) leader_ = node;
  });
}

void Nemesis::Start() {
  active_ = true;
  Scheduler& scheduler = network_.scheduler();
  if (options_.partition_every.count() > 0 && network_.size() > 1) {
    const auto quiet = options_.partition_every - options_.partition_for;
    RAFTKV_CHECK(quiet >= Milliseconds(0), options_.partition_for.count());
    scheduler.After(quiet, [this] { BeginPartition(); });
  }
  if (options_.restart_every.count() > 0) {
    scheduler.After(options_.restart_every, [this] { RestartSome(); });
  }
}

void Nemesis::BeginPartition() {
  if (!active_) return;
  const auto kind = options_.kinds.empty()
                        ? static_cast<PartitionKind>(random_.Below(kPartitionKinds))
                        : options_.kinds[random_.Below(options_.kinds.size())];
  const Partition partition = DrawPartition(kind, network_.size(), leader_, random_);
  network_.Cut(partition.cut);
  if (observe_) observe_(&partition);
  network_.scheduler().After(options_.partition_for, [this] { Heal(); });
  network_.scheduler().After(options_.partition_every, [this] { BeginPartition(); });
}

void Nemesis::Heal() {
  if (!active_) return;
  network_.Cut({});
  if (observe_) observe_(nullptr);
}

void Nemesis::RestartSome() {
  if (!active_) return;
  constexpr std::uint64_t kAllPercent = 15;
  if (random_.Below(100) < kAllPercent) {
    for (std::size_t node = 0; node < network_.size(); ++node) Restart(node);
  } else {
    Restart(random_.Below(network_.size()));
  }
  network_.scheduler().After(options_.restart_every, [this] { RestartSome(); });
}

void Nemesis::Restart(std::size_t node) {
  if (!network_.IsRunning(node)) return;
  network_.Kill(node);
  const Milliseconds down(
      random_.Below(1 + static_cast<std::uint64_t>(options_.restart_every.count() / 2)));
  network_.scheduler().After(down, [this, node] { network_.Start(node); });
}

void Nemesis::Stop() {
  Heal();
  active_ = false;
}

}  // namespace raftkv::test::maelstrom
