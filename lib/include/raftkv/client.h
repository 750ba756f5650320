// How does a program use a cluster that runs elsewhere?
//
// A Client is safe from any thread, reconnects by itself, finds the leader, retries within each
// call's timeout, and never applies a write twice (it retries under its session). The rules for
// callbacks and timeouts are those of <raftkv/kv.h>; what a callback throws is said on stderr.
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

namespace raftkv {

struct ClientOptions {
  /// "host:port" of some or all members.
  std::vector<std::string> endpoints;
  /// The id of the cluster that is meant (NodeStatus::cluster_id); 0: that of the first member
  /// reached. A client never talks to another one, whatever answers at an address: endpoints of
  /// other clusters are passed over, and named in the error where no other one is left.
  std::uint64_t cluster = 0;
  Limits limits;
  /// Gather concurrent calls into one request while another is under way: for 20 ms at most, or
  /// until one that failed is tried again.
  bool coalesce = true;
  /// Connections, each with a session of its own; concurrent calls are spread over them.
  std::uint32_t connections = 1;
  /// Ask only the endpoints given, in order, and stay where the answer came from, instead of going
  /// to the leader: for local reads and for tests. (Bounded reads always do.)
  bool follow_leader = true;
  /// See NodeOptions::reserved_signal.
  int reserved_signal = 0;
};

/// One member's own view, as `raftkv endpoint status` prints it.
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
  /// Filled in if asked for: a hash of all keys, values and revisions at hash_index.
  std::uint64_t content_hash = 0;
  std::uint64_t hash_index = 0;
};

namespace node {
class BackupFeed;
}

class Client {
 public:
  /// Connects in the background: an unreachable cluster shows at the first call. InvalidArgument
  /// for malformed endpoints, Unavailable where the system has no thread or descriptor to give.
  static Result<std::unique_ptr<Client>> Connect(ClientOptions options);

  virtual ~Client() = default;
  virtual KV& kv() = 0;
  /// Who takes part: to be seen and changed.
  virtual Cluster& cluster() = 0;
  /// Asks just the one endpoint, whichever cluster it belongs to unless ClientOptions::cluster
  /// names one.
  virtual Result<EndpointStatus> Status(const std::string& endpoint,
                                        std::chrono::milliseconds timeout, bool with_hash) = 0;
  /// The header of the latest answer, for `-w json`: cluster, member, term.
  struct Header {
    std::uint64_t cluster_id = 0;
    std::uint64_t member_id = 0;
    std::uint64_t term = 0;
  };
  virtual Header LastHeader() = 0;
  /// Writes the state of the first member that answers to `file`: see <raftkv/backup.h>. Whole or
  /// not at all; an older file of that name is replaced. IOError, NoSpace: the file cannot be
  /// written; DeadlineExceeded: no member answered; Unavailable: those that did give none now;
  /// Cancelled: the member was lost or failed on the way, or as asked.
  Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options);

 private:
  virtual Result<std::shared_ptr<node::BackupFeed>> BeginBackup(
      std::chrono::milliseconds timeout) = 0;
};

}  // namespace raftkv
