#include "lib/raft/configuration.h"

#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include "lib/base/check.h"
#include "lib/raft/configuration.capnp.h"
#include "lib/raft/membership.h"
#include "lib/raft/quorum.h"

namespace raftkv::raft {

namespace {

/// The first version with rules, joint configurations, invitations and removed ids.
constexpr std::uint16_t kFirstWithRules = 2;

std::string ToString(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

/// With its length: a plain C string would end at a zero byte.
capnp::Text::Reader ToText(const std::string& text) { return {text.c_str(), text.size()}; }

Status Corrupt(const std::string& what) {
  return {Code::kCorruption, "a configuration in the log is damaged: " + what};
}

Status Broken(const std::string& what) { return {Code::kInvalidArgument, what}; }

Status CheckMember(const Configuration& configuration, const Member& member) {
  if (!configuration.joint && (member.old_voter || member.leaves)) {
    return Broken("a member belongs to an old half, and there is none");
  }
  if (member.leaves && !(member.learner && member.old_voter)) {
    return Broken("a member leaves that is no old voter or would vote on");
  }
  if (member.promote && !member.learner) return Broken("a voter is to be made a voter");
  return Status::Ok();
}

Status CheckRemoved(const Configuration& configuration) {
  NodeId previous;
  for (const NodeId id : configuration.removed) {
    if (id <= previous) return Broken("removed ids are not ascending");
    if (configuration.Find(id) != nullptr) return Broken("a removed id is a member's");
    previous = id;
  }
  return Status::Ok();
}

/// A reader must know which kind of quorum is meant, so an unnamed number is damage.
Result<QuorumRule> ReadRule(wire::QuorumRule::Reader reader) {
  QuorumRule rule{.commit = reader.getCommit(), .election = reader.getElection()};
  switch (reader.getKind()) {
    case wire::QuorumKind::MAJORITY: rule.kind = QuorumKind::kMajority; return rule;
    case wire::QuorumKind::ZONES: rule.kind = QuorumKind::kZones; return rule;
    case wire::QuorumKind::FLEXIBLE: rule.kind = QuorumKind::kFlexible; return rule;
  }
  return Corrupt("an unknown kind of quorum");
}

void WriteRule(const QuorumRule& rule, wire::QuorumRule::Builder out) {
  switch (rule.kind) {
    case QuorumKind::kMajority: out.setKind(wire::QuorumKind::MAJORITY); break;
    case QuorumKind::kZones: out.setKind(wire::QuorumKind::ZONES); break;
    case QuorumKind::kFlexible: out.setKind(wire::QuorumKind::FLEXIBLE); break;
  }
  out.setCommit(rule.commit);
  out.setElection(rule.election);
}

Status ReadMembers(wire::Configuration::Reader reader, Configuration& configuration) {
  // Before anything is copied: the lists' lengths come from outside.
  if (reader.getMembers().size() > kMaxMembers) return Corrupt("too many members");
  for (const auto in : reader.getMembers()) {
    if (in.getRole() != wire::Role::VOTER && in.getRole() != wire::Role::LEARNER) {
      return Corrupt("a member has an unknown role");
    }
    Member member;
    member.id = NodeId(in.getId());
    member.name = ToString(in.getName());
    member.address = ToString(in.getAddress());
    member.zone = ToString(in.getZone());
    member.incarnation = in.getIncarnation();
    member.learner = in.getRole() == wire::Role::LEARNER;
    member.old_voter = in.getOldVoter();
    member.promote = in.getPromote();
    member.leaves = in.getLeaves();
    configuration.members.push_back(std::move(member));
  }
  return Status::Ok();
}

Status ReadOthers(wire::Configuration::Reader reader, Configuration& configuration) {
  if (reader.getInvited().size() > kMaxInvited) return Corrupt("too many invitations");
  if (reader.getRemoved().size() > kMaxRemoved) return Corrupt("too many removed ids");
  for (const auto in : reader.getInvited()) {
    configuration.invited.push_back(
        {ToString(in.getName()), ToString(in.getAddress()), in.getVoter()});
  }
  for (const std::uint64_t id : reader.getRemoved()) configuration.removed.emplace_back(id);
  return Status::Ok();
}

/// Nothing that its version did not have; unset fields read as empty.
bool FitsVersionOne(const Configuration& configuration) {
  return !configuration.joint && configuration.quorum == QuorumRule{} &&
         configuration.old_quorum == QuorumRule{} && configuration.invited.empty() &&
         configuration.removed.empty();
}

Result<Configuration> Read(wire::Configuration::Reader reader) {
  const std::uint16_t version = reader.getFormatVersion();
  if (version > kConfigurationFormatVersion) {
    return Status(Code::kVersionMismatch,
                  "a configuration of format version " + std::to_string(version) +
                      " was written by a newer raftkv; upgrade this member");
  }
  if (version == 0) return Corrupt("no format version");
  Configuration configuration;
  configuration.cluster = ClusterId(reader.getClusterId());
  configuration.joint = reader.getJoint();
  const Result<QuorumRule> quorum = ReadRule(reader.getQuorum());
  if (!quorum.ok()) return quorum.status();
  configuration.quorum = *quorum;
  const Result<QuorumRule> old_quorum = ReadRule(reader.getOldQuorum());
  if (!old_quorum.ok()) return old_quorum.status();
  configuration.old_quorum = *old_quorum;
  if (Status status = ReadMembers(reader, configuration); !status.ok()) return status;
  if (Status status = ReadOthers(reader, configuration); !status.ok()) return status;
  if (version < kFirstWithRules && !FitsVersionOne(configuration)) {
    return Corrupt("it says more than its format version can");
  }
  const Status status = CheckConfiguration(configuration);
  if (!status.ok()) return Corrupt(status.message());
  return configuration;
}

void WriteMembers(const Configuration& configuration, wire::Configuration::Builder root) {
  auto members = root.initMembers(static_cast<unsigned>(configuration.members.size()));
  unsigned at = 0;
  for (const Member& member : configuration.members) {
    auto out = members[at++];
    out.setId(member.id.value);
    out.setName(ToText(member.name));
    out.setAddress(ToText(member.address));
    out.setZone(ToText(member.zone));
    out.setIncarnation(member.incarnation);
    out.setRole(member.learner ? wire::Role::LEARNER : wire::Role::VOTER);
    out.setOldVoter(member.old_voter);
    out.setPromote(member.promote);
    out.setLeaves(member.leaves);
  }
}

void WriteOthers(const Configuration& configuration, wire::Configuration::Builder root) {
  auto invited = root.initInvited(static_cast<unsigned>(configuration.invited.size()));
  unsigned at = 0;
  for (const Invitation& invitation : configuration.invited) {
    auto out = invited[at++];
    out.setName(ToText(invitation.name));
    out.setAddress(ToText(invitation.address));
    out.setVoter(invitation.voter);
  }
  auto removed = root.initRemoved(static_cast<unsigned>(configuration.removed.size()));
  at = 0;
  for (const NodeId id : configuration.removed) removed.set(at++, id.value);
}

}  // namespace

Status CheckConfiguration(const Configuration& configuration) {
  if (configuration.cluster == ClusterId{}) return Broken("no cluster id");
  if (configuration.members.empty()) return Broken("no members");
  if (configuration.members.size() > kMaxMembers) return Broken("too many members");
  if (configuration.invited.size() > kMaxInvited) return Broken("too many invitations");
  if (configuration.removed.size() > kMaxRemoved) return Broken("too many removed ids");
  if (!configuration.joint && configuration.old_quorum != QuorumRule{}) {
    return Broken("an old quorum rule, and there is no old half");
  }
  NodeId previous;
  for (const Member& member : configuration.members) {
    if (member.id <= previous) return Broken("member ids are not ascending");
    previous = member.id;
    if (Status status = CheckMember(configuration, member); !status.ok()) return status;
  }
  if (Status status = CheckRemoved(configuration); !status.ok()) return status;
  return CheckQuorums(configuration);
}

Bytes EncodeConfiguration(const Configuration& configuration) {
  const Status status = CheckConfiguration(configuration);
  RAFTKV_CHECK(status.ok(), status.message());
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Configuration>();
  root.setFormatVersion(kConfigurationFormatVersion);
  root.setClusterId(configuration.cluster.value);
  root.setJoint(configuration.joint);
  WriteRule(configuration.quorum, root.initQuorum());
  if (configuration.joint) WriteRule(configuration.old_quorum, root.initOldQuorum());
  WriteMembers(configuration, root);
  WriteOthers(configuration, root);
  const auto words = capnp::messageToFlatArray(message);
  RAFTKV_CHECK(words.size() > 0);
  const auto bytes = words.asBytes();
  return Bytes(std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size()));
}

// The largest configuration fits into one entry many times over.
static_assert(kMaxMembers > 0);
static_assert(kMaxInvited > 0);
static_assert(kMaxRemoved > kMaxMembers);

Result<Configuration> DecodeConfiguration(std::string_view bytes) {
  if (bytes.size() % sizeof(capnp::word) != 0 || bytes.empty()) return Corrupt("its length");
  // An aligned copy, whatever the caller passes; configurations are small and rare.
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  Result<Configuration> result = Corrupt("unreadable");
  const auto failure = kj::runCatchingExceptions([&] {
    capnp::ReaderOptions options;
    options.nestingLimit = 4;
    capnp::FlatArrayMessageReader message(words, options);
    result = Read(message.getRoot<wire::Configuration>());
  });
  if (failure != nullptr) return Corrupt("unreadable");
  return result;
}

}  // namespace raftkv::raft
