#include "tests/sim/cluster/disk.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/raft/configuration.h"

namespace raftkv::sim {

void SimDisk::Write(const node::LogWrite& write, bool durable) {
  Replaced replaced{hard_state_, last_index(), {}};
  if (write.hard_state) hard_state_ = *write.hard_state;
  if (write.refilled) suspect = false;
  if (!write.entries.empty()) {
    const Index first = write.entries.front().index;
    RAFTKV_CHECK(first >= first_index(), first.value);
    RAFTKV_CHECK(first <= last_index().Next(), first.value);
    replaced.kept = first.Previous();
    const auto from = log_.begin() + static_cast<std::ptrdiff_t>(first - first_index());
    if (!durable) replaced.cut.assign(from, log_.end());
    Resize(replaced.kept);
    log_.insert(log_.end(), write.entries.begin(), write.entries.end());
    damaged.erase(damaged.lower_bound(first), damaged.end());
  }
  if (durable) {
    unsynced_.clear();
  } else {
    unsynced_.push_back(std::move(replaced));
  }
}

void SimDisk::Form(ClusterId id, Bytes payload) {
  cluster = id;
  formation = payload;
  hard_state_ = {Term{1}, kNobody, Index{1}};
  log_ = {{Index{1}, Term{1}, raft::EntryKind::kConfiguration, 0, std::move(payload)}};
}

void SimDisk::Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write) {
  RAFTKV_CHECK(write.entries.empty());
  if (write.hard_state) hard_state_ = *write.hard_state;
  if (write.refilled) suspect = false;
  base_ = snapshot.last;
  base_configuration_ = {snapshot.configuration_index, snapshot.configuration};
  log_.clear();
  unsynced_.clear();
  damaged.clear();
}

void SimDisk::Compact(Index through) {
  if (through <= base_.index) return;
  for (auto& [index, configuration] : Configurations()) {
    if (index <= through) base_configuration_ = {index, std::move(configuration)};
  }
  const raft::LogBase base{through, TermAt(through)};
  const std::size_t cut = std::min<std::size_t>(through - base_.index, log_.size());
  log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(cut));
  base_ = base;
  damaged.erase(damaged.begin(), damaged.upper_bound(through));
}

void SimDisk::CutDamage() {
  if (damaged.empty()) return;
  suspect = !RAFTKV_MUTANT(kDamageIsTornTail);
  const Index first = *damaged.begin();
  if (first > flushed) {
    Resize(first.Previous());
  } else {
    // What lies before is in the state machine, but nobody can tell under which configuration.
    engine.Load({});
    flushed = Index{};
    log_.clear();
    base_ = {};
    base_configuration_ = {};
  }
  damaged.clear();
  hard_state_.commit = std::min(hard_state_.commit, last_index());
}

bool SimDisk::LoseUnsynced(Random& random) {
  if (unsynced_.empty()) return false;
  const std::size_t kept = random.Below(unsynced_.size() + 1);
  const bool lost = kept < unsynced_.size();
  while (unsynced_.size() > kept) {
    Replaced& last = unsynced_.back();
    hard_state_ = last.hard_state;
    Resize(std::max(last.kept, base_.index));
    for (raft::Entry& entry : last.cut) {
      if (entry.index > base_.index) log_.push_back(std::move(entry));
    }
    unsynced_.pop_back();
  }
  unsynced_.clear();
  return lost;
}

Index SimDisk::durable_last() const {
  // Undone from the last to the first, the first one decides.
  if (unsynced_.empty()) return last_index();
  const Replaced& first = unsynced_.front();
  return first.kept + first.cut.size();
}

Term SimDisk::DurableTermAt(Index index) const {
  if (index > durable_last()) return Term{};
  for (const Replaced& replaced : unsynced_) {
    if (index > replaced.kept) return replaced.cut.at(index - replaced.kept.Next()).term;
  }
  return TermAt(index);
}

std::vector<std::pair<Index, raft::Configuration>> SimDisk::Configurations() const {
  std::vector<std::pair<Index, raft::Configuration>> found;
  if (base_configuration_.first > Index{}) found.push_back(base_configuration_);
  for (const raft::Entry& entry : log_) {
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    auto configuration = raft::DecodeConfiguration(entry.payload.view());
    RAFTKV_CHECK(configuration.ok(), configuration.status().ToString());
    found.emplace_back(entry.index, *std::move(configuration));
  }
  return found;
}

raft::InitialState SimDisk::Initial() const {
  raft::InitialState initial;
  initial.hard_state = hard_state_;
  initial.base = base_;
  initial.last_index = last_index();
  if (suspect) initial.suspect = boot.nonce;
  for (const raft::Entry& entry : log_) {
    if (initial.term_runs.empty() || initial.term_runs.back().term != entry.term) {
      initial.term_runs.push_back({entry.term, entry.index});
    }
  }
  auto configurations = Configurations();
  if (!configurations.empty()) initial.configurations = std::move(configurations);
  return initial;
}

}  // namespace raftkv::sim
