// Which entries exist, of which term, and which of them are in memory?
//
// The terms of the whole log are in memory, as runs of equal term. Entries themselves are kept
// from `buffer_first` to the end: all that are not durable or not applied, and recent ones within a
// bound in bytes; older ones are in the log store. Before the first entry is the base: the last
// entry that was compacted away, 0 in a log that still has its beginning.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "lib/raft/types.h"

namespace raftkv::raft {

class RaftLog {
 public:
  RaftLog() = default;
  RaftLog(LogBase base, std::vector<TermRun> runs, Index last_index);

  [[nodiscard]] const LogBase& base() const { return base_; }
  [[nodiscard]] Index first_index() const { return base_.index.Next(); }
  [[nodiscard]] Index last_index() const { return last_index_; }
  [[nodiscard]] Term last_term() const { return TermAt(last_index_); }
  /// The term of the entry at `index`, the base included; 0 for index 0 and for entries not in the
  /// log.
  [[nodiscard]] Term TermAt(Index index) const;
  /// §5.4.1: is a log that ends in (last_index, last_term) at least as up to date as this one?
  [[nodiscard]] bool IsUpToDate(Index last_index, Term last_term) const;
  /// The last index at or before `index` whose term is at most `term`: where logs that conflict at
  /// `index` may still agree (§5.3, last paragraphs). Not before the base.
  [[nodiscard]] Index LastIndexWithTermAtMost(Index index, Term term) const;

  /// `entry.index` must be last_index + 1 and its term must not decrease.
  void Append(Entry entry);
  /// Removes the entries from `first` on.
  void TruncateFrom(Index first);
  /// Removes the entries up to `through`, which becomes the base (§7).
  void Compact(Index through);
  /// Leaves nothing but a base, as given by a snapshot (§7, InstallSnapshot 7).
  void Reset(LogBase base);

  [[nodiscard]] Index buffer_first() const { return buffer_first_; }
  [[nodiscard]] std::size_t buffer_bytes() const { return buffer_bytes_; }
  [[nodiscard]] bool InBuffer(Index index) const {
    return index >= buffer_first_ && index <= last_index_;
  }
  /// `index` must be in the buffer.
  [[nodiscard]] const Entry& At(Index index) const;
  /// Entries first..last, of at most `max_bytes` but at least one; all must be in the buffer.
  [[nodiscard]] std::vector<Entry> Slice(Index first, Index last, std::size_t max_bytes) const;
  /// Drops entries up to `through` from the front while the buffer is above `max_bytes`.
  void Evict(Index through, std::size_t max_bytes);

  [[nodiscard]] const std::vector<TermRun>& runs() const { return runs_; }

 private:
  LogBase base_;
  std::vector<TermRun> runs_;
  Index last_index_;
  Index buffer_first_{1};
  std::deque<Entry> buffer_;
  std::size_t buffer_bytes_ = 0;
};

}  // namespace raftkv::raft
