// How are the members of the cluster named in etcd's terms, and back?
//
// raftkv knows a member by its name, and one that was added but has not joined yet by nothing else;
// etcd knows it by a number, and its request to add one has no name. So:
//  - a member that is added this way is named after its address, "10.0.0.4:7001", unless the path
//  of
//    its URL says otherwise ("http://10.0.0.4:7001/n4");
//  - until it has joined, its number is a hash of that name, by which it can be named later as
//  well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/cluster.h>

#include "rpc/etcd/admin_messages.h"

namespace raftkv::etcd {

struct PeerUrl {
  std::string address;  ///< "host:port", in its one spelling
  std::string name;     ///< of a new member
};
/// Of exactly one URL that others can connect to; nullopt otherwise.
std::optional<PeerUrl> ParsePeerUrls(const std::vector<std::string>& urls);

/// The number of a member that has none yet.
std::uint64_t NumberOf(const std::string& name);

/// Null: there is none with that number, of either kind.
const ClusterMember* FindMember(const std::vector<ClusterMember>& members, std::uint64_t id);

Member ToEtcdMember(const ClusterMember& member);
/// By number, as etcd lists them.
std::vector<Member> ToEtcdMembers(const std::vector<ClusterMember>& members);

}  // namespace raftkv::etcd
