// How are messages between members encoded as Cap'n Proto and decoded, with every input checked?
//
// Payloads are copied once into the message and once out of it.
#pragma once

#include <optional>

#include <raftkv/client.h>
#include <raftkv/status.h>

#include "lib/node/backup.h"
#include "lib/node/member.h"
#include "lib/node/ports.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

/// Words that `message` takes in a list of PeerMessage; an upper bound.
std::size_t EncodedWords(const node::PeerMessage& message);
void Encode(const node::PeerMessage& message, wire::PeerMessage::Builder to);

/// `from` and `to` are the two ends of the connection. InvalidArgument says what is wrong with the
/// message; nullopt: of a kind that this version does not know. Throws a kj::Exception only if the
/// Cap'n Proto message is malformed.
Result<std::optional<node::PeerMessage>> Decode(wire::PeerMessage::Reader message, NodeId from,
                                                NodeId to);

void Encode(const node::Hello& hello, wire::PeerHello::Builder to);
Result<node::Hello> Decode(wire::PeerHello::Reader hello);
void Encode(const node::HelloAnswer& answer, wire::PeerAnswer::Builder to);
Result<node::HelloAnswer> Decode(wire::PeerAnswer::Reader answer);

void Encode(const Status& status, wire::Outcome::Builder to);
/// An unknown code becomes UnknownOutcome: its meaning is unknown. Control characters in the
/// message become spaces.
Status Decode(wire::Outcome::Reader outcome);

/// A member's status, sent with every answer to a client.
struct AnswerHeader {
  ClusterId cluster;
  NodeId member;
  Term term;
  bool leads = false;
  std::string leader_address;  ///< empty if this member leads or no leader is known
};
void Encode(const AnswerHeader& header, wire::AnswerHeader::Builder to);
AnswerHeader Decode(wire::AnswerHeader::Reader header);

/// A change of a member, by its name, as requested by a client.
struct MemberChange {
  enum class Kind : std::uint8_t {
    kAddLearner,
    kAddVoter,
    kPromote,
    kRemove,
    kMoveLeader,
    kUpdate
  };
  Kind kind = Kind::kAddLearner;
  std::string name;         ///< empty only for kMoveLeader: to the best candidate
  std::string address;      ///< kAdd... and kUpdate only; empty with kUpdate: unchanged
  bool reset_boot = false;  ///< kUpdate only
};
/// For a change that adds or updates a member: InvalidArgument if its name or address can never
/// work; the address is normalized.
Status CheckAndSpell(MemberChange& change);
void Encode(const MemberChange& change, wire::KvService::ChangeMembersParams::Builder to);
/// InvalidArgument: the name or the address is not valid.
Result<MemberChange> Decode(wire::KvService::ChangeMembersParams::Reader change);

void Encode(const ClusterMember& member, wire::ClusterMember::Builder to);
ClusterMember Decode(wire::ClusterMember::Reader member);

/// Without cluster and member, which are in the header.
void Encode(const node::BackupHead& head, wire::BackupHead::Builder to);
node::BackupHead Decode(wire::BackupHead::Reader head);

wire::Consistency ToWire(Consistency consistency);
/// An unknown value is read as linearizable, which is strong enough for every caller.
Consistency FromWire(wire::Consistency consistency);

/// Without the fields of the header and `status.endpoint`.
void Encode(const EndpointStatus& status, wire::MemberStatus::Builder to);
EndpointStatus Decode(wire::MemberStatus::Reader status);

capnp::Data::Reader AsData(std::string_view bytes);
Bytes ToBytes(capnp::Data::Reader data);
std::string ToString(capnp::Text::Reader text);

}  // namespace raftkv::rpc
