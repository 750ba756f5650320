// How much space is on the disk of a data folder, and what is held in reserve?
//
// The reserve is a file whose blocks are really allocated. It is given up when the disk is full, so
// that deletes, flushes and compactions have space, and allocated again once there is enough.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::storage {

inline constexpr char kReserveName[] = "reserve";

/// Tests replace it. Owned by the watcher; never called on the loop.
class DiskSpace {
 public:
  virtual ~DiskSpace() = default;
  /// Bytes that this process could still write; nothing if the system does not say.
  virtual std::optional<std::uint64_t> Free() = 0;
  /// Allocates the reserve, durably; false: there is not enough space for it.
  virtual bool TakeReserve() = 0;
  virtual void ReleaseReserve() = 0;
};

/// `reserve_bytes` in `folder`, which must exist by the first call.
class FolderSpace final : public DiskSpace {
 public:
  FolderSpace(std::string folder, std::uint64_t reserve_bytes);
  std::optional<std::uint64_t> Free() override;
  bool TakeReserve() override;
  void ReleaseReserve() override;

 private:
  const std::string folder_;
  const std::string path_;
  const std::uint64_t reserve_bytes_;
};

/// When a member calls its disk full, in bytes that are free besides the reserve.
class SpaceRules {
 public:
  /// This many times the reserve must be free before it is allocated again.
  static constexpr std::uint64_t kFreeToTake = 4;

  explicit SpaceRules(std::uint64_t reserve_bytes) : reserve_(reserve_bytes) {}

  /// The level now, after it was `before`. `held`: the reserve is allocated.
  [[nodiscard]] raft::Space Judge(raft::Space before, std::uint64_t free, bool held) const;
  /// The reserve has to be given up.
  [[nodiscard]] bool ShouldRelease(std::uint64_t free) const { return free < reserve_ / 4; }
  /// There is space for the reserve, and enough besides it.
  [[nodiscard]] bool ShouldTake(std::uint64_t free) const { return free >= kFreeToTake * reserve_; }

 private:
  const std::uint64_t reserve_;
};

/// The size of the disk that `folder` is on, or will be; nullopt: the system does not say.
std::optional<std::uint64_t> DiskBytes(std::string folder);

/// InvalidArgument: on the disk of `folder`, which need not exist yet, the reserve cannot be
/// allocated, or never again once it was given up, since besides four times as much the member
/// itself needs space.
Status CheckReserve(const std::string& folder, std::uint64_t reserve_bytes);

/// Keeps "enough" from flapping: a worse level is reported at once, "enough" only once it has
/// lasted for a moment, or for half a minute if the last one lasted less than a minute. What a full
/// member frees (its log, what a compaction drops) is used up again as soon as it accepts writes,
/// so a disk that they fill is reported as full at most once in half a minute.
class SteadySpace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kShortest{400};
  static constexpr std::chrono::milliseconds kLongest{30'000};
  static constexpr std::chrono::milliseconds kLasting{60'000};

  /// The level to report at `now`, if `found` is what was measured.
  raft::Space Tell(raft::Space found, Time now);

 private:
  raft::Space told_ = raft::Space::kEnough;
  std::chrono::milliseconds hold_ = kShortest;
  std::optional<Time> rose_at_;       ///< the last time that "enough" was reported again
  std::optional<Time> enough_since_;  ///< found, but not reported yet
};

}  // namespace raftkv::storage
