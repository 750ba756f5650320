// How does a member of a new cluster begin with what a backup holds?
//
// Nobody is asked, so that every member can be restored where it will run: ids of cluster and
// members follow from the backup and from who the members are to be. The folder is built in its
// place, which may be a mounted volume, or in a folder that is not the user's. The first step puts
// the file `restoring` into it, and with that no member opens it; the last one renames that file,
// which is the record by then: the folder is valid whole or not at all.
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

/// Who will take part: the same for the same backup, members and quorum. InvalidArgument: such a
/// cluster cannot be.
Result<raft::Configuration> NewCluster(std::uint64_t backup_id, std::vector<raft::Member> members,
                                       const raft::QuorumRule& quorum);

/// Errors: see raftkv::Restore. What a restore left that was cut short the next one removes.
Result<BackupInfo> RestoreMember(rocksdb::Env& env, RestorePlan plan);

}  // namespace raftkv::storage
