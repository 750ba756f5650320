#include "lib/node/node.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/base/mutants.h"
#include "lib/kv/request.h"

namespace raftkv::node {

namespace {

/// How often what waits is searched for passed deadlines; answers may be late by so much.
constexpr Duration kSweepInterval = std::chrono::milliseconds(50);

/// What this member does is late by more than this part of an election timeout: what others have
/// sent meanwhile waits to be read.
constexpr int kTooLate = 6;

/// What the log keeps for followers while the disk is full.
constexpr std::uint64_t kShortEntries = 1000;
constexpr std::uint64_t kShortBytes = 1 << 20;

/// Keeps the numbers of the two queues of reads apart.
constexpr std::uint64_t kLeaseContexts = std::uint64_t{1} << 63;

}  // namespace

Node::Node(const NodeConfig& config, raft::InitialState initial, std::uint64_t replicated_time_ms,
           NodePorts ports, std::function<void()> wakeup)
    : config_(config),
      ports_(std::move(ports)),
      wakeup_(std::move(wakeup)),
      core_(config.raft, std::move(initial), Random(config.seed), ports_.clock.Now()),
      forwards_({.first_id = config.context_base,
                 .messages_may_be_lost = config.messages_may_be_lost,
                 .first_timeout = config.raft.election_timeout},
                ports_.transport, [this](std::size_t bytes) { Release(bytes); }),
      reads_(config.context_base, false, AskAgain()),
      lease_reads_(config.context_base ^ kLeaseContexts, true, AskAgain()),
      watches_(config.watches, ports_.machine.revisions(), WatchPorts()),
      once_applied_(core_.commit_index()),
      replicated_time_ms_(replicated_time_ms),
      replicated_time_at_(ports_.clock.Now()),
      next_sweep_(ports_.clock.Now() + kSweepInterval) {
  core_.RaiseClock(ports_.machine.leases().clock_ms);
  if (ports_.snapshots == nullptr) return;
  snapshot_sender_ = std::make_unique<SnapshotSender>(
      config.snapshots, ports_.clock, *ports_.snapshots, ports_.transport, ports_.observer, core_,
      [this] { wakeup_(); });
  snapshot_receiver_ = std::make_unique<SnapshotReceiver>(
      *ports_.snapshots, ports_.transport, core_, [this] { return Tick(); }, [this] { wakeup_(); });
}

MonoTime Node::Tick() {
  const MonoTime now = ports_.clock.Now();
  // A new leader's first entry carries the time, so that a session can be opened before any write.
  core_.SetWallTime(StampMs());
  const MonoTime due = core_.NextDeadline();
  if (due != kNever && now - due > config_.raft.election_timeout / kTooLate) core_.Resume(now);
  core_.Tick(now);
  NoteOwnWork(now);
  return now;
}

/// What new entries are stamped with. A wall clock that is behind what is replicated (it was set
/// back, or an earlier leader's was ahead) must not make the replicated time stand still: sessions
/// would neither expire nor, once one was dropped, open.
std::uint64_t Node::StampMs() {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(ports_.clock.Now() -
                                                                           replicated_time_at_);
  return std::max(ports_.clock.WallTimeMs(),
                  replicated_time_ms_ + static_cast<std::uint64_t>(since.count()));
}

// --- The pump.

void Node::Pump() {
  if (!failure_.ok()) return;
  const MonoTime now = Tick();
  if (now >= next_sweep_) Sweep();
  forwards_.Resend(now);
  if (!held_.empty() && core_.TakesProposals()) DispatchHeld();
  MaybeCompactHistory(now);
  MaybeEndLeases(now);
  const auto disk = [this] { return write_under_way_ ? raft::Disk::kBusy : raft::Disk::kIdle; };
  while (true) {
    for (ReadQueue* queue : {&reads_, &lease_reads_}) {
      if (!queue->empty()) queue->Ask(core_, now);
    }
    if (!core_.HasReady(disk())) break;
    CarryOut(core_.TakeReady(disk()));
  }
  EndChanges();
  watches_.Pump(now);
  if (snapshot_sender_) snapshot_sender_->Tick();
}

MonoTime Node::NextDeadline() const {
  if (!failure_.ok()) return kNever;
  const bool waits = !held_.empty() || !forwards_.empty() || !reads_.empty() ||
                     !lease_reads_.empty() || !changes_.empty() || transfer_;
  MonoTime next = core_.NextDeadline();
  if (waits) next = std::min(next, next_sweep_);
  next = std::min({next, forwards_.NextResend(), reads_.NextAsk(), lease_reads_.NextAsk()});
  next = std::min({next, HistoryDeadline(), LeaseDeadline(), watches_.NextDeadline()});
  if (snapshot_sender_) next = std::min(next, snapshot_sender_->NextDeadline());
  return next;
}

void Node::CarryOut(raft::Ready ready) {
  // The order is that of ready.h: nothing that follows from a write is said before it is durable.
  if (ready.soft_state) OnSoftState(*ready.soft_state);
  SendAll(std::move(ready.messages));
  if (ready.HasWrite()) {
    Write(ready);
  } else {
    RAFTKV_CHECK(ready.messages_after_persist.empty() || !write_under_way_);
    SendAll(std::move(ready.messages_after_persist));
  }
  if (!ready.committed_entries.empty()) Apply(std::move(ready.committed_entries));
  for (const raft::ReadState& state : ready.read_states) {
    reads_.OnReadState(state, ports_.clock.Now());
    lease_reads_.OnReadState(state, ports_.clock.Now());
  }
  ServeReads();
  for (const raft::WantedEntries& wanted : ready.wanted_entries) Fetch(wanted);
  for (const NodeId peer : ready.wanted_snapshots) {
    if (snapshot_sender_) snapshot_sender_->Want(peer);
  }
}

void Node::SendAll(std::vector<raft::Message> messages) {
  for (raft::Message& message : messages) {
    const NodeId to = message.to;
    ports_.transport.Send(to, std::move(message));
  }
}

void Node::OnSoftState(const raft::SoftState& state) {
  static constexpr const char* kNames[] = {"follower", "pre-candidate", "candidate", "leader"};
  const raft::Member* leader = core_.configuration().Find(state.leader);
  ports_.log_sink(LogSeverity::kInfo,
                  std::string("role ") + kNames[static_cast<int>(state.role)] + ", term " +
                      std::to_string(core_.term().value) + ", leader " +
                      (leader ? leader->name + " (" + Hex(state.leader) + ")" : "unknown"));
  if (state.role == raft::Role::kCandidate) ports_.observer.CountElection();
  if (state.role != raft::Role::kLeader) {
    // They may be committed by the next leader.
    const Status lost(RAFTKV_MUTANT(kStepDownIsFailure) ? Code::kNotLeader : Code::kUnknownOutcome,
                      "this member lost the leadership in the meantime");
    if (!RAFTKV_MUTANT(kProposalsStranded)) FailProposals(lost);
    EndChanges();  // a leader that removed itself goes because that is committed
    FailChanges(lost);
  }
  forwards_.FailOfOthersThan(state.leader,
                             {Code::kUnknownOutcome, "the leader changed in the meantime"});
  if (state.role == raft::Role::kLeader) WarnOfShortTimeout();
  if (state.leader != kNobody) DispatchHeld();
}

void Node::DispatchHeld() {
  for (Held& held : std::exchange(held_, {})) {
    Release(held.request.size());
    Dispatch(std::move(held));
  }
}

// --- The disk.

void Node::Write(raft::Ready& ready) {
  RAFTKV_CHECK(!write_under_way_);
  RAFTKV_CHECK(after_persist_.empty());
  write_under_way_ = true;
  after_persist_ = std::move(ready.messages_after_persist);
  LogWrite write{.hard_state = ready.hard_state,
                 .entries = std::move(ready.entries),
                 .refilled = ready.refilled,
                 .sync = ready.must_sync};
  if (RAFTKV_MUTANT(kVoteForgotten) && (write.hard_state || !write.entries.empty())) {
    const Index commit = write.hard_state ? write.hard_state->commit : core_.commit_index();
    write.hard_state = {core_.log().last_term(), kNobody, commit};
  }
  if (ready.snapshot) {
    RAFTKV_CHECK(ports_.snapshots != nullptr);
    ports_.snapshots->Install(*ready.snapshot, std::move(write),
                              [this](const Result<std::uint64_t>& time) { OnInstalled(time); });
    return;
  }
  ports_.log.Write(std::move(write), [this](const Status& status) { OnWritten(status); });
}

void Node::OnWritten(const Status& status) {
  RAFTKV_CHECK(write_under_way_);
  if (!failure_.ok()) return;
  if (!status.ok()) {
    // The fate of the write is unknown and a sync is never repeated: only a restart, which reads
    // what is really there, can tell.
    Stop({status.code(), "the log could not be written, this member stops: " + status.message()});
    return;
  }
  write_under_way_ = false;
  Tick();
  core_.Persisted();
  NoteOwnWork(ports_.clock.Now());
  SendAll(std::exchange(after_persist_, {}));
  wakeup_();
}

void Node::OnInstalled(const Result<std::uint64_t>& replicated_time_ms) {
  if (!failure_.ok()) return;
  if (replicated_time_ms.ok()) {
    RAFTKV_CHECK(*replicated_time_ms >= replicated_time_ms_);
    replicated_time_ms_ = *replicated_time_ms;
    replicated_time_at_ = ports_.clock.Now();
    core_.RaiseClock(ports_.machine.leases().clock_ms);
  }
  OnWritten(replicated_time_ms.status());
  if (!failure_.ok()) return;
  watches_.OnInstalled(ports_.machine.revisions());
  snapshot_receiver_->OnInstalled();
  ServeReads();
}

void Node::Fetch(const raft::WantedEntries& wanted) {
  ports_.log.Read(wanted.first, wanted.last, wanted.max_bytes,
                  [this, wanted](Result<std::vector<raft::Entry>> entries) {
                    if (!failure_.ok()) return;
                    if (entries.code() == Code::kUnavailable) {
                      // Cut meanwhile, or the readers are busy: it is asked again if still needed.
                      Tick();
                      core_.ProvideEntries(wanted, {});
                      return;
                    }
                    if (!entries.ok()) {
                      Stop({entries.code(), "the log could not be read, this member stops: " +
                                                entries.status().message()});
                      return;
                    }
                    Tick();
                    core_.ProvideEntries(wanted, *std::move(entries));
                    wakeup_();
                  });
}

// --- Applying.

void Node::Apply(std::vector<raft::Entry> entries) {
  const MonoTime now = ports_.clock.Now();
  const Index first = entries.front().index;
  const Index last = entries.back().index;
  for (Proposal& proposal : proposals_) {
    if (proposal.position.index > last) break;
    if (proposal.position.index < first) continue;
    proposal.committed_at = now;
    ports_.observer.Observe(Stage::kReplicate, now - proposal.proposed_at);
  }
  ports_.machine.Apply(std::move(entries), [this, first](Result<Applied> result) {
    OnApplied(first, std::move(result));
  });
}

void Node::OnApplied(Index first, Result<Applied> result) {
  if (!failure_.ok()) return;
  if (!result.ok()) {
    Stop({result.code(),
          "the log could not be applied, this member stops: " + result.status().message()});
    return;
  }
  const MonoTime now = Tick();
  RAFTKV_CHECK(result->durable <= result->index);
  RAFTKV_CHECK(result->index.Next() - first == result->responses.size());
  RAFTKV_CHECK(result->replicated_time_ms >= replicated_time_ms_);
  if (result->replicated_time_ms > replicated_time_ms_) {
    replicated_time_ms_ = result->replicated_time_ms;
    replicated_time_at_ = now;
  }
  core_.Applied(result->index);
  core_.RaiseClock(ports_.machine.leases().clock_ms);
  // Before a write is answered, or a read barrier is passed: a watch that begins behind it must not
  // get what came before.
  watches_.OnApplied(std::move(result->changes), result->revisions, result->event_bytes);
  while (!proposals_.empty() && proposals_.front().position.index <= result->index) {
    Proposal proposal = std::move(proposals_.front());
    proposals_.pop_front();
    proposed_.erase(proposal.key);
    RAFTKV_CHECK(proposal.position.index >= first);
    Release(proposal.bytes);
    ports_.observer.Observe(Stage::kApply, now - proposal.committed_at);
    ports_.observer.Observe(Stage::kPropose, now - proposal.proposed_at);
    ports_.observer.CountProposal(Code::kOk);
    Bytes response = result->responses[proposal.position.index - first];
    RAFTKV_CHECK(!response.empty());
    proposal.done({Status::Ok(), std::move(response)});
  }
  ServeReads();
  if (snapshot_receiver_) snapshot_receiver_->OnApplied(result->index);
  MaybeCompact(result->durable);
  wakeup_();
}

/// Cuts the log: what the state machine has durably, but for what followers may soon ask for.
void Node::MaybeCompact(Index durable) {
  if (ports_.snapshots == nullptr) return;
  std::uint64_t through = core_.applied_index().value;
  if (!RAFTKV_MUTANT(kCompactBeyondApplied)) through = std::min(through, durable.value);
  if (snapshot_sender_->KeepAfter()) {
    through = std::min(through, snapshot_sender_->KeepAfter()->value);
  }
  const Index cut = WhereToCut(Index(through));
  if (cut == Index{}) return;
  core_.Compact(cut);
  ports_.snapshots->Compact(cut);
}

/// Where to cut, of what may go up to `through`; 0: nowhere. Not for every entry: a cut costs a
/// write.
Index Node::WhereToCut(Index through) const {
  const Index base = core_.log().base().index;
  Index cut;
  // A full disk needs the space more than a member that is a little behind.
  const bool is_short = core_.space() != raft::Space::kEnough;
  const std::uint64_t entries =
      std::min(config_.log_keep_entries, is_short ? kShortEntries : UINT64_MAX);
  const Index by_entries(through.value - std::min(through.value, entries));
  if (by_entries > base + entries / 4) cut = by_entries;
  const std::uint64_t bytes = std::min(config_.log_keep_bytes, is_short ? kShortBytes : UINT64_MAX);
  if (ports_.snapshots->Beyond(bytes + bytes / 4) > base) {
    cut = std::max(cut, std::min(through, ports_.snapshots->Beyond(bytes)));
  }
  return cut > base ? cut : Index{};
}

// --- Requests.

bool Node::HasRoom(std::size_t bytes) const {
  return pending_bytes_ == 0 || pending_bytes_ + bytes <= config_.max_pending_bytes;
}

void Node::Release(std::size_t bytes) {
  RAFTKV_CHECK(pending_bytes_ >= bytes);
  pending_bytes_ -= bytes;
}

void Node::Submit(Bytes request, MonoTime deadline, SubmitDone done) {
  if (!failure_.ok()) {
    done({{Code::kUnavailable, failure_.message()}, {}});
    return;
  }
  const auto header = kv::ValidateRequest(request.view(), config_.limits);
  if (!header.ok()) {
    done({header.status(), {}});
    return;
  }
  Tick();
  Dispatch({std::move(request), {header->session, header->sequence}, deadline, std::move(done)});
  wakeup_();
}

void Node::Dispatch(Held held) {
  if (!HasRoom(held.request.size())) {
    ports_.observer.CountProposal(Code::kUnavailable);
    held.done({{Code::kUnavailable, "too many requests are queued at this member; try again"}, {}});
  } else if (core_.TakesProposals()) {
    Propose(std::move(held.request), held.key, std::move(held.done));
  } else if (core_.leader() != kNobody && core_.leader() != core_.id()) {
    ForwardToLeader(std::move(held));
  } else {
    // An election is short: wait for its outcome, but not for long, since another member may know.
    const Duration patience = std::max(config_.raft.election_timeout, core_.election_timeout());
    held.deadline = std::min(held.deadline, ports_.clock.Now() + patience);
    pending_bytes_ += held.request.size();
    held_.push_back(std::move(held));
  }
}

void Node::Propose(Bytes request, const RequestKey& key, SubmitDone done) {
  const std::size_t bytes = request.size();
  if (JoinProposal(key, done)) return;
  if (const Status refused = MayPropose(request); !refused.ok()) {
    ports_.observer.CountProposal(refused.code());
    done({refused, {}});
    if (!RAFTKV_MUTANT(kNoSpaceCarriedOut)) return;
    done = [](const SubmitOutcome&) {};
  }
  const auto position = core_.Propose(raft::EntryKind::kCommand, std::move(request), StampMs());
  if (!position.ok()) {
    ports_.observer.CountProposal(position.code());
    done({position.status(), {}});
    return;
  }
  RAFTKV_CHECK(proposals_.empty() || proposals_.back().position.index < position->index);
  pending_bytes_ += bytes;
  const MonoTime now = ports_.clock.Now();
  proposals_.push_back({*position, key, bytes, now, now, std::move(done)});
  proposed_[key] = position->index;
}

/// A request that its client sends again while it waits to be committed is not entered again: both
/// get the one answer.
bool Node::JoinProposal(const RequestKey& key, SubmitDone& done) {
  const auto found = proposed_.find(key);
  if (found == proposed_.end() || core_.role() != raft::Role::kLeader) return false;
  const auto proposal =
      std::lower_bound(proposals_.begin(), proposals_.end(), found->second,
                       [](const Proposal& one, Index index) { return one.position.index < index; });
  RAFTKV_CHECK(proposal != proposals_.end());
  RAFTKV_CHECK(proposal->key == key);
  if (proposal->copies >= kMaxCopies) return false;
  ++proposal->copies;
  proposal->done = [first = std::move(proposal->done),
                    again = std::move(done)](const SubmitOutcome& outcome) mutable {
    first(outcome);
    again(outcome);
  };
  return true;
}

void Node::ForwardToLeader(Held held) {
  pending_bytes_ += held.request.size();
  forwards_.Add(core_.leader(), std::move(held.request), ports_.clock.Now(), held.deadline,
                std::move(held.done));
}

void Node::ReceiveForward(NodeId peer, ForwardSubmit forward) {
  const auto reply = [this, peer, id = forward.id](SubmitOutcome outcome) {
    ports_.transport.Send(peer, ForwardSubmitReply{.id = id, .outcome = std::move(outcome)});
  };
  const ForwardAnswers::Key key{peer, forward.id};
  if (config_.messages_may_be_lost && !forward_answers_.Begin(key)) {
    // A copy; the answer to the first one was lost, or comes yet.
    if (const SubmitOutcome* known = forward_answers_.Find(key)) reply(*known);
    return;
  }
  const auto answer = [this, reply, key](SubmitOutcome outcome) {
    if (config_.messages_may_be_lost) forward_answers_.End(key, outcome);
    reply(std::move(outcome));
  };
  const auto header = kv::ValidateRequest(forward.request.view(), config_.limits);
  if (!header.ok()) {
    answer({header.status(), {}});
  } else if (core_.role() != raft::Role::kLeader) {
    answer({{Code::kNotLeader, "the member asked is not the leader; try again"}, {}});
  } else if (!HasRoom(forward.request.size())) {
    answer({{Code::kUnavailable, "too many requests are queued at the leader; try again"}, {}});
  } else {
    Propose(std::move(forward.request), {header->session, header->sequence}, answer);
  }
}

// --- Peers.

void Node::Receive(NodeId peer, PeerMessage message) {
  if (!failure_.ok()) return;
  Tick();
  if (auto* raft_message = std::get_if<raft::Message>(&message)) {
    const bool suspect = core_.suspect();
    if (raft_message->from == peer) core_.Step(*raft_message);
    // Refilled: all that it can have lost is in its log now, and known to be committed.
    if (suspect) once_applied_ = core_.commit_index();
  } else if (auto* forward = std::get_if<ForwardSubmit>(&message)) {
    ReceiveForward(peer, std::move(*forward));
  } else if (auto* reply = std::get_if<ForwardSubmitReply>(&message)) {
    forwards_.OnReply(peer, std::move(*reply), ports_.clock.Now());
  } else if (const auto* join = std::get_if<ForwardJoin>(&message)) {
    if (core_.role() == raft::Role::kLeader) Join(*join);
  } else if (const auto* chunk = std::get_if<SnapshotChunk>(&message)) {
    ports_.observer.CountSnapshotReceived(chunk->data.size());
    if (snapshot_receiver_) snapshot_receiver_->OnChunk(peer, *chunk);
  } else if (const auto* answer = std::get_if<SnapshotChunkReply>(&message)) {
    if (snapshot_sender_) snapshot_sender_->OnReply(peer, *answer);
  }
  wakeup_();
}

void Node::PeerDisconnected(NodeId peer) {
  if (!failure_.ok()) return;
  Tick();
  core_.PeerDisconnected(peer);
  // Its answers would have come on that connection.
  forwards_.FailOf(peer, {Code::kUnknownOutcome, "the connection from the leader broke"});
  wakeup_();
}

void Node::PeerUnreachable(NodeId peer) {
  if (!failure_.ok()) return;
  Tick();
  core_.PeerUnreachable(peer);
  forwards_.FailOf(peer, {Code::kUnknownOutcome, "the connection to the leader broke"});
  wakeup_();
}

// --- Endings.

void Node::FailProposals(const Status& why) {
  proposed_.clear();
  for (Proposal& proposal : std::exchange(proposals_, {})) {
    Release(proposal.bytes);
    ports_.observer.CountProposal(why.code());
    proposal.done({why, {}});
  }
}

void Node::Sweep() {
  const MonoTime now = ports_.clock.Now();
  next_sweep_ = now + kSweepInterval;
  std::deque<Held> kept;
  for (Held& held : std::exchange(held_, {})) {
    if (held.deadline > now) {
      kept.push_back(std::move(held));
      continue;
    }
    Release(held.request.size());
    held.done({{Code::kUnavailable, "no leader is known; a majority of members must be up"}, {}});
  }
  for (Held& held : held_) kept.push_back(std::move(held));
  held_ = std::move(kept);
  forwards_.FailExpired(now, {Code::kUnknownOutcome, "the leader did not answer in time"});
  for (ReadQueue* queue : {&reads_, &lease_reads_}) {
    for (PendingRead& read : queue->TakeExpired(now)) {
      Release(read.bytes);
      read.done(Status(Code::kUnavailable,
                       "no leader confirmed the read in time; a majority of members must be up"));
    }
  }
  SweepChanges(now);
}

void Node::Stop(const Status& why) {
  RAFTKV_CHECK(!why.ok());
  if (!failure_.ok()) return;
  failure_ = why;
  FailProposals({Code::kUnknownOutcome, why.message()});
  forwards_.FailAll({Code::kUnknownOutcome, why.message()});
  for (Held& held : std::exchange(held_, {})) {
    held.done({{Code::kUnavailable, why.message()}, {}});
  }
  for (ReadQueue* queue : {&reads_, &lease_reads_}) {
    for (PendingRead& read : queue->TakeAll()) {
      read.done(Status(Code::kUnavailable, why.message()));
    }
  }
  FailChanges({Code::kUnknownOutcome, why.message()});
  watches_.FailAll({Code::kUnavailable, why.message()});
  pending_bytes_ = 0;
  wakeup_();
}

}  // namespace raftkv::node
