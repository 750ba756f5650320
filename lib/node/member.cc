#include "lib/node/member.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/node/formation.h"
#include "lib/node/node.h"
#include "lib/raft/configuration.h"

namespace raftkv::node {

namespace {

constexpr Duration kFirstWaitingLine = std::chrono::seconds(1);
/// See raft::Options: about what a follower takes for a batch on a local disk.
constexpr Duration kGatherDelay = std::chrono::milliseconds(1);
constexpr Duration kWaitingLineEvery = std::chrono::seconds(5);

}  // namespace

Member::Member(MemberOptions options, Birth birth, std::uint64_t replicated_time_ms, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      birth_(std::move(birth)),
      replicated_time_at_open_ms_(replicated_time_ms),
      wakeup_([] {}) {
  RAFTKV_CHECK(birth_.member != kNobody);
  RAFTKV_CHECK(birth_.boot.counter > 0);
  // A repaired store may have lost how its cluster was formed: other members tell new ones then.
  RAFTKV_CHECK(birth_.cluster != ClusterId{} || birth_.formation.empty());
}

Member::~Member() = default;

void Member::SetWakeup(std::function<void()> wakeup) { wakeup_ = std::move(wakeup); }
void Member::Wake() { wakeup_(); }

void Member::Start() {
  RAFTKV_CHECK(!node_);
  RAFTKV_CHECK(!formation_);
  if (birth_.cluster != ClusterId{}) {
    BecomeFormed(birth_.cluster, birth_.formation, std::move(birth_.raft));
    return;
  }
  std::vector<MemberAddress> cluster = options_.cluster;
  if (cluster.empty()) cluster.push_back({options_.name, options_.advertise});
  formation_ = std::make_unique<Formation>(cluster, options_.quorum, options_.name, birth_.member);
  next_waiting_line_ = ports_.clock.Now() + kFirstWaitingLine;
  SetPeers();
  Wake();
}

void Member::Stop() {
  if (node_) node_->Stop({Code::kCancelled, "this member is shutting down"});
  if (failure_.ok()) failure_ = {Code::kCancelled, "this member is shutting down"};
}

void Member::Fail(const Status& why) {
  if (!failure_.ok()) return;
  failure_ = why;
  ports_.log_sink(LogSeverity::kError, why.message());
  ports_.transport.SetPeers({});
  if (node_) node_->Stop(why);
  Wake();
}

// --- Time.

void Member::Pump() {
  if (!failure_.ok()) return;
  if (formation_) {
    TryToForm();
    if (formation_ && ports_.clock.Now() >= next_waiting_line_) SayForWhomItWaits();
  }
  if (!node_) return;
  node_->Pump();
  if (!node_->failure().ok()) {
    Fail(node_->failure());
    return;
  }
  const raft::Raft& core = node_->core();
  const bool settled = core.applied_index() >= core.configuration_index();
  if (core.configuration_version() != peers_of_version_ || (peers_linger_ && settled)) SetPeers();
  if (!had_leader_ && node_->core().leader() != kNobody) {
    had_leader_ = true;
    refused_by_.clear();
  }
  EnterAddresses();
  SayWhyCutOff();
  TellBoots();
}

MonoTime Member::NextDeadline() const {
  if (!failure_.ok()) return kNever;
  if (node_) return std::min(node_->NextDeadline(), next_boots_told_);
  return formation_ ? next_waiting_line_ : kNever;
}

// --- Forming.

void Member::TryToForm() {
  const MonoTime now = ports_.clock.Now();
  if (options_.join) return;
  if (saving_formation_ || !formation_->IsFounder() || !formation_->WaitsFor(now).empty()) return;
  Random chance(options_.seed);
  ClusterId cluster(chance.Next());
  while (cluster == ClusterId{}) cluster = ClusterId(chance.Next());
  const raft::Configuration configuration = formation_->Found(cluster, options_.zone);
  SaveFormation(configuration, raft::EncodeConfiguration(configuration));
}

void Member::SaveFormation(const raft::Configuration& configuration, Bytes payload) {
  RAFTKV_CHECK(!saving_formation_);
  saving_formation_ = true;
  const auto saved = [this, configuration, payload](const Status& status) {
    saving_formation_ = false;
    if (!failure_.ok()) return;
    if (!status.ok()) {
      Fail({status.code(), "the new cluster could not be made durable: " + status.message()});
      return;
    }
    raft::InitialState initial;
    initial.hard_state = {Term{1}, kNobody, Index{1}};
    initial.configurations.emplace_back(Index{1}, configuration);
    initial.term_runs = {{Term{1}, Index{1}}};
    initial.last_index = Index{1};
    BecomeFormed(configuration.cluster, payload, std::move(initial));
  };
  ports_.meta.SaveFormation(configuration.cluster, payload, saved);
}

void Member::BecomeFormed(ClusterId cluster, Bytes formation, raft::InitialState initial) {
  RAFTKV_CHECK(!node_);
  RAFTKV_CHECK(cluster != ClusterId{});
  formation_.reset();
  birth_.cluster = cluster;
  birth_.formation = std::move(formation);
  NodeConfig config;
  config.raft = options_.core;
  config.raft.id = birth_.member;
  config.raft.election_timeout = options_.election_timeout;
  config.raft.heartbeat_interval = options_.heartbeat;
  config.raft.gather_delay = kGatherDelay;
  config.limits = options_.limits;
  config.seed = options_.seed;
  config.context_base = birth_.boot.nonce;
  config.max_pending_bytes = options_.max_pending_bytes;
  config.log_keep_entries = options_.log_keep_entries;
  config.log_keep_bytes = options_.log_keep_bytes;
  config.watches = options_.watches;
  config.snapshots.bytes_per_second = options_.snapshot_bytes_per_second;
  config.snapshots.measure_round_trip = options_.messages_may_be_lost;
  config.messages_may_be_lost = options_.messages_may_be_lost;
  node_ =
      std::make_unique<Node>(config, std::move(initial), replicated_time_at_open_ms_,
                             NodePorts{ports_.clock, ports_.log, ports_.machine, ports_.transport,
                                       ports_.observer, ports_.log_sink, ports_.snapshots},
                             [this] { Wake(); });
  node_->OnDisk(disk_);
  SetPeers();
  Wake();
}

void Member::SayForWhomItWaits() {
  const MonoTime now = ports_.clock.Now();
  next_waiting_line_ = now + kWaitingLineEvery;
  if (options_.join) {
    ports_.log_sink(LogSeverity::kInfo,
                    "waiting to be added to the cluster; if this has not been done yet, run: "
                    "raftkv member add " +
                        options_.name + " " + options_.advertise);
    return;
  }
  std::string names;
  for (const std::string& name : formation_->WaitsFor(now)) {
    names += (names.empty() ? "" : ", ") + name;
  }
  const std::string founder = formation_->spec().substr(0, formation_->spec().find('='));
  ports_.log_sink(LogSeverity::kInfo,
                  names.empty() ? "waiting for '" + founder + "' to create the new cluster"
                                : "waiting for " + names + " to form the new cluster");
}

void Member::SetPeers() {
  std::vector<Transport::Peer> peers;
  if (node_) {
    const raft::Raft& core = node_->core();
    peers_of_version_ = core.configuration_version();
    peers_linger_ = core.applied_index() < core.configuration_index();
    std::erase_if(places_, [&](const auto& item) {
      const raft::Member* member = core.configuration().Find(item.first);
      return member == nullptr || member->address == item.second.says ||
             member->address == item.second.answers_at;
    });
    std::erase_if(unconfirmed_, [&](const auto& item) { return !IsMember(item.first); });
    std::erase_if(client_urls_, [&](const auto& item) { return !IsMember(item.first); });
    for (const raft::Member& member : members()) {
      if (member.id != birth_.member) peers.push_back(PeerOf(member));
    }
    const auto named = [&peers](const std::string& name) {
      return std::any_of(peers.begin(), peers.end(),
                         [&](const Transport::Peer& peer) { return peer.name == name; });
    };
    // A leader that removes itself needs the acknowledgements until the change is committed.
    for (const raft::Member& member : core.applied_configuration().members) {
      if (member.id == birth_.member || named(member.name)) continue;
      peers.push_back(PeerOf(member));
    }
    std::erase_if(strangers_, [&](const auto& item) {
      const std::vector<NodeId>& removed = core.applied_configuration().removed;
      return core.configuration().Find(item.first) != nullptr ||
             std::binary_search(removed.begin(), removed.end(), item.first);
    });
    for (const auto& [id, boot] : std::map<NodeId, Boot>(stranger_boots_)) {
      if (IsMember(id)) SaveBoot(id, {.boot = boot, .incarnation = IncarnationOf(id)});
    }
    // A new member knows only the first members, which may all be gone; the list it was given is
    // newer. One that has lost its log knows no others.
    if ((options_.join || core.suspect()) && core.configuration().Find(birth_.member) == nullptr) {
      for (const MemberAddress& given : options_.cluster) {
        if (given.name == options_.name || named(given.name)) continue;
        peers.push_back({kNobody, given.name, given.address});
      }
    }
    AddStrangers(peers);
  } else {
    for (const MemberAddress& member : options_.cluster) {
      if (member.name != options_.name) peers.push_back({kNobody, member.name, member.address});
    }
    AddStrangers(peers);
  }
  std::erase_if(unheard_by_, [&peers](const auto& item) {
    return std::none_of(peers.begin(), peers.end(),
                        [&](const Transport::Peer& peer) { return peer.name == item.first; });
  });
  ports_.transport.SetPeers(std::move(peers));
}

void Member::AddStrangers(std::vector<Transport::Peer>& peers) const {
  for (const auto& [id, stranger] : strangers_) {
    // Beside a member of the same name, not in its place: it may be invented. Where only a name is
    // known, any member that answers is accepted anyway.
    const bool sought = std::any_of(peers.begin(), peers.end(),
                                    [&stranger = stranger](const Transport::Peer& peer) {
                                      return peer.id == kNobody && peer.name == stranger.name &&
                                             peer.address == stranger.address;
                                    });
    if (!sought) peers.push_back(stranger);
  }
}

// --- Peers' messages.

void Member::Receive(NodeId peer, Boot boot, PeerMessage message) {
  if (!node_ || !KnowsBoot(peer, boot)) return;
  const auto* join = std::get_if<ForwardJoin>(&message);
  if (join != nullptr && !join->address.empty()) return OnFound(*join);
  if (const auto* known = std::get_if<KnownBoots>(&message)) return OnKnownBoots(peer, *known);
  node_->Receive(peer, std::move(message));
}

void Member::PeerDisconnected(NodeId peer) {
  if (node_) node_->PeerDisconnected(peer);
}

void Member::PeerUnreachable(NodeId peer) {
  if (node_) node_->PeerUnreachable(peer);
}

void Member::OnDisk(const DiskHealth& health) {
  disk_ = health;
  if (node_) {
    node_->OnDisk(health);
  } else if (!health.failure.ok()) {
    Fail(health.failure);
  }
  Wake();
}

// --- Clients.

Status Member::NotServing() const {
  if (node_ && failure_.ok()) return Status::Ok();
  return {Code::kUnavailable,
          failure_.ok() ? "the cluster has not formed yet" : failure_.message()};
}

void Member::Submit(Bytes request, MonoTime deadline, SubmitDone done) {
  if (const Status not_serving = NotServing(); !not_serving.ok()) {
    done({not_serving, {}});
    return;
  }
  node_->Submit(std::move(request), deadline, std::move(done));
}

void Member::Read(Bytes request, ReadPolicy policy, MonoTime deadline, Done<Bytes> done) {
  if (const Status not_serving = NotServing(); !not_serving.ok()) {
    done(not_serving);
    return;
  }
  node_->Read(std::move(request), policy, deadline, std::move(done));
}

void Member::Watch(const Bytes& request, MonoTime deadline, Done<Bytes> done) {
  if (const Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  node_->Watch(request, deadline, std::move(done));
}

Status Member::MayAnswerAlone() const {
  const Status not_serving = NotServing();
  return not_serving.ok() ? node_->MayAnswerAlone() : not_serving;
}

void Member::OpenSession(MonoTime deadline, Done<std::uint64_t> done) {
  if (const Status not_serving = NotServing(); !not_serving.ok()) return done(not_serving);
  node_->OpenSession(deadline, std::move(done));
}

std::uint64_t Member::replicated_time_ms() const {
  return node_ ? node_->replicated_time_ms() : replicated_time_at_open_ms_;
}

// --- Status.

const raft::Raft* Member::core() const { return node_ ? &node_->core() : nullptr; }
NodeId Member::leader() const { return node_ ? node_->core().leader() : kNobody; }

std::vector<raft::Member> Member::members() const {
  return node_ ? node_->core().configuration().members : std::vector<raft::Member>{};
}

std::vector<raft::Invitation> Member::invited() const {
  return node_ ? node_->core().configuration().invited : std::vector<raft::Invitation>{};
}

std::string Member::leader_address() const {
  if (!node_) return {};
  const raft::Member* member = node_->core().configuration().Find(leader());
  if (member == nullptr) return {};
  return member->id == birth_.member ? options_.advertise : AddressOf(*member);
}

bool Member::HasSettledLeader() const {
  if (!node_ || !failure_.ok()) return false;
  const raft::Raft& core = node_->core();
  if (core.leader() == kNobody) return false;
  // A follower learns about the leader's first commit when it can apply an entry of this term.
  return core.log().TermAt(core.commit_index()) == core.term();
}

NodeStatus Member::status() const {
  NodeStatus status;
  status.name = options_.name;
  status.cluster_id = birth_.cluster.value;
  status.member_id = birth_.member.value;
  if (!node_) return status;
  const raft::Raft& core = node_->core();
  static constexpr Role kRoles[] = {Role::kFollower, Role::kPreCandidate, Role::kCandidate,
                                    Role::kLeader};
  status.role = kRoles[static_cast<int>(core.role())];
  if (const raft::Member* member = core.configuration().Find(core.leader())) {
    status.leader = member->name;
  }
  status.term = core.term().value;
  status.commit_index = core.commit_index().value;
  status.applied_index = core.applied_index().value;
  const kv::Revisions revisions = ports_.machine.revisions();
  status.revision = revisions.revision;
  status.compacted_revision = revisions.compacted;
  status.log_first_index = core.log().first_index().value;
  status.log_last_index = core.log().last_index().value;
  status.suspect = core.suspect();
  status.no_space = core.space() != raft::Space::kEnough;
  status.errors = node_->DiskErrors();
  for (std::string& line : WhyCutOff()) status.errors.push_back(std::move(line));
  return status;
}

}  // namespace raftkv::node
