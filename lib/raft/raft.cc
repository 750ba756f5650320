#include "lib/raft/raft.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/configuration.h"

namespace raftkv::raft {

Term TermOf(const Message& message) {
  return std::visit([](const auto& body) { return body.term; }, message.body);
}

Raft::Raft(const Options& options, InitialState initial, Random random, MonoTime now)
    : options_(options),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      log_(initial.base, std::move(initial.term_runs), initial.last_index),
      commit_index_(std::max(initial.hard_state.commit, initial.applied)),
      applied_index_(initial.applied),
      durable_term_(term_),
      durable_vote_(vote_),
      durable_index_(initial.last_index),
      handed_to_disk_(initial.last_index),
      hard_state_on_disk_(initial.hard_state),
      configurations_(std::move(initial.configurations)),
      random_(random),
      now_(now),
      clock_(now),
      suspect_(initial.suspect),
      handed_to_apply_(initial.applied) {
  RAFTKV_CHECK(options_.id != kNobody);
  RAFTKV_CHECK(options_.heartbeat_interval > Duration::zero());
  RAFTKV_CHECK(options_.election_timeout > options_.heartbeat_interval);
  RAFTKV_CHECK(options_.clock_error_percent < 50);
  RAFTKV_CHECK(applied_index_ <= log_.last_index(), applied_index_.value);
  RAFTKV_CHECK(applied_index_ >= log_.base().index, applied_index_.value);
  RAFTKV_CHECK(!configurations_.empty());
  RAFTKV_CHECK(configurations_.back().first <= log_.last_index());
  RAFTKV_CHECK(options_.max_append_bytes > 0);
  RAFTKV_CHECK(options_.max_inflight_messages > 0);
  RAFTKV_CHECK(options_.max_inflight_bytes > 0);
  RAFTKV_CHECK(options_.max_uncommitted_bytes > 0);
  RAFTKV_CHECK(options_.max_apply_bytes > 0);
  RAFTKV_CHECK(options_.max_write_bytes > 0);
  RAFTKV_CHECK(options_.hang_timeout > Duration::zero());
  RAFTKV_CHECK(log_.last_term() <= term_, log_.last_term().value, term_.value);
  commit_index_ = std::min(commit_index_, log_.last_index());
  ForgetConfigurationsBefore(applied_index_);
  // It may have made a promise to a leader before it was restarted, and has forgotten it.
  if (options_.lease_reads && !RAFTKV_MUTANT(kVoteWhileLeased)) {
    no_votes_before_ = now_ + options_.election_timeout;
  }
  ResetElectionTimer();
  // No other member can lead a cluster of one: do not wait.
  const Configuration& members = configuration();
  if (CanCampaign() && members.members.size() == 1) election_deadline_ = now_;
}

// --- Time.

void Raft::Resume(MonoTime now) {
  RAFTKV_CHECK(now >= now_);
  now_ = now;
  writes_.Resume(now_);
  applies_.Resume(now_);
  // Once, until another member was heard: one that is always late must time out as well.
  if (leading_ && !leading_->paused_until) {
    leading_->paused_until = now_;
    leading_->check_quorum_deadline = now_ + options_.election_timeout;
    NoteAnswerAfterPause();  // one that is a quorum by itself asks no one
  } else if (!leading_ && leader_heard_ && leader_ != kNobody && !resumed_) {
    resumed_ = true;
    leader_heard_ = now_;
    ResetElectionTimer();
  }
}

/// What counts is the time of a leader that does its work. One that was paused may have been
/// replaced: it counts again once a quorum has answered.
void Raft::CountTime() {
  if (RAFTKV_MUTANT(kClockFollowsWallClock)) clock_.AtLeast(wall_time_ms_);
  if (leading_ && !leading_->paused_until) {
    clock_.Count(now_, 2 * options_.heartbeat_interval);
  } else {
    clock_.Skip(now_);
  }
}

void Raft::Tick(MonoTime now) {
  RAFTKV_CHECK(now >= now_);
  now_ = now;
  CountTime();
  WatchOwnWork();
  if (role_ == Role::kLeader) {
    if (now_ >= leadership().check_quorum_deadline) CheckQuorum();
    if (role_ == Role::kLeader && now_ >= leadership().transfer_deadline) {
      leadership().transfer_target = kNobody;  // the transfer failed: continue to lead
      leadership().transfer_deadline = kNever;
    }
    if (role_ == Role::kLeader) MaybeHandOverForSpace();
    if (role_ == Role::kLeader && now_ >= leadership().heartbeat_deadline) BroadcastHeartbeat();
    if (role_ == Role::kLeader && now_ >= leadership().commit_notice_deadline) SendCommitNotices();
    if (role_ == Role::kLeader && now_ >= leadership().read_round_deadline) {
      leadership().read_round_deadline = kNever;
      leadership().replicate_pending = true;
    }
    if (role_ == Role::kLeader && now_ >= leadership().gather_deadline) {
      leadership().gather_deadline = kNever;
      leadership().replicate_pending = true;
    }
  } else if (now_ >= election_deadline_) {
    Campaign();
    if (now_ >= election_deadline_ && role_ == Role::kFollower) ResetElectionTimer();
  }
}

MonoTime Raft::NextDeadline() const {
  if (role_ != Role::kLeader) return std::min(election_deadline_, OwnWorkHangsAt());
  const Leadership& leading = leadership();
  return std::min({OwnWorkHangsAt(), leading.heartbeat_deadline, leading.check_quorum_deadline,
                   leading.commit_notice_deadline, leading.gather_deadline,
                   leading.transfer_deadline, leading.hand_over_at, leading.read_round_deadline});
}

// --- What each member may do.

/// What prevents `id` from its duties, as far as it is known here (eligibility.h).
Traits Raft::TraitsOf(NodeId id) const {
  Traits traits;
  if (id != options_.id) {
    const Progress* const progress = FindProgress(id);
    // In a joint configuration only members that keep their vote.
    const Member* const member = configuration().Find(id);
    if (member == nullptr || member->learner) traits.Add(Trait::kNoVote);
    if (progress == nullptr) {
      traits.Add(Trait::kUnheard);
      return traits;
    }
    if (progress->suspect != 0) traits.Add(Trait::kSuspect);
    const bool unheard = now_ - progress->last_heard > options_.election_timeout;
    if (unheard) traits.Add(Trait::kUnheard);
    if (progress->space != Space::kEnough) traits.Add(Trait::kFull);
    return traits;
  }
  if (!MayHaveVote()) traits.Add(Trait::kNoVote);
  if (suspect_ != 0) traits.Add(Trait::kSuspect);
  if (installing_) traits.Add(Trait::kInstalling);
  if (PromisedNotToVote()) traits.Add(Trait::kPromised);
  if (disk_hangs_ && configuration().members.size() > 1) traits.Add(Trait::kDiskHangs);
  if (space_ != Space::kEnough) traits.Add(Trait::kFull);
  return traits;
}

/// Thesis §4.2.2: a member with a vote, or one that loses it by a configuration that is not known
/// to be committed. The latter may be the only one with a log long enough to win, and is not
/// counted itself.
bool Raft::MayHaveVote() const {
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    if (at->second.IsVoter(options_.id)) return true;
    if (at->first <= commit_index_) return false;
  }
  return false;
}

// --- Messages.

void Raft::Step(const Message& message) {
  if (message.to != options_.id || message.from == options_.id || message.from == kNobody) return;
  const NodeId from = message.from;

  // §5.2, and thesis §9.6 for the pre-vote: a request for a pre-vote does not move our term.
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
  // §5.1: a higher term makes this member a follower; a message of a lower term is refused or
  // ignored.
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
  if (const auto* reply = std::get_if<RequestVoteReply>(&message.body);
      reply != nullptr && RAFTKV_MUTANT(kVotesOfOldTerms)) {
    HandleRequestVoteReply(from, *reply);
  }
  if (term < term_) return;
  if (const auto* reply = std::get_if<RequestVoteReply>(&message.body)) {
    HandleRequestVoteReply(from, *reply);
  } else if (const auto* reply = std::get_if<AppendEntriesReply>(&message.body)) {
    HandleAppendEntriesReply(from, *reply);
  } else if (const auto* reply = std::get_if<ReadIndexReply>(&message.body)) {
    HandleReadIndexReply(from, *reply);
  } else if (std::holds_alternative<TimeoutNow>(message.body)) {
    HandleTimeoutNow(from);
  }
}

void Raft::EnterTerm(Term term) {
  RAFTKV_CHECK(term > term_, term.value, term_.value);
  term_ = term;
  vote_ = kNobody;
  stood_at_.reset();
  votes_.clear();
  // Acknowledgements to the leader of the old term are of no use to it any more, and their entries
  // may be truncated before they are durable.
  std::erase_if(messages_after_persist_, [](const Message& message) {
    return std::holds_alternative<AppendEntriesReply>(message.body);
  });
}

void Raft::BecomeFollower(Term term, NodeId leader) {
  RAFTKV_CHECK(term >= term_, term.value, term_.value);
  const bool led = role_ == Role::kLeader;
  if (term > term_) EnterTerm(term);
  if (leader_ != leader || led) leader_heard_.reset();
  role_ = Role::kFollower;
  leader_ = leader;
  if (leader != kNobody) stood_at_.reset();
  RAFTKV_CHECK(leader != options_.id, leader.value);
  if (led) StopLeading();
  RAFTKV_CHECK(!leading_.has_value());
  ResetElectionTimer();
}

void Raft::SendAfterPersist(NodeId to, Body body) {
  RAFTKV_CHECK(to != options_.id, to.value);
  RAFTKV_CHECK(to != kNobody);
  // Acknowledgements are cumulative: a later one to the same leader in the same term replaces it.
  if (const auto* ack = std::get_if<AppendEntriesReply>(&body); ack != nullptr && ack->success) {
    for (Message& earlier : messages_after_persist_) {
      auto* other = std::get_if<AppendEntriesReply>(&earlier.body);
      if (earlier.to == to && other != nullptr && other->success && other->term == ack->term) {
        other->index = std::max(other->index, ack->index);
        other->suspect = ack->suspect;
        other->read_round = std::max(other->read_round, ack->read_round);
        other->promise = ack->promise;
        other->space = ack->space;
        other->applied = ack->applied;
        return;
      }
    }
  }
  messages_after_persist_.push_back({.from = options_.id, .to = to, .body = std::move(body)});
}

void Raft::Send(NodeId to, Body body) {
  RAFTKV_CHECK(to != options_.id, to.value);
  RAFTKV_CHECK(to != kNobody);
  messages_.push_back({.from = options_.id, .to = to, .body = std::move(body)});
}

/// What every answer to a leader says about this member; the caller adds read rounds, hints and the
/// promise.
AppendEntriesReply Raft::Answer(bool success, Index index) const {
  return {.term = term_,
          .success = success,
          .index = index,
          .suspect = suspect_,
          .space = space_,
          .applied = applied_index_};
}

// --- The log.

void Raft::Append(Entry entry) {
  RAFTKV_CHECK(entry.term <= term_, entry.term.value, term_.value);
  if (entry.kind == EntryKind::kConfiguration && !RAFTKV_MUTANT(kConfigurationOnCommit)) {
    Result<Configuration> decoded = DecodeConfiguration(entry.payload.view());
    RAFTKV_CHECK(decoded.ok(), decoded.status().ToString());  // checked where it arrived
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
  RAFTKV_CHECK(durable_index_ <= handed_to_disk_, durable_index_.value, handed_to_disk_.value);
  RAFTKV_CHECK(handed_to_disk_ <= log_.last_index(), handed_to_disk_.value);
  while (configurations_.size() > 1 && configurations_.back().first >= first) {
    if (RAFTKV_MUTANT(kConfigurationNotRolledBack)) break;
    configurations_.pop_back();  // §6: in force while it is in the log
    OnOtherConfiguration();
  }
}

void Raft::SetConfiguration(Index index, Configuration configuration) {
  RAFTKV_CHECK(index > configurations_.back().first);
  configurations_.emplace_back(index, std::move(configuration));
  OnOtherConfiguration();
}

void Raft::OnOtherConfiguration() {
  ++configuration_version_;
  if (role_ == Role::kLeader) {
    TrackMembers();
    leadership().change_under_way = true;
  } else if (CanCampaign() != (election_deadline_ != kNever)) {
    ResetElectionTimer();  // it was given a vote, or lost it
  }
}

const Configuration& Raft::committed_configuration() const {
  RAFTKV_CHECK(!configurations_.empty());
  auto latest = configurations_.rbegin();
  while (latest->first > commit_index_ && std::next(latest) != configurations_.rend()) ++latest;
  return latest->second;
}

void Raft::ForgetConfigurationsBefore(Index index) {
  while (configurations_.size() > 1 && configurations_[1].first <= index) {
    configurations_.erase(configurations_.begin());
  }
}

void Raft::AdvanceCommit(Index index) {
  RAFTKV_CHECK(index <= log_.last_index(), index.value, log_.last_index().value);
  if (index <= commit_index_) return;
  if (role_ == Role::kLeader) {
    for (Index i = commit_index_.Next(); i <= index; ++i) {
      if (!log_.InBuffer(i) || log_.TermAt(i) != term_) continue;
      std::size_t& uncommitted = leadership().uncommitted_bytes;
      uncommitted -= std::min(uncommitted, log_.At(i).Footprint());
    }
    leadership().commit_notice_deadline =
        std::min(leadership().commit_notice_deadline, now_ + options_.commit_notice_delay);
    leadership().replicate_pending = true;
  }
  for (Index i = commit_index_.Next(); RAFTKV_MUTANT(kConfigurationOnCommit) && i <= index; ++i) {
    if (!log_.InBuffer(i) || log_.At(i).kind != EntryKind::kConfiguration) continue;
    SetConfiguration(i, *DecodeConfiguration(log_.At(i).payload.view()));
  }
  commit_index_ = index;
  RAFTKV_CHECK(commit_index_ >= applied_index_, commit_index_.value, applied_index_.value);
}

Result<LogPosition> Raft::Propose(EntryKind kind, Bytes payload, std::uint64_t time_ms) {
  if (kind != EntryKind::kCommand) {
    return Status(Code::kInvalidArgument, "only commands can be proposed");
  }
  if (role_ != Role::kLeader) return Status(Code::kNotLeader, "this member is not the leader");
  if (transferring()) {
    return Status(Code::kUnavailable, "a leadership transfer is in progress; try again");
  }
  if (leadership().paused_until) {
    return Status(Code::kUnavailable,
                  "the leader was paused and is confirming that it still leads; try again");
  }
  Entry entry{.index = log_.last_index().Next(),
              .term = term_,
              .kind = kind,
              .time_ms = time_ms,
              .payload = std::move(payload),
              .clock_ms = clock_.ms()};
  const std::size_t footprint = entry.Footprint();
  std::size_t& uncommitted = leadership().uncommitted_bytes;
  if (uncommitted > 0 && uncommitted + footprint > options_.max_uncommitted_bytes) {
    return Status(Code::kUnavailable, "too many writes are waiting to be committed; try again");
  }
  uncommitted += footprint;
  const LogPosition position{.index = entry.index, .term = entry.term};
  Append(std::move(entry));
  RAFTKV_CHECK(position.index == log_.last_index(), position.index.value);
  RAFTKV_CHECK(position.term == log_.last_term(), position.term.value);
  leadership().replicate_pending = true;
  return position;
}

bool Raft::committed_in_term() const {
  return role_ == Role::kLeader && log_.TermAt(commit_index_) == term_;
}

}  // namespace raftkv::raft
