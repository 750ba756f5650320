// What happened in a run, in numbers? Plain numbers, so that processes can add theirs up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/sim/faults/faults.h"

namespace raftkv::sim {

enum class OpKind : std::uint8_t {
  kPut,
  kGet,
  kLocalGet,
  kLeaseGet,
  kBoundedGet,
  kDelete,
  kCompareAndSwap,
  kIncrement,
  kBatch,
  kScan,
  kCountKeys,
  kGetMany,
  kDeleteRange,
  kTxn,
  kReadTxn,
  kLeasedWrite,
  kLeaseCall,
  kRaw,
  kCount
};
enum class OpOutcome : std::uint8_t { kOk, kFailed, kUnknown, kCount };

inline const char* OpName(OpKind kind) {
  static constexpr const char* kNames[] = {
      "put",          "get",       "local get",     "lease get",    "bounded get", "delete",
      "cas",          "increment", "batch",         "scan",         "count",       "multi-get",
      "delete range", "txn",       "read-only txn", "leased write", "lease call",  "raw request"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// What watchers see, and do.
enum class WatchCount : std::uint8_t {
  kWatches,
  kPages,
  kPagesWithin,
  kEvents,
  kParts,
  kProgress,
  kLogReads,
  kMoves,
  kReconnects,
  kCompacted,
  kCount
};

inline const char* WatchCountName(WatchCount what) {
  static constexpr const char* kNames[] = {"watches",
                                           "pages",
                                           "pages that end within a revision",
                                           "events",
                                           "revisions told in parts",
                                           "progress notices",
                                           "pages from the log of events",
                                           "resumed at another member",
                                           "resumed by another session",
                                           "ended as compacted"};
  return kNames[static_cast<std::size_t>(what)];
}

struct Stats {
  static constexpr std::size_t kOpKinds = static_cast<std::size_t>(OpKind::kCount);
  static constexpr std::size_t kOutcomes = static_cast<std::size_t>(OpOutcome::kCount);
  static constexpr std::size_t kWatchCounts = static_cast<std::size_t>(WatchCount::kCount);

  std::uint64_t seeds = 0;
  std::uint64_t virtual_ns = 0;
  std::uint64_t events = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t messages = 0;
  std::uint64_t elections = 0;
  std::uint64_t entries = 0;
  std::uint64_t gave_up = 0;          ///< histories that were too hard to judge
  std::uint64_t node_ns = 0;          ///< virtual time, once for each member
  std::uint64_t fault_steps = 0;      ///< that the nemesis took
  std::uint64_t operation_steps = 0;  ///< that the clients took
  std::uint64_t operations[kOpKinds][kOutcomes] = {};
  std::uint64_t faults[kFaultKinds] = {};
  std::uint64_t watches[kWatchCounts] = {};

  void Count(Fault fault) { ++faults[static_cast<std::size_t>(fault)]; }
  void Count(WatchCount what, std::uint64_t times = 1) {
    watches[static_cast<std::size_t>(what)] += times;
  }
  void Count(OpKind kind, OpOutcome outcome) {
    ++operations[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)];
  }
  [[nodiscard]] std::uint64_t Of(OpKind kind, OpOutcome outcome) const {
    return operations[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)];
  }
  void Add(const Stats& other) {
    seeds += other.seeds;
    virtual_ns += other.virtual_ns;
    events += other.events;
    cpu_ns += other.cpu_ns;
    messages += other.messages;
    elections += other.elections;
    entries += other.entries;
    gave_up += other.gave_up;
    node_ns += other.node_ns;
    fault_steps += other.fault_steps;
    operation_steps += other.operation_steps;
    for (std::size_t i = 0; i < kOpKinds; ++i) {
      for (std::size_t k = 0; k < kOutcomes; ++k) operations[i][k] += other.operations[i][k];
    }
    for (std::size_t i = 0; i < kFaultKinds; ++i) faults[i] += other.faults[i];
    for (std::size_t i = 0; i < kWatchCounts; ++i) watches[i] += other.watches[i];
  }
};

}  // namespace raftkv::sim
