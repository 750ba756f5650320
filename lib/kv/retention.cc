#include "lib/kv/retention.h"

#include <algorithm>
#include <iterator>

#include "lib/kv/revisions.h"

namespace raftkv::kv {
namespace {

/// Points are no closer together than this, in one of the two.
constexpr std::uint64_t kPointMs = 500;
constexpr std::uint64_t kPointBytes = 1 << 20;

}  // namespace

void Retention::Note(std::uint64_t time_ms, std::uint64_t revision, std::uint64_t bytes) {
  if (points_.empty()) {
    points_.push_back({time_ms, revision, bytes});
    return;
  }
  const Point now{std::max(time_ms, points_.back().time_ms), revision,
                  points_.back().bytes + bytes};
  if (revision == points_.back().revision && bytes == 0) return;
  // The last point is moved on as long as it stays close to the one before it.
  const bool moves = points_.size() > 1 &&
                     now.time_ms - points_[points_.size() - 2].time_ms < kPointMs &&
                     now.bytes - points_[points_.size() - 2].bytes < kPointBytes;
  if (moves) {
    points_.back() = now;
  } else {
    points_.push_back(now);
  }
  if (points_.size() > kMaxPoints) Thin();
}

/// Every other one goes, but for the present: what is due is found a little later then.
void Retention::Thin() {
  std::deque<Point> kept;
  for (std::size_t i = 0; i < points_.size(); ++i) {
    if (i % 2 == 0 || i + 1 == points_.size()) kept.push_back(points_[i]);
  }
  points_.swap(kept);
}

std::uint64_t Retention::DueByTime(std::uint64_t now_ms) const {
  const std::uint64_t keep_ms = std::max(settings_.history_ms, kScanGraceMs);
  if (now_ms < keep_ms) return 0;
  const auto after = std::upper_bound(
      points_.begin(), points_.end(), now_ms - keep_ms,
      [](std::uint64_t time_ms, const Point& point) { return time_ms < point.time_ms; });
  return after == points_.begin() ? 0 : std::prev(after)->revision;
}

std::uint64_t Retention::DueByBytes(std::uint64_t compacted) const {
  const auto first = std::lower_bound(
      points_.begin(), points_.end(), compacted,
      [](const Point& point, std::uint64_t revision) { return point.revision < revision; });
  if (first == points_.end()) return 0;
  if (points_.back().bytes - first->bytes <= settings_.history_bytes) return 0;
  // A little more than necessary, so that it is not due again at once.
  const std::uint64_t keep = settings_.history_bytes - settings_.history_bytes / 4;
  const auto kept = std::find_if(first, points_.end(), [&](const Point& point) {
    return points_.back().bytes - point.bytes <= keep;
  });
  return kept == points_.end() ? 0 : kept->revision;
}

std::uint64_t Retention::Due(std::uint64_t now_ms, std::uint64_t compacted, bool all) const {
  if (points_.empty()) return 0;
  const std::uint64_t due =
      all ? points_.back().revision : std::max(DueByTime(now_ms), DueByBytes(compacted));
  // Before the first revision there is nothing.
  return due > std::max(compacted, kFirstRevision) ? due : 0;
}

}  // namespace raftkv::kv
