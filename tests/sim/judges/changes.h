// Did what operators were told of changes of the members come true?
//
// Ok: the change stands in a committed configuration. A definite failure: nothing happened, so
// nobody comes, goes or gets a vote without a call that may have done it. And every call ends.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "tests/sim/cluster/host.h"
#include "tests/sim/faults/faults.h"

namespace raftkv::sim {

class Changes {
 public:
  explicit Changes(World& world) : world_(world) {}

  /// What `host` is asked for now; the number is for Ended().
  std::size_t Begin(Fault kind, const Host& host, const std::string& name);
  void Ended(std::size_t number, const Status& status);

  /// At the end of the run.
  void CompareWithLog();

 private:
  struct Change {
    Fault kind{};
    const Host* host = nullptr;
    std::uint32_t epoch = 0;
    std::string name;
    Index configuration;  ///< the last that was committed when it was asked for
    bool ended = false;
    bool failed = false;  ///< and nothing happened
  };
  [[nodiscard]] bool CameTrue(const Change& change) const;
  [[nodiscard]] int MayHaveHappened(Fault kind, const std::string& name) const;

  World& world_;
  std::vector<Change> changes_;
};

}  // namespace raftkv::sim
