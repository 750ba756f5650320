// Who will be the first members of a new cluster, and when may it begin?
//
// Nobody is elected until all the members that `--cluster` names have shaken hands: each keeps
// saying hello to each. The member whose name sorts first then writes the first log entry, with
// everybody's random id in it, and makes it durable; the others take that entry over in their next
// hello. So there is one founder, and what it decided survives its crash.
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

  /// "n1=host:port,n2=host:port", sorted by name, and the quorum rule unless it is the usual one:
  /// equal on all members or they do not form a cluster.
  [[nodiscard]] const std::string& spec() const { return spec_; }
  [[nodiscard]] bool Names(const std::string& name) const;
  /// `name` said hello, or answered one, at `now`, and it is `id`.
  void Met(const std::string& name, NodeId id, const std::string& zone, MonoTime now);
  /// Of whom nothing was heard within kFresh of `now`, in order.
  [[nodiscard]] std::vector<std::string> WaitsFor(MonoTime now) const;
  [[nodiscard]] bool IsFounder() const;
  /// The first configuration; everybody must have been met.
  [[nodiscard]] raft::Configuration Found(ClusterId cluster, const std::string& own_zone) const;

  /// Members that form say hello every 50 ms; one that was silent for so long may be gone.
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

/// Whether `cluster` can name a new cluster's members: InvalidArgument says what is wrong (a name
/// or address twice, the own name missing, a number of members that has no use).
/// With `joins` the cluster exists already, and any number may be listed.
Status CheckCluster(const std::vector<MemberAddress>& cluster, const std::string& own_name,
                    bool joins = false);

}  // namespace raftkv::node
