// Which pairs of a range does a read show, and in which order?
//
// In the order of the keys pairs are taken as they come. Any other order needs all of them: the
// Sorter keeps those that are shown, which are bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/kv/record.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// Whether a pair with these counts lies within the bounds of `order`.
bool Passes(const Order& order, const Counts& counts);

/// The first pairs of a range, in an order that is not that of the keys.
class Sorter {
 public:
  struct Pair {
    std::string key;
    std::string value;
    Counts counts;
    std::size_t bytes = 0;
  };

  /// Keeps the first `limit` pairs of all that are added (0: all of them), and not more than
  /// `max_bytes`, or one pair.
  Sorter(const Order& order, std::uint64_t limit, std::size_t max_bytes)
      : order_(order), limit_(limit), max_bytes_(max_bytes) {}

  /// `bytes`: what the pair counts for. False: those that have to be kept are too many.
  [[nodiscard]] bool Add(std::string_view key, std::string_view value, const Counts& counts,
                         std::size_t bytes);
  /// In order. Nothing is added afterwards.
  std::vector<Pair> Take();
  /// How many were added.
  [[nodiscard]] std::uint64_t added() const { return added_; }

 private:
  const Order order_;
  const std::uint64_t limit_;
  const std::size_t max_bytes_;
  std::uint64_t added_ = 0;
  std::size_t bytes_ = 0;
  /// With a limit a heap, the last one at its top.
  std::vector<Pair> kept_;
};

}  // namespace raftkv::kv
