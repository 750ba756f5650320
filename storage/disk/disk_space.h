// How much room is on the disk of a data folder, and what is held back for bad times?
//
// The reserve is a file whose blocks are really taken. It is given up when the disk is full, so
// that deletes, flushes and compactions have room, and taken again once there is space.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::storage {

inline constexpr char kReserveName[] = "reserve";

/// Tests replace it. Owned by who watches; no call is made from the loop.
class DiskSpace {
 public:
  virtual ~DiskSpace() = default;
  /// What this process could still write, in bytes; nothing where the system does not say.
  virtual std::optional<std::uint64_t> Free() = 0;
  /// Takes the reserve, durably; false: there is not enough space for it.
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
  /// So many times the reserve has to be free before it is taken again.
  static constexpr std::uint64_t kFreeToTake = 4;

  explicit SpaceRules(std::uint64_t reserve_bytes) : reserve_(reserve_bytes) {}

  /// What to call it now, after it was `before`. `held`: the reserve is.
  [[nodiscard]] raft::Space Judge(raft::Space before, std::uint64_t free, bool held) const;
  /// The reserve has to be given up.
  [[nodiscard]] bool ShouldRelease(std::uint64_t free) const { return free < reserve_ / 4; }
  /// There is room for the reserve, and enough beside it.
  [[nodiscard]] bool ShouldTake(std::uint64_t free) const { return free >= kFreeToTake * reserve_; }

 private:
  const std::uint64_t reserve_;
};

/// The size of the disk that `folder` is on, or will be; nullopt: the system does not say.
std::optional<std::uint64_t> DiskBytes(std::string folder);

/// InvalidArgument: on the disk of `folder`, which need not exist yet, the reserve cannot be taken,
/// or never again once it was given up, since beside four times as much the member itself has to
/// have room.
Status CheckReserve(const std::string& folder, std::uint64_t reserve_bytes);

/// Keeps "enough" from coming and going: worse is told at once, "enough" only once it has lasted
/// for a moment; and for half a minute, if the last one did not last a whole one. What a full
/// member gives back (its log, what a compaction drops) comes back as soon as it takes writes
/// again, so the disk that they fill has to be told to be full once in half a minute at most.
class SteadySpace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kShortest{400};
  static constexpr std::chrono::milliseconds kLongest{30'000};
  static constexpr std::chrono::milliseconds kLasting{60'000};

  /// What to tell at `now`, when `found` is what the rules say.
  raft::Space Tell(raft::Space found, Time now);

 private:
  raft::Space told_ = raft::Space::kEnough;
  std::chrono::milliseconds hold_ = kShortest;
  std::optional<Time> rose_at_;       ///< the last time that "enough" was told again
  std::optional<Time> enough_since_;  ///< found, but not told yet
};

}  // namespace raftkv::storage
