// Can this machine's clock be right?
#pragma once

#include <raftkv/status.h>

namespace raftkv::cmd {

/// Points in time are written down as milliseconds since 1970, which is when a machine without a
/// battery believes to be. InvalidArgument: its clock stands before that.
Status CheckClock();

}  // namespace raftkv::cmd
