// How many bytes has the log from each index on?
//
// Entries gather into marks of about 64 KiB, so that a long log costs little memory; what is asked
// for is right within a mark. Owned by one thread.
#pragma once

#include <cstdint>
#include <deque>

#include "lib/base/ids.h"

namespace raftkv::storage {

class LogSizes {
 public:
  /// Entries come in order.
  void Append(Index index, std::uint64_t bytes);
  /// The entries from `first` on are gone.
  void TruncateFrom(Index first);
  /// The entries up to `through` are gone.
  void Compact(Index through);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  /// The last entry that has to go so that at most `bytes` are left; 0: none.
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
