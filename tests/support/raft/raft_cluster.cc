#include "tests/support/raft/raft_cluster.h"

#include <utility>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_format.h"

namespace raftkv::test {

using raft::Message;
using raft::Raft;
using raft::Ready;

RaftCluster::RaftCluster(const ClusterOptions& options)
    : configuration_(MakeConfiguration(options.nodes)),
      options_(options),
      checks_(nodes_, [this](const std::string& what) { Fail(what); }) {
  configuration_.quorum = options.quorum;
  for (std::size_t i = 0; i < options.zones.size(); ++i) {
    configuration_.members.at(i).zone = options.zones[i];
  }
  for (const raft::Member& member : configuration_.members) {
    SetDisk(member.id, FormedDisk(configuration_));
  }
}

void RaftCluster::AddNode(NodeId id) { SetDisk(id, SimDisk{}); }

void RaftCluster::SetDisk(NodeId id, SimDisk disk) {
  raft::Options options = options_.raft;
  if (options_.without_lease.count(id) != 0) options.lease_reads = false;
  if (options_.hasty.count(id) != 0) options.election_timeout /= 2;
  options.id = id;
  nodes_.erase(id);
  checks_.StartFrom(disk);
  const auto [at, is_new] =
      nodes_.emplace(std::piecewise_construct, std::forward_as_tuple(id),
                     std::forward_as_tuple(options, raft::Configuration{}, std::move(disk),
                                           options_.seed * 64 + id.value));
  at->second.OnFailure([this](const std::string& what) { Fail(what); });
  queues_[id] = Queues{};
  checks_.OnRestart(id);
}

void RaftCluster::Fail(const std::string& what) {
  Emit("BROKEN: " + what);
  if (!failure_.empty()) return;
  failure_ = what;
  ADD_FAILURE() << "seed " << options_.seed << ": " << what;
}

std::vector<NodeId> RaftCluster::ids() const {
  std::vector<NodeId> ids;
  for (const auto& [id, node] : nodes_) ids.push_back(id);
  return ids;
}

NodeId RaftCluster::Leader() const {
  NodeId leader;
  Term term;
  for (const auto& [id, node] : nodes_) {
    if (!node.up() || node.core().role() != raft::Role::kLeader) continue;
    if (node.core().term() > term) {
      term = node.core().term();
      leader = id;
    }
  }
  return leader;
}

// --- Inputs.

void RaftCluster::Tick(NodeId id, Duration by) {
  node(id).Advance(by);
  if (!node(id).up()) return;
  checks_.AfterStep(id);
}

void RaftCluster::TickAll(Duration by) {
  for (NodeId id : ids()) Tick(id, by);
}

void RaftCluster::Campaign(NodeId id) {
  if (!node(id).up()) return;
  node(id).Input([](Raft& core) { core.Campaign(); });
  checks_.AfterStep(id);
}

Result<raft::LogPosition> RaftCluster::Propose(NodeId id, std::string_view payload) {
  Result<raft::LogPosition> result = Status(Code::kUnavailable, "it is down");
  if (!node(id).up()) return result;
  node(id).Input([&](Raft& core) {
    result = core.Propose(raft::EntryKind::kCommand, Bytes(std::string(payload)), 0);
  });
  checks_.AfterStep(id);
  return result;
}

Status RaftCluster::Change(NodeId id, const raft::MembershipChange& change) {
  Status status(Code::kUnavailable, "it is down");
  if (!node(id).up()) return status;
  node(id).Input([&](Raft& core) { status = core.ChangeMembership(change, 0).status(); });
  checks_.AfterStep(id);
  return status;
}

Status RaftCluster::Transfer(NodeId id, NodeId to) {
  Status status(Code::kUnavailable, "it is down");
  if (!node(id).up()) return status;
  node(id).Input([&](Raft& core) { status = core.TransferLeadership(to); });
  checks_.AfterStep(id);
  return status;
}

void RaftCluster::Compact(NodeId id, Index through) {
  if (!node(id).up()) return;
  node(id).Compact(through);
  checks_.AfterStep(id);
}

Status RaftCluster::Read(NodeId id, std::uint64_t context, bool lease) {
  if (!node(id).up()) return Status(Code::kUnavailable, "it is down");
  const Index committed_before(checks_.committed().size());
  Status status;
  node(id).Input([&](Raft& core) { status = core.RequestReadIndex(context, lease); });
  if (status.ok()) checks_.OnReadRequested(id, context, committed_before);
  checks_.AfterStep(id);
  return status;
}

void RaftCluster::PeerDisconnected(NodeId id, NodeId peer) {
  if (!node(id).up()) return;
  node(id).Input([&](Raft& core) { core.PeerDisconnected(peer); });
  checks_.AfterStep(id);
}

void RaftCluster::PeerUnreachable(NodeId id, NodeId peer) {
  if (!node(id).up()) return;
  node(id).Input([&](Raft& core) { core.PeerUnreachable(peer); });
  checks_.AfterStep(id);
}

// --- Outputs.

void RaftCluster::Send(const std::vector<Message>& messages, const char* note) {
  for (const Message& message : messages) {
    checks_.OnSend(message);
    const bool lost = network_.IsCut({message.from, message.to});
    if (tracing()) Emit(note + Format(message) + (lost ? "  (lost: cut off)" : ""));
    network_.Send({message, node(message.from).boot()});
  }
}

bool RaftCluster::ProcessReady(NodeId id) {
  SimNode& node = this->node(id);
  if (!node.up()) return false;
  const std::optional<Ready> ready = node.TakeReady();
  if (!ready) return false;
  checks_.AfterStep(id);
  const std::string name = Format(id) + ": ";
  if (ready->soft_state && tracing()) {
    Emit(name + "is " + Format(ready->soft_state->role) + ", term " +
         std::to_string(node.core().term().value) + ", leader " +
         Format(ready->soft_state->leader));
  }
  Send(ready->messages, "  sends ");
  if (ready->HasWrite()) {
    checks_.OnWrite(id);
    if (tracing()) EmitWrite(id, *ready);
  }
  Send(ready->messages_after_persist, "  sends ");
  Queues& queues = queues_[id];
  if (!ready->committed_entries.empty()) {
    if (tracing()) Emit(name + "applies " + Format(ready->committed_entries));
    queues.to_apply.push_back(ready->committed_entries);
  }
  queues.reads.insert(queues.reads.end(), ready->read_states.begin(), ready->read_states.end());
  for (const raft::WantedEntries& wanted : ready->wanted_entries) {
    if (tracing()) {
      Emit(name + "wants entries " + std::to_string(wanted.first.value) + ".." +
           std::to_string(wanted.last.value) +
           (wanted.peer == kNobody ? " to apply" : " for " + Format(wanted.peer)));
    }
    queues.wanted.push_back(wanted);
  }
  for (NodeId peer : ready->wanted_snapshots) {
    if (tracing()) Emit(name + "wants to send a snapshot to " + Format(peer));
    queues.wanted_snapshots.push_back(peer);
  }
  // A write that is not synced ends at once unless the test wants to see it under way.
  if (options_.automatic && ready->HasWrite() && !ready->must_sync) Persist(id);
  while (options_.automatic && (ApplyNext(id) || ProvideNext(id))) {
  }
  ServeReads(id);
  return true;
}

void RaftCluster::EmitWrite(NodeId id, const Ready& ready) const {
  std::string line = Format(id) + ": writes";
  if (const auto& state = ready.hard_state) {
    line += " term:" + std::to_string(state->term.value) + " vote:" + Format(state->vote) +
            " commit:" + std::to_string(state->commit.value);
  }
  if (ready.snapshot) line += " " + Format(*ready.snapshot);
  if (ready.refilled) line += " refilled";
  if (!ready.entries.empty()) line += " entries:[" + Format(ready.entries) + "]";
  Emit(line + (ready.must_sync ? "" : " (not synced)"));
  for (const Message& held : nodes_.at(id).disk().pending->messages_after_persist) {
    Emit("  then " + Format(held));
  }
}

void RaftCluster::ServeReads(NodeId id) {
  Queues& queues = queues_[id];
  std::erase_if(queues.reads, [&](const raft::ReadState& state) {
    if (state.confirmed && node(id).core().applied_index() < state.read_index) return false;
    if (tracing()) {
      Emit(Format(id) + ": read " + std::to_string(state.context) +
           (state.confirmed ? " is served at index " + std::to_string(state.read_index.value)
                            : std::string(" is not served")));
    }
    checks_.OnReadState(id, state);
    return true;
  });
}

bool RaftCluster::Persist(NodeId id) {
  SimNode& node = this->node(id);
  if (!node.up() || !node.disk().pending) return false;
  if (tracing() && node.disk().pending->sync) Emit(Format(id) + ": write is durable");
  const bool installed = node.disk().pending->snapshot.has_value();
  const std::vector<Message> messages = node.Persist();
  checks_.AfterStep(id);
  Send(messages, "  sends ");
  if (installed) {
    if (tracing()) Emit(Format(id) + ": the snapshot is installed");
    queues_[id].to_apply.clear();
    ReportInstalled(id, true);
  }
  return true;
}

// --- Snapshots.

bool RaftCluster::SendSnapshot(NodeId from) {
  Queues& queues = queues_[from];
  if (!node(from).up() || queues.wanted_snapshots.empty()) return false;
  const NodeId to = queues.wanted_snapshots.front();
  queues.wanted_snapshots.pop_front();
  const std::optional<raft::SnapshotMeta> snapshot = node(from).Describe();
  const bool leads = node(from).core().role() == raft::Role::kLeader;
  if (!snapshot || !leads) {
    node(from).Input([&](Raft& core) { core.SnapshotSent(to, Index{}, false); });
    checks_.AfterStep(from);
    return true;
  }
  if (tracing()) Emit("  sends " + Format(from) + "->" + Format(to) + " " + Format(*snapshot));
  offers_.push_back({from, to, node(from).core().term(), *snapshot});
  return true;
}

bool RaftCluster::DeliverSnapshot(std::size_t position, bool again) {
  if (offers_.empty()) return false;
  const auto at = offers_.begin() + static_cast<std::ptrdiff_t>(position % offers_.size());
  const SnapshotOffer offer = *at;
  if (!again) offers_.erase(at);
  SimNode& to = node(offer.to);
  const bool lost = !to.up() || network_.IsCut({offer.from, offer.to});
  const bool wanted = !lost && to.Offer(offer.from, offer.term, offer.snapshot);
  if (tracing()) {
    Emit(Format(offer.from) + "->" + Format(offer.to) + " " + Format(offer.snapshot) +
         (lost     ? "  (lost)"
          : wanted ? ", to be installed"
                   : ", not needed"));
  }
  if (!lost) checks_.AfterStep(offer.to);
  if (wanted) {
    queues_[offer.to].installs_from = offer.from;
  } else if (node(offer.from).up()) {
    node(offer.from).Input([&](Raft& core) {
      core.SnapshotSent(offer.to, offer.snapshot.last.index, false);
    });
    checks_.AfterStep(offer.from);
  }
  return true;
}

/// The sender always hears in the end how it went, if only that nothing is known.
void RaftCluster::ReportInstalled(NodeId id, bool installed) {
  const NodeId from = std::exchange(queues_[id].installs_from, kNobody);
  if (from == kNobody || !node(from).up()) return;
  const bool known = installed && !network_.IsCut({id, from});
  const Index index = known ? node(id).core().log().base().index : Index{};
  node(from).Input([&](Raft& core) { core.SnapshotSent(id, index, known); });
  checks_.AfterStep(from);
}

bool RaftCluster::ApplyNext(NodeId id) {
  Queues& queues = queues_[id];
  if (!node(id).up() || queues.to_apply.empty()) return false;
  const std::vector<raft::Entry> entries = std::move(queues.to_apply.front());
  queues.to_apply.pop_front();
  node(id).Apply(entries);
  checks_.AfterStep(id);
  ServeReads(id);
  return true;
}

bool RaftCluster::ProvideNext(NodeId id) {
  Queues& queues = queues_[id];
  if (!node(id).up() || queues.wanted.empty()) return false;
  const raft::WantedEntries wanted = queues.wanted.front();
  queues.wanted.pop_front();
  node(id).Provide(wanted);
  checks_.AfterStep(id);
  return true;
}

// --- Network and faults.

void RaftCluster::Deliver(const Packet& packet) {
  const Message& message = packet.message;
  if (!node(message.to).up()) {
    if (tracing()) Emit("lost, it is down: " + Format(message));
    return;
  }
  const auto since = suspect_since_.find({message.to, message.from});
  if (since != suspect_since_.end() && packet.boot < since->second) {
    if (tracing()) Emit("of an earlier start, does not count: " + Format(message));
    return;
  }
  const SimNode& sender = node(message.from);
  if (sender.disk().suspect && packet.boot == sender.boot()) {
    suspect_since_[{message.to, message.from}] = packet.boot;
  }
  if (tracing()) Emit(Format(message));
  node(message.to).Step(message);
  checks_.AfterStep(message.to);
}

bool RaftCluster::DeliverNext() {
  const std::optional<Packet> packet = network_.Take();
  if (!packet) return false;
  Deliver(*packet);
  return true;
}

void RaftCluster::Partition(const std::vector<std::vector<NodeId>>& groups) {
  for (const auto& group : groups) {
    for (const auto& other : groups) {
      if (&group == &other) continue;
      for (NodeId a : group) {
        for (NodeId b : other) network_.Cut({a, b});
      }
    }
  }
}

void RaftCluster::StallDisk(NodeId id, bool stalled) { queues_[id].disk_stalled = stalled; }

void RaftCluster::Crash(NodeId id, bool keep_pending, bool keep_unsynced) {
  if (!node(id).up()) return;
  ReportInstalled(id, false);
  node(id).Crash(keep_pending, keep_unsynced);
  queues_[id] = Queues{};
}

void RaftCluster::Restart(NodeId id) {
  if (node(id).up()) return;
  node(id).Restart();
  checks_.OnRestart(id);
}

void RaftCluster::LoseTail(NodeId id, std::size_t count) {
  RAFTKV_CHECK(!node(id).up());
  node(id).disk().LoseTail(count);
}

void RaftCluster::FlushApplied(NodeId id) {
  if (node(id).up()) node(id).disk().applied = node(id).core().applied_index();
}

void RaftCluster::Stabilize() {
  bool busy = true;
  for (int round = 0; busy && failure_.empty(); ++round) {
    if (round == 10'000) return Fail("the cluster never comes to rest");
    busy = false;
    for (NodeId id : ids()) {
      while (ProcessReady(id) || (!queues_[id].disk_stalled && Persist(id)) || ApplyNext(id) ||
             ProvideNext(id) || (!hold_snapshots_ && SendSnapshot(id))) {
        busy = true;
      }
    }
    while (!hold_snapshots_ && DeliverSnapshot(0)) busy = true;
    // In rounds: all that is under way now, then the members again.
    for (const SimNetwork::Link& link : network_.BusyLinks()) {
      for (std::size_t i = network_.CountOn(link); i > 0; --i) {
        if (const auto message = network_.Take(link)) Deliver(*message);
        busy = true;
      }
    }
  }
}

bool RaftCluster::SameLog(NodeId a, NodeId b) const {
  const SimDisk& one = nodes_.at(a).disk();
  const SimDisk& other = nodes_.at(b).disk();
  if (one.last_index() != other.last_index()) return false;
  for (Index i = one.last_index(); one.Find(i) != nullptr && other.Find(i) != nullptr;
       i = i.Previous()) {
    if (!(*one.Find(i) == *other.Find(i))) return false;
  }
  return true;
}

bool RaftCluster::Converged() const {
  const NodeId leader = Leader();
  if (leader == kNobody || !nodes_.at(leader).core().committed_in_term()) return false;
  const Raft& first = nodes_.at(leader).core();
  if (first.configuration().joint || !first.configuration().IsVoter(leader)) return false;
  if (first.transferring()) return false;
  for (const raft::Member& member : first.configuration().members) {
    const Raft& core = nodes_.at(member.id).core();
    if (core.leader() != leader || core.term() != first.term() || core.suspect() ||
        core.log().last_index() != first.log().last_index() ||
        core.commit_index() != first.log().last_index() ||
        core.applied_index() != core.commit_index() ||
        !(core.configuration() == first.configuration()) || !SameLog(leader, member.id)) {
      return false;
    }
  }
  return true;
}

bool RaftCluster::Converge(Duration bound) {
  network_.MendAll();
  hold_snapshots_ = false;
  for (NodeId id : ids()) {
    StallDisk(id, false);
    Restart(id);
  }
  const Duration step = std::chrono::milliseconds(10);
  for (Duration passed{}; passed < bound && failure_.empty(); passed += step) {
    Stabilize();
    if (Converged()) return failure_.empty();
    TickAll(step);
  }
  return false;
}

}  // namespace raftkv::test
