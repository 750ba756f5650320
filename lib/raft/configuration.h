// How is a configuration written into the log and read back?
#pragma once

#include <string_view>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

inline constexpr std::uint16_t kConfigurationFormatVersion = 1;
inline constexpr std::size_t kMaxMembers = 64;

/// A Cap'n Proto message (configuration.capnp) as one flat segment table and segments.
Bytes EncodeConfiguration(const Configuration& configuration);

/// Corruption if the bytes are not a configuration or break its rules (ids unique and not 0,
/// sorted); VersionMismatch if a newer version wrote them.
Result<Configuration> DecodeConfiguration(std::string_view bytes);

}  // namespace raftkv::raft
