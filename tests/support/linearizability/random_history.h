// Where do histories come from whose verdict is known?
//
// Clients whose calls overlap at random, and a store that carries them out one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/base/random.h"
#include "tests/support/linearizability/history.h"

namespace raftkv::test {

struct HistoryShape {
  std::size_t clients = 3;
  std::size_t keys = 2;
  std::size_t operations = 6;
  /// Of the calls, in percent.
  std::uint64_t unknown_percent = 15;
  std::uint64_t failed_percent = 5;
  std::uint64_t batch_percent = 15;
  std::uint64_t range_percent = 15;  ///< multi-gets, scans, deletes of ranges
  std::uint64_t read_percent = 40;   ///< of the rest
  std::uint64_t increment_percent = 15;
  std::uint64_t swap_percent = 15;
  std::uint64_t delete_percent = 15;
  /// Each value is written once (increments apart), or few values come again and again.
  bool unique_values = false;
  /// Batches take neighbours of a key within groups of so many; ranges likewise. 0: all keys.
  std::size_t group = 0;
};

/// What happens, one event after the other: can be changed before it becomes a History.
struct Script {
  enum class Event : std::uint8_t { kInvoke, kOk, kFail, kUnknown };
  struct Line {
    Event event = Event::kInvoke;
    std::size_t call = 0;
    ClientAnswer answer;
  };
  struct Call {
    std::uint32_t client = 0;
    ClientOp op;
  };
  std::vector<Call> calls;
  std::vector<Line> lines;

  [[nodiscard]] History ToHistory() const;
};

/// Linearizable by the way in which it is made.
Script RandomScript(const HistoryShape& shape, Random& random);

/// Changes one answer, or the order of two events; the result may be linearizable or not.
void Mutate(Script& script, Random& random);

}  // namespace raftkv::test
