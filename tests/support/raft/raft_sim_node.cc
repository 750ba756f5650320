#include "tests/support/raft/raft_sim_node.h"

#include <algorithm>
#include <utility>

#include <gtest/gtest.h>

#include "lib/raft/configuration.h"
#include "lib/raft/raft_invariants.h"
#include "tests/support/raft/raft_format.h"

namespace raftkv::test {

using raft::Disk;
using raft::Entry;
using raft::EntryKind;
using raft::HardState;
using raft::Message;
using raft::Ready;
using raft::TermRun;

namespace {

constexpr std::size_t kMaxComparedEntries = 10'000;

void Overwrite(Index base, std::vector<Entry>& log, const std::vector<Entry>& entries) {
  if (entries.empty()) return;
  RAFTKV_CHECK(entries.front().index > base, "a write before the start of the log");
  const std::size_t keep = entries.front().index - base - 1;
  RAFTKV_CHECK(keep <= log.size(), "a write leaves a hole in the log", keep, log.size());
  log.resize(keep);
  log.insert(log.end(), entries.begin(), entries.end());
}

std::vector<TermRun> RunsOf(const std::vector<Entry>& log) {
  std::vector<TermRun> runs;
  for (const Entry& entry : log) {
    if (runs.empty() || runs.back().term != entry.term) runs.push_back({entry.term, entry.index});
  }
  return runs;
}

}  // namespace

const Entry* SimDisk::Find(Index index) const {
  return index <= base.index || index > last_index() ? nullptr : &log[index - base.index - 1];
}

Term SimDisk::TermAt(Index index) const {
  if (index == base.index) return base.term;
  const Entry* entry = Find(index);
  return entry == nullptr ? Term() : entry->term;
}

std::vector<std::pair<Index, raft::Configuration>> SimDisk::Configurations() const {
  std::vector<std::pair<Index, raft::Configuration>> found{
      {base_configuration_index, base_configuration}};
  for (const Entry& entry : log) {
    if (entry.kind != EntryKind::kConfiguration) continue;
    found.emplace_back(entry.index, *raft::DecodeConfiguration(entry.payload.view()));
  }
  return found;
}

void SimDisk::Compact(Index through) {
  RAFTKV_CHECK(through <= applied);
  RAFTKV_CHECK(through <= last_index());
  if (through <= base.index) return;
  for (const auto& [index, configuration] : Configurations()) {
    if (index > through) break;
    base_configuration = configuration;
    base_configuration_index = index;
  }
  const raft::LogBase after{through, TermAt(through)};
  log.erase(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(through - base.index));
  base = after;
}

void SimDisk::LoseTail(std::size_t count) {
  for (; count > 0 && last_index() > applied && !log.empty(); --count) {
    lost.push_back(log.back());
    log.pop_back();
    suspect = true;
  }
  durable.commit = std::min(durable.commit, last_index());
  written = durable;
}

std::vector<TermRun> SimDisk::RunsWithPending() const {
  if (!pending || pending->entries.empty()) return RunsOf(log);
  std::vector<Entry> after = log;
  Overwrite(base.index, after, pending->entries);
  return RunsOf(after);
}

void SimDisk::Carry(const Write& write) {
  Overwrite(base.index, log, write.entries);
  if (write.snapshot) {
    log.clear();
    base = write.snapshot->last;
    base_configuration = write.snapshot->configuration;
    base_configuration_index = write.snapshot->configuration_index;
    applied = base.index;
  }
  if (write.refilled) {
    suspect = false;
    lost.clear();
  }
  if (write.hard_state) written = *write.hard_state;
  if (write.sync) durable = written;
}

raft::Configuration MakeConfiguration(std::uint64_t count) {
  raft::Configuration configuration;
  configuration.cluster = ClusterId(77);
  for (std::uint64_t id = 1; id <= count; ++id) {
    raft::Member member;
    member.id = NodeId(id);
    member.name = "n" + std::to_string(id);
    member.address = "127.0.0.1:" + std::to_string(7000 + id);
    configuration.members.push_back(member);
  }
  return configuration;
}

SimDisk DiskWithLog(const raft::Configuration& configuration,
                    const std::vector<std::uint64_t>& terms, std::uint64_t current_term,
                    std::uint64_t commit) {
  SimDisk disk;
  for (std::uint64_t term : terms) {
    const Index index = disk.last_index().Next();
    Entry entry;
    entry.index = index;
    entry.term = Term(term);
    if (index.value == 1) {
      entry.kind = EntryKind::kConfiguration;
      entry.payload = raft::EncodeConfiguration(configuration);
    } else {
      entry.payload = Bytes("t" + std::to_string(term) + "i" + std::to_string(index.value));
    }
    disk.log.push_back(entry);
  }
  disk.durable = HardState{Term(current_term), kNobody, Index(commit)};
  disk.written = disk.durable;
  disk.applied = Index(1);
  return disk;
}

SimDisk FormedDisk(const raft::Configuration& configuration) {
  return DiskWithLog(configuration, {1}, 1);
}

SimNode::SimNode(raft::Options options, raft::Configuration configuration, SimDisk disk,
                 std::uint64_t seed)
    : options_(options),
      seed_(seed),
      report_([](const std::string& what) { ADD_FAILURE() << what; }),
      disk_(std::move(disk)) {
  // Who has no log yet knows only what it is told.
  if (disk_.last_index() == Index()) disk_.base_configuration = std::move(configuration);
  Restart();
}

void SimNode::Fail(const std::string& what) {
  report_("node " + Format(id()) + ": " + what +
          (core_ ? "\n  " + FormatState(*core_) + "  log " + FormatRuns(core_->log()) : ""));
}

void SimNode::Restart() {
  RAFTKV_CHECK(!up());
  raft::InitialState initial;
  initial.hard_state = disk_.durable;
  initial.configurations = disk_.Configurations();
  initial.base = disk_.base;
  initial.term_runs = RunsOf(disk_.log);
  initial.last_index = disk_.last_index();
  initial.applied = disk_.applied;
  applied_from_ = disk_.applied;
  applied_.clear();
  read_states_.clear();
  ++incarnation_;
  if (disk_.suspect) initial.suspect = incarnation_;
  core_ = std::make_unique<raft::Raft>(options_, std::move(initial),
                                       Random(seed_ * 1000003 + incarnation_), now_);
  const std::string broken = raft::CheckInvariants(*core_);
  if (!broken.empty()) Fail(broken);
}

void SimNode::Crash(bool keep_pending, bool keep_unsynced) {
  RAFTKV_CHECK(up());
  if (disk_.pending && keep_pending) disk_.Carry(*disk_.pending);
  disk_.pending.reset();
  if (keep_unsynced) disk_.durable = disk_.written;
  disk_.written = disk_.durable;
  core_.reset();
}

void SimNode::Advance(Duration by) {
  now_ += by;
  if (up()) Input([](raft::Raft&) {});
}

void SimNode::Input(const std::function<void(raft::Raft&)>& call) {
  const auto before_tick = raft::Capture(*core_);
  core_->Tick(now_);
  std::string broken = raft::CheckTransition(before_tick, *core_);
  const auto before = raft::Capture(*core_);
  call(*core_);
  if (broken.empty()) broken = raft::CheckTransition(before, *core_);
  if (broken.empty()) broken = raft::CheckInvariants(*core_);
  if (broken.empty() && core_->NextDeadline() <= now_) {
    // Otherwise a node would spin: Tick() has just done all that was due.
    broken = "NextDeadline() is not after the last Tick()";
  }
  if (!broken.empty()) Fail(broken);
}

void SimNode::Step(const Message& message) {
  Input([&](raft::Raft& core) { core.Step(message); });
}

void SimNode::CheckReady(const Ready& ready) {
  // It may turn out that there is nothing to do (a full window), but not for ever.
  if (ready.Empty() && core_->HasReady(disk_.pending ? Disk::kBusy : Disk::kIdle)) {
    Fail("HasReady() announces an empty Ready again and again");
  }
  if (ready.soft_state &&
      (ready.soft_state->role != core_->role() || ready.soft_state->leader != core_->leader())) {
    Fail("Ready has another role or leader than the core");
  }
  for (std::size_t i = 1; i < ready.entries.size(); ++i) {
    if (ready.entries[i].index != ready.entries[i - 1].index.Next()) Fail("Ready leaves a hole");
  }
  const bool term_or_vote = ready.hard_state && (ready.hard_state->term != disk_.written.term ||
                                                 ready.hard_state->vote != disk_.written.vote);
  if ((term_or_vote || !ready.entries.empty()) && !ready.must_sync) {
    Fail("entries, a term or a vote are to be written without a sync");
  }
  if (ready.must_sync && !ready.HasWrite()) Fail("a sync without a write");
  if (ready.hard_state && ready.hard_state->term < disk_.written.term) Fail("the term went back");
  if (ready.hard_state && ready.hard_state->commit < disk_.written.commit) {
    Fail("the commit index went back");
  }
  const Index written = ready.entries.empty() ? disk_.last_index() : ready.entries.back().index;
  if (ready.hard_state && !ready.snapshot && ready.hard_state->commit > written) {
    Fail("a commit index is to be written of entries that are not");
  }
}

std::optional<Ready> SimNode::TakeReady() {
  const Disk state = disk_.pending ? Disk::kBusy : Disk::kIdle;
  if (!core_->HasReady(state)) return std::nullopt;
  const auto before = raft::Capture(*core_);
  Ready ready = core_->TakeReady(state);
  std::string broken = raft::CheckTransition(before, *core_);
  if (broken.empty()) broken = raft::CheckInvariants(*core_);
  if (!broken.empty()) Fail(broken);
  CheckReady(ready);
  if (state == Disk::kBusy && (ready.HasWrite() || !ready.messages_after_persist.empty())) {
    Fail("a Ready for a busy disk has a write or what depends on one");
  }
  if (ready.HasWrite()) {
    disk_.pending = SimDisk::Write{ready.hard_state, ready.entries,   ready.snapshot,
                                   ready.refilled,   ready.must_sync, {}};
    disk_.pending->messages_after_persist = std::move(ready.messages_after_persist);
    ready.messages_after_persist.clear();
  }
  // Of very long logs it would take most of the time.
  const bool wrote = state == Disk::kIdle && (ready.entries.empty() || disk_.pending);
  const Index end = ready.entries.empty() ? disk_.last_index() : ready.entries.back().index;
  std::vector<TermRun> in_memory = core_->log().runs();
  // A long tail is written in pieces.
  std::erase_if(in_memory, [end](const TermRun& run) { return run.first > end; });
  if (wrote && !ready.snapshot && disk_.log.size() <= kMaxComparedEntries &&
      disk_.RunsWithPending() != in_memory) {
    Fail("the log on disk will not be the log in memory");
  }
  return ready;
}

std::vector<Message> SimNode::Persist() {
  RAFTKV_CHECK(disk_.pending.has_value());
  SimDisk::Write write = std::move(*disk_.pending);
  disk_.pending.reset();
  disk_.Carry(write);
  if (disk_.written.commit > disk_.last_index()) Fail("a commit index beyond the log was written");
  if (write.snapshot) {
    applied_.clear();
    applied_from_ = disk_.base.index;
  }
  Input([](raft::Raft& core) { core.Persisted(); });
  if (write.snapshot && (core_->log().base() != disk_.base || !core_->log().runs().empty())) {
    Fail("after an install the log in memory is not the one on disk");
  }
  return std::move(write.messages_after_persist);
}

bool SimNode::Offer(NodeId from, Term term, const raft::SnapshotMeta& snapshot) {
  bool wanted = false;
  Input([&](raft::Raft& core) { wanted = core.OfferSnapshot(from, term, snapshot); });
  return wanted;
}

void SimNode::Compact(Index through) {
  through = std::min(through, disk_.applied);
  Input([&](raft::Raft& core) { core.Compact(through); });
  disk_.Compact(through);
}

void SimNode::Apply(const std::vector<Entry>& entries) {
  if (entries.empty()) return;
  for (const Entry& entry : entries) {
    const Index expected = applied_from_ + applied_.size() + 1;
    if (entry.index != expected) {
      Fail("applies " + Format(entry) + " instead of index " + std::to_string(expected.value));
    }
    if (disk_.TermAt(entry.index) != entry.term) {
      Fail("applies " + Format(entry) + ", which is not durable here");
    }
    applied_.push_back(entry);
  }
  Input([&](raft::Raft& core) { core.Applied(entries.back().index); });
}

void SimNode::Provide(const raft::WantedEntries& wanted) {
  std::vector<Entry> entries;
  std::size_t bytes = 0;
  for (Index i = wanted.first; i <= wanted.last && i <= disk_.last_index(); ++i) {
    if (disk_.Find(i) == nullptr) break;  // cut off meanwhile
    const Entry& entry = *disk_.Find(i);
    bytes += entry.Footprint();
    if (!entries.empty() && bytes > wanted.max_bytes) break;
    entries.push_back(entry);
  }
  Input([&](raft::Raft& core) { core.ProvideEntries(wanted, std::move(entries)); });
}

std::vector<Message> SimNode::Drain() {
  std::vector<Message> sent;
  const auto send = [&](const std::vector<Message>& messages) {
    sent.insert(sent.end(), messages.begin(), messages.end());
  };
  for (int round = 0;; ++round) {
    RAFTKV_CHECK(round < 1000, "the core never comes to rest");
    const std::optional<Ready> ready = TakeReady();
    if (ready) {
      send(ready->messages);
      send(ready->messages_after_persist);
      Apply(ready->committed_entries);
      read_states_.insert(read_states_.end(), ready->read_states.begin(), ready->read_states.end());
      for (const raft::WantedEntries& wanted : ready->wanted_entries) Provide(wanted);
    }
    if (disk_.pending) {
      send(Persist());
    } else if (!ready) {
      return sent;
    }
  }
}

}  // namespace raftkv::test
