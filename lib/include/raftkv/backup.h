// How is the state of a cluster backed up to a file, and restored as a new cluster?
//
// Node::Backup and Client::Backup write such a file while the cluster continues to work: the state
// of one member at one index. It is a tar archive, compressed with zstd, which `tar --zstd -tvf`
// lists (docs/disk-format.md). Restore builds the data folder of one member of a new cluster from
// it; the same file and the same list of members give folders of the same cluster, whichever
// machines they are built on. Members of the old cluster are refused by those of the new one.
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
  std::uint64_t total_bytes = 0;  ///< 0: unknown so far
};
/// Called periodically on the calling thread; returns false to stop and leave nothing behind
/// (Cancelled).
/// The rules are those of <raftkv/kv.h>.
using BackupProgressCallback = std::function<bool(const BackupProgress&)>;

struct BackupOptions {
  /// Client::Backup: time limit for finding a member that gives a backup. Node::Backup ignores it.
  /// The backup itself may take as long as it makes progress.
  std::chrono::milliseconds timeout{5000};
  BackupProgressCallback progress;
  /// File with the key that encrypts and authenticates the backup (AES-256-GCM), in the format of
  /// NodeOptions::encryption_key_file. Empty: Client::Backup does not encrypt, Node::Backup uses
  /// the key of its own data folder, if it has one.
  std::string encryption_key_file;
};

/// Description of a backup, stored inside it.
struct BackupInfo {
  std::uint64_t index = 0;  ///< holds exactly the state at this log index
  std::uint64_t term = 0;   ///< of the entry at `index`
  std::uint64_t keys = 0;
  /// As in EndpointStatus: equal to the hash of any member at the same index.
  std::uint64_t content_hash = 0;
  std::uint64_t data_bytes = 0;  ///< size of the files in it, uncompressed
  std::uint64_t file_bytes = 0;  ///< size of the backup file
  std::uint64_t backup_id = 0;
  std::uint64_t created_ms = 0;  ///< since 1970, by the writer's clock
  // Where it was taken.
  std::uint64_t cluster_id = 0;
  std::uint64_t member_id = 0;
  std::string member;
  std::vector<ClusterMember> members;
};

/// Reads all of `file` and verifies every checksum. Errors: IOError, Corruption (damaged,
/// truncated, or not a backup), VersionMismatch (a newer format), PermissionDenied (encrypted, but
/// not with the key in `encryption_key_file`), Cancelled.
Result<BackupInfo> ReadBackup(const std::string& file, const BackupProgressCallback& progress = {},
                              const std::string& encryption_key_file = {});

struct RestoreOptions {
  std::string file;
  /// Must not exist, or be an empty folder (a mounted volume, for example), or be the remains of an
  /// interrupted restore.
  std::string data_dir;
  /// The member of `cluster` that this data folder is for.
  std::string name;
  /// All members of the new cluster, all of them voters.
  std::vector<MemberAddress> cluster;
  QuorumOptions quorum;
  /// For QuorumOptions::Kind::kZones: the zone of each member, by its name.
  std::map<std::string, std::string> zones;
  BackupProgressCallback progress;
  /// File with the key of the backup, if it is encrypted, which also encrypts the data folder;
  /// `raftkv rekey` changes the latter. Empty: neither is encrypted.
  std::string encryption_key_file;
};

/// Builds the data folder, which becomes valid with the last step: the remains of an interrupted
/// restore are not opened by any member, and the same call builds the folder again. Errors: those
/// of ReadBackup; InvalidArgument (options), PermissionDenied (the data folder is not empty),
/// Unavailable (another restore is using it), NoSpace.
Result<BackupInfo> Restore(const RestoreOptions& options);

}  // namespace raftkv
