// How far is a store, as its users see it? (docs/data-model.md)
#pragma once

#include <cstdint>

namespace raftkv::kv {

/// Of a store in which nothing was ever changed.
inline constexpr std::uint64_t kFirstRevision = 1;

struct Revisions {
  std::uint64_t revision = kFirstRevision;
  /// Revisions below it are no longer available; 0: nothing was compacted.
  std::uint64_t compacted = 0;
};

}  // namespace raftkv::kv
