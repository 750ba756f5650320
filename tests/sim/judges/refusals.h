// Was what was refused carried out all the same?
//
// A member that says NotLeader, Unavailable, NoSpace or InvalidArgument says that this copy of the
// request was not carried out and will not be. Where all copies of a request that reached members
// were told so, no committed entry may have carried it out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "tests/sim/cluster/host.h"

namespace raftkv::sim {

class Refusals {
 public:
  /// Session and sequence.
  using Key = std::pair<std::uint64_t, std::uint64_t>;

  explicit Refusals(World& world) : world_(world) {}

  /// A copy of `request` is handed to a member.
  Key Asked(const Bytes& request);
  void Ended(const Key& key, const Status& status);

  /// At the end of the run.
  void CompareWithLog();

 private:
  struct Copies {
    std::size_t asked = 0;
    std::size_t refused = 0;
  };

  World& world_;
  std::map<Key, Copies> copies_;
};

}  // namespace raftkv::sim
