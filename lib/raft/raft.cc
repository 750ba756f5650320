#include "lib/raft/raft.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"

namespace raftkv::raft {

Term TermOf(const Message& message) {
  return std::visit([](const auto& body) { return body.term; }, message.body);
}

Raft::Raft(const Options& options, InitialState initial, Random random, MonoTime now)
    : options_(options),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      log_(std::move(initial.term_runs), initial.last_index),
      commit_index_(std::max(initial.hard_state.commit, initial.applied)),
      applied_index_(initial.applied),
      durable_term_(term_),
      durable_vote_(vote_),
      durable_index_(initial.last_index),
      handed_to_disk_(initial.last_index),
      hard_state_on_disk_(initial.hard_state),
      random_(random),
      now_(now),
      handed_to_apply_(initial.applied) {
  RAFTKV_CHECK(options_.id != kNobody);
  RAFTKV_CHECK(options_.heartbeat_interval > Duration::zero());
  RAFTKV_CHECK(options_.election_timeout > options_.heartbeat_interval);
  RAFTKV_CHECK(applied_index_ <= log_.last_index(), applied_index_.value);
  RAFTKV_CHECK(log_.last_term() <= term_, log_.last_term().value, term_.value);
  commit_index_ = std::min(commit_index_, log_.last_index());
  configurations_.emplace_back(initial.configuration_index, std::move(initial.configuration));
  ResetElectionTimer();
  // Nobody else can lead a cluster of one: do not wait.
  const Configuration& members = configuration();
  if (CanCampaign() && members.members.size() == 1) election_deadline_ = now_;
}

// --- Time.

void Raft::Tick(MonoTime now) {
  RAFTKV_CHECK(now >= now_);
  now_ = now;
  if (role_ == Role::kLeader) {
    // A leader that was paused learns here, before anything else, that its time is over.
    if (now_ >= check_quorum_deadline_) CheckQuorum();
    if (role_ == Role::kLeader && now_ >= heartbeat_deadline_) BroadcastHeartbeat();
    if (role_ == Role::kLeader && now_ >= commit_notice_deadline_) SendCommitNotices();
    if (role_ == Role::kLeader && now_ >= gather_deadline_) {
      gather_deadline_ = kNever;
      replicate_pending_ = true;
    }
  } else if (now_ >= election_deadline_) {
    Campaign();
  }
}

MonoTime Raft::NextDeadline() const {
  if (role_ != Role::kLeader) return election_deadline_;
  return std::min(
      {heartbeat_deadline_, check_quorum_deadline_, commit_notice_deadline_, gather_deadline_});
}

// --- Messages.

void Raft::Step(const Message& message) {
  if (message.to != options_.id || message.from == options_.id || message.from == kNobody) return;
  const NodeId from = message.from;

  // §5.2, and thesis §9.6 for the pre-vote: who asks for a vote does not yet move our term.
  if (const auto* request = std::get_if<RequestVote>(&message.body)) {
    HandleRequestVote(from, *request);
    return;
  }
  const Term term = TermOf(message);
  if (const auto* reply = std::get_if<RequestVoteReply>(&message.body);
      reply != nullptr && reply->pre_vote && reply->granted) {
    HandleRequestVoteReply(from, *reply);
    return;
  }
  const auto* append = std::get_if<AppendEntries>(&message.body);
  if (append != nullptr && !IsWellFormed(*append)) return;
  // §5.1: a higher term makes a follower; a message of a lower term is refused or ignored.
  if (term > term_) BecomeFollower(term, append != nullptr ? from : kNobody);
  if (append != nullptr) {
    if (term < term_) {
      Refuse(from, *append);
    } else {
      HandleAppendEntries(from, *append);
    }
    return;
  }
  if (const auto* read = std::get_if<ReadIndex>(&message.body)) {
    HandleReadIndex(from, *read);
    return;
  }
  if (term < term_) return;
  if (const auto* reply = std::get_if<RequestVoteReply>(&message.body)) {
    HandleRequestVoteReply(from, *reply);
  } else if (const auto* reply = std::get_if<AppendEntriesReply>(&message.body)) {
    HandleAppendEntriesReply(from, *reply);
  } else if (const auto* reply = std::get_if<ReadIndexReply>(&message.body)) {
    HandleReadIndexReply(from, *reply);
  }
}

void Raft::BecomeFollower(Term term, NodeId leader) {
  RAFTKV_CHECK(term >= term_, term.value, term_.value);
  const bool led = role_ == Role::kLeader;
  if (term > term_) {
    term_ = term;
    vote_ = kNobody;
    // What was acknowledged to the leader of the old term is of no use to it any more, and may be
    // cut before it is ever durable.
    std::erase_if(messages_after_persist_, [](const Message& message) {
      return std::holds_alternative<AppendEntriesReply>(message.body);
    });
  }
  if (leader_ != leader || led) leader_heard_.reset();
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
  if (led) {
    progress_.clear();
    uncommitted_bytes_ = 0;
    replicate_pending_ = false;
    heartbeat_deadline_ = check_quorum_deadline_ = kNever;
    commit_notice_deadline_ = gather_deadline_ = kNever;
    wanted_entries_.clear();
    apply_wants_entries_ = false;
    FailReads();
  }
  ResetElectionTimer();
}

void Raft::SendAfterPersist(NodeId to, Body body) {
  // Acknowledgements are cumulative: a later one to the same leader in the same term replaces it.
  if (const auto* ack = std::get_if<AppendEntriesReply>(&body); ack != nullptr && ack->success) {
    for (Message& earlier : messages_after_persist_) {
      auto* other = std::get_if<AppendEntriesReply>(&earlier.body);
      if (earlier.to == to && other != nullptr && other->success && other->term == ack->term) {
        other->index = std::max(other->index, ack->index);
        other->read_round = std::max(other->read_round, ack->read_round);
        return;
      }
    }
  }
  messages_after_persist_.push_back({options_.id, to, std::move(body)});
}

// --- The log.

void Raft::Append(Entry entry) {
  RAFTKV_CHECK(entry.term <= term_, entry.term.value, term_.value);
  if (entry.kind == EntryKind::kConfiguration) {
    Result<Configuration> decoded = DecodeConfiguration(entry.payload.view());
    RAFTKV_CHECK(decoded.ok(), decoded.status().ToString());  // checked where it came in
    SetConfiguration(entry.index, *std::move(decoded));
  }
  log_.Append(std::move(entry));
}

void Raft::TruncateFrom(Index first) {
  RAFTKV_CHECK(first > commit_index_, first.value, commit_index_.value);
  RAFTKV_CHECK(role_ != Role::kLeader);  // Figure 3, Leader Append-Only
  log_.TruncateFrom(first);
  const Index last = first.Previous();
  durable_index_ = std::min(durable_index_, last);
  handed_to_disk_ = std::min(handed_to_disk_, last);
  if (write_) write_->last = std::min(write_->last, last);
  while (configurations_.size() > 1 && configurations_.back().first >= first) {
    configurations_.pop_back();  // §6: in force while it is in the log
  }
}

void Raft::SetConfiguration(Index index, Configuration configuration) {
  RAFTKV_CHECK(index > configurations_.back().first);
  configurations_.emplace_back(index, std::move(configuration));
  if (role_ == Role::kLeader) TrackMembers();
}

void Raft::AdvanceCommit(Index index) {
  RAFTKV_CHECK(index <= log_.last_index(), index.value, log_.last_index().value);
  if (index <= commit_index_) return;
  if (role_ == Role::kLeader) {
    for (Index i = commit_index_.Next(); i <= index; ++i) {
      if (!log_.InBuffer(i) || log_.TermAt(i) != term_) continue;
      uncommitted_bytes_ -= std::min(uncommitted_bytes_, log_.At(i).Footprint());
    }
    commit_notice_deadline_ =
        std::min(commit_notice_deadline_, now_ + options_.commit_notice_delay);
    replicate_pending_ = true;
  }
  commit_index_ = index;
}

Result<LogPosition> Raft::Propose(EntryKind kind, Bytes payload, std::uint64_t time_ms) {
  if (kind != EntryKind::kCommand) {
    return Status(Code::kInvalidArgument, "only commands can be proposed");
  }
  if (role_ != Role::kLeader) return Status(Code::kNotLeader, "this member does not lead");
  Entry entry{log_.last_index().Next(), term_, kind, time_ms, std::move(payload)};
  const std::size_t footprint = entry.Footprint();
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + footprint > options_.max_uncommitted_bytes) {
    return Status(Code::kUnavailable, "too many writes wait to be committed; try again");
  }
  uncommitted_bytes_ += footprint;
  const LogPosition position{entry.index, entry.term};
  Append(std::move(entry));
  replicate_pending_ = true;
  return position;
}

bool Raft::committed_in_term() const {
  return role_ == Role::kLeader && log_.TermAt(commit_index_) == term_;
}

// --- Ready.

Index Raft::ApplicableIndex() const { return std::min(commit_index_, durable_index_); }

bool Raft::HasCommittedToApply() const {
  // One batch at a time: what is handed out must be applied before the next.
  return handed_to_apply_ == applied_index_ && ApplicableIndex() > handed_to_apply_ &&
         !apply_wants_entries_;
}

bool Raft::NeedsWrite() const {
  // A commit index alone is not worth a sync: it rides with the next batch.
  return handed_to_disk_ < log_.last_index() || hard_state_on_disk_.term != term_ ||
         hard_state_on_disk_.vote != vote_;
}

bool Raft::HasReady(Disk disk) const {
  if (soft_state_taken_ != SoftState{role_, leader_}) return true;
  if (!messages_.empty() || !read_states_.empty() || !wanted_entries_.empty()) return true;
  if (replicate_pending_ || HasCommittedToApply()) return true;
  return disk == Disk::kIdle && (NeedsWrite() || !messages_after_persist_.empty());
}

Ready Raft::TakeReady(Disk disk) {
  RAFTKV_CHECK((disk == Disk::kBusy) == write_.has_value());
  if (role_ == Role::kLeader) {
    StartReadRound();
    Replicate();
  }
  Ready ready;
  if (const SoftState now{role_, leader_}; now != soft_state_taken_) {
    ready.soft_state = soft_state_taken_ = now;
  }
  if (disk == Disk::kIdle) {
    TakeWrite(ready);
    ready.messages_after_persist = std::exchange(messages_after_persist_, {});
  }
  TakeCommitted(ready);
  ready.messages = std::exchange(messages_, {});
  ready.read_states = std::exchange(read_states_, {});
  ready.wanted_entries = std::exchange(wanted_entries_, {});
  return ready;
}

void Raft::TakeWrite(Ready& ready) {
  if (!NeedsWrite()) return;
  const HardState hard_state{term_, vote_, commit_index_};
  if (hard_state != hard_state_on_disk_) ready.hard_state = hard_state;
  hard_state_on_disk_ = hard_state;
  if (handed_to_disk_ < log_.last_index()) {
    ready.entries = log_.Slice(handed_to_disk_.Next(), log_.last_index(), SIZE_MAX);
    handed_to_disk_ = log_.last_index();
  }
  ready.must_sync = true;
  write_ = Write{hard_state, handed_to_disk_};
}

void Raft::Persisted() {
  RAFTKV_CHECK(write_.has_value());
  durable_term_ = write_->hard_state.term;
  durable_vote_ = write_->hard_state.vote;
  durable_index_ = std::max(durable_index_, write_->last);
  write_.reset();
  RAFTKV_CHECK(durable_index_ <= log_.last_index());
  if (role_ == Role::kCandidate && durable_term_ == term_ && durable_vote_ == options_.id) {
    votes_[options_.id] = true;  // only now: a vote of our own that a crash could undo is none
    CountElection();
  }
  if (role_ == Role::kLeader) MaybeCommit();
  EvictFromBuffer();
}

/// What is committed and durable can be read back, also to be applied: a state machine that is slow
/// does not hold entries in memory.
void Raft::EvictFromBuffer() {
  log_.Evict(std::min(commit_index_, durable_index_), options_.max_buffer_bytes);
}

void Raft::TakeCommitted(Ready& ready) {
  if (!HasCommittedToApply()) return;
  const Index first = handed_to_apply_.Next();
  const Index last = ApplicableIndex();
  if (!fetched_to_apply_.empty()) {
    ready.committed_entries = std::exchange(fetched_to_apply_, {});
  } else if (log_.InBuffer(first)) {
    ready.committed_entries = log_.Slice(first, last, options_.max_apply_bytes);
  } else {
    apply_wants_entries_ = true;
    const Index end = std::min(last, log_.buffer_first().Previous());
    wanted_entries_.push_back({kNobody, first, end, options_.max_apply_bytes});
    return;
  }
  RAFTKV_CHECK(ready.committed_entries.front().index == first);
  RAFTKV_CHECK(ready.committed_entries.back().index <= last);
  handed_to_apply_ = ready.committed_entries.back().index;
}

void Raft::Applied(Index index) {
  RAFTKV_CHECK(index >= applied_index_ && index <= handed_to_apply_, index.value);
  applied_index_ = index;
  EvictFromBuffer();
}

void Raft::ProvideEntries(const WantedEntries& wanted, std::vector<Entry> entries) {
  // Between the asking and the answer the log may have changed: take only what still stands in it.
  Index expected = wanted.first;
  for (const Entry& entry : entries) {
    if (entry.index != expected || log_.TermAt(entry.index) != entry.term) break;
    ++expected;
  }
  entries.resize(expected - wanted.first);
  if (wanted.peer == kNobody) {
    if (!apply_wants_entries_) return;
    apply_wants_entries_ = false;
    if (!entries.empty() && wanted.first == handed_to_apply_.Next()) {
      fetched_to_apply_ = std::move(entries);
    }
    return;
  }
  const auto it = progress_.find(wanted.peer);
  if (it == progress_.end() || !it->second.waits_for_entries) return;
  Progress& progress = it->second;
  progress.waits_for_entries = false;
  replicate_pending_ = true;
  if (entries.empty() || progress.next != wanted.first) return;
  if (progress.state == ProgressState::kProbe && progress.probe_sent) return;
  SendAppend(wanted.peer, progress, std::move(entries));
}

}  // namespace raftkv::raft
