// How is a configuration encoded in the log and decoded, and which rules does it obey?
#pragma once

#include <string_view>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::raft {

inline constexpr std::uint16_t kConfigurationFormatVersion = 2;
inline constexpr std::size_t kMaxMembers = 64;
inline constexpr std::size_t kMaxInvited = 64;

/// Ok if it has a cluster id; members (at least one, ids ascending and not 0), invitations and
/// removed ids (ascending, none of a member) within their limits; no data of an old half unless it
/// is joint; and safe quorums. Otherwise InvalidArgument. Checked when writing and when reading.
Status CheckConfiguration(const Configuration& configuration);

/// A Cap'n Proto message (configuration.capnp) as one flat segment table and segments. It must obey
/// the rules.
Bytes EncodeConfiguration(const Configuration& configuration);

/// Corruption if the bytes are not a configuration or break its rules; VersionMismatch if a newer
/// version wrote them.
Result<Configuration> DecodeConfiguration(std::string_view bytes);

}  // namespace raftkv::raft
