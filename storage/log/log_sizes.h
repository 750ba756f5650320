// How many bytes does the log have from each index on?
//
// Entries are grouped into marks of about 64 KiB, so that a long log costs little memory; results
// are exact to within a mark. Owned by one thread.
#pragma once

#include <cstdint>
#include <deque>

#include "lib/base/ids.h"

namespace raftkv::storage {

class LogSizes {
 public:
  /// Entries are added in order.
  void Append(Index index, std::uint64_t bytes);
  /// The entries from `first` on were removed.
  void TruncateFrom(Index first);
  /// The entries up to `through` were removed.
  void Compact(Index through);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  /// The last entry to remove so that at most `bytes` are left; 0: none.
  [[nodiscard]] Index Beyond(std::uint64_t bytes) const;

 private:
  static constexpr std::uint64_t kMarkBytes = 64 << 10;
  struct Mark {
    Index first;
    Index last;
    std::uint64_t bytes = 0;
  };
  std::deque<Mark> marks_;
  std::uint64_t total_ = 0;
};

}  // namespace raftkv::storage
