// How does a member of a new cluster start from a backup?
//
// No other machine is contacted, so that every member can be restored where it will run: the ids of
// cluster and members follow from the backup and the list of members. The folder is built in place,
// since it may be a mounted volume, or in a parent that is not the user's. The first step creates
// the file `restoring` in it, which keeps any member from opening it; the last one renames that
// file, which is the record by then. So the folder is valid as a whole or not at all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/backup.h>

#include "lib/node/ports.h"
#include "lib/raft/types.h"

namespace raftkv::storage {

struct RestorePlan {
  std::string file;
  std::string dir;
  /// Of one of `members`.
  std::string name;
  /// Voters all of them: name, address and zone; the ids are found here.
  std::vector<raft::Member> members;
  raft::QuorumRule quorum;
  /// Of the backup, if it is sealed, and of the folder; empty: neither is encrypted.
  std::string key_file;
  BackupProgressCallback progress;
  node::LogSink log_sink;
};

/// The new configuration: the same for the same backup, members and quorum. InvalidArgument: such a
/// cluster is not possible.
Result<raft::Configuration> NewCluster(std::uint64_t backup_id, std::vector<raft::Member> members,
                                       const raft::QuorumRule& quorum);

/// Errors: see raftkv::Restore. What an interrupted restore left is removed by the next one.
Result<BackupInfo> RestoreMember(rocksdb::Env& env, RestorePlan plan);

}  // namespace raftkv::storage
