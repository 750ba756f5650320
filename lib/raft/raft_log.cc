#include "lib/raft/raft_log.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::raft {

RaftLog::RaftLog(LogBase base, std::vector<TermRun> runs, Index last_index)
    : base_(base),
      runs_(std::move(runs)),
      last_index_(last_index),
      buffer_first_(last_index.Next()) {
  RAFTKV_CHECK(runs_.empty() == (last_index_ == base_.index));
  RAFTKV_CHECK(runs_.empty() || runs_.front().first == base_.index.Next());
  RAFTKV_CHECK(runs_.empty() || runs_.front().term >= base_.term);
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    RAFTKV_CHECK(runs_[i].first <= last_index_);
    RAFTKV_CHECK(runs_[i].first > Index{});
    if (i == 0) continue;
    RAFTKV_CHECK(runs_[i - 1].term < runs_[i].term);
    RAFTKV_CHECK(runs_[i - 1].first < runs_[i].first);
  }
}

namespace {

/// The run that contains `index`; end() if it is before the first.
std::vector<TermRun>::const_iterator RunOf(const std::vector<TermRun>& runs, Index index) {
  const auto after =
      std::upper_bound(runs.begin(), runs.end(), index,
                       [](Index wanted, const TermRun& run) { return wanted < run.first; });
  return after == runs.begin() ? runs.end() : after - 1;
}

}  // namespace

Term RaftLog::TermAt(Index index) const {
  if (index > last_index_) return Term{};
  if (index == base_.index) return base_.term;
  const auto run = RunOf(runs_, index);
  return run == runs_.end() ? Term{} : run->term;
}

bool RaftLog::IsUpToDate(Index last_index, Term last_term) const {
  if (last_term != this->last_term()) return last_term > this->last_term();
  return last_index >= last_index_;
}

Index RaftLog::LastIndexWithTermAtMost(Index index, Term term) const {
  index = std::min(index, last_index_);
  auto run = RunOf(runs_, index);
  if (run == runs_.end()) return base_.index;
  while (run->term > term) {
    RAFTKV_CHECK(run->first > Index{});
    index = run->first.Previous();
    if (run == runs_.begin()) return base_.index;
    --run;
  }
  return index;
}

void RaftLog::Append(Entry entry) {
  RAFTKV_CHECK(entry.index == last_index_.Next(), entry.index.value, last_index_.value);
  RAFTKV_CHECK(entry.term >= last_term(), entry.term.value, last_term().value);
  RAFTKV_CHECK(entry.term > Term{});
  if (runs_.empty() || runs_.back().term != entry.term) runs_.push_back({entry.term, entry.index});
  last_index_ = entry.index;
  buffer_bytes_ += entry.Footprint();
  buffer_.push_back(std::move(entry));
  RAFTKV_CHECK(buffer_.size() == last_index_.Next() - buffer_first_, buffer_.size());
}

void RaftLog::TruncateFrom(Index first) {
  RAFTKV_CHECK(first > Index{});
  RAFTKV_CHECK(first >= first_index(), first.value, first_index().value);
  while (!buffer_.empty() && buffer_.back().index >= first) {
    buffer_bytes_ -= buffer_.back().Footprint();
    buffer_.pop_back();
  }
  last_index_ = std::min(last_index_, first.Previous());
  buffer_first_ = std::min(buffer_first_, first);
  while (!runs_.empty() && runs_.back().first > last_index_) runs_.pop_back();
  RAFTKV_CHECK(runs_.empty() == (last_index_ == base_.index));
  RAFTKV_CHECK(buffer_.size() == last_index_.Next() - buffer_first_, buffer_.size());
}

void RaftLog::Compact(Index through) {
  RAFTKV_CHECK(through <= last_index_, through.value, last_index_.value);
  if (through <= base_.index) return;
  base_ = {through, TermAt(through)};
  const auto keep = std::find_if(runs_.rbegin(), runs_.rend(), [this](const TermRun& run) {
    return run.first <= base_.index.Next();
  });
  RAFTKV_CHECK(keep != runs_.rend());
  runs_.erase(runs_.begin(), keep.base() - 1);
  runs_.front().first = base_.index.Next();
  if (last_index_ == base_.index) runs_.clear();
  while (!buffer_.empty() && buffer_.front().index <= through) {
    buffer_bytes_ -= buffer_.front().Footprint();
    buffer_.pop_front();
  }
  buffer_first_ = std::max(buffer_first_, through.Next());
  RAFTKV_CHECK(runs_.empty() || runs_.front().first == first_index());
  RAFTKV_CHECK(buffer_.size() == last_index_.Next() - buffer_first_, buffer_.size());
}

void RaftLog::Reset(LogBase base) { *this = RaftLog(base, {}, base.index); }

const Entry& RaftLog::At(Index index) const {
  RAFTKV_CHECK(InBuffer(index), index.value, buffer_first_.value, last_index_.value);
  return buffer_[index - buffer_first_];
}

std::vector<Entry> RaftLog::Slice(Index first, Index last, std::size_t max_bytes) const {
  RAFTKV_CHECK(first <= last, first.value, last.value);
  RAFTKV_CHECK(InBuffer(first), first.value, buffer_first_.value);
  RAFTKV_CHECK(InBuffer(last), last.value, last_index_.value);
  std::vector<Entry> entries;
  std::size_t bytes = 0;
  for (Index index = first; index <= last; ++index) {
    const Entry& entry = At(index);
    bytes += entry.Footprint();
    if (!entries.empty() && bytes > max_bytes) break;
    entries.push_back(entry);
  }
  RAFTKV_CHECK(!entries.empty());
  return entries;
}

void RaftLog::Evict(Index through, std::size_t max_bytes) {
  while (buffer_bytes_ > max_bytes && !buffer_.empty() && buffer_.front().index <= through) {
    buffer_bytes_ -= buffer_.front().Footprint();
    buffer_.pop_front();
    ++buffer_first_;
  }
  RAFTKV_CHECK(!buffer_.empty() || buffer_bytes_ == 0, buffer_bytes_);
}

}  // namespace raftkv::raft
