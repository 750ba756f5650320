// Which are the first members of a new cluster, and when may it begin?
//
// No leader is elected until all members named by `--cluster` have met: each keeps sending hellos
// to the others. The member whose name sorts first then writes the first log entry, which holds the
// random ids of all members, and makes it durable; the others copy that entry after their next
// hello. So there is one founder, and its decision survives a crash.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <raftkv/node.h>

#include "lib/base/time.h"
#include "lib/raft/types.h"

namespace raftkv::node {

class Formation {
 public:
  /// `cluster` is not empty and names `own_name`.
  Formation(std::vector<MemberAddress> cluster, raft::QuorumRule quorum, std::string own_name,
            NodeId own_id);

  /// "n1=host:port,n2=host:port", sorted by name, and the quorum rule unless it is the default.
  /// Must be equal on all members, or they do not form a cluster.
  [[nodiscard]] const std::string& spec() const { return spec_; }
  [[nodiscard]] bool Names(const std::string& name) const;
  /// `name`, whose id is `id`, sent or answered a hello at `now`.
  void Met(const std::string& name, NodeId id, const std::string& zone, MonoTime now);
  /// The members not heard within kFresh of `now`, in order.
  [[nodiscard]] std::vector<std::string> WaitsFor(MonoTime now) const;
  [[nodiscard]] bool IsFounder() const;
  /// The first configuration; all members must have been met.
  [[nodiscard]] raft::Configuration Found(ClusterId cluster, const std::string& own_zone) const;

  /// Forming members send a hello every 50 ms; one that was silent for this long may be gone.
  static constexpr Duration kFresh = std::chrono::seconds(2);

 private:
  struct Met_ {
    NodeId id;
    std::string zone;
    MonoTime at;
  };
  std::map<std::string, std::string> addresses_;
  const raft::QuorumRule quorum_;
  const std::string own_name_;
  const NodeId own_id_;
  std::string spec_;
  std::map<std::string, Met_> met_;
};

/// Whether `cluster` is a valid list of a new cluster's members. InvalidArgument says what is wrong
/// (a duplicate name or address, the own name missing, an unsupported number of members). With
/// `joins` the cluster exists already, and any number may be listed.
Status CheckCluster(const std::vector<MemberAddress>& cluster, const std::string& own_name,
                    bool joins = false);

}  // namespace raftkv::node
