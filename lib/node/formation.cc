#include "lib/node/formation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::node {

Formation::Formation(std::vector<MemberAddress> cluster, raft::QuorumRule quorum,
                     std::string own_name, NodeId own_id)
    : quorum_(quorum), own_name_(std::move(own_name)), own_id_(own_id) {
  for (MemberAddress& member : cluster) {
    addresses_.emplace(std::move(member.name), std::move(member.address));
  }
  RAFTKV_CHECK(addresses_.count(own_name_) == 1, own_name_);
  for (const auto& [name, address] : addresses_) {
    if (!spec_.empty()) spec_ += ',';
    spec_ += name + '=' + address;
  }
  if (quorum_.kind == raft::QuorumKind::kZones) spec_ += " with quorum zones";
  if (quorum_.kind == raft::QuorumKind::kFlexible) {
    spec_ += " with quorum flexible:" + std::to_string(quorum_.commit) + "," +
             std::to_string(quorum_.election);
  }
}

bool Formation::Names(const std::string& name) const { return addresses_.count(name) != 0; }

void Formation::Met(const std::string& name, NodeId id, const std::string& zone, MonoTime now) {
  RAFTKV_CHECK(Names(name), name);
  RAFTKV_CHECK(name != own_name_, name);
  RAFTKV_CHECK(id != kNobody, name);
  met_[name] = {id, zone, now};
}

std::vector<std::string> Formation::WaitsFor(MonoTime now) const {
  std::vector<std::string> missing;
  for (const auto& [name, address] : addresses_) {
    if (name == own_name_) continue;
    const auto it = met_.find(name);
    if (it == met_.end() || now - it->second.at > kFresh) missing.push_back(name);
  }
  return missing;
}

bool Formation::IsFounder() const { return addresses_.begin()->first == own_name_; }

raft::Configuration Formation::Found(ClusterId cluster, const std::string& own_zone) const {
  RAFTKV_CHECK(IsFounder());
  RAFTKV_CHECK(cluster != ClusterId{});
  raft::Configuration configuration;
  configuration.cluster = cluster;
  configuration.quorum = quorum_;
  for (const auto& [name, address] : addresses_) {
    const bool own = name == own_name_;
    const NodeId id = own ? own_id_ : met_.at(name).id;
    configuration.members.push_back({id, name, address, own ? own_zone : met_.at(name).zone});
  }
  std::sort(configuration.members.begin(), configuration.members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
  return configuration;
}

Status CheckCluster(const std::vector<MemberAddress>& cluster, const std::string& own_name,
                    bool joins) {
  const auto invalid = [](const std::string& what) { return Status(Code::kInvalidArgument, what); };
  std::set<std::string> names;
  std::set<std::string> addresses;
  for (const MemberAddress& member : cluster) {
    if (member.name.empty() || member.address.empty()) {
      return invalid(
          "the cluster list has an entry without a name or address: write NAME=HOST:PORT");
    }
    if (!names.insert(member.name).second) {
      return invalid("the cluster list names '" + member.name + "' twice");
    }
    if (!addresses.insert(member.address).second) {
      return invalid("the cluster list has the address " + member.address +
                     " twice: each member needs its own");
    }
  }
  if (names.count(own_name) == 0) {
    return invalid("the cluster list does not name this member, '" + own_name + "': add it");
  }
  const std::size_t count = cluster.size();
  if (joins) {
    if (count > 1) return Status::Ok();
    return invalid("to join a cluster, the list must name at least one of its members as well");
  }
  if (count != 1 && count != 3 && count != 5 && count != 7) {
    return invalid("a cluster has 1, 3, 5 or 7 voters, the list names " + std::to_string(count));
  }
  return Status::Ok();
}

}  // namespace raftkv::node
