// Which messages are there? One list, from which the codecs are instantiated and the descriptors
// made: RAFTKV_ETCD_MESSAGES(X) is X(Message) for each, package by package, in the order of the
// .proto files in docs/etcd.
#pragma once

#include "rpc/etcd/admin_messages.h"
#include "rpc/etcd/reflection_messages.h"

// clang-format off
#define RAFTKV_ETCD_MVCC_MESSAGES(X) \
  X(KeyValue) X(Event)

#define RAFTKV_ETCD_SERVER_MESSAGES(X) \
  X(ResponseHeader) X(RangeRequest) X(RangeResponse) X(PutRequest) X(PutResponse) \
  X(DeleteRangeRequest) X(DeleteRangeResponse) X(Compare) X(RequestOp) X(TxnRequest) \
  X(ResponseOp) X(TxnResponse) X(CompactionRequest) X(CompactionResponse) X(WatchCreateRequest) \
  X(WatchCancelRequest) X(WatchProgressRequest) X(WatchRequest) X(WatchResponse) \
  X(LeaseGrantRequest) X(LeaseGrantResponse) X(LeaseRevokeRequest) X(LeaseRevokeResponse) \
  X(LeaseKeepAliveRequest) X(LeaseKeepAliveResponse) X(LeaseTimeToLiveRequest) \
  X(LeaseTimeToLiveResponse) X(LeaseLeasesRequest) X(LeaseStatus) X(LeaseLeasesResponse) \
  X(Member) X(MemberAddRequest) X(MemberAddResponse) X(MemberRemoveRequest) \
  X(MemberRemoveResponse) X(MemberUpdateRequest) X(MemberUpdateResponse) X(MemberListRequest) \
  X(MemberListResponse) X(MemberPromoteRequest) X(MemberPromoteResponse) X(AlarmRequest) \
  X(AlarmMember) X(AlarmResponse) X(StatusRequest) X(StatusResponse) X(DefragmentRequest) \
  X(DefragmentResponse) X(HashRequest) X(HashResponse) X(HashKVRequest) X(HashKVResponse) \
  X(SnapshotRequest) X(SnapshotResponse) X(MoveLeaderRequest) X(MoveLeaderResponse) \
  X(AuthStatusRequest) X(AuthStatusResponse) X(AuthenticateRequest) X(AuthenticateResponse)

#define RAFTKV_ETCD_LOCK_MESSAGES(X) \
  X(LockRequest) X(LockResponse) X(UnlockRequest) X(UnlockResponse)

#define RAFTKV_ETCD_ELECTION_MESSAGES(X) \
  X(LeaderKey) X(CampaignRequest) X(CampaignResponse) X(LeaderRequest) X(LeaderResponse) \
  X(ResignRequest) X(ResignResponse) X(ProclaimRequest) X(ProclaimResponse)

#define RAFTKV_ETCD_HEALTH_MESSAGES(X) \
  X(HealthCheckRequest) X(HealthCheckResponse)

#define RAFTKV_ETCD_REFLECTION_MESSAGES(X) \
  X(ExtensionRequest) X(ServerReflectionRequest) X(FileDescriptorResponse) \
  X(ExtensionNumberResponse) X(ServiceResponse) X(ListServiceResponse) X(ErrorResponse) \
  X(ServerReflectionResponse)

#define RAFTKV_ETCD_MESSAGES(X) \
  RAFTKV_ETCD_MVCC_MESSAGES(X) \
  RAFTKV_ETCD_SERVER_MESSAGES(X) \
  RAFTKV_ETCD_LOCK_MESSAGES(X) \
  RAFTKV_ETCD_ELECTION_MESSAGES(X) \
  RAFTKV_ETCD_HEALTH_MESSAGES(X) \
  RAFTKV_ETCD_REFLECTION_MESSAGES(X)
// clang-format on
