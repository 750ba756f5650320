#include "rpc/etcd/cluster_service.h"

#include <algorithm>
#include <utility>

#include "rpc/etcd/errors.h"
#include "rpc/etcd/member_names.h"

namespace raftkv::etcd {

namespace {

constexpr char kClusterService[] = "etcdserverpb.Cluster";

constexpr EtcdError kMemberNotFound{GrpcCode::kNotFound, "etcdserver: member not found"};
constexpr EtcdError kMemberExists{GrpcCode::kFailedPrecondition,
                                  "etcdserver: member ID already exist"};
constexpr EtcdError kPeerUrlExists{GrpcCode::kFailedPrecondition,
                                   "etcdserver: Peer URLs already exists"};
constexpr EtcdError kBadUrls{GrpcCode::kInvalidArgument,
                             "etcdserver: given member URLs are invalid"};
/// With the code that etcd's server sends, which is not the one that its client library lists.
constexpr EtcdError kNotEnoughStarted{
    GrpcCode::kUnknown, "etcdserver: re-configuration failed due to not enough started members"};
constexpr EtcdError kNotLearner{GrpcCode::kFailedPrecondition,
                                "etcdserver: can only promote a learner member"};
constexpr EtcdError kLearnerNotReady{
    GrpcCode::kFailedPrecondition,
    "etcdserver: can only promote a learner member which is in sync with leader"};
constexpr EtcdError kUnhealthy{GrpcCode::kUnavailable, "etcdserver: unhealthy cluster"};

/// The leader has made the change: this member hears of it soon, or answers with what it knows.
constexpr Duration kToHear = std::chrono::seconds(1);
constexpr Duration kBetweenLooks = std::chrono::milliseconds(10);

Outcome RefusalOf(rpc::MemberChange::Kind kind, const Status& status, bool by_leader) {
  switch (status.code()) {
    case Code::kNotFound: return kMemberNotFound;
    case Code::kNotLeader: return kNoLeader;
    case Code::kUnavailable:
      if (!by_leader) return kNoLeader;
      return kind == rpc::MemberChange::Kind::kPromote ? kLearnerNotReady : kUnhealthy;
    default: return ToOutcome(status);
  }
}

bool IsLastVoter(const std::vector<ClusterMember>& members, const ClusterMember& member) {
  return member.role == MemberRole::kVoter &&
         std::count_if(members.begin(), members.end(), [](const ClusterMember& each) {
           return each.role == MemberRole::kVoter;
         }) == 1;
}

const ClusterMember* FindAddress(const std::vector<ClusterMember>& members,
                                 const std::string& address) {
  const auto found = std::find_if(members.begin(), members.end(), [&](const ClusterMember& each) {
    return each.address == address;
  });
  return found == members.end() ? nullptr : &*found;
}

const ClusterMember* FindName(const std::vector<ClusterMember>& members, const std::string& name) {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const ClusterMember& each) { return each.name == name; });
  return found == members.end() ? nullptr : &*found;
}

}  // namespace

ClusterService::ClusterService(Backend& backend, LeaderCall::Ask ask)
    : backend_(backend), leader_(backend, std::move(ask)) {}

void ClusterService::Register(Methods& methods) {
  methods.AddUnary<MemberListRequest, MemberListResponse>(
      kClusterService, "MemberList", "cluster/member/list",
      [this](const auto& context, const auto& request, const auto& reply) {
        List(context, request, reply);
      });
  methods.AddUnary<MemberAddRequest, MemberAddResponse>(
      kClusterService, "MemberAdd", "cluster/member/add",
      [this](const auto& context, const auto& request, const auto& reply) {
        Add(context, request, reply);
      });
  methods.AddUnary<MemberRemoveRequest, MemberRemoveResponse>(
      kClusterService, "MemberRemove", "cluster/member/remove",
      [this](const auto& context, const auto& request, const auto& reply) {
        Remove(context, request, reply);
      });
  methods.AddUnary<MemberUpdateRequest, MemberUpdateResponse>(
      kClusterService, "MemberUpdate", "cluster/member/update",
      [this](const auto& context, const auto& request, const auto& reply) {
        Update(context, request, reply);
      });
  methods.AddUnary<MemberPromoteRequest, MemberPromoteResponse>(
      kClusterService, "MemberPromote", "cluster/member/promote",
      [this](const auto& context, const auto& request, const auto& reply) {
        Promote(context, request, reply);
      });
}

/// As etcd: of a list of members there is no revision.
ResponseHeader ClusterService::Header() const {
  ResponseHeader header = MakeHeader(backend_, 0);
  header.revision = 0;
  return header;
}

void ClusterService::List(const CallContext& context, const MemberListRequest& request,
                          const Replier<MemberListResponse>& reply) {
  const auto answer = [this, reply] {
    const Result<Members> members = backend_.service.Members();
    if (!members.ok()) return reply(ToOutcome(members.status()));
    MemberListResponse response;
    response.header = Header();
    response.members = ToEtcdMembers(*members);
    reply(response);
  };
  if (!request.linearizable) return answer();
  // A read, of whatever key: this member then has what was committed before.
  ReadOptions options;
  options.timeout = TimeoutOf(backend_, context);
  backend_.kv.GetAsync(std::string(1, '\0'), options,
                       life_.Guard([answer, reply](const Result<raftkv::KeyValue>& read) {
                         if (!read.ok() && read.code() != Code::kNotFound) {
                           return reply(ToOutcome(read.status()));
                         }
                         answer();
                       }));
}

void ClusterService::Add(const CallContext& context, const MemberAddRequest& request,
                         const Replier<MemberAddResponse>& reply) {
  const std::optional<PeerUrl> peer = ParsePeerUrls(request.peerURLs);
  if (!peer.has_value()) return reply(kBadUrls);
  const Result<Members> members = backend_.service.Members();
  if (!members.ok()) return reply(ToOutcome(members.status()));
  if (FindAddress(*members, peer->address) != nullptr) return reply(kPeerUrlExists);
  if (FindName(*members, peer->name) != nullptr) return reply(kMemberExists);
  rpc::MemberChange change;
  change.kind =
      request.isLearner ? rpc::MemberChange::Kind::kAddLearner : rpc::MemberChange::Kind::kAddVoter;
  change.name = peer->name;
  change.address = peer->address;
  Change(
      context, change,
      [name = peer->name](const Members& now) { return FindName(now, name) != nullptr; },
      [this, reply, learner = request.isLearner, peer = *peer](const Members& now) {
        ClusterMember added;
        added.name = peer.name;
        added.address = peer.address;
        added.role = MemberRole::kInvited;
        MemberAddResponse response;
        response.header = Header();
        Member& member = response.member.emplace(ToEtcdMember(added));
        // Only here: this is what the member has to be started with.
        member.name = peer.name;
        member.isLearner = learner;
        response.members = ToEtcdMembers(now);
        reply(response);
      },
      reply);
}

void ClusterService::Remove(const CallContext& context, const MemberRemoveRequest& request,
                            const Replier<MemberRemoveResponse>& reply) {
  const Result<Members> members = backend_.service.Members();
  if (!members.ok()) return reply(ToOutcome(members.status()));
  const ClusterMember* const member = FindMember(*members, request.ID);
  if (member == nullptr) return reply(kMemberNotFound);
  if (IsLastVoter(*members, *member)) return reply(kNotEnoughStarted);
  rpc::MemberChange change;
  change.kind = rpc::MemberChange::Kind::kRemove;
  change.name = member->name;
  Change(
      context, change,
      [name = member->name](const Members& now) { return FindName(now, name) == nullptr; },
      [this, reply](const Members& now) {
        MemberRemoveResponse response;
        response.header = Header();
        response.members = ToEtcdMembers(now);
        reply(response);
      },
      reply);
}

void ClusterService::Update(const CallContext& context, const MemberUpdateRequest& request,
                            const Replier<MemberUpdateResponse>& reply) {
  const std::optional<PeerUrl> peer = ParsePeerUrls(request.peerURLs);
  if (!peer.has_value()) return reply(kBadUrls);
  const Result<Members> members = backend_.service.Members();
  if (!members.ok()) return reply(ToOutcome(members.status()));
  const ClusterMember* const member = FindMember(*members, request.ID);
  if (member == nullptr) return reply(kMemberNotFound);
  const auto answer = [this, reply](const Members& now) {
    MemberUpdateResponse response;
    response.header = Header();
    response.members = ToEtcdMembers(now);
    reply(response);
  };
  if (member->address == peer->address) return answer(*members);
  if (FindAddress(*members, peer->address) != nullptr) return reply(kPeerUrlExists);
  rpc::MemberChange change;
  change.kind = rpc::MemberChange::Kind::kUpdate;
  change.name = member->name;
  change.address = peer->address;
  Change(
      context, change,
      [address = peer->address](const Members& now) {
        return FindAddress(now, address) != nullptr;
      },
      answer, reply);
}

void ClusterService::Promote(const CallContext& context, const MemberPromoteRequest& request,
                             const Replier<MemberPromoteResponse>& reply) {
  const Result<Members> members = backend_.service.Members();
  if (!members.ok()) return reply(ToOutcome(members.status()));
  const ClusterMember* const member = FindMember(*members, request.ID);
  if (member == nullptr) return reply(kMemberNotFound);
  if (member->role == MemberRole::kVoter) return reply(kNotLearner);
  if (member->role == MemberRole::kInvited) return reply(kLearnerNotReady);
  rpc::MemberChange change;
  change.kind = rpc::MemberChange::Kind::kPromote;
  change.name = member->name;
  Change(
      context, change,
      [name = member->name](const Members& now) {
        const ClusterMember* const promoted = FindName(now, name);
        return promoted != nullptr && promoted->role == MemberRole::kVoter;
      },
      [this, reply](const Members& now) {
        MemberPromoteResponse response;
        response.header = Header();
        response.members = ToEtcdMembers(now);
        reply(response);
      },
      reply);
}

void ClusterService::Change(const CallContext& context, const rpc::MemberChange& change,
                            IsDone is_done, Then then, Refuse refuse) {
  const MonoTime deadline = backend_.loop.Now() + TimeoutOf(backend_, context);
  leader_.Change(change, deadline,
                 [this, kind = change.kind, is_done = std::move(is_done), then = std::move(then),
                  refuse = std::move(refuse)](const Status& status, bool by_leader) {
                   if (!status.ok()) return refuse(RefusalOf(kind, status, by_leader));
                   AwaitList(backend_.loop.Now() + kToHear, is_done, then);
                 });
}

void ClusterService::AwaitList(MonoTime until, const IsDone& is_done, const Then& then) {
  const Result<Members> members = backend_.service.Members();
  const MonoTime now = backend_.loop.Now();
  if (now >= until || (members.ok() && is_done(*members))) {
    return then(members.ok() ? *members : Members());
  }
  backend_.loop.At(now + kBetweenLooks,
                   life_.Guard([this, until, is_done, then] { AwaitList(until, is_done, then); }));
}

}  // namespace raftkv::etcd
