// Do nodes that speak the protocol of Maelstrom keep their promises through one run with faults?
//
// The project's own stand-in for Maelstrom (docs/testing.md): real processes, and a simulated
// network between them. The faults follow from a seed, but the processes run in real time, so the
// same seed is the same plan, not the same run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/maelstrom/maelstrom_clients.h"
#include "tests/support/maelstrom/maelstrom_nemesis.h"
#include "tests/support/maelstrom/maelstrom_network.h"

namespace raftkv::test::maelstrom {

struct RunOptions {
  std::string workload = "lin-kv";
  Milliseconds duration{10'000};
  /// How long anything may take at the start and the end; only what is stuck takes that long.
  Milliseconds patience{60'000};
  NetworkOptions network;
  /// A timeout of 0: a second, or ten latencies, as the real one has it.
  ClientOptions clients = {.timeout = Milliseconds(0)};
  NemesisOptions nemesis;

  /// All that is drawn follows from this.
  void SetSeed(std::uint64_t seed);
};

/// How long the majority's side of a partition was without answers.
struct Silence {
  PartitionKind kind = PartitionKind::kHalves;
  Milliseconds partition{0};  ///< how long it lasted
  /// From its start to the first request since then that was answered ok, at the last of the nodes.
  std::optional<Milliseconds> silence;
};

/// Of some requests, how many were answered, be it by "there is no such key".
struct Answered {
  std::uint64_t requests = 0;
  std::uint64_t answered = 0;

  void Add(bool was_answered) {
    ++requests;
    answered += was_answered ? 1 : 0;
  }
  [[nodiscard]] double percent() const {
    return requests == 0 ? 0 : 100 * static_cast<double>(answered) / static_cast<double>(requests);
  }
};

struct RunReport {
  Counts counts;
  /// Of each node; all but one of them, at most, are followers.
  std::vector<Answered> reads;
  /// What could be answered: from its sending to its timeout its node was on the side of a majority
  /// or there was no partition. What falls into an election counts, and so does a one-way partition
  /// for the nodes that it does not cut off; rings, where no majority hears each other, do not.
  Answered answerable;
  double seconds = 0;  ///< of asking
  std::uint64_t messages = 0;
  std::vector<double> latencies_ms;  ///< of what ended ok, in order
  std::vector<Silence>
      silences;  ///< of each partition with a majority, if it has not been cut short
  std::vector<std::string> problems;

  [[nodiscard]] double ok_percent() const;
  /// Below `share` of the latencies; 0 without any.
  [[nodiscard]] double LatencyMs(double share) const;
  /// All problems, for a reader.
  [[nodiscard]] std::string Problems() const;
};

RunReport RunMaelstrom(RunOptions options);

}  // namespace raftkv::test::maelstrom
