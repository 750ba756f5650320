// How long may a connection of the door keep others waiting?
//
// Patience is counted in looks at even intervals, not in time: a stopped process would see a large
// jump of time.
#pragma once

#include <cstdint>

#include "lib/base/time.h"

namespace raftkv::etcd {

struct ConnectionTicks {
  /// Between two looks.
  Duration interval = std::chrono::seconds(1);
  /// For the first bytes of a connection, and for what every connection begins with.
  std::uint32_t handshake = 5;
  /// Something waits to be sent, and nothing moves: the other side does not read.
  std::uint32_t stuck = 10;
  /// For a message that has begun to arrive; large ones have longer.
  std::uint32_t unfinished = 10;
  /// Nothing was received: the other side is asked for a sign of life.
  std::uint32_t silent = 30;
  /// It has not given one since.
  std::uint32_t answer = 10;
};

/// How many looks in a row something has held.
class TickCount {
 public:
  /// Returns the number of looks, this one included.
  std::uint32_t Look(bool holds) { return count_ = holds ? count_ + 1 : 0; }

 private:
  std::uint32_t count_ = 0;
};

}  // namespace raftkv::etcd
