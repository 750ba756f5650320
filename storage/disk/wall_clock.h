// What does this machine's clock say, and can it be right?
#pragma once

#include <cstdint>

#include <raftkv/status.h>

namespace raftkv::storage {

/// Milliseconds since 1970; 0 before that.
std::uint64_t WallTimeMs();

/// Points in time are written down as milliseconds since 1970, which is when a machine without a
/// battery believes to be. InvalidArgument: its clock stands before that.
Status CheckWallClock();

}  // namespace raftkv::storage
