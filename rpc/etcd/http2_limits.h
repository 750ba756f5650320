// What may one HTTP/2 connection of the door cost, and all of them together?
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/time.h"

namespace raftkv::etcd {

struct Http2Limits {
  /// Calls at a time; the client is told.
  std::uint32_t max_streams = 1024;
  /// Of one request: names, values and 32 bytes for each, as HTTP/2 counts them.
  std::uint32_t max_header_bytes = 16 * 1024;
  /// Of one request's message.
  std::size_t max_message_bytes = 17 << 20;
  /// Of incomplete messages on one connection.
  std::size_t max_unfinished_bytes = 34 << 20;
  /// Of answers that wait on one connection. One answer is always kept, and small ones.
  std::size_t max_queued_bytes = 34 << 20;
  /// What may be on its way to this member without its consent.
  std::int32_t stream_window_bytes = 1 << 20;
  std::int32_t connection_window_bytes = 4 << 20;

  // Frames a second that cost an answer, or work for nothing. A client of grpc-go pings once per
  // round trip while it receives data, and cancels a call per timeout.
  std::uint32_t max_pings = 10'000;  ///< PRIORITY included
  std::uint32_t max_settings = 100;
  std::uint32_t max_resets = 5'000;
  std::uint32_t max_empty_frames = 1'000;
};

/// Bytes of one kind that all connections of a door share.
class SharedBytes {
 public:
  explicit SharedBytes(std::size_t capacity) : capacity_(capacity) {}
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] bool HasRoom(std::size_t bytes = 0) const {
    return used_ <= capacity_ && bytes <= capacity_ - used_;
  }
  /// Small things have room where large ones have none left.
  [[nodiscard]] bool HasRoomForLarge() const { return used_ <= capacity_ / 2; }
  void Add(std::size_t bytes) { used_ += bytes; }
  void Remove(std::size_t bytes) { used_ -= bytes; }

 private:
  const std::size_t capacity_;
  std::size_t used_ = 0;
};

/// Counts the frames of each kind in the current second.
class FloodGuard {
 public:
  enum class Kind : std::uint8_t { kPing, kSettings, kReset, kEmpty };

  explicit FloodGuard(const Http2Limits& limits)
      : most_{limits.max_pings, limits.max_settings, limits.max_resets, limits.max_empty_frames} {}

  /// One more of them; false: there are too many.
  [[nodiscard]] bool Count(Kind kind, MonoTime now) {
    if (now - begin_ >= std::chrono::seconds(1)) {
      begin_ = now;
      counts_ = {};
    }
    const auto at = static_cast<std::size_t>(kind);
    return ++counts_[at] <= most_[at];
  }

  [[nodiscard]] static const char* NameOf(Kind kind) {
    static constexpr const char* kNames[] = {"pings", "SETTINGS", "resets of calls",
                                             "empty frames"};
    return kNames[static_cast<std::size_t>(kind)];
  }

 private:
  const std::array<std::uint32_t, 4> most_;
  std::array<std::uint32_t, 4> counts_{};
  MonoTime begin_{};
};

}  // namespace raftkv::etcd
