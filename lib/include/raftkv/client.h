// How does a program use a cluster that runs elsewhere?
//
// A Client is safe from any thread, reconnects by itself, finds the leader, retries within each
// call's timeout, and never applies a write twice (it retries under its session). The rules for
// callbacks and timeouts are those of <raftkv/kv.h>; what a callback throws is printed to stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/cluster.h>
#include <raftkv/kv.h>
#include <raftkv/node.h>
#include <raftkv/status.h>
#include <raftkv/tls.h>

namespace raftkv {

struct ClientOptions {
  /// "host:port" of some or all of the members.
  std::vector<std::string> endpoints;
  /// Id of the cluster to talk to (NodeStatus::cluster_id); 0: the cluster of the first member
  /// reached. A client never talks to any other cluster, whatever answers at an address: endpoints
  /// of other clusters are skipped, and named in the error if no endpoint is left.
  std::uint64_t cluster = 0;
  Limits limits;
  /// Gather concurrent calls into one request while another is in flight: up to 1 MiB, and for at
  /// most 20 ms or until a failed request is retried.
  bool coalesce = true;
  /// Number of connections, each with its own session; concurrent calls are spread over them.
  std::uint32_t connections = 1;
  /// If false: ask only the endpoints given, in order, and stay with the one that answered instead
  /// of following the leader, for local reads and for tests. (Bounded reads always do so.)
  bool follow_leader = true;
  /// See NodeOptions::reserved_signal.
  int reserved_signal = 0;
  /// TLS to the members; see <raftkv/tls.h>.
  ClientTlsOptions tls = {};
};

/// A member's own view, as `raftkv endpoint status` prints it.
struct EndpointStatus {
  std::string endpoint;
  NodeStatus node;
  std::string version;
  std::uint64_t snapshot_index = 0;
  std::uint64_t db_bytes = 0;
  struct Member {
    std::uint64_t id = 0;
    std::string name;
    std::string address;
    bool voter = true;
  };
  std::vector<Member> members;
  /// Set if requested: a hash of all keys, values and revisions at hash_index.
  std::uint64_t content_hash = 0;
  std::uint64_t hash_index = 0;
};

namespace node {
class BackupFeed;
}

class Client {
 public:
  /// Connects in the background: an unreachable cluster is reported by the first call.
  /// InvalidArgument if an endpoint is malformed or the files of ClientOptions::tls cannot be used,
  /// Unavailable if the system has no thread or descriptor left.
  static Result<std::unique_ptr<Client>> Connect(ClientOptions options);

  virtual ~Client() = default;
  virtual KV& kv() = 0;
  /// The members of the cluster: list and change them.
  virtual Cluster& cluster() = 0;
  /// Asks this endpoint only, whichever cluster it belongs to unless ClientOptions::cluster is
  /// set.
  virtual Result<EndpointStatus> Status(const std::string& endpoint,
                                        std::chrono::milliseconds timeout, bool with_hash) = 0;
  /// Header of the latest answer: cluster, member, term.
  struct Header {
    std::uint64_t cluster_id = 0;
    std::uint64_t member_id = 0;
    std::uint64_t term = 0;
  };
  virtual Header LastHeader() = 0;
  /// Writes the state of the first member that answers to `file`, atomically: see
  /// <raftkv/backup.h>. An existing file is replaced. IOError, NoSpace: the file cannot be written;
  /// DeadlineExceeded: no member answered; Unavailable: the members that answered cannot give a
  /// backup now; Cancelled: the member was lost or failed midway, or the progress callback asked to
  /// stop.
  Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options);

 private:
  virtual Result<std::shared_ptr<node::BackupFeed>> BeginBackup(
      std::chrono::milliseconds timeout) = 0;
};

}  // namespace raftkv
