// What does the RPC server need from the member behind it? (MemberService provides it; tests have
// fakes)
//
// All of it happens on the loop; every callback runs once, later, on the loop, or is destroyed
// without having run when the member stops.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/client.h>
#include <raftkv/kv.h>

#include "lib/node/backup.h"
#include "lib/node/member.h"
#include "lib/node/ports.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {

/// Receives what arrives on connections made by others.
class Service {
 public:
  virtual ~Service() = default;

  // --- From peers.
  virtual void OnHello(node::Hello hello, node::HelloDone done) = 0;
  /// `boot`: as in the hello of `peer` on that connection. The message counts only if this is the
  /// boot that is durable here: messages of an older one are too late.
  virtual void Receive(NodeId peer, node::Boot boot, std::vector<node::PeerMessage> messages) = 0;
  virtual void PeerDisconnected(NodeId peer) = 0;

  // --- From clients.
  virtual void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) = 0;
  virtual void Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
                    node::Done<Bytes> done) = 0;
  /// A page of a watch; answered once there are events, or at `deadline`.
  virtual void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) = 0;
  /// The replicated time that a new session starts from.
  virtual void OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) = 0;
  virtual AnswerHeader Header() = 0;
  virtual std::string Name() = 0;
  virtual void Status(bool with_hash, node::Done<EndpointStatus> done) = 0;
  /// Unavailable: not known yet.
  virtual Result<std::vector<ClusterMember>> Members() = 0;
  /// NotLeader, Unavailable, InvalidArgument, NotFound: nothing changed.
  virtual void ChangeMembers(const MemberChange& change, MonoTime deadline,
                             node::DoneStatus done) = 0;
  /// Unavailable: there is none available now.
  virtual void Backup(node::Done<std::shared_ptr<node::BackupSource>> done) = 0;
};

/// What the connections made by this member need from it.
class PeerOwner {
 public:
  virtual ~PeerOwner() = default;
  virtual node::Hello MakeHello(NodeId expected_member, const std::string& expected_name) = 0;
  /// As Member::OnHelloAnswer: ok, Unavailable (send another hello soon), or a refusal.
  virtual raftkv::Status OnHelloAnswer(const node::HelloAnswer& answer,
                                       const node::Dialled& dialled) = 0;
  virtual void PeerUnreachable(NodeId peer) = 0;
  /// What `peer` answered on a connection that we made; `boot`: as in its answer to our hello. As
  /// Service::Receive.
  virtual void ReceiveAnswers(NodeId peer, node::Boot boot,
                              std::vector<node::PeerMessage> messages) = 0;
};

}  // namespace raftkv::rpc
