// How much room is on the disk of a data folder, and what is held back for bad times?
//
// The reserve is a file whose blocks are really taken. It is given up when the disk is full, so
// that deletes, flushes and compactions have room, and taken again once there is space.
#pragma once

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

/// InvalidArgument: the disk of `folder`, which need not exist yet, can never hold the reserve and
/// anything beside it.
Status CheckReserve(const std::string& folder, std::uint64_t reserve_bytes);

/// When a member calls its disk full, in bytes that are free besides the reserve.
class SpaceRules {
 public:
  explicit SpaceRules(std::uint64_t reserve_bytes) : reserve_(reserve_bytes) {}

  /// What to call it now, after it was `before`. `held`: the reserve is.
  [[nodiscard]] raft::Space Judge(raft::Space before, std::uint64_t free, bool held) const;
  /// The reserve has to be given up.
  [[nodiscard]] bool ShouldRelease(std::uint64_t free) const { return free < reserve_ / 4; }
  /// There is room for the reserve, and enough beside it.
  [[nodiscard]] bool ShouldTake(std::uint64_t free) const { return free >= 4 * reserve_; }

 private:
  const std::uint64_t reserve_;
};

}  // namespace raftkv::storage
