// The blocking calls of Cluster.
#include <utility>

#include <raftkv/cluster.h>

#include "lib/blocking/blocking.h"

namespace raftkv {

std::string_view MemberRoleName(MemberRole role) {
  switch (role) {
    case MemberRole::kVoter: return "voter";
    case MemberRole::kLearner: return "learner";
    case MemberRole::kInvited: return "invited";
  }
  return "unknown";
}

Result<std::vector<ClusterMember>> Cluster::Members(Timeout timeout) {
  return WaitFor<Result<std::vector<ClusterMember>>>(
      [&](Callback<std::vector<ClusterMember>> done) { MembersAsync(timeout, std::move(done)); });
}

Status Cluster::AddMember(std::string name, std::string address, bool voter, Timeout timeout) {
  return WaitFor<Status>([&](StatusCallback done) {
    AddMemberAsync(std::move(name), std::move(address), voter, timeout, std::move(done));
  });
}

Status Cluster::PromoteMember(std::string name, Timeout timeout) {
  return WaitFor<Status>(
      [&](StatusCallback done) { PromoteMemberAsync(std::move(name), timeout, std::move(done)); });
}

Status Cluster::RemoveMember(std::string name, Timeout timeout) {
  return WaitFor<Status>(
      [&](StatusCallback done) { RemoveMemberAsync(std::move(name), timeout, std::move(done)); });
}

Status Cluster::UpdateMember(std::string name, MemberUpdate update, Timeout timeout) {
  return WaitFor<Status>([&](StatusCallback done) {
    UpdateMemberAsync(std::move(name), std::move(update), timeout, std::move(done));
  });
}

Status Cluster::MoveLeader(std::string name, Timeout timeout) {
  return WaitFor<Status>(
      [&](StatusCallback done) { MoveLeaderAsync(std::move(name), timeout, std::move(done)); });
}

}  // namespace raftkv
