#include "tests/support/linearizability/hash_set.h"

namespace raftkv::test::linear {

bool HashSet::Insert(Key key) {
  if (key == Key{}) key.a = 1;
  if (size_ * 2 >= cells_.size()) Grow();
  const std::size_t last = cells_.size() - 1;
  for (std::size_t i = key.a & last;; i = (i + 1) & last) {
    if (cells_[i] == key) return false;
    if (cells_[i] == Key{}) {
      cells_[i] = key;
      ++size_;
      return true;
    }
  }
}

bool HashSet::Contains(Key key) const {
  if (key == Key{}) key.a = 1;
  const std::size_t last = cells_.size() - 1;
  for (std::size_t i = key.a & last;; i = (i + 1) & last) {
    if (cells_[i] == key) return true;
    if (cells_[i] == Key{}) return false;
  }
}

void HashSet::Grow() {
  std::vector<Key> old(cells_.size() * 2);
  old.swap(cells_);
  size_ = 0;
  for (const Key& key : old) {
    if (!(key == Key{})) Insert(key);
  }
}

}  // namespace raftkv::test::linear
