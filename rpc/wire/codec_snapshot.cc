// Joining members and snapshots, as members exchange them.
#include <limits>
#include <utility>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"
#include "rpc/wire/codec_parts.h"

namespace raftkv::rpc {

std::size_t EncodedWords(const node::SnapshotChunk& chunk) {
  constexpr std::size_t kFixed = 20;
  RAFTKV_CHECK(chunk.snapshot != nullptr);
  const Bytes configuration = raft::EncodeConfiguration(chunk.snapshot->configuration);
  return kFixed + chunk.data.size() / sizeof(capnp::word) +
         configuration.size() / sizeof(capnp::word);
}

void Encode(const node::ForwardJoin& join, wire::ForwardJoin::Builder to) {
  to.setName(AsText(join.name));
  to.setId(join.id.value);
  to.setZone(AsText(join.zone));
  if (!join.address.empty()) to.setAddress(AsText(join.address));
}

Result<node::ForwardJoin> Decode(wire::ForwardJoin::Reader join) {
  Result<std::string> name = TakeText(join.getName(), kMaxNameBytes, "newcomer's name");
  if (!name.ok()) return name.status();
  Result<std::string> zone = TakeText(join.getZone(), kMaxNameBytes, "newcomer's zone");
  if (!zone.ok()) return zone.status();
  if (join.getId() == 0) return MalformedMessage("a new member with id 0, which is invalid");
  Result<std::string> address = TakeText(join.getAddress(), kMaxAddressBytes, "member's address");
  if (!address.ok()) return address.status();
  return node::ForwardJoin{.name = std::move(name).value(),
                           .id = NodeId(join.getId()),
                           .zone = std::move(zone).value(),
                           .address = std::move(address).value()};
}

void Encode(const node::KnownBoots& known, wire::KnownBoots::Builder to) {
  auto boots = to.initBoots(static_cast<capnp::uint>(known.boots.size()));
  capnp::uint at = 0;
  for (const auto& [member, peer] : known.boots) {
    auto boot = boots[at++];
    boot.setMember(member.value);
    boot.setCounter(peer.boot.counter);
    boot.setNonce(peer.boot.nonce);
    boot.setIncarnation(peer.incarnation);
  }
}

Result<node::KnownBoots> Decode(wire::KnownBoots::Reader known) {
  constexpr capnp::uint kMaxBoots = 1024;
  const auto boots = known.getBoots();
  if (boots.size() > kMaxBoots) {
    return MalformedMessage(std::to_string(boots.size()) + " boots in one message");
  }
  node::KnownBoots to;
  for (const auto& boot : boots) {
    if (boot.getMember() == 0) return MalformedMessage("a boot of member 0, which does not exist");
    if (boot.getCounter() == 0) return MalformedMessage("a boot with counter 0, which is invalid");
    to.boots[NodeId(boot.getMember())] = {
        .boot = {.counter = boot.getCounter(), .nonce = boot.getNonce()},
        .incarnation = boot.getIncarnation()};
  }
  return to;
}

void Encode(const node::SnapshotChunk& chunk, wire::SnapshotChunk::Builder to) {
  RAFTKV_CHECK(chunk.snapshot != nullptr);
  to.setTerm(chunk.term.value);
  auto snapshot = to.initSnapshot();
  snapshot.setIndex(chunk.snapshot->last.index.value);
  snapshot.setTerm(chunk.snapshot->last.term.value);
  snapshot.setConfiguration(
      AsData(raft::EncodeConfiguration(chunk.snapshot->configuration).view()));
  snapshot.setConfigurationIndex(chunk.snapshot->configuration_index.value);
  to.setOffset(chunk.offset);
  to.setData(AsData(chunk.data.view()));
  to.setLast(chunk.last);
  to.setId(chunk.id);
}

Result<node::SnapshotChunk> Decode(wire::SnapshotChunk::Reader chunk) {
  const auto snapshot = chunk.getSnapshot();
  auto meta = std::make_shared<raft::SnapshotMeta>();
  meta->last = {Index(snapshot.getIndex()), Term(snapshot.getTerm())};
  meta->configuration_index = Index(snapshot.getConfigurationIndex());
  node::SnapshotChunk to;
  to.term = Term(chunk.getTerm());
  if (meta->last.index == Index() || meta->last.term == Term()) {
    return MalformedMessage("a snapshot without entries");
  }
  if (meta->last.index.value == std::numeric_limits<std::uint64_t>::max()) {
    return MalformedMessage("a snapshot at the largest possible index");
  }
  if (meta->last.term > to.term) return MalformedMessage("a snapshot of a later term");
  if (meta->configuration_index > meta->last.index) {
    return MalformedMessage("a snapshot with a configuration from after it");
  }
  to.offset = chunk.getOffset();
  const auto data = chunk.getData();
  if (data.size() > std::numeric_limits<std::uint64_t>::max() - to.offset) {
    return MalformedMessage("a part of a snapshot beyond the largest possible offset");
  }
  if (data.size() == 0 && !chunk.getLast()) return MalformedMessage("an empty part of a snapshot");
  to.last = chunk.getLast();
  to.id = chunk.getId();
  const Bytes bytes = ToBytes(snapshot.getConfiguration());
  Result<raft::Configuration> configuration = raft::DecodeConfiguration(bytes.view());
  if (!configuration.ok()) return MalformedMessage(configuration.status().message());
  meta->configuration = std::move(configuration).value();
  to.snapshot = std::move(meta);
  to.data = ToBytes(data);
  return to;
}

void Encode(const node::SnapshotChunkReply& reply, wire::SnapshotChunkReply::Builder to) {
  to.setTerm(reply.term.value);
  to.setIndex(reply.snapshot.index.value);
  to.setSnapshotTerm(reply.snapshot.term.value);
  to.setSnapshotId(reply.id);
  to.setNextOffset(reply.next_offset);
  to.setInstalled(reply.installed);
}

node::SnapshotChunkReply Decode(wire::SnapshotChunkReply::Reader reply) {
  return {Term(reply.getTerm()),
          {Index(reply.getIndex()), Term(reply.getSnapshotTerm())},
          reply.getSnapshotId(),
          reply.getNextOffset(),
          reply.getInstalled()};
}

}  // namespace raftkv::rpc
