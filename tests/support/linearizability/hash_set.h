// Which of many configurations has a search been in? A set of 128-bit hashes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace raftkv::test::linear {

/// Open addressing, never more than half full.
class HashSet {
 public:
  struct Key {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    bool operator==(const Key&) const = default;
    Key operator^(const Key& other) const { return {a ^ other.a, b ^ other.b}; }
  };
  HashSet() : cells_(256) {}
  /// False if it was there.
  bool Insert(Key key);
  [[nodiscard]] bool Contains(Key key) const;

 private:
  void Grow();
  std::vector<Key> cells_;
  std::size_t size_ = 0;
};

}  // namespace raftkv::test::linear
