// Which messages do etcd's services have that are not about keys? (see messages.h)
//
// Cluster, Maintenance, Auth (of which there is only that it is off), Lock, Election, and gRPC's
// own health check.
#pragma once

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

// --- etcdserverpb: Cluster

struct Member {
  std::uint64_t ID = 0;
  std::string name = {};
  std::vector<std::string> peerURLs = {};
  std::vector<std::string> clientURLs = {};
  bool isLearner = false;
  RAFTKV_FIELDS(Member, "etcdserverpb.Member", RAFTKV_F(1, ID), RAFTKV_F(2, name),
                RAFTKV_F(3, peerURLs), RAFTKV_F(4, clientURLs), RAFTKV_F(5, isLearner));
};

struct MemberAddRequest {
  std::vector<std::string> peerURLs = {};
  bool isLearner = false;
  RAFTKV_FIELDS(MemberAddRequest, "etcdserverpb.MemberAddRequest", RAFTKV_F(1, peerURLs),
                RAFTKV_F(2, isLearner));
};

struct MemberAddResponse {
  std::optional<ResponseHeader> header = {};
  std::optional<Member> member = {};
  std::vector<Member> members = {};
  RAFTKV_FIELDS(MemberAddResponse, "etcdserverpb.MemberAddResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, member), RAFTKV_F(3, members));
};

struct MemberRemoveRequest {
  std::uint64_t ID = 0;
  RAFTKV_FIELDS(MemberRemoveRequest, "etcdserverpb.MemberRemoveRequest", RAFTKV_F(1, ID));
};

struct MemberRemoveResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<Member> members = {};
  RAFTKV_FIELDS(MemberRemoveResponse, "etcdserverpb.MemberRemoveResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, members));
};

struct MemberUpdateRequest {
  std::uint64_t ID = 0;
  std::vector<std::string> peerURLs = {};
  RAFTKV_FIELDS(MemberUpdateRequest, "etcdserverpb.MemberUpdateRequest", RAFTKV_F(1, ID),
                RAFTKV_F(2, peerURLs));
};

struct MemberUpdateResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<Member> members = {};
  RAFTKV_FIELDS(MemberUpdateResponse, "etcdserverpb.MemberUpdateResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, members));
};

struct MemberListRequest {
  bool linearizable = false;
  RAFTKV_FIELDS(MemberListRequest, "etcdserverpb.MemberListRequest", RAFTKV_F(1, linearizable));
};

struct MemberListResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<Member> members = {};
  RAFTKV_FIELDS(MemberListResponse, "etcdserverpb.MemberListResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, members));
};

struct MemberPromoteRequest {
  std::uint64_t ID = 0;
  RAFTKV_FIELDS(MemberPromoteRequest, "etcdserverpb.MemberPromoteRequest", RAFTKV_F(1, ID));
};

struct MemberPromoteResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<Member> members = {};
  RAFTKV_FIELDS(MemberPromoteResponse, "etcdserverpb.MemberPromoteResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, members));
};

// --- etcdserverpb: Maintenance

struct AlarmRequest {
  Enum<AlarmActionNames> action = {};
  std::uint64_t memberID = 0;
  Enum<AlarmTypeNames> alarm = {};
  RAFTKV_FIELDS(AlarmRequest, "etcdserverpb.AlarmRequest", RAFTKV_F(1, action),
                RAFTKV_F(2, memberID), RAFTKV_F(3, alarm));
};

struct AlarmMember {
  std::uint64_t memberID = 0;
  Enum<AlarmTypeNames> alarm = {};
  RAFTKV_FIELDS(AlarmMember, "etcdserverpb.AlarmMember", RAFTKV_F(1, memberID), RAFTKV_F(2, alarm));
};

struct AlarmResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<AlarmMember> alarms = {};
  RAFTKV_FIELDS(AlarmResponse, "etcdserverpb.AlarmResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, alarms));
};

struct StatusRequest {
  using Self = StatusRequest;
  static constexpr const char* kType = "etcdserverpb.StatusRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const StatusRequest&, const StatusRequest&) = default;
};

struct StatusResponse {
  std::optional<ResponseHeader> header = {};
  std::string version = {};
  std::int64_t dbSize = 0;
  std::uint64_t leader = 0;
  std::uint64_t raftIndex = 0;
  std::uint64_t raftTerm = 0;
  std::uint64_t raftAppliedIndex = 0;
  std::vector<std::string> errors = {};
  std::int64_t dbSizeInUse = 0;
  bool isLearner = false;
  RAFTKV_FIELDS(StatusResponse, "etcdserverpb.StatusResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, version), RAFTKV_F(3, dbSize), RAFTKV_F(4, leader),
                RAFTKV_F(5, raftIndex), RAFTKV_F(6, raftTerm), RAFTKV_F(7, raftAppliedIndex),
                RAFTKV_F(8, errors), RAFTKV_F(9, dbSizeInUse), RAFTKV_F(10, isLearner));
};

struct DefragmentRequest {
  using Self = DefragmentRequest;
  static constexpr const char* kType = "etcdserverpb.DefragmentRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const DefragmentRequest&, const DefragmentRequest&) = default;
};

struct DefragmentResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(DefragmentResponse, "etcdserverpb.DefragmentResponse", RAFTKV_F(1, header));
};

struct HashRequest {
  using Self = HashRequest;
  static constexpr const char* kType = "etcdserverpb.HashRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const HashRequest&, const HashRequest&) = default;
};

struct HashResponse {
  std::optional<ResponseHeader> header = {};
  std::uint32_t hash = 0;
  RAFTKV_FIELDS(HashResponse, "etcdserverpb.HashResponse", RAFTKV_F(1, header), RAFTKV_F(2, hash));
};

struct HashKVRequest {
  std::int64_t revision = 0;
  RAFTKV_FIELDS(HashKVRequest, "etcdserverpb.HashKVRequest", RAFTKV_F(1, revision));
};

struct HashKVResponse {
  std::optional<ResponseHeader> header = {};
  std::uint32_t hash = 0;
  std::int64_t compact_revision = 0;
  RAFTKV_FIELDS(HashKVResponse, "etcdserverpb.HashKVResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, hash), RAFTKV_F(3, compact_revision));
};

struct SnapshotRequest {
  using Self = SnapshotRequest;
  static constexpr const char* kType = "etcdserverpb.SnapshotRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const SnapshotRequest&, const SnapshotRequest&) = default;
};

struct SnapshotResponse {
  std::optional<ResponseHeader> header = {};
  std::uint64_t remaining_bytes = 0;
  std::string blob = {};
  RAFTKV_FIELDS(SnapshotResponse, "etcdserverpb.SnapshotResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, remaining_bytes), RAFTKV_B(3, blob));
};

struct MoveLeaderRequest {
  std::uint64_t targetID = 0;
  RAFTKV_FIELDS(MoveLeaderRequest, "etcdserverpb.MoveLeaderRequest", RAFTKV_F(1, targetID));
};

struct MoveLeaderResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(MoveLeaderResponse, "etcdserverpb.MoveLeaderResponse", RAFTKV_F(1, header));
};

// --- etcdserverpb: Auth

struct AuthStatusRequest {
  using Self = AuthStatusRequest;
  static constexpr const char* kType = "etcdserverpb.AuthStatusRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const AuthStatusRequest&, const AuthStatusRequest&) = default;
};

struct AuthStatusResponse {
  std::optional<ResponseHeader> header = {};
  bool enabled = false;
  std::uint64_t authRevision = 0;
  RAFTKV_FIELDS(AuthStatusResponse, "etcdserverpb.AuthStatusResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, enabled), RAFTKV_F(3, authRevision));
};

struct AuthenticateRequest {
  std::string name = {};
  std::string password = {};
  RAFTKV_FIELDS(AuthenticateRequest, "etcdserverpb.AuthenticateRequest", RAFTKV_F(1, name),
                RAFTKV_F(2, password));
};

struct AuthenticateResponse {
  std::optional<ResponseHeader> header = {};
  std::string token = {};
  RAFTKV_FIELDS(AuthenticateResponse, "etcdserverpb.AuthenticateResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, token));
};

// --- v3lockpb

struct LockRequest {
  std::string name = {};
  std::int64_t lease = 0;
  RAFTKV_FIELDS(LockRequest, "v3lockpb.LockRequest", RAFTKV_B(1, name), RAFTKV_F(2, lease));
};

struct LockResponse {
  std::optional<ResponseHeader> header = {};
  std::string key = {};
  RAFTKV_FIELDS(LockResponse, "v3lockpb.LockResponse", RAFTKV_F(1, header), RAFTKV_B(2, key));
};

struct UnlockRequest {
  std::string key = {};
  RAFTKV_FIELDS(UnlockRequest, "v3lockpb.UnlockRequest", RAFTKV_B(1, key));
};

struct UnlockResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(UnlockResponse, "v3lockpb.UnlockResponse", RAFTKV_F(1, header));
};

// --- v3electionpb

struct LeaderKey {
  std::string name = {};
  std::string key = {};
  std::int64_t rev = 0;
  std::int64_t lease = 0;
  RAFTKV_FIELDS(LeaderKey, "v3electionpb.LeaderKey", RAFTKV_B(1, name), RAFTKV_B(2, key),
                RAFTKV_F(3, rev), RAFTKV_F(4, lease));
};

struct CampaignRequest {
  std::string name = {};
  std::int64_t lease = 0;
  std::string value = {};
  RAFTKV_FIELDS(CampaignRequest, "v3electionpb.CampaignRequest", RAFTKV_B(1, name),
                RAFTKV_F(2, lease), RAFTKV_B(3, value));
};

struct CampaignResponse {
  std::optional<ResponseHeader> header = {};
  std::optional<LeaderKey> leader = {};
  RAFTKV_FIELDS(CampaignResponse, "v3electionpb.CampaignResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, leader));
};

struct LeaderRequest {
  std::string name = {};
  RAFTKV_FIELDS(LeaderRequest, "v3electionpb.LeaderRequest", RAFTKV_B(1, name));
};

struct LeaderResponse {
  std::optional<ResponseHeader> header = {};
  std::optional<KeyValue> kv = {};
  RAFTKV_FIELDS(LeaderResponse, "v3electionpb.LeaderResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, kv));
};

struct ResignRequest {
  std::optional<LeaderKey> leader = {};
  RAFTKV_FIELDS(ResignRequest, "v3electionpb.ResignRequest", RAFTKV_F(1, leader));
};

struct ResignResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(ResignResponse, "v3electionpb.ResignResponse", RAFTKV_F(1, header));
};

struct ProclaimRequest {
  std::optional<LeaderKey> leader = {};
  std::string value = {};
  RAFTKV_FIELDS(ProclaimRequest, "v3electionpb.ProclaimRequest", RAFTKV_F(1, leader),
                RAFTKV_B(2, value));
};

struct ProclaimResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(ProclaimResponse, "v3electionpb.ProclaimResponse", RAFTKV_F(1, header));
};

// --- grpc.health.v1

struct HealthCheckRequest {
  std::string service = {};
  RAFTKV_FIELDS(HealthCheckRequest, "grpc.health.v1.HealthCheckRequest", RAFTKV_F(1, service));
};

struct HealthCheckResponse {
  Enum<ServingStatusNames> status = {};
  RAFTKV_FIELDS(HealthCheckResponse, "grpc.health.v1.HealthCheckResponse", RAFTKV_F(1, status));
};

}  // namespace raftkv::etcd
