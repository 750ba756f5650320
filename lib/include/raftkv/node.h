// How does a program embed a member of a cluster?
//
// A Node is a good guest: it installs no signal handler and changes no disposition that the host
// can notice, has no global state (several may live in one process), and its destructor stops and
// joins its threads. The rules for callbacks and timeouts are those of <raftkv/kv.h>.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>
#include <raftkv/tls.h>

namespace raftkv {

struct BackupInfo;
struct BackupOptions;
class Transport;

enum class LogLevel : unsigned char { kTrace, kDebug, kInfo, kWarn, kError, kOff };

/// Sizes that requests are checked against, at the client before anything is sent and at the
/// server.
struct Limits {
  std::uint32_t max_key_bytes = 64 * 1024;
  std::uint32_t max_value_bytes = 1024 * 1024;         ///< at most 16 MiB
  std::uint32_t max_request_bytes = 16 * 1024 * 1024;  ///< at most 16 MiB
  std::uint32_t max_operations = 4096;
};

/// One member of a new cluster, as `--cluster` names it.
struct MemberAddress {
  std::string name;
  /// "host:port", resolved for each connection; with NodeOptions::transport, any address that the
  /// transport understands.
  std::string address;
};

/// How many voters must agree. Entries need a commit quorum, leaders an election quorum; quorums
/// that must intersect have to share a member, or the node is not opened.
struct QuorumOptions {
  enum class Kind : unsigned char {
    kMajority,  ///< more than half of the voters
    kZones,     ///< kMajority, and more than half of the voters of each named zone
    kFlexible,  ///< `commit` voters to commit, `election` voters to elect a leader
  };
  Kind kind = Kind::kMajority;
  std::uint32_t commit = 0;    ///< kFlexible only
  std::uint32_t election = 0;  ///< kFlexible only
};

struct NodeOptions {
  std::string name = "default";
  /// Created if it does not exist. Locked: one node at a time.
  std::string data_dir;
  /// "host:port" to listen on for peers and clients; port 0: any free port. Empty for a member that
  /// serves only its own process: in a cluster of one, or with a transport (required then).
  std::string listen;
  /// Carries messages between the members: see <raftkv/transport.h>. Unset: raftkv's own RPC. The
  /// membership of a cluster with a transport is fixed. Destroyed after the node.
  std::shared_ptr<Transport> transport;
  /// Address that the other members and clients connect to; empty: `listen`.
  std::string advertise;
  /// All members of a new cluster, including this one; empty: a cluster of one.
  std::vector<MemberAddress> cluster;
  /// Join an existing cluster, to which this member was added (Cluster::AddMember); `cluster` lists
  /// this member and some or all of the others. Has no effect once the member has joined.
  bool join = false;
  /// Quorum of a new cluster; the same on all its members.
  QuorumOptions quorum;
  /// "host:port" of /metrics, /livez and /readyz; empty: not served.
  std::string http;
  /// "host:port" of the etcd API: gRPC and its JSON gateway on one port; empty: not served. A build
  /// without it (the CMake option RAFTKV_ETCD) answers InvalidArgument.
  std::string etcd;
  /// Failure domain of this member, for QuorumOptions::Kind::kZones.
  std::string zone;
  /// Election timeouts are drawn from [election_timeout, 2 * election_timeout).
  std::chrono::milliseconds election_timeout{300};
  std::chrono::milliseconds heartbeat{100};
  /// Allow the leader to serve Consistency::kLease reads without asking the other members: this
  /// member then grants no vote within an election timeout of hearing from the leader. A leader
  /// holds a lease only while a quorum makes this promise for the leader's own election timeout;
  /// otherwise such reads are linearizable reads. Before leases are turned off or the election
  /// timeout is shortened, the member must have been stopped for one election timeout.
  bool lease_reads = false;
  /// Largest drift of any member's clock, for leases; below 50.
  unsigned clock_error_percent = 10;
  /// Log retention for lagging members: the last log_keep_entries entries, at most log_keep_bytes
  /// of them and at most an eighth of the disk. A member that lags further behind receives a
  /// snapshot.
  std::uint64_t log_keep_entries = 100'000;
  std::uint64_t log_keep_bytes = 256 * 1024 * 1024;  ///< at least 1 MiB
  /// Rate limit for all snapshots sent to other members together; 0: no limit.
  std::uint64_t snapshot_bytes_per_second = 64 * 1024 * 1024;
  /// Rate at which the data on disk is read in the background, again and again, to find damage; 0:
  /// never.
  std::uint64_t scrub_bytes_per_second = 4 * 1024 * 1024;
  /// Disk space to hold in reserve, given up when the disk is full so that deletes still work. With
  /// less than twice as much free besides it, a member accepts only deletes. 0: no reserve, and the
  /// free space is not watched.
  std::uint64_t disk_reserve_bytes = 16 * 1024 * 1024;
  /// File with the key that encrypts all data on disk (AES-256); empty: not encrypted. Chosen when
  /// the data folder is created; `raftkv rekey` changes it.
  std::string encryption_key_file;
  /// TLS on all ports and between the members; see <raftkv/tls.h>.
  NodeTlsOptions tls = {};
  /// Silences the warning about an address without TLS that others than this machine can reach.
  bool insecure = false;
  Limits limits;
  /// Maximum number of connections; half of them, at most 128, are reserved for other members.
  std::uint32_t max_connections = 1024;
  /// The signal that the event loop reserves (KJ's event port blocks it on the node's own thread
  /// only); 0: SIGUSR1.
  int reserved_signal = 0;
  LogLevel log_level = LogLevel::kInfo;
  /// Receives log lines, one at a time and without a line break. Unset: stderr. Runs on a thread of
  /// its own, so it may block: lines that do not fit a bounded queue in the meantime are dropped
  /// and counted. Close() waits one second for it; a sink that may hang for longer must not use
  /// anything that is destroyed with the node.
  std::function<void(LogLevel, std::string_view)> log_sink;
};

enum class Role : unsigned char { kForming, kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view RoleName(Role role);

struct NodeStatus {
  std::string name;
  std::uint64_t cluster_id = 0;  ///< 0: the cluster has not formed yet
  std::uint64_t member_id = 0;
  Role role = Role::kForming;
  std::string leader;  ///< name of the leader; empty: no leader is known
  std::uint64_t term = 0;
  std::uint64_t commit_index = 0;
  std::uint64_t applied_index = 0;
  /// Revision of the store, as applied on this member; see WriteResult. 0: this member is not part
  /// of a cluster yet.
  std::uint64_t revision = 0;
  /// Revisions below it are no longer available; 0: nothing was compacted.
  std::uint64_t compacted_revision = 0;
  std::uint64_t log_first_index = 0;
  std::uint64_t log_last_index = 0;
  /// The disk was damaged: the member neither votes nor counts towards a quorum until refilled.
  bool suspect = false;
  /// The disk is full: only deletes, or no writes at all, are accepted here.
  bool no_space = false;
  /// What is wrong at present, one line each: damage, no space left, unreachable members.
  std::vector<std::string> errors;
};

class Node {
 public:
  /// Opens the data folder, listens, and joins the cluster; does not wait for a leader.
  /// Errors: InvalidArgument (options, a clock before 1970), Unavailable (folder or port in use, no
  /// thread left, the name to listen on cannot be resolved), Corruption, VersionMismatch
  /// (a newer format), PermissionDenied (folder of another member or cluster).
  static Result<std::unique_ptr<Node>> Open(NodeOptions options);

  virtual ~Node() = default;

  /// Ok once this member follows, or is, a leader that has committed in its term.
  virtual Status WaitForLeader(std::chrono::milliseconds timeout) = 0;
  /// Valid as long as the node is; its calls answer Cancelled after Close().
  virtual KV& kv() = 0;
  virtual NodeStatus status() = 0;
  [[nodiscard]] Role role() { return status().role; }
  [[nodiscard]] std::string leader() { return status().leader; }
  /// The address actually listened on, with the port that was chosen.
  [[nodiscard]] virtual std::string listen_address() const = 0;
  [[nodiscard]] virtual std::string http_address() const = 0;
  [[nodiscard]] virtual std::string etcd_address() const = 0;
  /// Waits until the node stops by itself (a failed disk) and returns the reason. DeadlineExceeded
  /// if it is still running after `timeout`, Cancelled if it was closed.
  virtual Status WaitForFailure(std::chrono::milliseconds timeout) = 0;
  /// Reads the files of NodeOptions::tls again now, for new connections, instead of when it is
  /// noticed that they have changed (within seconds). InvalidArgument: they cannot be used, so
  /// those that were read before stay in use; or the node has no TLS.
  virtual Status ReloadTls() = 0;
  /// Writes the state of this member to `file`, atomically, while it continues to work: see
  /// <raftkv/backup.h>. An existing file is replaced. IOError, NoSpace: the file cannot be written.
  /// Unavailable: this member has less than it once had (see Consistency::kLocal), or nothing yet.
  virtual Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options) = 0;
  /// Transfers the leadership if this member leads others (waits for at most an election timeout),
  /// completes open calls with Cancelled or UnknownOutcome, flushes, and joins the threads. The
  /// destructor does the same.
  virtual Status Close() = 0;
};

}  // namespace raftkv
