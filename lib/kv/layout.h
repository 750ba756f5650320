// Which keys does the state machine keep in its engine? (docs/disk-format.md has an example)
//
//   'a'                               applied: index u64, term u64, replicated time ms u64,
//                                     revision u64, compacted revision u64, cluster clock ms u64
//                                     (all big-endian), after a format version byte
//   'd' key          at a revision    data: format version byte, mod_revision, create_revision,
//                                     version and lease as varints, value
//   'c' revision u64 part u32         change set (lib/kv/change_set.h)
//   'l' lease u64                     a lease: format version byte, time to live ms u64, deadline
//   on
//                                     the cluster clock ms u64
//   'k' lease u64 key                 that the key is attached to the lease: format version byte
//   's' session u64                   a session record (lib/kv/session.h)
//   'f'                               eviction floor of sessions
//   'o' name                          a setting of the cluster: format version byte, value as text
//
// Of data the engine keeps the past, of everything else the latest. All that one log entry changes
// is in one Engine::Write together with 'a'.
#pragma once

#include <string>
#include <string_view>

namespace raftkv::kv {

inline constexpr char kAppliedPrefix = 'a';
inline constexpr char kDataPrefix = 'd';
inline constexpr char kChangeSetPrefix = 'c';
inline constexpr char kLeasePrefix = 'l';
inline constexpr char kAttachedPrefix = 'k';
inline constexpr char kSessionPrefix = 's';
inline constexpr char kSettingPrefix = 'o';
inline constexpr char kSessionFloorPrefix = 'f';
/// 1: mod_revision was the log index, and there were no other counts; only in backups.
inline constexpr unsigned char kRecordFormatVersion = 2;
/// Of 'a' alone. 2: without the cluster clock, which was 0.
inline constexpr unsigned char kPositionFormatVersion = 3;

}  // namespace raftkv::kv
