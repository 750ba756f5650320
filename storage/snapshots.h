// How is the log kept from growing for ever? What the key-value database has on disk need not stay
// in it.
#pragma once

#include <cstdint>

#include "storage/kv_state_machine.h"
#include "storage/log_store.h"

namespace raftkv::storage {

class Snapshots {
 public:
  /// Both are borrowed.
  Snapshots(LogStore& log, KvStateMachine& machine) : log_(log), machine_(machine) {}

  /// The log's entries up to `through` go, at leisure. They must be applied and flushed.
  void Compact(Index through);
  /// The last entry that would have to go so that the log has at most `bytes`; 0: none.
  [[nodiscard]] Index Beyond(std::uint64_t bytes) const { return log_.Beyond(bytes); }

 private:
  LogStore& log_;
  KvStateMachine& machine_;
};

}  // namespace raftkv::storage
