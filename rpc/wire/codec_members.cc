// Membership changes requested by clients, and how fresh a read must be.
#include <algorithm>

#include "lib/base/address.h"
#include "rpc/wire/codec_parts.h"

namespace raftkv::rpc {
namespace {

/// A name that an older release accepted must be usable as it is: to promote the member, or to
/// remove it.
bool TakesNewName(MemberChange::Kind kind) {
  return kind == MemberChange::Kind::kAddLearner || kind == MemberChange::Kind::kAddVoter;
}

}  // namespace

Status CheckAndSpell(MemberChange& change) {
  if (change.kind == MemberChange::Kind::kUpdate) {
    if (change.address.empty() && change.reset_boot) return Status::Ok();
    if (change.address.empty()) {
      return {Code::kInvalidArgument,
              "the update of " + Quoted(change.name) + " changes nothing; give it an address"};
    }
  } else if (!TakesNewName(change.kind)) {
    return Status::Ok();
  } else {
    const Status named = CheckMemberName("the name of the new member", change.name);
    if (!named.ok()) return named;
  }
  const Result<HostPort> parsed =
      ParseRemoteAddress("the address of " + Quoted(change.name), change.address);
  if (!parsed.ok()) return parsed.status();
  change.address = ToText(*parsed);
  return Status::Ok();
}

void Encode(const MemberChange& change, wire::KvService::ChangeMembersParams::Builder to) {
  to.setChange(static_cast<wire::MemberChange>(change.kind));
  to.setName(AsText(change.name));
  to.setAddress(AsText(change.address));
  to.setResetBoot(change.reset_boot);
}

Result<MemberChange> Decode(wire::KvService::ChangeMembersParams::Reader change) {
  MemberChange to;
  if (change.getChange() > wire::MemberChange::UPDATE) {
    return Status(
        Code::kInvalidArgument,
        "this member does not know this kind of change; does the client run a newer version?");
  }
  to.kind = static_cast<MemberChange::Kind>(change.getChange());
  Result<std::string> name = TakeText(change.getName(), kMaxNameBytes, "name of the member");
  if (!name.ok()) return name.status();
  to.name = std::move(name).value();
  const bool may_be_empty = to.kind == MemberChange::Kind::kMoveLeader && to.name.empty();
  if (to.name.empty() && !may_be_empty) {
    return Status(Code::kInvalidArgument, "the change names no member; name one");
  }
  if (!TakesNewName(to.kind) && to.kind != MemberChange::Kind::kUpdate) return to;
  to.reset_boot = change.getResetBoot();
  Result<std::string> address =
      TakeText(change.getAddress(), kMaxAddressBytes, "address of the member");
  if (!address.ok()) return address.status();
  to.address = std::move(address).value();
  if (Status bad = CheckAndSpell(to); !bad.ok()) return bad;
  return to;
}

void Encode(const ClusterMember& member, wire::ClusterMember::Builder to) {
  to.setId(member.id);
  to.setName(AsText(member.name));
  to.setAddress(AsText(member.address));
  to.setZone(AsText(member.zone));
  to.setRole(static_cast<wire::MemberRole>(member.role));
  to.setLeads(member.leads);
  if (!member.client_url.empty()) to.setClientUrl(AsText(member.client_url));
}

ClusterMember Decode(wire::ClusterMember::Reader member) {
  ClusterMember to;
  to.id = member.getId();
  to.name = ToString(member.getName());
  to.address = ToString(member.getAddress());
  to.zone = ToString(member.getZone());
  to.role = static_cast<MemberRole>(
      std::min<std::uint16_t>(static_cast<std::uint16_t>(member.getRole()),
                              static_cast<std::uint16_t>(MemberRole::kInvited)));
  to.leads = member.getLeads();
  to.client_url = ToString(member.getClientUrl());
  return to;
}

wire::Consistency ToWire(Consistency consistency) {
  switch (consistency) {
    case Consistency::kLinearizable: return wire::Consistency::LINEARIZABLE;
    case Consistency::kLocal: return wire::Consistency::LOCAL;
    case Consistency::kLease: return wire::Consistency::LEASE;
    case Consistency::kBounded: return wire::Consistency::BOUNDED;
  }
  return wire::Consistency::LINEARIZABLE;
}

Consistency FromWire(wire::Consistency consistency) {
  switch (consistency) {
    case wire::Consistency::LINEARIZABLE: return Consistency::kLinearizable;
    case wire::Consistency::LOCAL: return Consistency::kLocal;
    case wire::Consistency::LEASE: return Consistency::kLease;
    case wire::Consistency::BOUNDED: return Consistency::kBounded;
  }
  return Consistency::kLinearizable;
}

void Encode(const node::BackupHead& head, wire::BackupHead::Builder to) {
  to.setIndex(head.index.value);
  to.setTerm(head.term.value);
  to.setName(AsText(head.member_name));
  to.setStreamBytes(head.stream_bytes);
  auto members = to.initMembers(static_cast<capnp::uint>(head.members.size()));
  for (capnp::uint i = 0; i < members.size(); ++i) Encode(head.members[i], members[i]);
}

node::BackupHead Decode(wire::BackupHead::Reader head) {
  node::BackupHead decoded;
  decoded.index = Index(head.getIndex());
  decoded.term = Term(head.getTerm());
  decoded.member_name = ToString(head.getName());
  decoded.stream_bytes = head.getStreamBytes();
  for (const auto member : head.getMembers()) decoded.members.push_back(Decode(member));
  return decoded;
}

}  // namespace raftkv::rpc
