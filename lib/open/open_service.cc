// How does input from connections, or from the host, reach the member? (the services of OpenNode)
#include <algorithm>
#include <filesystem>
#include <utility>

#include "lib/base/build_version.h"
#include "lib/base/check.h"
#include "lib/kv/store.h"
#include "lib/open/open_node.h"
#include "storage/disk/disk_space.h"

namespace raftkv {

namespace {

const char kStarting[] = "the member is starting; try again";

std::uint64_t FolderBytes(const std::string& folder, const CancelToken& token) {
  std::uint64_t bytes = 0;
  std::error_code error;
  // Files come and go in the meantime: whatever cannot be read now is gone.
  for (std::filesystem::recursive_directory_iterator it(folder, error), end;
       !error && it != end && !token.cancelled(); it.increment(error)) {
    std::error_code gone;
    if (it->path().filename() == storage::kReserveName) continue;
    const auto size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

}  // namespace

// --- Peers.

void OpenNode::OnHello(node::Hello hello, node::HelloDone done) {
  if (!member_) {
    node::HelloAnswer answer;
    answer.self.name = options_.name;
    answer.refusal = kStarting;
    loop_->RunLater(
        [done = std::move(done), answer = std::move(answer)]() mutable { done(answer); });
    return;
  }
  const std::string name = hello.name;
  member_->OnHello(hello, [this, name, done = std::move(done)](node::HelloAnswer answer) mutable {
    if (answer.refusal.empty() && peers_) peers_->RetryNow(name);
    if (answer.verifying && peers_) peers_->Verify(name);
    loop_->RunLater(
        [done = std::move(done), answer = std::move(answer)]() mutable { done(answer); });
  });
}

void OpenNode::Receive(NodeId peer, node::Boot boot, std::vector<node::PeerMessage> messages) {
  if (!member_) return;
  for (node::PeerMessage& message : messages) member_->Receive(peer, boot, std::move(message));
}

void OpenNode::PeerDisconnected(NodeId peer) {
  if (member_) member_->PeerDisconnected(peer);
}

node::Hello OpenNode::MakeHello(NodeId expected_member, const std::string& expected_name) {
  return member_->MakeHello(expected_member, expected_name);
}

raftkv::Status OpenNode::OnHelloAnswer(const node::HelloAnswer& answer,
                                       const node::Dialled& dialled) {
  return member_->OnHelloAnswer(answer, dialled);
}

void OpenNode::PeerUnreachable(NodeId peer) {
  if (member_) member_->PeerUnreachable(peer);
}

void OpenNode::ReceiveAnswers(NodeId peer, node::Boot boot,
                              std::vector<node::PeerMessage> messages) {
  Receive(peer, boot, std::move(messages));
}

// --- Clients and the host.

void OpenNode::Submit(Bytes request, MonoTime deadline, node::SubmitDone done) {
  if (!member_) {
    loop_->RunLater([done = std::move(done)]() mutable {
      done({{Code::kUnavailable, kStarting}, {}});
    });
    return;
  }
  // An immediate refusal by the member is answered later, like everything else.
  const auto inside = std::make_shared<bool>(true);
  member_->Submit(std::move(request), deadline,
                  [this, inside, done = std::move(done)](node::SubmitOutcome outcome) mutable {
                    if (!*inside) {
                      done(std::move(outcome));
                      return;
                    }
                    loop_->RunLater([done = std::move(done),
                                     outcome = std::move(outcome)]() mutable { done(outcome); });
                  });
  *inside = false;
}

void OpenNode::Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
                    node::Done<Bytes> done) {
  if (!member_) {
    loop_->RunLater([done = std::move(done)]() mutable {
      done(raftkv::Status(Code::kUnavailable, kStarting));
    });
    return;
  }
  const auto inside = std::make_shared<bool>(true);
  member_->Read(std::move(request), policy, deadline,
                [this, inside, done = std::move(done)](Result<Bytes> answer) mutable {
                  if (!*inside) {
                    done(std::move(answer));
                    return;
                  }
                  loop_->RunLater([done = std::move(done), answer = std::move(answer)]() mutable {
                    done(answer);
                  });
                });
  *inside = false;
}

void OpenNode::Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) {
  const auto inside = std::make_shared<bool>(true);
  auto later = [this, inside, done = std::move(done)](Result<Bytes> answer) mutable {
    if (!*inside) return done(std::move(answer));
    loop_->RunLater(
        [done = std::move(done), answer = std::move(answer)]() mutable { done(answer); });
  };
  if (member_) {
    member_->Watch(request, deadline, std::move(later));
  } else {
    later(raftkv::Status(Code::kUnavailable, kStarting));
  }
  *inside = false;
}

void OpenNode::OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) {
  auto later = [this, done = std::move(done)](const Result<std::uint64_t>& opened) mutable {
    loop_->RunLater([done = std::move(done), opened]() mutable { done(opened); });
  };
  if (!member_) return later(raftkv::Status(Code::kUnavailable, kStarting));
  member_->OpenSession(deadline, std::move(later));
}

rpc::AnswerHeader OpenNode::Header() {
  rpc::AnswerHeader header;
  if (!member_) return header;
  const NodeStatus status = member_->status();
  header.cluster = ClusterId(status.cluster_id);
  header.member = NodeId(status.member_id);
  header.term = Term(status.term);
  header.leads = status.role == Role::kLeader;
  if (!header.leads) header.leader_address = member_->leader_address();
  return header;
}

// --- Status, metrics and health.

raftkv::Status OpenNode::ReadyToServe() {
  if (!member_) return {Code::kUnavailable, kStarting};
  if (!member_->failure().ok()) return member_->failure();
  if (!member_->HasSettledLeader()) return {Code::kUnavailable, "no leader is known"};
  return raftkv::Status::Ok();
}

rpc::MetricsSnapshot OpenNode::SnapshotForMetrics() {
  rpc::MetricsSnapshot snapshot;
  snapshot.node.name = options_.name;
  if (server_) snapshot.connections = server_->connections();
  if (etcd_) snapshot.etcd_connections = etcd_->connections();
  snapshot.tls = SnapshotOfTls();
  if (!member_) return snapshot;
  snapshot.node = member_->status();
  snapshot.failed = !member_->failure().ok();
  snapshot.dropped_peer_messages = peers_->dropped_messages();
  const storage::Store::ScrubCounts scrub = store_->scrub_counts();
  snapshot.scrubbed_bytes = scrub.bytes;
  snapshot.scrub_passes = scrub.passes;
  snapshot.damage_found = scrub.damaged;
  if (const raft::Raft* core = member_->core()) {
    snapshot.space = core->space();
    snapshot.disk_hangs = core->disk_hangs();
    for (const auto& [id, progress] : core->progress()) {
      const raft::Member* member = core->configuration().Find(id);
      if (member != nullptr) snapshot.peer_match.emplace_back(member->name, progress.match.value);
    }
  }
  return snapshot;
}

void OpenNode::FillStatus(EndpointStatus& status) {
  status.version = RAFTKV_VERSION;
  if (!member_) {
    status.node.name = options_.name;
    status.node.errors.push_back(kStarting);
    return;
  }
  status.node = member_->status();
  const std::vector<std::string> damage = store_->damage();
  status.node.errors.insert(status.node.errors.begin(), damage.begin(), damage.end());
  const raft::Raft* core = member_->core();
  if (core != nullptr) status.snapshot_index = core->log().base().index.value;
  const raft::Configuration now = core ? core->committed_configuration() : raft::Configuration{};
  for (const raft::Member& member : now.members) {
    status.members.push_back(
        {member.id.value, member.name, member.address, now.CountsAsVoter(member)});
    const bool other = member.id.value != status.node.member_id;
    if (other && !peers_->Connected(member.id)) {
      status.node.errors.push_back("not connected to '" + member.name + "'" +
                                   member_->Whereabouts(member.id));
    }
  }
  if (!member_->failure().ok()) status.node.errors.push_back(member_->failure().message());
  for (std::string& warning : TlsWarnings()) status.node.errors.push_back(std::move(warning));
  if (server_ && !server_->exposed().empty()) {
    status.node.errors.push_back("it " + server_->exposed());
  }
  if (status.node.leader.empty()) status.node.errors.push_back("no leader is known");
}

Result<std::vector<ClusterMember>> OpenNode::Members() {
  if (!member_) return raftkv::Status(Code::kUnavailable, kStarting);
  if (member_->core() == nullptr) {
    return raftkv::Status(Code::kUnavailable, "the cluster has not formed yet");
  }
  // Not the latest: an operator who is told that there are three voters may stop one of them.
  const raft::Configuration& now = member_->core()->committed_configuration();
  std::vector<ClusterMember> members;
  for (const raft::Member& member : now.members) {
    const auto role = now.CountsAsVoter(member) ? MemberRole::kVoter : MemberRole::kLearner;
    members.push_back({member.id.value, member.name, member.address, member.zone, role,
                       member.id == member_->leader(), member_->client_url(member.id)});
  }
  for (const raft::Invitation& invited : now.invited) {
    members.push_back({0, invited.name, invited.address, {}, MemberRole::kInvited, false});
  }
  std::sort(members.begin(), members.end(),
            [](const ClusterMember& a, const ClusterMember& b) { return a.name < b.name; });
  return members;
}

void OpenNode::ChangeMembers(const rpc::MemberChange& change, MonoTime deadline,
                             node::DoneStatus done) {
  // An immediate refusal is answered later, like everything else.
  const auto inside = std::make_shared<bool>(true);
  ChangeOnLeader(change, deadline,
                 [this, inside, done = std::move(done)](const raftkv::Status& outcome) mutable {
                   if (!*inside) return done(outcome);
                   loop_->RunLater([done = std::move(done), outcome]() mutable { done(outcome); });
                 });
  *inside = false;
}

void OpenNode::ChangeOnLeader(const rpc::MemberChange& change, MonoTime deadline,
                              node::DoneStatus done) {
  if (!member_) return done({Code::kUnavailable, kStarting});
  // A follower may not even know the member yet.
  const raft::Raft* core = member_->core();
  if (core != nullptr && core->role() != raft::Role::kLeader) {
    return done({Code::kNotLeader, "this member is not the leader"});
  }
  using Kind = rpc::MemberChange::Kind;
  switch (change.kind) {
    case Kind::kAddLearner:
    case Kind::kAddVoter:
      return member_->AddMember(change.name, change.address, change.kind == Kind::kAddVoter,
                                deadline, std::move(done));
    case Kind::kPromote: return member_->PromoteMember(change.name, deadline, std::move(done));
    case Kind::kRemove: return member_->RemoveMember(change.name, deadline, std::move(done));
    case Kind::kUpdate:
      return member_->UpdateMember(change.name, change.address, change.reset_boot, deadline,
                                   std::move(done));
    case Kind::kMoveLeader: return member_->MoveLeader(change.name, deadline, std::move(done));
  }
}

Result<EndpointStatus> OpenNode::Inspect(EndpointStatus status, bool with_hash,
                                         const CancelToken& token) {
  status.db_bytes = FolderBytes(options_.data_dir, token);
  if (!with_hash) return status;
  const auto hash = kv::HashContent(*store_->engine(), token);
  if (!hash.ok()) {
    if (hash.code() == Code::kCorruption) store_->ReportDamage(hash.status());
    return hash.status();
  }
  status.content_hash = hash->hash;
  status.hash_index = hash->index.value;
  return status;
}

void OpenNode::Status(bool with_hash, node::Done<EndpointStatus> done) {
  EndpointStatus status;
  FillStatus(status);
  if (!member_) {
    loop_->RunLater([done = std::move(done), status]() mutable { done(status); });
    return;
  }
  storage::Completions to_loop(
      [loop = loop_.get()](OnceFunction<void()> work) { loop->Post(std::move(work)); });
  storage::RunOn(
      *inspector_, to_loop,
      [this, with_hash, status = std::move(status), token = inspections_]() mutable {
        return Inspect(std::move(status), with_hash, token);
      },
      std::move(done));
}

}  // namespace raftkv
