#include "storage/disk/machine.h"

#include <algorithm>
#include <chrono>
#include <fstream>

namespace raftkv::storage {

namespace {

std::chrono::milliseconds Since1970() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace

std::string ReadMachineBoot() {
  std::string id;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, id);
  return id;
}

std::uint64_t WallTimeMs() {
  return static_cast<std::uint64_t>(std::max(Since1970(), std::chrono::milliseconds(0)).count());
}

Status CheckWallClock() {
  if (Since1970() >= std::chrono::milliseconds(0)) return Status::Ok();
  return {Code::kInvalidArgument,
          "the clock of this machine is before the year 1970: set it, and try again"};
}

}  // namespace raftkv::storage
