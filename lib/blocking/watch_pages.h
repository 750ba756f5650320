// How do the pages of a watch become responses of whole revisions?
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include <raftkv/watch.h>

namespace raftkv {

/// Whose pages end wherever the size of an answer says so. Used by one thread at a time.
class WatchPages {
 public:
  explicit WatchPages(std::uint64_t revision, bool tells_progress,
                      std::size_t max_response_bytes = kMaxWatchResponseBytes)
      : position_{.next = revision, .delivered = 0},
        tells_progress_(tells_progress),
        max_response_bytes_(max_response_bytes) {}

  /// Where the next page begins.
  [[nodiscard]] const WatchPosition& position() const { return position_; }
  /// Appends what the next page, asked for at position(), completes.
  void Take(WatchPage page, std::deque<WatchResponse>& responses);

 private:
  void Emit(std::deque<WatchResponse>& responses, bool more);

  WatchPosition position_;
  const bool tells_progress_;
  const std::size_t max_response_bytes_;
  std::uint64_t told_ = 0;  ///< the last progress notice
  /// Events of one revision, which may have more.
  WatchResponse open_;
  std::size_t open_bytes_ = 0;
};

}  // namespace raftkv
