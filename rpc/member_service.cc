#include "rpc/member_service.h"

#include <utility>

namespace raftkv::rpc {

MemberService::MemberService(node::Member& member, Peers& peers, std::string name,
                             std::string version, ReadStorage read_storage)
    : member_(member),
      peers_(peers),
      name_(std::move(name)),
      version_(std::move(version)),
      read_storage_(std::move(read_storage)) {}

void MemberService::OnHello(node::Hello hello, std::function<void(node::HelloAnswer)> done) {
  // Who calls is up: no need to wait for the end of a back-off.
  peers_.RetryNow(hello.name);
  member_.OnHello(std::move(hello), std::move(done));
}

void MemberService::Receive(NodeId peer, std::vector<node::PeerMessage> messages) {
  for (node::PeerMessage& message : messages) member_.Receive(peer, std::move(message));
}

AnswerHeader MemberService::Header() {
  if (cluster_ == ClusterId()) {
    const NodeStatus status = member_.status();
    cluster_ = ClusterId(status.cluster_id);
    id_ = NodeId(status.member_id);
  }
  AnswerHeader header;
  header.cluster = cluster_;
  header.member = id_;
  if (const raft::Raft* core = member_.core()) {
    header.term = core->term();
    header.leads = core->role() == raft::Role::kLeader;
    if (!header.leads) header.leader_address = member_.leader_address();
  }
  return header;
}

EndpointStatus MemberService::MemberStatus() const {
  EndpointStatus status;
  status.node = member_.status();
  status.version = version_;
  for (const raft::Member& member : member_.members()) {
    status.members.push_back({member.id.value, member.name, member.address, !member.learner});
  }
  if (!member_.failure().ok()) status.errors.push_back(member_.failure().ToString());
  return status;
}

void MemberService::Status(bool with_hash, node::Done<EndpointStatus> done) {
  // The member's part is taken first: it must not be ahead of a hash that is read after it.
  EndpointStatus status = MemberStatus();
  read_storage_(with_hash, [status = std::move(status),
                            done = std::move(done)](Result<StorageStatus> storage) mutable {
    if (!storage.ok()) {
      status.errors.push_back(storage.status().ToString());
      return done(std::move(status));
    }
    status.snapshot_index = storage->snapshot_index;
    status.db_bytes = storage->db_bytes;
    status.content_hash = storage->content_hash;
    status.hash_index = storage->hash_index;
    for (std::string& error : storage->errors) status.errors.push_back(std::move(error));
    done(std::move(status));
  });
}

}  // namespace raftkv::rpc
