// Where is a member that came back somewhere else, and how does the configuration learn of it?
// (part of Member)
//
// A hello names the sender's own address. Where that is not what the configuration says, it is
// tried as well when the address of the configuration does not answer as that member. Only an
// address at which the member itself has answered our hello, under the boot that is durable here,
// and which it calls its own, is entered: by the leader, in a configuration of its own.
#include <algorithm>
#include <utility>

#include "lib/base/address.h"
#include "lib/node/member.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

constexpr Duration kMoveEvery = std::chrono::seconds(1);
constexpr Duration kFirstLostLine = std::chrono::seconds(3);
constexpr Duration kLostLineEvery = std::chrono::seconds(30);

}  // namespace

/// Of a hello that was accepted.
void Member::NoteAddress(const Hello& hello) {
  if (!node_) return;
  was_reached_ = true;
  const raft::Member* member = node_->core().configuration().Find(hello.member);
  if (member == nullptr || hello.address.empty()) return;
  if (hello.address == member->address) {
    if (places_.erase(hello.member) != 0) SetPeers();
    return;
  }
  if (!options_.opaque_addresses) {
    const auto parsed = ParseRemoteAddress("where '" + hello.name + "' says it is", hello.address);
    if (!parsed.ok()) return LogRefusal(hello.name, parsed.status().message());
  }
  TryAt(*member, hello.address);
}

void Member::TryAt(const raft::Member& member, const std::string& address) {
  Place& place = places_[member.id];
  if (place.says == address) return;
  // What was found out of the place before counts no more.
  place = Place{.says = address};
  ports_.log_sink(LogSeverity::kInfo, "'" + member.name + "' says that it is at " + address +
                                          ", the configuration has " + member.address +
                                          ": it is tried there, too");
  SetPeers();
}

/// Our hello was accepted at `answer.dialled`.
void Member::NoteAnswer(const HelloAnswer& answer) {
  reached_others_ = true;
  const raft::Member* member = node_->core().configuration().Find(answer.self.member);
  if (member == nullptr || answer.dialled.empty() || answer.dialled == member->address) return;
  Place& place = places_[answer.self.member];
  place.answers_at = answer.dialled;
  place.calls_it_own = answer.self.address == answer.dialled;
  place.boot = answer.self.boot;
  Wake();
}

/// Another member has found `join.id` at `join.address`.
void Member::OnFound(const ForwardJoin& join) {
  const raft::Member* member = node_->core().configuration().Find(join.id);
  if (member == nullptr || member->address == join.address) return;
  if (!options_.opaque_addresses && !ParseRemoteAddress("", join.address).ok()) return;
  if (join.id != birth_.member) {
    const auto known = places_.find(join.id);
    if (known != places_.end() && !known->second.answers_at.empty()) return;  // found it itself
    return TryAt(*member, join.address);
  }
  if (join.address != options_.advertise) return;
  places_[join.id] = {
      .says = join.address, .answers_at = join.address, .calls_it_own = true, .boot = birth_.boot};
  Wake();
}

void Member::EnterAddresses() {
  const MonoTime now = ports_.clock.Now();
  if (places_.empty() || now < next_move_) return;
  const raft::Raft& core = node_->core();
  const raft::Configuration configuration = core.configuration();
  raft::MembershipChange change;
  for (const auto& [id, place] : places_) {
    const raft::Member* member = configuration.Find(id);
    if (member == nullptr || !place.calls_it_own || place.answers_at == member->address) continue;
    // S: the one that answers there is the one whose boot is durable here, and
    // no copy of it.
    if (id != birth_.member && !KnowsBoot(id, place.boot)) continue;
    change.move.push_back({id, place.answers_at});
  }
  if (change.move.empty() || core.leader() == kNobody) return;
  next_move_ = now + kMoveEvery;
  if (core.role() != raft::Role::kLeader) {
    for (const auto& move : change.move) {
      const raft::Member& member = *configuration.Find(move.id);
      ports_.transport.Send(core.leader(),
                            ForwardJoin{member.name, move.id, member.zone, move.address});
    }
    return;
  }
  // All at once, as two may have changed places; one with the address of a
  // third holds up nobody.
  if (node_->Readdress(change)) return LogMoves(configuration, change);
  for (const auto& move : change.move) {
    raft::MembershipChange one;
    one.move.push_back(move);
    if (node_->Readdress(one)) return LogMoves(configuration, one);
  }
}

void Member::LogMoves(const raft::Configuration& before, const raft::MembershipChange& change) {
  for (const auto& move : change.move) {
    const raft::Member& member = *before.Find(move.id);
    ports_.log_sink(LogSeverity::kInfo, "'" + member.name + "' has moved: the configuration has " +
                                            move.address + " in place of " + member.address);
  }
}

/// Empty, or why nobody may find this member.
std::string Member::WhyNobodyComes() const {
  if (!node_ || node_->core().leader() != kNobody || options_.advertise.empty()) return {};
  const raft::Configuration& configuration = node_->core().configuration();
  const raft::Member* self = configuration.Find(birth_.member);
  if (self == nullptr || configuration.members.size() < 2) return {};
  if (self->address != options_.advertise) {
    return "the configuration has this member at " + self->address + ", and it is at " +
           options_.advertise + ": waiting for the leader to enter that";
  }
  if (was_reached_ || !reached_others_) return {};
  return "this member has reached others, but none of them has reached it at " +
         options_.advertise + ", which it tells them: correct --advertise (or the cluster list)";
}

void Member::SayWhyNobodyComes() {
  const MonoTime now = ports_.clock.Now();
  if (now < next_lost_line_) return;
  const bool first = next_lost_line_ == MonoTime{};
  next_lost_line_ = now + (first ? kFirstLostLine : kLostLineEvery);
  if (first) return;  // elections take their time
  const std::string why = WhyNobodyComes();
  if (!why.empty()) ports_.log_sink(LogSeverity::kWarn, why);
}

std::string Member::Whereabouts(NodeId id) const {
  const auto place = places_.find(id);
  if (place == places_.end() || place->second.says.empty() || !node_) return {};
  const raft::Member* member = node_->core().configuration().Find(id);
  if (member == nullptr) return {};
  return " at " + member->address + ", nor at " + place->second.says + ", where it says that it is";
}

std::string Member::ListedAddress(const std::string& name) const {
  for (const MemberAddress& given : options_.cluster) {
    if (given.name == name) return given.address;
  }
  return {};
}

/// The configuration's address first; what else is known is tried when that
/// does not answer.
Transport::Peer Member::PeerOf(const raft::Member& member) const {
  Transport::Peer peer{member.id, member.name, member.address, {}};
  const auto add = [&peer](const std::string& address) {
    const bool known =
        address == peer.address || std::count(peer.also.begin(), peer.also.end(), address) != 0;
    if (!address.empty() && !known) peer.also.push_back(address);
  };
  if (const auto place = places_.find(member.id); place != places_.end()) add(place->second.says);
  // The list that this member was started with may be newer than its
  // configuration.
  add(ListedAddress(member.name));
  return peer;
}

std::string Member::AddressOf(const raft::Member& member) const {
  const auto place = places_.find(member.id);
  const bool found = place != places_.end() && !place->second.answers_at.empty();
  return found ? place->second.answers_at : member.address;
}

}  // namespace raftkv::node
