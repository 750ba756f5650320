// Which cluster does a client talk to, and where did another one answer instead?
//
// An address means what it means where it is used: behind NAT, in a container or a network
// namespace the address that one cluster advertises may reach another one. So a client keeps to one
// cluster: the one that it was told, or that of the first member that took it on.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <raftkv/status.h>

#include "lib/base/ids.h"

namespace raftkv::rpc {

/// Shared by all connections of a client; of the loop.
class ClusterPin {
 public:
  /// 0: the first member that takes the client on decides.
  explicit ClusterPin(ClusterId cluster = {}) : cluster_(cluster) {}

  /// What to say in a hello; 0: any.
  [[nodiscard]] ClusterId cluster() const { return cluster_; }

  /// Whether a member of `cluster` that answers at `address` may be talked to. PermissionDenied
  /// says why not. A member of no cluster yet is none of another one.
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
