// With what does a new cluster begin that is restored from a backup?
#pragma once

#include <raftkv/status.h>

#include "lib/kv/engine.h"

namespace raftkv::kv {

/// How far the revision jumps. What the old cluster has acknowledged after the backup was made has
/// revisions that must not come again: this is far above what is written between two backups.
inline constexpr std::uint64_t kRestoreJump = 1'000'000'000;

/// Makes `engine`, which holds what a backup has, the beginning of a new store: the revision jumps,
/// and all before it counts as compacted. A function of the backup alone, so that all members that
/// are restored from it are equal. After a failure it has to begin again from the backup.
/// Corruption, VersionMismatch: the backup has a record that makes no sense.
Status BeginFromBackup(Engine& engine);

/// Writes what stands in a backup of format 1 into `engine`, which is empty, as today's records.
Status ConvertFormat1(View& backup, Engine& engine);

}  // namespace raftkv::kv
