// Which cluster does a client talk to, and where did another one answer instead?
//
// The meaning of an address depends on where it is used: behind NAT, in a container or in a network
// namespace the address that one cluster advertises may reach another one. So a client stays with
// one cluster: the configured one, or that of the first member that accepted it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <raftkv/status.h>

#include "lib/base/ids.h"

namespace raftkv::rpc {

/// Shared by all connections of a client; owned by the loop.
class ClusterPin {
 public:
  /// 0: the first member that accepts the client decides.
  explicit ClusterPin(ClusterId cluster = {}) : cluster_(cluster) {}

  /// The id to send in a hello; 0: any.
  [[nodiscard]] ClusterId cluster() const { return cluster_; }

  /// Whether the client may talk to a member of `cluster` that answers at `address`.
  /// PermissionDenied says why not. A member without a cluster yet is not one of another cluster.
  Status Check(const std::string& address, ClusterId cluster) {
    const bool other = cluster != ClusterId{} && cluster_ != ClusterId{} && cluster != cluster_;
    if (!other) {
      if (cluster != ClusterId{}) others_.erase(address);
      return Status::Ok();
    }
    if (others_.size() >= kMaxOthers) others_.clear();
    others_[address] = cluster;
    return {Code::kPermissionDenied, Describe(cluster)};
  }

  /// The member was accepted, and accepted this client.
  void Settle(ClusterId cluster) {
    if (cluster_ == ClusterId{}) cluster_ = cluster;
  }

  /// Empty, or which other cluster answered last at `address`.
  [[nodiscard]] std::string OtherAt(const std::string& address) const {
    const auto found = others_.find(address);
    return found == others_.end() ? std::string() : Describe(found->second);
  }

 private:
  static constexpr std::size_t kMaxOthers = 64;

  [[nodiscard]] std::string Describe(ClusterId other) const {
    return "a member of cluster " + std::to_string(other.value) + " answers there, this client " +
           "talks to cluster " + std::to_string(cluster_.value);
  }

  ClusterId cluster_;
  std::map<std::string, ClusterId> others_;
};

}  // namespace raftkv::rpc
