#include "lib/raft/configuration.h"

#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include "lib/base/check.h"
#include "lib/raft/configuration.capnp.h"

namespace raftkv::raft {

namespace {

std::string ToString(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

Status Corrupt(const std::string& what) {
  return {Code::kCorruption, "a configuration in the log is damaged: " + what};
}

Result<Configuration> Read(wire::Configuration::Reader reader) {
  if (reader.getFormatVersion() > kConfigurationFormatVersion) {
    return Status(Code::kVersionMismatch,
                  "a configuration of format version " + std::to_string(reader.getFormatVersion()) +
                      " was written by a newer raftkv; upgrade this member");
  }
  if (reader.getFormatVersion() == 0) return Corrupt("no format version");
  if (reader.getMembers().size() > kMaxMembers) return Corrupt("too many members");
  Configuration configuration;
  configuration.cluster = ClusterId(reader.getClusterId());
  if (configuration.cluster == ClusterId{}) return Corrupt("no cluster id");
  NodeId previous;
  for (const auto member : reader.getMembers()) {
    const NodeId id(member.getId());
    if (id <= previous) return Corrupt("member ids are not ascending");
    previous = id;
    if (member.getRole() != wire::Role::VOTER && member.getRole() != wire::Role::LEARNER) {
      return Corrupt("a member has an unknown role");
    }
    configuration.members.push_back({id, ToString(member.getName()), ToString(member.getAddress()),
                                     ToString(member.getZone()), member.getIncarnation(),
                                     member.getRole() == wire::Role::LEARNER});
  }
  if (configuration.members.empty()) return Corrupt("no members");
  return configuration;
}

}  // namespace

Bytes EncodeConfiguration(const Configuration& configuration) {
  RAFTKV_CHECK(configuration.members.size() <= kMaxMembers);
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Configuration>();
  root.setFormatVersion(kConfigurationFormatVersion);
  root.setClusterId(configuration.cluster.value);
  auto members = root.initMembers(static_cast<unsigned>(configuration.members.size()));
  unsigned at = 0;
  for (const Member& member : configuration.members) {
    auto out = members[at++];
    out.setId(member.id.value);
    out.setName(member.name);
    out.setAddress(member.address);
    out.setZone(member.zone);
    out.setIncarnation(member.incarnation);
    out.setRole(member.learner ? wire::Role::LEARNER : wire::Role::VOTER);
  }
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return Bytes(std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size()));
}

Result<Configuration> DecodeConfiguration(std::string_view bytes) {
  if (bytes.size() % sizeof(capnp::word) != 0 || bytes.empty()) return Corrupt("its length");
  // Aligned, whatever the caller has; configurations are small and rare.
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
