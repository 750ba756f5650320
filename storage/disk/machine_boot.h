// Was the machine restarted since a folder was written? Only then can a synced file end in a torn
// write.
#pragma once

#include <string>

namespace raftkv::storage {

/// The kernel's id of this boot. Empty where the system does not say: then no crash is taken for a
/// power cut.
std::string ReadMachineBoot();

inline bool WasRebooted(const std::string& before, const std::string& now) {
  return !before.empty() && !now.empty() && before != now;
}

}  // namespace raftkv::storage
