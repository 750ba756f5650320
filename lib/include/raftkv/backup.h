// How is the content of a cluster kept in one file, and how does a new cluster begin with it?
//
// Node::Backup and Client::Backup write such a file while the cluster works on: the state of one
// member at one index. It is a tar archive, compressed with zstd, that `tar --zstd -tvf` lists
// (docs/disk-format.md). Restore builds the data folder of one member of a new cluster from it; the
// same file and the same list of members give folders that belong together, on whichever machines
// they are built. Members of the old cluster are refused by those of the new one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <raftkv/cluster.h>
#include <raftkv/node.h>
#include <raftkv/status.h>

namespace raftkv {

struct BackupProgress {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;  ///< 0: not known yet
};
/// Called now and then on the calling thread; false: stop, and leave nothing behind (Cancelled).
/// The rules are those of <raftkv/kv.h>.
using BackupProgressCallback = std::function<bool(const BackupProgress&)>;

struct BackupOptions {
  /// Client::Backup: for finding a member that gives one; Node::Backup does not use it. The backup
  /// itself takes as long as it gets on.
  std::chrono::milliseconds timeout{5000};
  BackupProgressCallback progress;
  /// Encrypts the backup, and lets every change of it be noticed (AES-256-GCM), with the key in
  /// this file (NodeOptions::encryption_key_file says how it looks). Empty: Client::Backup does not
  /// encrypt, Node::Backup takes the key of its own data folder, if that has one.
  std::string encryption_key_file;
};

/// What a backup says of itself.
struct BackupInfo {
  std::uint64_t index = 0;  ///< everything up to this index of the log is in it, and no more
  std::uint64_t term = 0;   ///< of the entry there
  std::uint64_t keys = 0;
  /// As in EndpointStatus: equal to that of a member at the same index.
  std::uint64_t content_hash = 0;
  std::uint64_t data_bytes = 0;  ///< of the files in it, which a restored data folder begins with
  std::uint64_t file_bytes = 0;  ///< of the backup
  std::uint64_t backup_id = 0;
  std::uint64_t created_ms = 0;  ///< since 1970, by the clock of who wrote it
  // Where it was made.
  std::uint64_t cluster_id = 0;
  std::uint64_t member_id = 0;
  std::string member;
  std::vector<ClusterMember> members;
};

/// Reads all of `file` and verifies every checksum. Errors: IOError, Corruption (damaged, cut off,
/// or no backup), VersionMismatch (a newer format), PermissionDenied (it is encrypted, and not with
/// the key in `encryption_key_file`), Cancelled.
Result<BackupInfo> ReadBackup(const std::string& file, const BackupProgressCallback& progress = {},
                              const std::string& encryption_key_file = {});

struct RestoreOptions {
  std::string file;
  /// Must not exist yet, or be an empty folder (a mounted volume, for example), or be what a
  /// restore left that was cut short.
  std::string data_dir;
  /// Which of `cluster` this data folder is for.
  std::string name;
  /// All members of the new cluster, voters all of them.
  std::vector<MemberAddress> cluster;
  QuorumOptions quorum;
  /// For QuorumOptions::Kind::kZones: the zone of each member, by its name.
  std::map<std::string, std::string> zones;
  BackupProgressCallback progress;
  /// The key of the backup, if it is encrypted, and of the data folder, which then is as well;
  /// `raftkv rekey` gives that another one. Empty: neither is encrypted.
  std::string encryption_key_file;
};

/// Builds the data folder, which becomes valid with the last step; cut short, it is opened by no
/// member, and the same call builds it again. Errors: those of ReadBackup;
/// InvalidArgument (options), PermissionDenied (the data folder holds something), Unavailable
/// (another restore is at it), NoSpace.
Result<BackupInfo> Restore(const RestoreOptions& options);

}  // namespace raftkv
