// What is not part of the mix, because the store does not bear it yet?
//
// `raftkv_sim --also NAME` adds one of them. A switch goes, and what it adds is drawn by every
// seed, once the store holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace raftkv::sim {

// Name, name on the command line, what it adds.
#define RAFTKV_SIM_FOR_EACH_SWITCH(X)                                                             \
  X(kLocalReadsOverRestart, "local-reads-over-restart",                                           \
    "local reads must not go back over a restart of their member")                                \
  X(kSuspendedClocks, "suspended-clocks", "clocks may stand still while their host is suspended") \
  X(kLastingSlowDisks, "lasting-slow-disks",                                                      \
    "writes must go on while every sync takes longer than T")                                     \
  X(kLastingDistance, "lasting-distance",                                                         \
    "writes and reads must end while a round trip takes nearly T")

enum class Switch : std::uint8_t {
#define RAFTKV_SIM_SWITCH_NAME(name, text, what) name,
  RAFTKV_SIM_FOR_EACH_SWITCH(RAFTKV_SIM_SWITCH_NAME)
#undef RAFTKV_SIM_SWITCH_NAME
      kCount
};

/// The bit of `which` in a set of switches.
inline std::uint32_t Bit(Switch which) { return 1U << static_cast<unsigned>(which); }

/// Of a name as the command line has it; nothing: there is none.
inline std::optional<Switch> FindSwitch(const std::string& name) {
#define RAFTKV_SIM_SWITCH_FIND(which, text, what) \
  if (name == (text)) return Switch::which;
  RAFTKV_SIM_FOR_EACH_SWITCH(RAFTKV_SIM_SWITCH_FIND)
#undef RAFTKV_SIM_SWITCH_FIND
  return std::nullopt;
}

/// One line each.
inline std::string DescribeSwitches() {
  std::string lines;
#define RAFTKV_SIM_SWITCH_LINE(which, text, what) \
  lines += std::string("  ") + (text) + ": " + (what) + "\n";
  RAFTKV_SIM_FOR_EACH_SWITCH(RAFTKV_SIM_SWITCH_LINE)
#undef RAFTKV_SIM_SWITCH_LINE
  return lines;
}

}  // namespace raftkv::sim
