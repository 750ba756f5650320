#include "storage/log/log_sizes.h"

#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

/// The part of a mark's bytes that `entries` of its `all` are taken to have.
std::uint64_t Share(std::uint64_t bytes, std::uint64_t entries, std::uint64_t all) {
  return static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(entries) /
                                    static_cast<double>(all));
}

}  // namespace

void LogSizes::Append(Index index, std::uint64_t bytes) {
  RAFTKV_CHECK(marks_.empty() || index == marks_.back().last.Next(), index.value);
  if (marks_.empty() || marks_.back().bytes >= kMarkBytes) marks_.push_back({index, index, 0});
  marks_.back().last = index;
  marks_.back().bytes += bytes;
  total_ += bytes;
}

void LogSizes::TruncateFrom(Index first) {
  while (!marks_.empty() && marks_.back().first >= first) {
    total_ -= marks_.back().bytes;
    marks_.pop_back();
  }
  if (marks_.empty() || marks_.back().last < first) return;
  Mark& mark = marks_.back();
  const std::uint64_t gone =
      Share(mark.bytes, mark.last.Next() - first, mark.last.Next() - mark.first);
  mark.last = first.Previous();
  mark.bytes -= gone;
  total_ -= gone;
}

void LogSizes::Compact(Index through) {
  while (!marks_.empty() && marks_.front().last <= through) {
    total_ -= marks_.front().bytes;
    marks_.pop_front();
  }
  if (marks_.empty() || marks_.front().first > through) return;
  Mark& mark = marks_.front();
  const std::uint64_t gone =
      Share(mark.bytes, through.Next() - mark.first, mark.last.Next() - mark.first);
  mark.first = through.Next();
  mark.bytes -= gone;
  total_ -= gone;
}

Index LogSizes::Beyond(std::uint64_t bytes) const {
  Index beyond;
  std::uint64_t left = total_;
  for (const Mark& mark : marks_) {
    if (left <= bytes) break;
    left -= mark.bytes;
    beyond = mark.last;
  }
  return beyond;
}

}  // namespace raftkv::storage
