// How is a member found that came back at another address, and how does the configuration learn
// about it? (part of Member)
//
// A hello names the sender's own address. If the configuration has another one, the announced
// address is tried as well while the configured one does not answer as that member. Only an address
// at which the member itself has answered our hello, under the boot that is durable here, and which
// it calls its own, is recorded: by the leader, in a configuration change. A leader without other
// voters records its own address.
#include <algorithm>
#include <utility>

#include "lib/base/address.h"
#include "lib/node/member.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

constexpr Duration kMoveEvery = std::chrono::seconds(1);
/// An invented address must not replace the real one before that was tried.
constexpr Duration kTriedFor = std::chrono::seconds(2);
/// How long to wait before a line, since it may resolve itself; and when it counts as resolved.
constexpr Duration kUnheardAfter = std::chrono::seconds(1);
constexpr Duration kUnheardFor = std::chrono::seconds(2);
constexpr Duration kFirstCutOffLine = std::chrono::seconds(3);
constexpr Duration kCutOffLineEvery = std::chrono::seconds(30);

/// Whether `id` needs no vote but its own.
bool DecidesAlone(const raft::Configuration& configuration, NodeId id) {
  return configuration.IsVoter(id) &&
         std::none_of(configuration.members.begin(), configuration.members.end(),
                      [&](const raft::Member& member) {
                        return member.id != id && configuration.IsVoter(member.id);
                      });
}

}  // namespace

/// For a hello that was not refused for good.
void Member::NoteAddress(const Hello& hello) {
  const raft::Member* member = node_->core().configuration().Find(hello.member);
  if (member == nullptr || hello.address.empty()) return;
  if (hello.address == member->address) return;
  if (!options_.opaque_addresses) {
    const auto parsed = ParseRemoteAddress("where '" + hello.name + "' says it is", hello.address);
    if (!parsed.ok()) return LogRefusal(hello.name, parsed.status().message());
  }
  TryAt(*member, hello.address);
}

void Member::TryAt(const raft::Member& member, const std::string& address) {
  Place& place = places_[member.id];
  const MonoTime now = ports_.clock.Now();
  if (place.says == address) return;
  if (place.answers_at == address) {
    place.says = address;
    return;
  }
  if (!place.says.empty() && now - place.said_at < kTriedFor) return;
  // What was found out about the previous address no longer counts.
  place = Place{.says = address, .said_at = now};
  ports_.log_sink(LogSeverity::kInfo, "'" + member.name + "' announces the address " + address +
                                          ", but the configuration has " + member.address +
                                          ": trying both");
  SetPeers();
}

/// It has answered our hello at `address`, under a boot that counts.
void Member::NotePlace(const Hello& self, const std::string& address) {
  const raft::Member* member = node_->core().configuration().Find(self.member);
  if (member == nullptr || address.empty()) return;
  if (address == member->address) {
    // The announced address is kept: it need not be announced, and tried, again.
    if (const auto place = places_.find(self.member); place != places_.end()) {
      place->second.answers_at.clear();
    }
    return;
  }
  Place& place = places_[self.member];
  place.answers_at = address;
  place.calls_it_own = self.address == address;
  place.boot = self.boot;
  Wake();
}

/// For a hello, or an answer to one, that was not refused for good.
void Member::NoteClientUrl(const Hello& hello) {
  if (node_->core().configuration().Find(hello.member) == nullptr) return;
  if (hello.client_url.empty()) {
    client_urls_.erase(hello.member);
  } else {
    client_urls_[hello.member] = hello.client_url;
  }
}

std::string Member::client_url(NodeId id) const {
  if (id == birth_.member) return options_.etcd_url;
  const auto known = client_urls_.find(id);
  return known == client_urls_.end() ? "" : known->second;
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
  places_[join.id] = {.says = join.address,
                      .said_at = ports_.clock.Now(),
                      .answers_at = join.address,
                      .calls_it_own = true,
                      .boot = birth_.boot};
  Wake();
}

/// If there are other members, they have to find this member before its address changes. A leader
/// that decides alone has no one who could: its own statement is all there is.
void Member::NoteOwnAddress() {
  const raft::Raft& core = node_->core();
  const raft::Member* self = core.configuration().Find(birth_.member);
  if (core.role() != raft::Role::kLeader || self == nullptr || options_.advertise.empty()) return;
  if (self->address == options_.advertise) return;
  if (!DecidesAlone(core.configuration(), birth_.member)) return;
  places_[birth_.member] = {.says = options_.advertise,
                            .said_at = ports_.clock.Now(),
                            .answers_at = options_.advertise,
                            .calls_it_own = true,
                            .boot = birth_.boot};
}

void Member::EnterAddresses() {
  NoteOwnAddress();
  const MonoTime now = ports_.clock.Now();
  if (places_.empty() || now < next_move_) return;
  const raft::Raft& core = node_->core();
  const raft::Configuration configuration = core.configuration();
  raft::MembershipChange change;
  for (const auto& [id, place] : places_) {
    const raft::Member* member = configuration.Find(id);
    if (member == nullptr || !place.calls_it_own || place.answers_at == member->address) continue;
    // Safety: the member that answers there has the boot that is durable here, and is not a copy.
    if (id != birth_.member && !KnowsBoot(id, place.boot)) continue;
    change.move.push_back({.id = id, .address = place.answers_at});
  }
  if (change.move.empty() || core.leader() == kNobody) return;
  next_move_ = now + kMoveEvery;
  if (core.role() != raft::Role::kLeader) {
    for (const auto& move : change.move) {
      const raft::Member& member = *configuration.Find(move.id);
      ports_.transport.Send(
          core.leader(),
          ForwardJoin{
              .name = member.name, .id = move.id, .zone = member.zone, .address = move.address});
    }
    return;
  }
  // All at once, since two may have swapped addresses; one with the address of a third delays no
  // one.
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
    ports_.log_sink(LogSeverity::kInfo, "'" + member.name + "' has moved: recording " +
                                            move.address + " into the configuration in place of " +
                                            member.address);
  }
}

// --- What is reported until then.

/// `by` answers our hello, but does not accept our messages yet.
void Member::NoteUnheard(const std::string& by, const std::string& why) {
  const MonoTime now = ports_.clock.Now();
  const auto it = unheard_by_.try_emplace(by, Unheard{.since = now}).first;
  if (now - it->second.last >= kUnheardFor) it->second.since = now;
  it->second.last = now;
  it->second.why = why;
  Wake();
}

/// Why others may not accept this member's messages; one line each.
std::vector<std::string> Member::WhyCutOff() const {
  std::vector<std::string> lines;
  if (!node_) return lines;
  const MonoTime now = ports_.clock.Now();
  for (const auto& [name, unheard] : unheard_by_) {
    if (now - unheard.since < kUnheardAfter || now - unheard.last >= kUnheardFor) continue;
    lines.push_back("'" + name + "' does not hear this member yet: " + unheard.why);
  }
  const raft::Configuration& configuration = node_->core().configuration();
  const raft::Member* self = configuration.Find(birth_.member);
  const bool known = self == nullptr || options_.advertise.empty() ||
                     self->address == options_.advertise || configuration.members.size() < 2;
  if (!known && node_->core().leader() == kNobody) {
    lines.push_back("the configuration has this member's address as " + self->address +
                    ", but it is " + options_.advertise +
                    ": waiting for a leader to record the new address");
  }
  return lines;
}

void Member::SayWhyCutOff() {
  const std::vector<std::string> lines = WhyCutOff();
  const MonoTime now = ports_.clock.Now();
  if (lines.empty()) {
    next_cut_off_line_ = MonoTime{};
    return;
  }
  if (now < next_cut_off_line_) return;
  const bool first = next_cut_off_line_ == MonoTime{};
  next_cut_off_line_ = now + (first ? kFirstCutOffLine : kCutOffLineEvery);
  if (first) return;  // it may resolve itself in a moment
  for (const std::string& line : lines) ports_.log_sink(LogSeverity::kWarn, line);
}

std::string Member::Whereabouts(NodeId id) const {
  const auto place = places_.find(id);
  if (!node_ || place == places_.end() || place->second.says.empty()) return {};
  const raft::Member* member = node_->core().configuration().Find(id);
  if (member == nullptr) return {};
  return " at " + member->address + ", nor at " + place->second.says + ", the address it announces";
}

// --- Where to look for it.

/// The configured address first; other known ones are tried while that does not answer.
Transport::Peer Member::PeerOf(const raft::Member& member) const {
  Transport::Peer peer{.id = member.id,
                       .name = member.name,
                       .address = member.address,
                       .incarnation = IncarnationOf(member.id)};
  const auto add = [&peer](const std::string& address) {
    const bool known =
        address == peer.address || std::count(peer.also.begin(), peer.also.end(), address) != 0;
    if (!address.empty() && !known) peer.also.push_back(address);
  };
  if (const auto place = places_.find(member.id); place != places_.end()) {
    add(place->second.says);
    add(place->second.answers_at);
  }
  // The list that this member was started with may be newer than its configuration.
  for (const MemberAddress& given : options_.cluster) {
    if (given.name == member.name) add(given.address);
  }
  return peer;
}

std::string Member::AddressOf(const raft::Member& member) const {
  const auto place = places_.find(member.id);
  const bool found = place != places_.end() && !place->second.answers_at.empty();
  return found ? place->second.answers_at : member.address;
}

}  // namespace raftkv::node
