// Up to which revision should the leader let the past go?
//
// Each member notes when, in replicated time, the store had which revision, and about how many
// bytes the past has grown by. Both are in memory only: after a restart what is there counts as
// from then, so the past is kept longer once, and never shorter. The decision itself is an entry of
// the log (a compact), so members never disagree on it.
#pragma once

#include <cstdint>
#include <deque>

#include "lib/kv/settings.h"
#include "lib/kv/store.h"

namespace raftkv::kv {

/// How long a revision stays readable whatever `history` says: the leader looks this often, and a
/// scan of a few pages must not end with Compacted because a look falls between two of them.
inline constexpr std::uint64_t kScanGraceMs = 2'000;

class Retention {
 public:
  /// After an open, and after each apply.
  void Note(const Store& store, std::uint64_t bytes) {
    settings_ = store.settings();
    Note(store.replicated_time_ms(), store.revisions().revision, bytes);
  }
  /// At `time_ms` the store had come to `revision`, and the past had grown by `bytes`.
  void Note(std::uint64_t time_ms, std::uint64_t revision, std::uint64_t bytes);
  void Set(const Settings& settings) { settings_ = settings; }

  /// What the leader is to compact to at `now_ms`, above `compacted`; 0: nothing. `all`: whatever
  /// can go, since space is short.
  [[nodiscard]] std::uint64_t Due(std::uint64_t now_ms, std::uint64_t compacted, bool all) const;

 private:
  struct Point {
    std::uint64_t time_ms = 0;
    std::uint64_t revision = 0;
    std::uint64_t bytes = 0;  ///< of the past, since the open
  };
  static constexpr std::size_t kMaxPoints = 4096;

  [[nodiscard]] std::uint64_t DueByTime(std::uint64_t now_ms) const;
  [[nodiscard]] std::uint64_t DueByBytes(std::uint64_t compacted) const;
  void Thin();

  Settings settings_;
  /// Ascending in all of their numbers; the last one is the present.
  std::deque<Point> points_;
};

}  // namespace raftkv::kv
