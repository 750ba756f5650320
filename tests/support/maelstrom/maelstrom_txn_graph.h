// Which transactions must come before which others, and do any of them go round in a circle?
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/maelstrom/maelstrom_txn.h"

namespace raftkv::test::maelstrom {

class TxnGraph {
 public:
  explicit TxnGraph(std::size_t transactions) : transactions_(transactions), edges_(transactions) {}

  /// `why` is told after the name of `from`. One that must come before itself is left out.
  void Add(std::size_t from, std::size_t to, std::string why);
  /// What ended ok comes before what was asked later, among those that take `part`. Each that ended
  /// gets a node in a chain of such nodes, and what is asked follows the last one: as many edges as
  /// there are transactions, not as pairs.
  void AddRealTime(const std::vector<Transaction>& transactions, const std::vector<bool>& part);

  struct Step {
    std::size_t from = 0;
    std::string why;
  };
  /// A circle of as few steps as there is one; empty: there is none.
  [[nodiscard]] std::vector<Step> FindCircle() const;

 private:
  struct Edge {
    std::size_t to = 0;
    std::string why;
  };

  [[nodiscard]] bool IsTransaction(std::size_t node) const { return node < transactions_; }
  /// Those that no order can be given to: circles, and what comes after them.
  [[nodiscard]] std::vector<bool> WithoutOrder() const;
  [[nodiscard]] std::vector<Step> CircleThrough(std::size_t start,
                                                const std::vector<bool>& left) const;

  const std::size_t transactions_;
  std::vector<std::vector<Edge>> edges_;  ///< by node: the transactions, and then the chain
};

}  // namespace raftkv::test::maelstrom
