// How far is a store, as its users see it? (docs/data-model.md)
#pragma once

#include <cstdint>
#include <string>

#include <raftkv/status.h>

#include "lib/kv/refusals.h"

namespace raftkv::kv {

/// Of a store in which nothing was ever changed.
inline constexpr std::uint64_t kFirstRevision = 1;

struct Revisions {
  std::uint64_t revision = kFirstRevision;
  /// Revisions below it are no longer available; 0: nothing was compacted.
  std::uint64_t compacted = 0;
};

inline Status FutureRevision(std::uint64_t asked, std::uint64_t revision) {
  return {Code::kInvalidArgument, ("revision " + std::to_string(asked))
                                      .append(kIsAFutureRevision)
                                      .append(": the store is at ")
                                      .append(std::to_string(revision))};
}

inline Status CompactedStatus(std::uint64_t asked, std::uint64_t lowest) {
  return {Code::kCompacted, "revision " + std::to_string(asked) +
                                " has been compacted: the lowest one that can be read is " +
                                std::to_string(lowest)};
}

}  // namespace raftkv::kv
