// How does a program run a member of a cluster inside itself?
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
  /// "host:port", resolved anew at each connection; with NodeOptions::transport whatever that
  /// understands.
  std::string address;
};

/// How many voters must agree. Proposals need a commit quorum, leaders an election quorum; every
/// two that must meet have to have a member in common, or the node is not opened.
struct QuorumOptions {
  enum class Kind : unsigned char {
    kMajority,  ///< more than half of the voters
    kZones,     ///< and more than half of the voters of each zone that has a name
    kFlexible,  ///< `commit` of them to commit, `election` of them to elect
  };
  Kind kind = Kind::kMajority;
  std::uint32_t commit = 0;    ///< kFlexible only
  std::uint32_t election = 0;  ///< kFlexible only
};

struct NodeOptions {
  std::string name = "default";
  /// Made if it does not exist. One process at a time.
  std::string data_dir;
  /// "host:port" for peers and clients; port 0: any free one. Empty for a member that serves nobody
  /// but its host: in a cluster of one, or with a transport, where it has to be empty.
  std::string listen;
  /// How the members of `cluster` reach each other: see <raftkv/transport.h>. Unset: by raftkv's
  /// own RPC. Such a cluster has the members that it began with. Destroyed after the node.
  std::shared_ptr<Transport> transport;
  /// What others are told to connect to; empty: `listen`.
  std::string advertise;
  /// All members of the new cluster, this one among them; empty: a cluster of one.
  std::vector<MemberAddress> cluster;
  /// The cluster exists already, and takes this member in once it was added (Cluster::AddMember);
  /// `cluster` names this member and some or all of the others. Of no effect once that was done.
  bool join = false;
  /// Of a new cluster; equal on all its members.
  QuorumOptions quorum;
  /// "host:port" for /metrics, /livez and /readyz; empty: none.
  std::string http;
  /// Where this member runs, for QuorumOptions::Kind::kZones.
  std::string zone;
  /// An election timeout is drawn from [election_timeout, 2 * election_timeout).
  std::chrono::milliseconds election_timeout{300};
  std::chrono::milliseconds heartbeat{100};
  /// The leader may answer reads with Consistency::kLease without asking anybody, and this member
  /// votes for nobody within an election timeout of hearing it. A leader holds a lease only while a
  /// quorum promises that for its own election timeout; otherwise such reads are linearizable ones.
  /// A member that is to go on without leases, or with a shorter election timeout, must have been
  /// stopped for one election timeout.
  bool lease_reads = false;
  /// How far off the rate of any member's clock may be, for leases; below 50.
  unsigned clock_error_percent = 10;
  /// What stays of the log for members that are a little behind: so many entries, of at most so
  /// many bytes. Who is further behind gets a snapshot.
  std::uint64_t log_keep_entries = 100'000;
  std::uint64_t log_keep_bytes = 256 * 1024 * 1024;  ///< 1 MiB at least
  /// Of snapshots sent to other members, all together; 0: as fast as they take them.
  std::uint64_t snapshot_bytes_per_second = 64 * 1024 * 1024;
  /// How fast all that is on disk is read in the background, over and over, to find damage; 0: not
  /// at all.
  std::uint64_t scrub_bytes_per_second = 4 * 1024 * 1024;
  /// Disk space that is held back, and given up when the disk is full, so that deletes can still be
  /// taken. Below twice as much besides it a member takes no other writes. 0: none, and nobody
  /// looks how much is left.
  std::uint64_t disk_reserve_bytes = 16 * 1024 * 1024;
  /// The file with the key that encrypts all data on disk (AES-256); empty: it is not encrypted.
  /// Chosen when the data folder is made; `raftkv rekey` changes it.
  std::string encryption_key_file;
  Limits limits;
  /// Connections accepted at most; half of them, but 128 at most, are kept for the other members.
  std::uint32_t max_connections = 1024;
  /// The signal that the event loop reserves (kj's event port blocks it on the node's own thread
  /// only); 0: SIGUSR1.
  int reserved_signal = 0;
  LogLevel log_level = LogLevel::kInfo;
  /// Where log lines go, one at a time and without a line break. Unset: stderr. Runs on a thread
  /// that does nothing else, so it may block: lines that a bounded queue cannot hold meanwhile are
  /// dropped and counted. Close() waits one second for it; a sink that hangs for longer must not
  /// use what goes with the node.
  std::function<void(LogLevel, std::string_view)> log_sink;
};

enum class Role : unsigned char { kForming, kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view RoleName(Role role);

struct NodeStatus {
  std::string name;
  std::uint64_t cluster_id = 0;  ///< 0: not formed yet
  std::uint64_t member_id = 0;
  Role role = Role::kForming;
  std::string leader;  ///< the leader's name; empty: none is known
  std::uint64_t term = 0;
  std::uint64_t commit_index = 0;
  std::uint64_t applied_index = 0;
  std::uint64_t log_first_index = 0;
  std::uint64_t log_last_index = 0;
  /// Its disk was damaged: it neither votes nor counts until the others have refilled it.
  bool suspect = false;
  /// What is wrong with it now, one line each: damage, no space left, members out of reach.
  std::vector<std::string> errors;
};

class Node {
 public:
  /// Opens the data folder, listens, and takes part in the cluster; does not wait for a leader.
  /// Errors: InvalidArgument (options, a clock before 1970), Unavailable (folder or port in use, no
  /// thread to be had, a name to listen on that is not looked up), Corruption, VersionMismatch
  /// (a newer format), PermissionDenied (folder of another member or cluster).
  static Result<std::unique_ptr<Node>> Open(NodeOptions options);

  virtual ~Node() = default;

  /// Ok once a leader is known that has committed in its term and this member follows it, or is it.
  virtual Status WaitForLeader(std::chrono::milliseconds timeout) = 0;
  /// Valid as long as the node is; its calls answer Cancelled after Close().
  virtual KV& kv() = 0;
  virtual NodeStatus status() = 0;
  [[nodiscard]] Role role() { return status().role; }
  [[nodiscard]] std::string leader() { return status().leader; }
  /// The address that is really listened on, with the port that was chosen.
  [[nodiscard]] virtual std::string listen_address() const = 0;
  [[nodiscard]] virtual std::string http_address() const = 0;
  /// Waits until the node stopped by itself (a failed disk), and says why; DeadlineExceeded if it
  /// still runs after `timeout`, Cancelled once it was closed.
  virtual Status WaitForFailure(std::chrono::milliseconds timeout) = 0;
  /// Writes the state of this member to `file` while work goes on: see <raftkv/backup.h>. Whole or
  /// not at all; an older file of that name is replaced. IOError, NoSpace: it cannot be written.
  /// Unavailable: this member has less than it once had (see Consistency::kLocal), or nothing yet.
  virtual Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options) = 0;
  /// Hands the leadership over if this member leads others (for an election timeout at most), ends
  /// open calls with Cancelled or UnknownOutcome, flushes, joins the threads; the destructor does
  /// the same.
  virtual Status Close() = 0;
};

}  // namespace raftkv
