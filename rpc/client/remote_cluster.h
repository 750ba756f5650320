// How does a client change the membership, and when does it retry?
//
// A change that certainly did not happen (no leader was found, or the leader answered "not now") is
// retried until its timeout; one that may have happened never is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/cluster.h>

#include "rpc/client/remote_channel.h"

namespace raftkv::rpc {

/// Its calls are safe from any thread. Create and destroy it on the loop; open calls end with
/// Cancelled or, where a change may have happened, UnknownOutcome.
class RemoteCluster final : public Cluster {
 public:
  /// `loop` and `channel` outlive it.
  RemoteCluster(EventLoop& loop, RemoteChannel& channel, std::uint64_t seed);
  ~RemoteCluster() override;

  void MembersAsync(Timeout timeout, Callback<std::vector<ClusterMember>> done) override;
  void AddMemberAsync(std::string name, std::string address, bool voter, Timeout timeout,
                      StatusCallback done) override;
  void PromoteMemberAsync(std::string name, Timeout timeout, StatusCallback done) override;
  void RemoveMemberAsync(std::string name, Timeout timeout, StatusCallback done) override;
  void UpdateMemberAsync(std::string name, MemberUpdate update, Timeout timeout,
                         StatusCallback done) override;
  void MoveLeaderAsync(std::string name, Timeout timeout, StatusCallback done) override;

 private:
  struct State;
  struct Call;
  void Change(MemberChange change, Timeout timeout, StatusCallback done);
  void Begin(std::shared_ptr<Call> call);
  static void Attempt(const std::shared_ptr<State>& state, const std::shared_ptr<Call>& call);
  static void OnAnswer(const std::shared_ptr<State>& state, const std::shared_ptr<Call>& call,
                       const Status& status, bool by_leader);

  EventLoop& loop_;
  /// Of the loop; calls that are open refer to it weakly.
  std::shared_ptr<State> state_;
};

}  // namespace raftkv::rpc
