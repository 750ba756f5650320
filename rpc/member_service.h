// How are the RPC server and the connections to peers joined to a Member?
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lib/node/member.h"
#include "rpc/peers.h"
#include "rpc/service.h"

namespace raftkv::rpc {

/// What a status needs of the storage.
struct StorageStatus {
  std::uint64_t snapshot_index = 0;
  std::uint64_t db_bytes = 0;
  std::uint64_t content_hash = 0;
  std::uint64_t hash_index = 0;
  std::vector<std::string> errors;
};

/// All of it on the loop. `member` and `peers` outlive this.
class MemberService final : public Service, public PeerOwner {
 public:
  /// Reads a StorageStatus, with or without the hash, off the loop if it takes long.
  using ReadStorage = std::function<void(bool with_hash, node::Done<StorageStatus>)>;

  MemberService(node::Member& member, Peers& peers, std::string name, std::string version,
                ReadStorage read_storage);

  void OnHello(node::Hello hello, std::function<void(node::HelloAnswer)> done) override;
  void Receive(NodeId peer, std::vector<node::PeerMessage> messages) override;
  void PeerDisconnected(NodeId peer) override { member_.PeerDisconnected(peer); }

  void Submit(Bytes request, MonoTime deadline,
              std::function<void(node::SubmitOutcome)> done) override {
    member_.Submit(std::move(request), deadline, std::move(done));
  }
  void Read(Bytes request, Consistency consistency, MonoTime deadline,
            node::Done<Bytes> done) override {
    member_.Read(std::move(request), consistency, deadline, std::move(done));
  }
  std::uint64_t ReplicatedTimeMs() override { return member_.replicated_time_ms(); }
  AnswerHeader Header() override;
  std::string Name() override { return name_; }
  void Status(bool with_hash, node::Done<EndpointStatus> done) override;

  node::Hello MakeHello(NodeId expected_member, const std::string& expected_name) override {
    return member_.MakeHello(expected_member, expected_name);
  }
  raftkv::Status OnHelloAnswer(const node::HelloAnswer& answer) override {
    return member_.OnHelloAnswer(answer);
  }
  void PeerUnreachable(NodeId peer) override { member_.PeerUnreachable(peer); }

 private:
  EndpointStatus MemberStatus() const;

  node::Member& member_;
  Peers& peers_;
  const std::string name_;
  const std::string version_;
  const ReadStorage read_storage_;
  // Do not change once they are known.
  ClusterId cluster_;
  NodeId id_;
};

}  // namespace raftkv::rpc
