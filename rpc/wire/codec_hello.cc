// Handshakes, and the header of every answer.
#include <algorithm>

#include "rpc/wire/codec_parts.h"

namespace raftkv::rpc {
namespace {

constexpr std::size_t kMaxFormationBytes = 64 * 1024;
constexpr std::size_t kMaxRefusalBytes = 4096;

}  // namespace

Result<std::string> TakeText(capnp::Text::Reader text, std::size_t max_bytes, const char* what) {
  if (text.size() > max_bytes) {
    return Status(Code::kInvalidArgument, std::string("the ") + what + " of a peer has " +
                                              std::to_string(text.size()) + " bytes; at most " +
                                              std::to_string(max_bytes) + " are allowed");
  }
  for (const char c : text) {
    // It will appear in log lines.
    if (static_cast<unsigned char>(c) < ' ') {
      return Status(Code::kInvalidArgument,
                    std::string("the ") + what + " of a peer has control characters");
    }
  }
  return ToString(text);
}

capnp::Data::Reader AsData(std::string_view bytes) {
  return {reinterpret_cast<const capnp::byte*>(bytes.data()), bytes.size()};
}

Bytes ToBytes(capnp::Data::Reader data) {
  if (data.size() == 0) return {};
  return Bytes(std::string(reinterpret_cast<const char*>(data.begin()), data.size()));
}

std::string ToString(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

void Encode(const node::Hello& hello, wire::PeerHello::Builder to) {
  to.setProtocolMin(hello.protocol_min);
  to.setProtocolMax(hello.protocol_max);
  to.setCluster(hello.cluster.value);
  to.setMember(hello.member.value);
  to.setName(hello.name.c_str());
  to.setBootCounter(hello.boot.counter);
  to.setBootNonce(hello.boot.nonce);
  to.setExpectedMember(hello.expected_member.value);
  to.setExpectedName(hello.expected_name.c_str());
  to.setFormation(hello.formation.c_str());
  to.setZone(hello.zone.c_str());
  to.setJoins(hello.joins);
  to.setAddress(hello.address.c_str());
  if (!hello.client_url.empty()) to.setClientUrl(hello.client_url.c_str());
}

Result<node::Hello> Decode(wire::PeerHello::Reader hello) {
  node::Hello to;
  to.protocol_min = hello.getProtocolMin();
  to.protocol_max = hello.getProtocolMax();
  if (to.protocol_min > to.protocol_max) {
    return Status(Code::kInvalidArgument,
                  "a handshake has a smallest protocol version above the largest");
  }
  to.cluster = ClusterId(hello.getCluster());
  to.member = NodeId(hello.getMember());
  if (to.member == kNobody) {
    return Status(Code::kInvalidArgument, "a handshake is from member 0, which does not exist");
  }
  to.boot = {hello.getBootCounter(), hello.getBootNonce()};
  to.expected_member = NodeId(hello.getExpectedMember());
  Result<std::string> name = TakeText(hello.getName(), kMaxNameBytes, "name");
  if (!name.ok()) return name.status();
  Result<std::string> expected = TakeText(hello.getExpectedName(), kMaxNameBytes, "expected name");
  if (!expected.ok()) return expected.status();
  Result<std::string> formation =
      TakeText(hello.getFormation(), kMaxFormationBytes, "list of members");
  if (!formation.ok()) return formation.status();
  Result<std::string> zone = TakeText(hello.getZone(), kMaxNameBytes, "zone");
  if (!zone.ok()) return zone.status();
  Result<std::string> address = TakeText(hello.getAddress(), kMaxAddressBytes, "address");
  if (!address.ok()) return address.status();
  Result<std::string> client_url = TakeText(hello.getClientUrl(), kMaxAddressBytes, "client URL");
  if (!client_url.ok()) return client_url.status();
  to.address = std::move(address).value();
  to.client_url = std::move(client_url).value();
  to.name = std::move(name).value();
  to.zone = std::move(zone).value();
  to.joins = hello.getJoins();
  to.expected_name = std::move(expected).value();
  to.formation = std::move(formation).value();
  return to;
}

void Encode(const node::HelloAnswer& answer, wire::PeerAnswer::Builder to) {
  to.setRefusal(answer.refusal.c_str());
  to.setPermanent(answer.permanent);
  to.setRemoved(answer.removed);
  to.setVerifying(answer.verifying);
  Encode(answer.self, to.initSelf());
  to.setFormed(AsData(answer.formed.view()));
}

Result<node::HelloAnswer> Decode(wire::PeerAnswer::Reader answer) {
  node::HelloAnswer to;
  Result<std::string> refusal = TakeText(answer.getRefusal(), kMaxRefusalBytes, "refusal");
  if (!refusal.ok()) return refusal.status();
  to.refusal = std::move(refusal).value();
  to.permanent = answer.getPermanent();
  to.removed = answer.getRemoved();
  to.verifying = answer.getVerifying() && !to.refusal.empty();
  Result<node::Hello> self = Decode(answer.getSelf());
  if (!self.ok() && to.refusal.empty()) return self.status();
  if (self.ok()) {
    to.self = std::move(self).value();
  } else if (auto name = TakeText(answer.getSelf().getName(), kMaxNameBytes, "name"); name.ok()) {
    // A member that refuses because it is still starting has only a name.
    to.self.name = std::move(name).value();
  }
  to.formed = ToBytes(answer.getFormed());
  return to;
}

void Encode(const Status& status, wire::Outcome::Builder to) {
  to.setCode(static_cast<std::uint16_t>(status.code()));
  if (!status.message().empty()) to.setMessage(AsText(status.message()));
}

Status Decode(wire::Outcome::Reader outcome) {
  const std::uint16_t code = outcome.getCode();
  if (code > static_cast<std::uint16_t>(Code::kCancelled)) {
    return {Code::kUnknownOutcome, "the member answered with the unknown code " +
                                       std::to_string(code) + "; does it run a newer version?"};
  }
  std::string message = ToString(outcome.getMessage());
  // It is one line, and will appear in log lines and on terminals.
  std::replace_if(
      message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; },
      ' ');
  return {static_cast<Code>(code), std::move(message)};
}

void Encode(const AnswerHeader& header, wire::AnswerHeader::Builder to) {
  to.setCluster(header.cluster.value);
  to.setMember(header.member.value);
  to.setTerm(header.term.value);
  to.setLeads(header.leads);
  if (!header.leader_address.empty()) to.setLeader(header.leader_address.c_str());
}

AnswerHeader Decode(wire::AnswerHeader::Reader header) {
  AnswerHeader to;
  to.cluster = ClusterId(header.getCluster());
  to.member = NodeId(header.getMember());
  to.term = Term(header.getTerm());
  to.leads = header.getLeads();
  to.leader_address = ToString(header.getLeader());
  return to;
}

void Encode(const EndpointStatus& status, wire::MemberStatus::Builder to) {
  to.setName(status.node.name.c_str());
  to.setVersion(status.version.c_str());
  to.setRole(static_cast<wire::Role>(status.node.role));
  to.setLeader(status.node.leader.c_str());
  to.setCommitIndex(status.node.commit_index);
  to.setAppliedIndex(status.node.applied_index);
  to.setLogFirstIndex(status.node.log_first_index);
  to.setLogLastIndex(status.node.log_last_index);
  to.setSnapshotIndex(status.snapshot_index);
  to.setDbBytes(status.db_bytes);
  to.setSuspect(status.node.suspect);
  to.setNoSpace(status.node.no_space);
  auto members = to.initMembers(static_cast<capnp::uint>(status.members.size()));
  for (capnp::uint i = 0; i < members.size(); ++i) {
    members[i].setId(status.members[i].id);
    members[i].setName(status.members[i].name.c_str());
    members[i].setAddress(status.members[i].address.c_str());
    members[i].setVoter(status.members[i].voter);
  }
  auto errors = to.initErrors(static_cast<capnp::uint>(status.node.errors.size()));
  for (capnp::uint i = 0; i < errors.size(); ++i) errors.set(i, status.node.errors[i].c_str());
  to.setContentHash(status.content_hash);
  to.setHashIndex(status.hash_index);
  to.setRevision(status.node.revision);
  to.setCompactedRevision(status.node.compacted_revision);
}

EndpointStatus Decode(wire::MemberStatus::Reader status) {
  EndpointStatus to;
  to.node.name = ToString(status.getName());
  to.version = ToString(status.getVersion());
  to.node.role = static_cast<Role>(std::min<std::uint16_t>(
      static_cast<std::uint16_t>(status.getRole()), static_cast<std::uint16_t>(Role::kLeader)));
  to.node.leader = ToString(status.getLeader());
  to.node.commit_index = status.getCommitIndex();
  to.node.applied_index = status.getAppliedIndex();
  to.node.log_first_index = status.getLogFirstIndex();
  to.node.log_last_index = status.getLogLastIndex();
  to.snapshot_index = status.getSnapshotIndex();
  to.db_bytes = status.getDbBytes();
  to.node.suspect = status.getSuspect();
  to.node.no_space = status.getNoSpace();
  for (const auto member : status.getMembers()) {
    to.members.push_back({member.getId(), ToString(member.getName()), ToString(member.getAddress()),
                          member.getVoter()});
  }
  for (const auto error : status.getErrors()) to.node.errors.push_back(ToString(error));
  to.content_hash = status.getContentHash();
  to.hash_index = status.getHashIndex();
  to.node.revision = status.getRevision();
  to.node.compacted_revision = status.getCompactedRevision();
  return to;
}

}  // namespace raftkv::rpc
