// How does a change of the members that a client asked this member for reach the leader?
//
// Only the leader makes it. If this member is not the leader, it asks the leader's address as a
// client would, and again as long as nothing happened: no leader is known, it could not be reached,
// or it does not lead any more. What the leader itself refuses is the answer.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/once_function.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/service_life.h"
#include "rpc/wire/codec.h"

namespace raftkv::etcd {

/// On the loop. Open calls of one that is destroyed stay without an answer.
class LeaderCall {
 public:
  /// `by_leader`: the leader answered.
  using Done = OnceFunction<void(const Status&, bool by_leader)>;
  /// One attempt at the member at `address`.
  using Ask = std::function<void(const std::string& address, const rpc::MemberChange& change,
                                 MonoTime deadline, Done done)>;

  /// `backend` outlives it. Without `ask` the address is connected to.
  explicit LeaderCall(Backend& backend, Ask ask = nullptr);

  /// `done` is called once, later. Not ok and not `by_leader`: no leader was found in time.
  void Change(rpc::MemberChange change, MonoTime deadline, Done done);

 private:
  struct Call;
  void Attempt(const std::shared_ptr<Call>& call);
  void AskLeader(const std::shared_ptr<Call>& call);
  void OnAnswer(const std::shared_ptr<Call>& call, const Status& status, bool by_leader);

  Backend& backend_;
  const Ask ask_;
  const ServiceLife life_;
};

}  // namespace raftkv::etcd
