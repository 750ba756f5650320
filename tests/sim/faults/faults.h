// What can go wrong?
#pragma once

#include <cstddef>
#include <cstdint>

namespace raftkv::sim {

// One a line: name, as the report prints it.
#define RAFTKV_SIM_FOR_EACH_FAULT(X)                      \
  X(kCrash, "crash")                                      \
  X(kCrashAll, "crash of all members")                    \
  X(kPause, "pause")                                      \
  X(kRestartOptions, "restart with new options")          \
  X(kPartition, "partition")                              \
  X(kOneWay, "one-way cut")                               \
  X(kBridge, "bridge")                                    \
  X(kIsolateLeader, "leader cut off")                     \
  X(kFlapping, "flapping link")                           \
  X(kConnectionBreak, "broken connection")                \
  X(kClientCut, "client cut off")                         \
  X(kLoss, "lost message")                                \
  X(kDuplicate, "doubled message")                        \
  X(kReorder, "overtaken message")                        \
  X(kStorm, "storm of loss and delay")                    \
  X(kSlowDisk, "slow disk")                               \
  X(kLostWrite, "unsynced write lost by a crash")         \
  X(kTornWrite, "torn write")                             \
  X(kSyncError, "sync error")                             \
  X(kReadError, "read error")                             \
  X(kNoSpace, "no space")                                 \
  X(kHungDisk, "hung disk")                               \
  X(kFlippedBytes, "flipped bytes")                       \
  X(kWipedDisk, "wiped disk")                             \
  X(kRolledBackDisk, "rolled-back disk")                  \
  X(kClockRate, "clock rate")                             \
  X(kWallClockJump, "wall clock jump")                    \
  X(kAnswerDropped, "dropped answer")                     \
  X(kRequestDoubled, "doubled request")                   \
  X(kSessionIdle, "idle session")                         \
  X(kAddMember, "member added")                           \
  X(kRemoveMember, "member removed")                      \
  X(kPromoteMember, "learner promoted")                   \
  X(kTransfer, "leadership transferred")                  \
  X(kPauseAll, "pause of all members")                    \
  X(kStalledApply, "stalled apply")                       \
  X(kHungReads, "reads that do not end")                  \
  X(kRemovedReturns, "removed member back with its disk") \
  X(kTwin, "copied disk beside its original")             \
  X(kBootsSetBack, "boots set back")                      \
  X(kHelloLost, "lost hello")                             \
  X(kBootsLost, "boots of peers lost by damage")          \
  X(kResumed, "snapshot transfer resumed")                \
  X(kLastingIsolation, "lasting isolation")               \
  X(kLastingOneWay, "lasting one-way cut")                \
  X(kLastingBridge, "lasting bridge")                     \
  X(kLastingRing, "lasting ring")                         \
  X(kLastingPartialCut, "lasting partial cut")            \
  X(kLastingHang, "lasting hang of a disk")               \
  X(kLastingPause, "lasting pause")                       \
  X(kLastingSlowDisk, "lasting slow disk")                \
  X(kLastingSlowDisks, "lasting slowness of all disks")   \
  X(kLastingDistance, "lasting distance")                 \
  X(kSnapshot, "snapshot made")                           \
  X(kInstall, "snapshot installed")                       \
  X(kCompaction, "log compacted")

enum class Fault : std::uint8_t {
#define RAFTKV_SIM_FAULT_NAME(name, text) name,
  RAFTKV_SIM_FOR_EACH_FAULT(RAFTKV_SIM_FAULT_NAME)
#undef RAFTKV_SIM_FAULT_NAME
      kCount
};

inline constexpr std::size_t kFaultKinds = static_cast<std::size_t>(Fault::kCount);
static_assert(kFaultKinds <= 64, "Overrides::without has a bit for each");

inline const char* FaultName(Fault fault) {
  static constexpr const char* kNames[] = {
#define RAFTKV_SIM_FAULT_TEXT(name, text) text,
      RAFTKV_SIM_FOR_EACH_FAULT(RAFTKV_SIM_FAULT_TEXT)
#undef RAFTKV_SIM_FAULT_TEXT
  };
  return kNames[static_cast<std::size_t>(fault)];
}

}  // namespace raftkv::sim
