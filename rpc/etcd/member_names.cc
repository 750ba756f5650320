#include "rpc/etcd/member_names.h"

#include <algorithm>
#include <string_view>

#include "lib/base/address.h"
#include "lib/base/xxh3.h"

namespace raftkv::etcd {

std::optional<PeerUrl> ParsePeerUrls(const std::vector<std::string>& urls) {
  if (urls.size() != 1) return std::nullopt;
  std::string_view url = urls.front();
  const std::string_view schemes[] = {"http://", "https://"};
  const auto* const scheme =
      std::find_if(std::begin(schemes), std::end(schemes),
                   [&](std::string_view each) { return url.starts_with(each); });
  if (scheme == std::end(schemes)) return std::nullopt;
  url.remove_prefix(scheme->size());
  const std::size_t slash = url.find('/');
  const auto parsed = ParseRemoteAddress("a peer URL", url.substr(0, slash));
  if (!parsed.ok()) return std::nullopt;
  PeerUrl peer;
  peer.address = ToText(*parsed);
  peer.name = slash == std::string_view::npos ? peer.address : std::string(url.substr(slash + 1));
  if (!CheckMemberName("the name", peer.name).ok()) return std::nullopt;
  return peer;
}

std::uint64_t NumberOf(const std::string& name) {
  const std::uint64_t hash = XXH3_64bits(name.data(), name.size());
  return hash == 0 ? 1 : hash;  // 0 is nobody's
}

const ClusterMember* FindMember(const std::vector<ClusterMember>& members, std::uint64_t id) {
  const auto by_id = std::find_if(members.begin(), members.end(), [id](const ClusterMember& each) {
    return each.id != 0 && each.id == id;
  });
  if (by_id != members.end()) return &*by_id;
  const auto by_name =
      std::find_if(members.begin(), members.end(),
                   [id](const ClusterMember& each) { return NumberOf(each.name) == id; });
  return by_name == members.end() ? nullptr : &*by_name;
}

Member ToEtcdMember(const ClusterMember& member) {
  const bool joined = member.role != MemberRole::kInvited;
  Member to;
  to.ID = joined ? member.id : NumberOf(member.name);
  // Without a name etcd's tools show it as not started.
  if (joined) to.name = member.name;
  to.peerURLs = {"http://" + member.address};
  if (!member.client_url.empty()) to.clientURLs = {member.client_url};
  // Whoever joins is a learner first.
  to.isLearner = member.role != MemberRole::kVoter;
  return to;
}

std::vector<Member> ToEtcdMembers(const std::vector<ClusterMember>& members) {
  std::vector<Member> to;
  to.reserve(members.size());
  for (const ClusterMember& member : members) to.push_back(ToEtcdMember(member));
  std::sort(to.begin(), to.end(), [](const Member& a, const Member& b) { return a.ID < b.ID; });
  return to;
}

}  // namespace raftkv::etcd
