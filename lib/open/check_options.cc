// What must hold for the options before anything is changed? (raftkv::Node::Open)
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <utility>

#include <raftkv/backup.h>
#include <raftkv/node.h>

#include "lib/base/address.h"
#include "lib/base/host_code.h"
#include "lib/node/formation.h"
#include "lib/open/open_node.h"
#include "lib/raft/quorum.h"
#include "rpc/tls/tls_setup.h"
#include "storage/disk/machine.h"
#include "storage/disk/open_rocksdb.h"

namespace raftkv {

namespace {

Status Invalid(const std::string& what) { return {Code::kInvalidArgument, what}; }

Status CheckLimits(const Limits& limits) {
  constexpr std::uint32_t kMaxBytes = 16 * 1024 * 1024;
  if (limits.max_key_bytes == 0 || limits.max_key_bytes > 64 * 1024) {
    return Invalid("max_key_bytes must be from 1 to 65536");
  }
  if (limits.max_value_bytes > kMaxBytes || limits.max_request_bytes > kMaxBytes) {
    return Invalid("max_value_bytes and max_request_bytes must be at most 16 MiB");
  }
  if (limits.max_operations == 0 || limits.max_operations > 4096) {
    return Invalid("max_operations must be from 1 to 4096");
  }
  return Status::Ok();
}

Status CheckLogAndSnapshots(const NodeOptions& options) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 50;
  if (options.log_keep_entries == 0 || options.log_keep_entries > kMost) {
    return Invalid("log_keep_entries must be from 1 to 2^50");
  }
  if (options.log_keep_bytes < 1024 * 1024 || options.log_keep_bytes > kMost) {
    return Invalid("log_keep_bytes must be from 1 MiB to 1 PiB");
  }
  const std::uint64_t rate = options.snapshot_bytes_per_second;
  if (rate != 0 && (rate < 64 * 1024 || rate > kMost)) {
    return Invalid("the snapshot rate must be from 64 KiB to 1 PiB a second, or 0 for no limit");
  }
  const std::uint64_t scrub = options.scrub_bytes_per_second;
  if (scrub != 0 && (scrub < 64 * 1024 || scrub > kMost)) {
    return Invalid("the scrub rate must be from 64 KiB to 1 PiB a second, or 0 for no scrubbing");
  }
  return Status::Ok();
}

Status CheckTimes(const NodeOptions& options) {
  using std::chrono::milliseconds;
  if (options.heartbeat < milliseconds(1)) return Invalid("the heartbeat must be at least 1 ms");
  // Not twice the heartbeat, which may overflow.
  if (options.heartbeat > options.election_timeout / 2) {
    return Invalid("the election timeout must be at least twice the heartbeat");
  }
  if (options.election_timeout > std::chrono::minutes(10)) {
    return Invalid("the election timeout must be at most 10 minutes");
  }
  return Status::Ok();
}

Status CheckLeases(const NodeOptions& options) {
  if (options.clock_error_percent >= 50) return Invalid("the clock error must be below 50 %");
  if (!options.lease_reads) return Status::Ok();
  const auto lease = options.election_timeout * (100 - options.clock_error_percent) /
                     (100 + options.clock_error_percent);
  if (lease > options.heartbeat) return Status::Ok();
  return Invalid(
      "a lease would expire before the next heartbeat renews it: raise the election timeout, or "
      "lower the heartbeat or the clock error");
}

/// For a new cluster. Other members' zones are not known here, and any zones are safe.
Status CheckQuorum(const NodeOptions& options) {
  const raft::QuorumRule rule = RuleOf(options.quorum);
  if (rule.kind == raft::QuorumKind::kZones && options.zone.empty()) {
    return Invalid("zone quorums need the zone of this member: set it");
  }
  if (options.join) return Status::Ok();
  raft::Configuration configuration;
  configuration.quorum = rule;
  const std::size_t voters = std::max<std::size_t>(options.cluster.size(), 1);
  for (std::size_t i = 0; i < voters; ++i) {
    configuration.members.push_back({NodeId(i + 1), std::to_string(i), {}, options.zone});
  }
  return raft::CheckQuorums(configuration);
}

/// For a member with a transport: only that knows what an address is, but it appears in log lines.
Status CheckOpaqueAddress(const std::string& what, const std::string& address) {
  constexpr std::size_t kMaxBytes = 1024;
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (address.size() <= kMaxBytes && std::none_of(address.begin(), address.end(), is_control)) {
    return Status::Ok();
  }
  return Invalid(what + " is longer than " + std::to_string(kMaxBytes) +
                 " bytes or has control characters");
}

/// The address that others connect to; it is normalized.
Status CheckRemote(bool opaque, const std::string& what, std::string& address) {
  if (opaque) return CheckOpaqueAddress(what, address);
  const Result<HostPort> parsed = ParseRemoteAddress(what, address);
  if (!parsed.ok()) return parsed.status();
  address = ToText(*parsed);
  return Status::Ok();
}

/// The announced address must be one that others can connect to.
Status CheckListen(const NodeOptions& options) {
  const Result<HostPort> listen = ParseListenAddress("the address to listen on", options.listen);
  if (!listen.ok()) return listen.status();
  const bool listed =
      std::any_of(options.cluster.begin(), options.cluster.end(),
                  [&](const MemberAddress& member) { return member.name == options.name; });
  if (!IsWildcard(*listen) || !options.advertise.empty() || listed) return Status::Ok();
  return Invalid("listening on " + Quoted(options.listen) +
                 " means every address of this machine, but the others need one that they can "
                 "connect to: set it with --advertise HOST:PORT");
}

Status CheckAddresses(NodeOptions& options) {
  const bool opaque = options.transport != nullptr;
  if (opaque && !options.listen.empty()) {
    return Invalid(
        "a member with a transport serves only its host: leave the listen address empty");
  }
  for (MemberAddress& member : options.cluster) {
    const Status named = CheckMemberName("a name in the cluster list", member.name);
    if (!named.ok()) return named;
    const std::string what = "the address of " + Quoted(member.name);
    if (Status status = CheckRemote(opaque, what, member.address); !status.ok()) return status;
  }
  if (!options.advertise.empty()) {
    const Status status = CheckRemote(opaque, "the advertised address", options.advertise);
    if (!status.ok()) return status;
  }
  if (!options.listen.empty()) {
    if (Status status = CheckListen(options); !status.ok()) return status;
  }
  if (!options.http.empty()) {
    const Status status = ParseListenAddress("the HTTP address", options.http).status();
    if (!status.ok()) return status;
  }
  if (options.etcd.empty()) return Status::Ok();
  return ParseListenAddress("the address of the etcd API", options.etcd).status();
}

/// It appears in log lines and in the configuration.
Status CheckZone(const std::string& zone) {
  return zone.empty() ? Status::Ok() : CheckMemberName("the name of the zone", zone);
}

Status CheckOptions(NodeOptions& options) {
  if (Status named = CheckMemberName("the name of this member", options.name); !named.ok()) {
    return named;
  }
  if (options.data_dir.empty()) return Invalid("a data folder is needed");
  if (Status zone = CheckZone(options.zone); !zone.ok()) return zone;
  if (const Status status = CheckAddresses(options); !status.ok()) return status;
  if (!options.cluster.empty()) {
    const Status status = node::CheckCluster(options.cluster, options.name, options.join);
    if (!status.ok()) return status;
  } else if (options.join) {
    return Invalid("to join a cluster, name its members and this one in the cluster list");
  }
  if (const Status status = CheckQuorum(options); !status.ok()) return status;
  if (options.cluster.size() > 1 && options.listen.empty() && !options.transport) {
    return Invalid("a member of a cluster needs an address to listen on, or a transport");
  }
  if (options.max_connections < 8) return Invalid("max_connections must be at least 8");
  if (options.reserved_signal < 0 || options.reserved_signal >= SIGRTMAX) {
    return Invalid("reserved_signal is not a signal");
  }
  const bool has_peers = options.cluster.size() > 1 || options.join;
  if (const Status status = rpc::CheckTls(options.tls, has_peers); !status.ok()) return status;
  if (const Status status = CheckLimits(options.limits); !status.ok()) return status;
  if (const Status status = CheckLogAndSnapshots(options); !status.ok()) return status;
  if (const Status status = CheckTimes(options); !status.ok()) return status;
  return CheckLeases(options);
}

}  // namespace

raft::QuorumRule RuleOf(const QuorumOptions& quorum) {
  switch (quorum.kind) {
    case QuorumOptions::Kind::kMajority: break;
    case QuorumOptions::Kind::kZones: return {.kind = raft::QuorumKind::kZones};
    case QuorumOptions::Kind::kFlexible:
      return {.kind = raft::QuorumKind::kFlexible,
              .commit = quorum.commit,
              .election = quorum.election};
  }
  return {};
}

Result<std::unique_ptr<Node>> OpenWith(NodeOptions options, const OpenInternals& internals) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  if (Status clock = storage::CheckWallClock(); !clock.ok()) return clock;
  auto node = std::make_unique<OpenNode>(std::move(options), internals);
  if (Status status = node->Start(); !status.ok()) return status;
  return std::unique_ptr<Node>(std::move(node));
}

namespace {

/// What the host holds.
class OwnedNode final : public Node {
 public:
  explicit OwnedNode(std::unique_ptr<Node> node)
      : node_(std::move(node), [](Node& open) { static_cast<void>(open.Close()); }) {}

  Status WaitForLeader(std::chrono::milliseconds timeout) override {
    if (Status may = node_.MayBlock("WaitForLeader"); !may.ok()) return may;
    return node_->WaitForLeader(timeout);
  }
  KV& kv() override { return node_->kv(); }
  NodeStatus status() override { return node_->status(); }
  [[nodiscard]] std::string listen_address() const override { return node_->listen_address(); }
  [[nodiscard]] std::string http_address() const override { return node_->http_address(); }
  [[nodiscard]] std::string etcd_address() const override { return node_->etcd_address(); }
  Status WaitForFailure(std::chrono::milliseconds timeout) override {
    if (Status may = node_.MayBlock("WaitForFailure"); !may.ok()) return may;
    return node_->WaitForFailure(timeout);
  }
  Status ReloadTls() override {
    if (Status may = node_.MayBlock("ReloadTls"); !may.ok()) return may;
    return node_->ReloadTls();
  }
  Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options) override {
    if (Status may = node_.MayBlock("Backup"); !may.ok()) return may;
    return node_->Backup(file, options);
  }
  Status Close() override {
    if (Status may = node_.MayBlock("Close"); !may.ok()) return may;
    return node_->Close();
  }

 private:
  ThreadedOwner<Node> node_;
};

}  // namespace

Result<std::unique_ptr<Node>> Node::Open(NodeOptions options) {
  if (Status may = MayBlock("Open"); !may.ok()) return may;
  return OpenApart([&]() -> Result<std::unique_ptr<Node>> {
    if (Status ready = storage::PrepareRocksdb(); !ready.ok()) return ready;
    Result<std::unique_ptr<Node>> node = OpenWith(std::move(options), {});
    if (!node.ok()) return node.status();
    return std::unique_ptr<Node>(std::make_unique<OwnedNode>(*std::move(node)));
  });
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kForming: return "forming";
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  return "unknown";
}

}  // namespace raftkv
