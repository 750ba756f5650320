#include "tests/support/maelstrom/maelstrom_txn_graph.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace raftkv::test::maelstrom {

void TxnGraph::Add(std::size_t from, std::size_t to, std::string why) {
  if (from != to) edges_[from].push_back({to, std::move(why)});
}

void TxnGraph::AddRealTime(const std::vector<Transaction>& transactions,
                           const std::vector<bool>& part) {
  std::vector<std::size_t> ended;
  for (std::size_t i = 0; i < transactions_; ++i) {
    if (part[i] && transactions[i].outcome == Outcome::kOk) ended.push_back(i);
  }
  std::sort(ended.begin(), ended.end(), [&](std::size_t a, std::size_t b) {
    return transactions[a].ended < transactions[b].ended;
  });
  edges_.resize(transactions_ + ended.size());
  for (std::size_t i = 0; i < ended.size(); ++i) {
    Add(ended[i], transactions_ + i, {});
    if (i + 1 < ended.size()) Add(transactions_ + i, transactions_ + i + 1, {});
  }
  for (std::size_t i = 0; i < transactions_; ++i) {
    if (!part[i]) continue;
    const auto later = std::lower_bound(
        ended.begin(), ended.end(), transactions[i].asked,
        [&](std::size_t each, std::uint64_t asked) { return transactions[each].ended < asked; });
    if (later == ended.begin()) continue;
    Add(transactions_ + static_cast<std::size_t>(later - ended.begin()) - 1, i,
        "ended before #" + std::to_string(i) + " was asked");
  }
}

std::vector<bool> TxnGraph::WithoutOrder() const {
  std::vector<std::size_t> before(edges_.size(), 0);
  for (const auto& edges : edges_) {
    for (const Edge& edge : edges) ++before[edge.to];
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    if (before[i] == 0) ready.push_back(i);
  }
  std::vector<bool> left(edges_.size(), true);
  while (!ready.empty()) {
    const std::size_t node = ready.back();
    ready.pop_back();
    left[node] = false;
    for (const Edge& edge : edges_[node]) {
      if (--before[edge.to] == 0) ready.push_back(edge.to);
    }
  }
  return left;
}

std::vector<TxnGraph::Step> TxnGraph::FindCircle() const {
  const std::vector<bool> left = WithoutOrder();
  std::vector<Step> best;
  for (std::size_t i = 0; i < transactions_; ++i) {
    if (!left[i]) continue;
    std::vector<Step> circle = CircleThrough(i, left);
    if (circle.empty() || (!best.empty() && circle.size() >= best.size())) continue;
    best = std::move(circle);
    if (best.size() == 2) break;  // there is no shorter one
  }
  return best;
}

/// A search for the fewest transactions: the nodes of the chain cost nothing.
std::vector<TxnGraph::Step> TxnGraph::CircleThrough(std::size_t start,
                                                    const std::vector<bool>& left) const {
  struct Visit {
    std::size_t cost = SIZE_MAX;
    std::size_t from = 0;
    const Edge* edge = nullptr;
  };
  std::vector<Visit> visits(edges_.size());
  std::deque<std::pair<std::size_t, std::size_t>> next = {{0, start}};
  while (!next.empty()) {
    const auto [cost, node] = next.front();
    next.pop_front();
    if (node == start && cost > 0) break;
    if (node != start && visits[node].cost < cost) continue;
    for (const Edge& edge : edges_[node]) {
      if (!left[edge.to]) continue;
      const std::size_t then = cost + (IsTransaction(edge.to) ? 1 : 0);
      if (visits[edge.to].cost <= then) continue;
      visits[edge.to] = {then, node, &edge};
      if (IsTransaction(edge.to)) {
        next.emplace_back(then, edge.to);
      } else {
        next.emplace_front(then, edge.to);
      }
    }
  }
  std::vector<Step> circle;
  if (visits[start].edge == nullptr) return circle;
  std::size_t node = start;
  std::string why;
  do {
    const Visit& visit = visits[node];
    if (!visit.edge->why.empty()) why = visit.edge->why;
    node = visit.from;
    if (IsTransaction(node)) circle.push_back({node, why});
  } while (node != start);
  std::reverse(circle.begin(), circle.end());
  return circle;
}

}  // namespace raftkv::test::maelstrom
