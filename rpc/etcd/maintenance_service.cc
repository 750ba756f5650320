#include "rpc/etcd/maintenance_service.h"

#include <string>
#include <utility>
#include <vector>

#include "rpc/etcd/errors.h"
#include "rpc/etcd/kv_hash.h"
#include "rpc/etcd/member_names.h"
#include "rpc/etcd/snapshot_stream.h"
#include "rpc/etcd/version.h"

namespace raftkv::etcd {

namespace {

constexpr char kMaintenanceService[] = "etcdserverpb.Maintenance";

/// Each reads everything.
constexpr int kMaxHashes = 2;

constexpr EtcdError kBadTransferee{GrpcCode::kFailedPrecondition,
                                   "etcdserver: bad leader transferee"};
constexpr EtcdError kTransferTimeout{
    GrpcCode::kUnavailable, "etcdserver: request timed out, leader transfer took too long"};
constexpr EtcdError kNoActivation{GrpcCode::kInvalidArgument,
                                  "etcdserver: a member raises its alarm by itself"};

std::string NoSpaceLine(std::uint64_t member) {
  return "memberID:" + std::to_string(member) + " alarm:NOSPACE ";
}

/// The high half, too: 32 bits of it all.
std::uint32_t Fold(std::uint64_t hash) { return static_cast<std::uint32_t>(hash ^ hash >> 32); }

}  // namespace

void MaintenanceService::Register(Methods& methods) {
  methods.AddUnary<StatusRequest, StatusResponse>(
      kMaintenanceService, "Status", "maintenance/status",
      [this](const auto&, const auto&, const auto& reply) { Status(reply); });
  methods.AddUnary<AlarmRequest, AlarmResponse>(
      kMaintenanceService, "Alarm", "maintenance/alarm",
      [this](const auto&, const auto& request, const auto& reply) { Alarm(request, reply); });
  // Space comes back by itself (RocksDB compacts in the background).
  methods.AddUnary<DefragmentRequest, DefragmentResponse>(
      kMaintenanceService, "Defragment", "maintenance/defragment",
      [](const auto&, const auto&, const auto& reply) { reply(DefragmentResponse{}); });
  methods.AddUnary<HashRequest, HashResponse>(
      kMaintenanceService, "Hash", "maintenance/hash",
      [this](const auto&, const auto&, const auto& reply) { Hash(reply); });
  methods.AddHeldUnary<HashKVRequest, HashKVResponse>(
      kMaintenanceService, "HashKV", "maintenance/hashkv",
      [this](const auto&, const auto& request, const auto& reply) {
        return HashKV(request, reply);
      });
  methods.AddStream<SnapshotRequest, SnapshotResponse>(
      kMaintenanceService, "Snapshot", "maintenance/snapshot", /*client_streams=*/false,
      [this](const auto&, auto reply) { return SendSnapshot(backend_, life_, std::move(reply)); });
  methods.AddUnary<MoveLeaderRequest, MoveLeaderResponse>(
      kMaintenanceService, "MoveLeader", "maintenance/transfer-leadership",
      [this](const auto& context, const auto& request, const auto& reply) {
        MoveLeader(context, request, reply);
      });
}

void MaintenanceService::Status(const Replier<StatusResponse>& reply) {
  backend_.service.Status(false, life_.Guard([this, reply](const Result<EndpointStatus>& status) {
    if (!status.ok()) return reply(ToOutcome(status.status()));
    const NodeStatus& node = status->node;
    StatusResponse response;
    response.header = MakeHeader(backend_, node.revision);
    response.version = kEtcdVersion;
    response.dbSize = static_cast<std::int64_t>(status->db_bytes);
    response.dbSizeInUse = response.dbSize;
    response.raftIndex = node.commit_index;
    response.raftTerm = node.term;
    response.raftAppliedIndex = node.applied_index;
    if (const auto members = backend_.service.Members(); members.ok()) {
      for (const ClusterMember& member : *members) {
        if (member.leads) response.leader = member.id;
        if (member.id != node.member_id) continue;
        response.isLearner = member.role == MemberRole::kLearner;
      }
    }
    if (node.leader.empty()) response.errors.emplace_back(kNoLeader.text);
    if (node.no_space) response.errors.push_back(NoSpaceLine(node.member_id));
    response.errors.insert(response.errors.end(), node.errors.begin(), node.errors.end());
    reply(response);
  }));
}

/// An alarm is the state of a disk: it ends when there is space again, whatever a client wants.
void MaintenanceService::Alarm(const AlarmRequest& request, const Replier<AlarmResponse>& reply) {
  if (request.action == AlarmActionNames::kActivate) return reply(kNoActivation);
  AlarmResponse response;
  const bool wanted =
      request.alarm == AlarmTypeNames::kNone || request.alarm == AlarmTypeNames::kNoSpace;
  const NodeStatus status = backend_.status();
  if (request.action == AlarmActionNames::kGet && wanted && status.no_space) {
    AlarmMember& full = response.alarms.emplace_back();
    full.memberID = status.member_id;
    full.alarm = AlarmTypeNames::kNoSpace;
  }
  reply(response);
}

/// Of the latest state: equal on members that have applied as much.
void MaintenanceService::Hash(const Replier<HashResponse>& reply) {
  backend_.service.Status(true, life_.Guard([this, reply](const Result<EndpointStatus>& status) {
    if (!status.ok()) return reply(ToOutcome(status.status()));
    HashResponse response;
    response.header = MakeHeader(backend_, status->node.revision);
    response.hash = Fold(status->content_hash);
    reply(response);
  }));
}

std::shared_ptr<void> MaintenanceService::HashKV(const HashKVRequest& request,
                                                 const Replier<HashKVResponse>& reply) {
  const std::uint64_t revision =
      request.revision > 0 ? static_cast<std::uint64_t>(request.revision) : 0;
  if (revision > backend_.status().revision) {
    reply(kFutureRevision);
    return nullptr;
  }
  if (*hashes_ >= kMaxHashes) {
    reply(kTooManyRequests);
    return nullptr;
  }
  ++*hashes_;
  const std::shared_ptr<void> counted(nullptr, [hashes = hashes_](auto) { --*hashes; });
  auto call =
      HashKeys(backend_, life_, revision, [this, reply, counted](const Result<KvHash>& hash) {
        if (!hash.ok()) return reply(ToOutcome(hash.status()));
        HashKVResponse response;
        response.header = MakeHeader(backend_, hash->revision);
        response.hash = hash->hash;
        response.compact_revision = static_cast<std::int64_t>(backend_.status().compacted_revision);
        reply(response);
      });
  return call;
}

void MaintenanceService::MoveLeader(const CallContext& context, const MoveLeaderRequest& request,
                                    const Replier<MoveLeaderResponse>& reply) {
  const NodeStatus status = backend_.status();
  if (status.role != Role::kLeader) return reply(kNotLeader);
  const auto members = backend_.service.Members();
  if (!members.ok()) return reply(ToOutcome(members.status()));
  const ClusterMember* const target = FindMember(*members, request.targetID);
  if (target == nullptr || target->role != MemberRole::kVoter) return reply(kBadTransferee);
  if (target->id == status.member_id) return reply(MoveLeaderResponse{});
  rpc::MemberChange change;
  change.kind = rpc::MemberChange::Kind::kMoveLeader;
  change.name = target->name;
  const MonoTime deadline = backend_.loop.Now() + TimeoutOf(backend_, context);
  backend_.service.ChangeMembers(change, deadline,
                                 life_.Guard([reply](const raftkv::Status& moved) {
                                   switch (moved.code()) {
                                     case Code::kOk: return reply(MoveLeaderResponse{});
                                     case Code::kNotLeader: return reply(kNotLeader);
                                     case Code::kInvalidArgument:
                                     case Code::kNotFound: return reply(kBadTransferee);
                                     case Code::kUnavailable:
                                     case Code::kUnknownOutcome: return reply(kTransferTimeout);
                                     default: return reply(ToOutcome(moved));
                                   }
                                 }));
}

}  // namespace raftkv::etcd
