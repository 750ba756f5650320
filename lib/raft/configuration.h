// How is a configuration written into the log and read back, and which rules does it keep?
#pragma once

#include <string_view>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

inline constexpr std::uint16_t kConfigurationFormatVersion = 2;
inline constexpr std::size_t kMaxMembers = 64;
inline constexpr std::size_t kMaxInvited = 64;

/// Ok if it has a cluster id, at most so many members (one at least, ids ascending and not 0),
/// invitations and removed ids (ascending, none of a member), is joint wherever it says something
/// of an old half, and has safe quorums; else InvalidArgument. Written and read alike.
Status CheckConfiguration(const Configuration& configuration);

/// A Cap'n Proto message (configuration.capnp) as one flat segment table and segments. It must keep
/// the rules.
Bytes EncodeConfiguration(const Configuration& configuration);

/// Corruption if the bytes are not a configuration or break its rules; VersionMismatch if a newer
/// version wrote them.
Result<Configuration> DecodeConfiguration(std::string_view bytes);

}  // namespace raftkv::raft
