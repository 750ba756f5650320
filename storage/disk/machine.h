// What does this machine report: was it restarted, what does its clock show, and can that be right?
#pragma once

#include <cstdint>
#include <string>

#include <raftkv/status.h>

namespace raftkv::storage {

/// The kernel's id of this boot. Empty if the system does not say: then no crash is treated as a
/// power cut.
std::string ReadMachineBoot();

/// Since a folder was written. Only then can a synced file end in a torn write.
inline bool WasRebooted(const std::string& before, const std::string& now) {
  return !before.empty() && !now.empty() && before != now;
}

/// Milliseconds since 1970; 0 before that.
std::uint64_t WallTimeMs();

/// Points in time are stored as milliseconds since 1970, which is where the clock of a machine
/// without a battery starts. InvalidArgument: the clock is before that.
Status CheckWallClock();

}  // namespace raftkv::storage
